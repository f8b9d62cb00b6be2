"""The audit end to end on a tiny model: one that saw nothing passes, one that memorised its canaries is caught."""

import json
import shutil
from itertools import islice

import numpy as np
import pytest
import torch

from speechpriv import corpus, store
from speechpriv.audit import stage
from speechpriv.audit.attacks import scores, stranger
from speechpriv.audit.canaries import canary
from speechpriv.claim import Claim
from speechpriv.config import AuditConfig, CanaryConfig
from speechpriv.data import text
from speechpriv.errors import AuditError, ConfigError, ModelError
from speechpriv.models import asr, new

STEPS = 90
CLAIM = Claim(
    event="{}", epsilon=8.0, delta=1e-4, mu_gdp=1.6, max_tpr_at_1_percent_fpr=0.25, unit="user", cap_per_unit=4,
    sampling_rate=0.25, noise_multiplier=1.0, clip_norm=1.0, normalisation=100.0, steps=40, units=400,
    composed_epsilon=8.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as found:
        yield found


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, corpus_dir, memorise):
    """A corpus with canaries, an untouched model, and a baseline that learned the planted phrases by heart."""
    run = tmp_path_factory.mktemp("run")
    config = CanaryConfig(candidates=40, references=1000, words=3, repeats=(1, 2))
    planted = canary.run(config, {"corpus": corpus_dir}, run / "plant", key=b"k" * 32)
    torch.manual_seed(0)
    pieces = new.train_tokenizer(text.list_words()[0][:3000], 256)
    untrained = new.make_recogniser(pieces, hidden=32, layers=1, channels=8)
    for name in ("base", "private/model", "baseline/model"):
        untrained.save(run / name)
    registry, phrases = canary.read(planted.directory)
    known = [phrases[i] for i, c in enumerate(registry) if c.planted]
    memorise(untrained, [row.samples() for row in known], [row.text for row in known], steps=STEPS, learning_rate=5e-3)
    untrained.save(run / "baseline" / "model")
    (run / "private" / "claim.json").write_text(CLAIM.to_json())
    return {"plant": planted.directory, "model": run / "private", "baseline": run / "baseline"}


@pytest.fixture(scope="module")
def audited(inputs, tmp_path_factory, patch):
    """The stage's directory. Losses of a model are then remembered by its weights, so that other audits are quick."""
    config = stage.AuditStageConfig(audit=AuditConfig(), base=str(inputs["baseline"].parent / "base"))
    told, known, score = [], {}, scores.compute_losses

    def remember(recogniser, phrases, name):
        weights = tuple(float(weight.detach().double().abs().sum()) for weight in recogniser.model.parameters())
        if weights not in known:
            known[weights] = score(recogniser, phrases, name)
        return known[weights]

    patch.setattr(scores, "compute_losses", remember)
    summary = stage.run(config, inputs, tmp_path_factory.mktemp("audit") / "audit", on_model=told.append)
    assert told == ["private", "baseline", "extraction"]
    assert len(known) == 2  # base and private are the same
    asked = read(summary.directory, "verdict.json")["extraction"]
    patch.setattr(stranger, "extract_words", lambda *_: asked)  # once is enough here
    return summary


def audit(inputs, out_dir, **changed):
    config = stage.AuditStageConfig(audit=AuditConfig(), base=str(inputs["baseline"].parent / "base"))
    directory = stage.run(config, {**inputs, **changed}, out_dir / "audit").directory
    return json.loads((directory / "verdict.json").read_text())


def read(directory, name):
    return json.loads((directory / name).read_text())


def test_untouched_passes_and_the_baseline_is_caught(audited):
    assert audited.counts == {"verdict": "PASS", "baseline": "FAIL"}
    found = read(audited.directory, "verdict.json")
    assert found["canaries"]["planted"] >= 10
    assert found["private"]["p_value"] == 1
    assert found["private"]["auc"] == 0.5
    assert found["baseline"]["p_value"] < 1e-4
    assert found["baseline"]["auc"] > 0.9
    assert found["baseline"]["median_exposure_bits"] > 5
    assert (found["unit"], found["adjacency"], found["claimed_epsilon"]) == ("user", CLAIM.adjacency, 8.0)


