import copy
import json
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from speechpriv import store
from speechpriv.config import ExportConfig
from speechpriv.errors import DataError, GateError, ModelError
from speechpriv.export import bundle, compare, onnx, registry, runtime, signature
from speechpriv.models import asr

FIGURES = {"private": {"wer": 0.25, "word_accuracy": 0.75, "utterances": 20}}
VERDICT = {"verdict": "PASS", "reasons": ["nothing was found"], "claimed_epsilon": 7.5}


@pytest.fixture
def inputs(recogniser, claim, recordings, tmp_path):
    """The stages before, as they leave their directories."""
    private = tmp_path / "run" / "private"
    found = {name: private / name for name in ("model", "audit", "figures", "corpus")}
    for path in found.values():
        path.mkdir(parents=True)
    recogniser.save(found["model"] / "model")
    (found["model"] / "claim.json").write_text(claim.to_json())
    store.write_json(found["audit"] / "released.json", _verdict(found))
    store.write_json(found["figures"] / "figures.json", FIGURES)
    shutil.copytree(_directory(recordings), found["corpus"], dirs_exist_ok=True)
    return found


@pytest.fixture
def out_dir(tmp_path):
    path = tmp_path / "run" / "release" / "bundle"
    path.parent.mkdir(parents=True)
    return path


def _config(budget_epsilon=9.0, **export) -> bundle.BundleConfig:
    return bundle.BundleConfig(export=ExportConfig(**export), epsilon=8.0, budget_epsilon=budget_epsilon)


def _verdict(inputs, **changed) -> dict:
    """What an audit of the model in `inputs` releases."""
    weights = {"private": store.hash_weights(inputs["model"] / "model")}
    return {**VERDICT, "weights": weights, **changed}


def _directory(recordings) -> Path:
    return Path(recordings.table.cache_files[0]["filename"]).parents[1]


def test_a_good_model_becomes_a_whole_bundle(inputs, out_dir, claim, recordings, tones):
    summary = bundle.run(_config(), inputs, out_dir)
    assert summary.counts["parity"] == 1.0
    assert summary.counts["compared"] == 20
    assert summary.counts["override"] is None
    names = {path.name for path in out_dir.iterdir()}
    assert {"model.onnx", "tokens.txt", "model.safetensors", "config.json", "tokenizer.json"} <= names
    assert {"preprocessor_config.json", "README.md", "claim.json", "audit.json", "manifest.json"} <= names
    assert {"model.int8.onnx", "privacy.yaml"} <= names
    assert not {"phrases.arpa", "hotwords.txt"} & names
    assert summary.counts["layout"] == "features"
    assert summary.counts["int8"] == "shipped"
    assert registry.problems_of((out_dir / "privacy.yaml").read_text()) == []
    assert not any(name.startswith(".") or name == "identity" for name in names)
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o644 for path in out_dir.iterdir() if path.name != "manifest.json")
    assert store.verify(out_dir) == []

    row = next(recordings.rows("test"))
    assert runtime.decode_with_sherpa(out_dir, [row.samples()]) == [row.text]
    assert asr.load(str(out_dir)).transcribe([row.samples()]) == [row.text]
    assert claim.sentence() in (out_dir / "README.md").read_text()
    assert json.loads((out_dir / "audit.json").read_text()) == _verdict(inputs)
    digest = store.sha256(inputs["audit"] / "released.json")
    assert summary.counts["audit_sha256"] == digest == store.require_stage(out_dir)["files"]["audit.json"]
    assert digest in (out_dir / "README.md").read_text()
    assert bundle.Claim.from_json((out_dir / "claim.json").read_text()) == claim
    assert bundle.run(_config(), inputs, out_dir).up_to_date


def test_nothing_private_is_in_the_finished_bundle(inputs, out_dir, recordings, tmp_path):
    bundle.run(_config(), inputs, out_dir)
    forbidden = [str(tmp_path), str(Path.home()), *(row.id for row in recordings.rows() if len(row.id) > 4)]
    for path in out_dir.iterdir():
        assert not any(word.encode() in path.read_bytes() for word in forbidden), path.name


@pytest.mark.parametrize("name", ["model/claim.json", "audit/released.json"])
def test_missing_evidence_refuses_and_leaves_nothing(inputs, out_dir, name):
    stage, file = name.split("/")
    (inputs[stage] / file).unlink()
    with pytest.raises(GateError, match=r"export\.override_reason"):
        bundle.run(_config(), inputs, out_dir)
    assert list(out_dir.parent.iterdir()) == []