def test_what_a_stranger_gets_is_shown_with_its_bound(audited):
    """That words come out of a model that learned them by heart is seen in test_extraction.py."""
    found = read(audited.directory, "verdict.json")["extraction"]
    assert {name: len(attacks) for name, attacks in found.items()} == {"private": 5, "baseline": 5}
    for attack in found["private"]:  # it is its base
        assert attack["planted"]["hits"] == attack["controls"]["hits"] == 0
        assert attack["planted"]["tries"] == attack["controls"]["tries"] >= 10
        assert 0 < attack["planted"]["at_most"] < 0.3


def test_too_few_people_are_said_and_stop_nothing(inputs, corpus_dir, audited, tmp_path):
    assert "expected at least 10" in audit(inputs, tmp_path, people=corpus_dir)["membership"]["not_measured"]


def test_exposures_of_every_candidate(audited, inputs):
    registry = canary.read_registry(inputs["plant"])
    found = read(audited.directory, "exposures.json")
    for name in ("private", "baseline"):
        assert [(e["repeats"], e["planted"]) for e in found[name]] == [
            (c.repeats, c.planted) for c in registry if c.repeats
        ]
        assert all(e.keys() == {"repeats", "planted", "exposure_bits"} for e in found[name])
    assert {e["exposure_bits"] for e in found["private"]} == {0}
    assert "-0.0" not in (audited.directory / "exposures.json").read_text()
    median = np.median([e["exposure_bits"] for e in found["baseline"] if e["planted"]])
    assert median == pytest.approx(
        read(audited.directory, "verdict.json")["baseline"]["median_exposure_bits"], abs=1e-3
    )


def test_no_phrase_and_no_id_in_what_is_written(audited, inputs):
    written = [path.read_text() for path in audited.directory.iterdir()]
    assert len(written) == 4  # verdict, what of it is released, exposures, manifest
    for row in canary.read(inputs["plant"])[1].rows():
        assert not any(row.text in content or row.id in content for content in written)


def test_the_baseline_fails_as_the_model_too(audited, inputs, tmp_path):
    found = audit(inputs, tmp_path, model=inputs["baseline"])
    assert (found["verdict"], found["claimed_epsilon"], found["unit"]) == ("FAIL", None, None)


def test_other_audits_of_the_same_canaries_are_counted(audited, inputs, tmp_path):
    """The same audit again is the same audit, wherever its model lies; another one has less of alpha left."""
    record = inputs["plant"].parent / "audits.json"
    first = read(audited.directory, "verdict.json")
    assert (first["audit"], first["alpha"], first["earlier_verdicts"]) == (1, AuditConfig().alpha / 2, [])
    moved = tmp_path / "moved"
    shutil.copytree(inputs["model"], moved)
    assert audit(inputs, tmp_path / "again", model=moved) == first
    before = json.loads(record.read_text())
    other = tmp_path / "other"
    shutil.copytree(inputs["model"], other)
    claim = CLAIM.model_copy(update={"epsilon": 7.0, "composed_epsilon": 7.0})
    (other / "claim.json").write_text(claim.to_json())
    number = sum(map(len, before.values())) + 1
    second = audit(inputs, tmp_path / "other", model=other)
    assert (second["audit"], second["earlier_verdicts"][0]) == (number, "PASS")
    assert second["alpha"] == AuditConfig().alpha / (number * (number + 1))
    assert audit(inputs, tmp_path / "first", model=inputs["model"]) == first


def test_without_a_baseline_that_learned_nothing_is_concluded(audited, inputs, tmp_path):
    assert audit(inputs, tmp_path, baseline=inputs["model"])["verdict"] == "INCONCLUSIVE"


def test_a_bundle_has_the_model_beside_its_claim(audited, inputs, tmp_path):
    bundle = tmp_path / "bundle"
    shutil.copytree(inputs["model"] / "model", bundle)
    (bundle / "claim.json").write_text(CLAIM.to_json())
    assert audit(inputs, tmp_path, model=bundle) == read(audited.directory, "verdict.json")


def swapped(directory, to):
    """A copy of what is in `directory`, with one weight moved, as if it was changed after the audit."""
    shutil.copytree(directory, to)
    place = to / "model" if (to / "model").is_dir() else to
    other = asr.load(str(place))
    with torch.no_grad():
        next(other.model.parameters()).view(-1)[0] += 1e-3
    other.save(place)
    return to