def test_without_a_budget_of_its_own_that_of_the_ledger_holds_or_else_epsilon(inputs, out_dir):
    with pytest.raises(GateError, match=r"together have epsilon 9; expected at most 8, privacy\.epsilon"):
        bundle.run(_config(budget_epsilon=None), inputs, out_dir)
    store.write_json(inputs["model"] / "public.json", {"budget": {"epsilon": 9.5, "delta": 1e-5, "left": 0.5}})
    assert bundle.run(_config(budget_epsilon=None), inputs, out_dir).counts["override"] is None


def test_an_override_is_printed_on_card_and_manifest(inputs, out_dir):
    store.write_json(inputs["audit"] / "released.json", _verdict(inputs, verdict="FAIL"))
    reason = "a model for the museum"
    bundle.run(_config(override_reason=reason), inputs, out_dir)
    assert reason in (out_dir / "README.md").read_text()
    counts = store.require_stage(out_dir)["counts"]
    assert counts["override"] == reason
    assert any("FAIL" in line for line in counts["overridden"])


def test_a_leak_refuses_even_with_an_override_and_is_not_repeated(inputs, out_dir, recordings):
    said = next(row.text for row in recordings.rows("train"))
    with pytest.raises(GateError) as caught:  # typed but not needed: it would stand in the manifest alone
        bundle.run(_config(override_reason=f"because: {said}"), inputs, out_dir)
    assert "manifest.json: transcript" in str(caught.value)
    assert said not in str(caught.value)


def test_a_leak_of_any_given_kind_refuses(inputs, out_dir):
    verdict = _verdict(inputs, reasons=["zebra ladder quiet mango was known"], key="ab" * 16)
    store.write_json(inputs["audit"] / "released.json", verdict)
    secrets = {"phrases": {"canary": ["Zebra ladder quiet mango"]}, "literals": {"key": [b"\xab" * 16]}}
    with pytest.raises(GateError) as caught:
        bundle.run(_config(), inputs, out_dir, **secrets)
    assert "README.md: canary" in str(caught.value)
    assert "audit.json: canary" in str(caught.value)
    assert "audit.json: key" in str(caught.value)
    assert list(out_dir.parent.iterdir()) == []


@pytest.mark.parametrize("changed", ["weights", "verdict"])
def test_weights_that_were_not_audited_are_refused_in_words(inputs, out_dir, recogniser, changed):
    """Swapped after the audit, by one number; or a verdict that does not say what it is about."""
    if changed == "weights":
        swapped = copy.deepcopy(recogniser.model)
        with torch.no_grad():
            next(swapped.parameters()).view(-1)[0] += 1e-3
        replace(recogniser, model=swapped).save(inputs["model"] / "model")
    else:
        store.write_json(inputs["audit"] / "released.json", VERDICT)
    with pytest.raises(GateError, match="about other weights than those that are to leave"):
        bundle.run(_config(), inputs, out_dir)
    assert list(out_dir.parent.iterdir()) == []
    bundle.run(_config(override_reason="a model for the museum"), inputs, out_dir)
    assert "about other weights" in (out_dir / "README.md").read_text()


def test_the_manifest_does_not_tell_how_long_it_took(inputs, out_dir):
    """The search for leaks takes longer the more training people there are."""
    bundle.run(_config(), inputs, out_dir)
    assert "duration_s" not in store.require_stage(out_dir)


def test_other_words_from_the_exported_file_refuse(inputs, out_dir, monkeypatch):
    monkeypatch.setattr(runtime.Transcriber, "transcribe", lambda _, waveforms: ["other words"] * len(waveforms))
    with pytest.raises(GateError, match=r"100\.0% of the test utterances"):
        bundle.run(_config(), inputs, out_dir)


def test_eight_bit_weights_that_lose_too_much_are_not_shipped_and_it_is_said(inputs, out_dir, monkeypatch):
    heard = {
        "model.onnx": compare.Hearing(1.0, 0.2, 0.0, 90.0),
        "model.int8.onnx": compare.Hearing(0.9, 0.23, 0.03, 120.0),
    }
    monkeypatch.setattr(bundle, "compare_with_torch", lambda *_: compare.Comparison(20, 0.2, heard))
    summary = bundle.run(_config(max_int8_wer_increase=0.02), inputs, out_dir)
    assert not (out_dir / "model.int8.onnx").exists()
    assert summary.counts["int8"] == "not shipped"
    assert summary.counts["files"]["model.int8.onnx"]["wer_increase"] == 0.03  # what was measured stays on record
    assert "There is no model.int8.onnx" in (out_dir / "README.md").read_text()
    assert store.verify(out_dir) == []


def test_where_the_signing_key_lies_is_in_no_file(inputs, out_dir, tmp_path):
    bundle.run(_config(signing_key="keys/of-the-house.pem"), inputs, out_dir)
    assert not any(b"of-the-house" in path.read_bytes() for path in out_dir.iterdir())


def test_a_signed_bundle_is_whole_and_its_manifest_too(inputs, out_dir):
    bundle.run(_config(), inputs, out_dir)
    signature.sign_bundle(out_dir, signature.load_signing_key(None))
    key = signature.own_public_key()
    assert signature.find_changes(out_dir, key) == store.verify(out_dir) == []
    assert bundle.run(_config(), inputs, out_dir).up_to_date
    assert (out_dir / store.SIGNATURE).is_file()
    manifest = out_dir / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"PASS"', '"FAIL"'))
    assert signature.find_changes(out_dir, key) == ["manifest.json: changed"]


def _publish(inputs, claim, table):
    """As the stage that publishes leaves it, with a model whose claim covers it."""
    event = '{"noise_multiplier": 2.0, "slip": 1e-6}'
    inputs["phrases"] = inputs["model"].parent / "phrases"
    inputs["phrases"].mkdir()
    store.write_json(inputs["phrases"] / "phrases.json", table)
    store.write_json(inputs["phrases"] / "release.json", {"run_id": "x", "event": event})
    (inputs["model"] / "claim.json").write_text(claim.model_copy(update={"phrases": event}).to_json())


def test_published_phrases_are_shipped_if_asked_for_and_searched_for_leaks(inputs, out_dir, claim, recordings):
    _publish(inputs, claim, [["<s>", "lamp", 9.0], ["lamp", "now", 8.0], ["now", "</s>", 7.0]])
    shipped = bundle.run(_config(phrases="shipped"), inputs, out_dir)
    assert (out_dir / "hotwords.txt").read_text() == "lamp now :1.5\n"
    assert shipped.counts["parity"] >= 0.99  # of torch with the same language model
    assert "\tlamp now" in (out_dir / "phrases.arpa").read_text()
    assert "phrases.arpa and hotwords.txt hold what was published" in (out_dir / "README.md").read_text()
    shutil.rmtree(out_dir)
    said = next(row.text for row in recordings.rows("train")).split()
    store.write_json(inputs["phrases"] / "phrases.json", [[*said, 9.0]])  # a sabotaged release: a whole sentence
    with pytest.raises(GateError) as caught:
        bundle.run(_config(phrases="shipped"), inputs, out_dir)
    assert "hotwords.txt: transcript" in str(caught.value)
    assert "phrases.arpa: transcript" in str(caught.value)


@pytest.fixture(scope="module", params=["wav2vec2-layer-norm", "wav2vec2-bert", "whisper"])
def of_another_family(request, small, tmp_path_factory):
    """A small random recogniser, of a family on raw samples and of two that only transformers can run."""
    torch.manual_seed(0)
    return asr.load(str(small["save"](request.param, tmp_path_factory.mktemp(request.param))))


def test_every_kind_of_model_becomes_a_bundle_that_is_heard_and_audited(of_another_family, inputs, out_dir):
    shutil.rmtree(inputs["model"] / "model")
    of_another_family.save(inputs["model"] / "model")
    store.write_json(inputs["audit"] / "released.json", _verdict(inputs))
    summary = bundle.run(_config(), inputs, out_dir)
    on_samples = of_another_family.model.config.model_type == "wav2vec2"
    assert summary.counts["layout"] == ("samples" if on_samples else "torch")
    assert (out_dir / "model.onnx").exists() == (out_dir / "tokens.txt").exists() == on_samples
    assert summary.counts["parity"] >= 0.99
    assert onnx.choose_layout(asr.load(str(out_dir))) == summary.counts["layout"]  # as the audit opens it
    samples = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    assert runtime.Transcriber(out_dir).transcribe([samples]) == of_another_family.transcribe([samples])
    assert store.verify(out_dir) == []


def test_a_file_the_runtime_cannot_use_ends_in_an_error_not_in_the_end_of_this_process(inputs, out_dir, monkeypatch):
    monkeypatch.setattr(onnx.onnx.helper, "set_model_props", lambda *_: None)
    with pytest.raises(ModelError, match="vocab_size"):
        bundle.run(_config(), inputs, out_dir)


def test_a_corpus_without_a_test_part_is_an_error(inputs, out_dir, monkeypatch):
    monkeypatch.setattr(bundle.corpus.Corpus, "rows", lambda *_: iter(()))
    with pytest.raises(DataError, match="test part"):
        bundle.run(_config(), inputs, out_dir)