def test_the_verdict_says_which_weights_it_is_about(audited, inputs, tmp_path):
    found = read(audited.directory, "verdict.json")["weights"]
    for name, directory in (("private", "model"), ("baseline", "baseline")):
        weights = inputs[directory] / "model" / "model.safetensors"
        assert found[name] == {"model.safetensors": store.sha256(weights)}
    assert read(audited.directory, "released.json")["weights"] == {"private": found["private"]}
    stage.check_weights(audited.directory, inputs["model"])
    with pytest.raises(AuditError, match="about other weights than those in"):
        stage.check_weights(audited.directory, swapped(inputs["model"], tmp_path / "swapped"))


def test_a_bundle_whose_weights_were_swapped_gets_no_verdict(audited, inputs, tmp_path):
    bundle = tmp_path / "bundle"
    shutil.copytree(inputs["model"] / "model", bundle)
    (bundle / "claim.json").write_text(CLAIM.to_json())
    shutil.copy(audited.directory / "released.json", bundle / "audit.json")
    assert audit(inputs, tmp_path, model=bundle) == read(audited.directory, "verdict.json")
    with pytest.raises(AuditError, match=r"not those that its audit\.json is about"):
        audit(inputs, tmp_path / "again", model=swapped(bundle, tmp_path / "other"))
    (bundle / "audit.json").write_text("{")
    with pytest.raises(AuditError, match="not JSON"):
        audit(inputs, tmp_path / "third", model=bundle)


def test_what_is_released_is_of_the_private_model_alone(audited):
    found, whole = (read(audited.directory, name) for name in ("released.json", "verdict.json"))
    assert found["verdict"] == "PASS"
    assert found["private"] == whole["private"]
    assert "baseline" not in json.dumps(found)
    assert not {"membership", "baseline"} & found.keys()


def test_a_registry_of_another_corpus(audited, inputs, tmp_path):
    plant = tmp_path / "plant"
    shutil.copytree(inputs["plant"], plant, ignore=shutil.ignore_patterns(store.MANIFEST))
    path = plant / canary.REGISTRY
    path.write_text(path.read_text().replace("true", "false", 1))
    with pytest.raises(AuditError, match="1 of 1040 canaries"):
        audit(inputs, tmp_path, plant=plant)


@pytest.mark.parametrize("which", ["model", "baseline"])
def test_a_model_of_another_corpus(audited, inputs, tmp_path, which):
    """It knows no canary because it never met one: that is no PASS."""
    other = tmp_path / "other"
    shutil.copytree(inputs[which], other)
    files = {str(path.relative_to(other)): store.sha256(path) for path in other.rglob("*") if path.is_file()}
    done = {"stage": "", "identity": "", "counts": {}, "files": files}
    (other / store.MANIFEST).write_text(json.dumps(done | {"inputs": {"corpus": "0" * 64}}))
    with pytest.raises(AuditError, match="not trained on the corpus"):
        audit(inputs, tmp_path, **{which: other})
    trained_on = store.fingerprint(inputs["plant"] / "corpus")
    (other / store.MANIFEST).write_text(json.dumps(done | {"inputs": {"corpus": trained_on}}))
    audit(inputs, tmp_path, **{which: other})


def test_a_claim_that_is_damaged(audited, inputs, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(inputs["model"], other)
    (other / "claim.json").write_text(CLAIM.to_json().replace('"epsilon": 8.0', '"epsilon": null'))
    with pytest.raises(ConfigError, match="epsilon"):
        audit(inputs, tmp_path, model=other)


def test_weights_that_are_not_numbers(audited, inputs, tmp_path):
    """A model that was broken in training has no loss, and no verdict."""
    broken = asr.load(str(inputs["model"] / "model"))
    with torch.no_grad():
        next(broken.model.parameters()).fill_(torch.nan)
    broken.save(tmp_path / "broken" / "model")
    with pytest.raises(ModelError, match="are not finite"):
        audit(inputs, tmp_path, model=tmp_path / "broken")
    assert not (tmp_path / "audit").exists()


def test_losses_are_those_of_each_phrase_alone(audited, inputs):
    """Batches, their padding and the sorting by length change nothing, and each loss is in its phrase's place."""
    phrases = corpus.read(inputs["plant"] / "phrases")
    baseline = asr.load(str(inputs["baseline"] / "model"))
    with torch.inference_mode():
        alone = [float(baseline.losses([asr.Utterance(row.samples(), row.text)])) for row in islice(phrases.rows(), 40)]
    np.testing.assert_allclose(scores.compute_losses(baseline, phrases, "baseline")[:40], alone, rtol=1e-4, atol=1e-3)
