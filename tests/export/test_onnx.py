import copy
import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx as onnx_library
import onnxruntime
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import ParakeetFeatureExtractor, ParakeetForCTC

from speechpriv.errors import ModelError
from speechpriv.export import onnx, runtime
from speechpriv.models import asr, trainable


@pytest.fixture(scope="module")
def session(exported):
    return onnxruntime.InferenceSession(exported / onnx.MODEL)


@given(utterances=st.integers(1, 4), frames=st.integers(1, 400), seed=st.integers(0, 2**16))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_log_probabilities_equal_torch_at_any_batch_and_length(recogniser, session, utterances, frames, seed):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((utterances, 80, frames)).astype(np.float32)
    lengths = rng.integers(1, frames + 1, utterances)
    got = session.run(None, {"audio_signal": features, "length": lengths})[0]
    for row, length in enumerate(lengths):
        # Alone and without padding: so a batch-mate or a mask that leaks would show too.
        alone = torch.from_numpy(features[row : row + 1, :, :length]).transpose(1, 2)
        with torch.inference_mode():
            expected, _ = recogniser.log_probs_of(alone, torch.ones(1, length, dtype=torch.bool))
        assert got[row, : expected.shape[1]] == pytest.approx(expected[0].numpy(), abs=1e-4)


def test_the_file_carries_what_the_runtime_reads(recogniser, exported):
    model = onnx_library.load(exported / onnx.MODEL)
    assert {entry.key: entry.value for entry in model.metadata_props} == {
        "vocab_size": str(recogniser.model.config.vocab_size),
        "subsampling_factor": "8",
        "normalize_type": "per_feature",
        "model_type": "EncDecCTCModelBPE",
    }
    features, length = model.graph.input
    dimensions = features.type.tensor_type.shape.dim
    assert [(d.dim_param, d.dim_value) for d in dimensions] == [("B", 0), ("", 80), ("T", 0)]
    assert length.type.tensor_type.elem_type == onnx_library.TensorProto.INT64
    assert len(model.graph.output) == 1


def test_tokens_are_numbered_and_the_blank_is_last(recogniser, exported):
    rows = [line.split(" ") for line in (exported / onnx.TOKENS).read_text(encoding="utf-8").splitlines()]
    assert [int(index) for _, index in rows] == list(range(recogniser.model.config.vocab_size))
    assert rows[-1][0] == "<blk>"
    assert "▁door" in [symbol for symbol, _ in rows]


def test_nothing_in_the_file_tells_where_it_was_made(exported):
    content = (exported / onnx.MODEL).read_bytes()
    source = Path(onnx.__file__).resolve()
    for trace in (str(Path.home()), str(source.parents[2]), str(exported), "site-packages", "onnx.py"):
        assert trace.encode() not in content
    model = onnx_library.load(exported / onnx.MODEL)
    assert not any("/" in name for node in model.graph.node for name in (node.name, *node.input, *node.output))
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)


def test_a_blank_that_is_not_last_is_moved(recogniser, exported, tmp_path):
    size = recogniser.model.config.vocab_size
    turned = torch.roll(torch.arange(size), 1)  # the blank comes first
    model = ParakeetForCTC(copy.deepcopy(recogniser.model.config))
    model.load_state_dict(recogniser.model.state_dict())
    with torch.no_grad():
        for parameter in (model.ctc_head.weight, model.ctc_head.bias):
            parameter.copy_(parameter[turned].clone())
    model.config.pad_token_id = 0
    symbols = [recogniser.tokenizer.convert_ids_to_tokens(int(old)) for old in turned]
    tokenizer = SimpleNamespace(convert_ids_to_tokens=lambda indices: [symbols[index] for index in indices])
    onnx.export_recogniser(dataclasses.replace(recogniser, model=model.eval(), tokenizer=tokenizer), tmp_path)

    features = {"audio_signal": np.ones((1, 80, 30), np.float32), "length": np.array([30])}
    got = onnxruntime.InferenceSession(tmp_path / onnx.MODEL).run(None, features)[0]
    with torch.inference_mode():  # the model that was not turned has its blank last already
        expected, _ = recogniser.log_probs_of(torch.ones(1, 30, 80), torch.ones(1, 30, dtype=torch.bool))
    assert got == pytest.approx(expected.numpy(), abs=1e-4)
    assert (tmp_path / onnx.TOKENS).read_bytes() == (exported / onnx.TOKENS).read_bytes()


def test_a_file_with_other_weights_is_noticed(recogniser, tones, exported):
    assert onnx.max_difference(recogniser, exported / onnx.MODEL) < 1e-4
    assert onnx.max_difference(tones.untrained(), exported / onnx.MODEL) > 0.1


def test_the_embedded_base_model_is_exported_as_torch_has_it(tiny_en, tmp_path):
    onnx.export_recogniser(tiny_en, tmp_path)
    assert onnx.max_difference(tiny_en, tmp_path / onnx.MODEL) < 1e-4
    assert (tmp_path / onnx.MODEL).stat().st_size < 12 * 2**20


def test_a_file_that_differs_from_torch_is_refused(recogniser, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx, "max_difference", lambda *_: float("nan"))
    with pytest.raises(ModelError, match="differ from torch"):
        onnx.export_recogniser(recogniser, tmp_path)


def test_another_front_end_is_refused(recogniser, tmp_path):
    other = dataclasses.replace(recogniser, front_end=ParakeetFeatureExtractor(feature_size=128))
    assert onnx.choose_layout(other) == "torch"
    with pytest.raises(ModelError, match=r"feature_size = 128 \(expected 80\)"):
        onnx.export_recogniser(other, tmp_path)


def test_a_vocabulary_that_tokens_txt_cannot_carry_is_refused(recogniser, tmp_path):
    size = recogniser.model.config.vocab_size
    for bad in ("two words", "", "same"):
        symbols = ["same", bad, *(f"piece{i}" for i in range(size))]
        tokenizer = SimpleNamespace(
            convert_ids_to_tokens=lambda indices, symbols=symbols: [symbols[i] for i in indices]
        )
        with pytest.raises(ModelError, match=r"tokens\.txt cannot carry"):
            onnx.export_recogniser(dataclasses.replace(recogniser, tokenizer=tokenizer), tmp_path)


def test_a_model_too_large_for_one_file_is_refused(recogniser, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx, "_MAX_BYTES", 1000)
    with pytest.raises(ModelError, match="at most 1,000"):
        onnx.export_recogniser(recogniser, tmp_path)


LAYOUTS = {
    "parakeet_ctc": "features",
    **dict.fromkeys(("wav2vec2", "hubert", "wavlm", "wav2vec2-conformer", "data2vec-audio"), "samples"),
    **dict.fromkeys(("wav2vec2-bert", "lasr_ctc", "whisper", "speech_to_text", "moonshine"), "torch"),
}


def test_every_family_is_laid_out_or_it_is_said_why_not(family_dir):
    recogniser = asr.load(str(family_dir))
    assert onnx.choose_layout(recogniser) == LAYOUTS[recogniser.model.config.model_type]
    assert (onnx.find_obstacle(recogniser) is None) == (onnx.choose_layout(recogniser) != "torch")


OF_SAMPLES = ("wav2vec2", "wav2vec2-layer-norm", "hubert", "wavlm", "wav2vec2-conformer", "data2vec-audio")


@pytest.fixture(scope="module", params=OF_SAMPLES)
def of_samples(request, small, tmp_path_factory):
    """A random recogniser of each family on raw samples, sure of what it hears, and its exported files."""
    torch.manual_seed(0)
    recogniser = asr.load(str(small["save"](request.param, tmp_path_factory.mktemp(request.param))))
    with torch.no_grad():
        recogniser.head.weight.mul_(30)  # else all frames are as good as equal, and rounding decides
    directory = tmp_path_factory.mktemp("samples")
    onnx.export_recogniser(recogniser, directory)
    return recogniser, directory


def _noise(seconds: float, level: float = 0.1, seed: int = 0) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal(int(16_000 * seconds))).astype(np.float32)


def test_raw_samples_give_torchs_log_probabilities_at_any_batch_and_length(of_samples):
    recogniser, directory = of_samples
    session = onnxruntime.InferenceSession(directory / onnx.MODEL)
    order = [i for i in range(recogniser.model.config.vocab_size) if i != recogniser.blank] + [recogniser.blank]
    for rows, samples in ((1, 400), (2, 8_123), (4, 30_000)):
        waveforms = np.stack([_noise(samples / 16_000, seed=row) for row in range(rows)])
        (got,) = session.run(None, {"samples": waveforms})
        for row, waveform in enumerate(waveforms):
            with torch.inference_mode():
                expected, _ = recogniser.log_probs([waveform])
            assert got[row] == pytest.approx(expected[0][:, order].numpy(), abs=2e-3)


def test_what_the_runtime_has_normalised_is_not_changed(of_samples):
    session = onnxruntime.InferenceSession(of_samples[1] / onnx.MODEL)
    raw = _noise(1.0, level=0.003)  # quiet: what the runtime adds to the variance is as large as that
    normalised = (raw - raw.mean()) / np.sqrt(raw.var() + 1e-5)
    answers = [session.run(None, {"samples": samples[None]})[0] for samples in (raw, normalised)]
    # 1e-7, which Hugging Face adds to the variance, is a hundredth of that of the raw samples.
    assert np.abs(answers[0] - answers[1]).mean() < 0.1
    assert (answers[0].argmax(-1) == answers[1].argmax(-1)).mean() > 0.95


def test_sherpa_writes_what_torch_writes(of_samples):
    recogniser, directory = of_samples
    waveforms = [
        _noise(seconds, level, seed) for seed, (seconds, level) in enumerate(((0.5, 0.1), (1.3, 0.02), (3, 0.3)))
    ]
    texts = [recogniser.transcribe([samples])[0] for samples in waveforms]
    assert all(texts)
    assert runtime.decode_with_sherpa(directory, waveforms) == texts


def test_a_table_of_positions_is_made_long_enough(small, tmp_path):
    small["save"]("wav2vec2-conformer", tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "max_source_positions": 100}))  # 2 s
    onnx.export_recogniser(asr.load(str(tmp_path)), tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / onnx.MODEL)
    assert session.run(None, {"samples": _noise(10)[None]})[0].shape[1] > 490


def test_adapters_are_merged_before_the_export(recogniser, tmp_path):
    model = copy.deepcopy(recogniser.model)
    adapted = dataclasses.replace(recogniser, model=model)
    trainable.choose_trainable(adapted, "lora", seed=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.02)
    features = {"audio_signal": np.ones((1, 80, 40), np.float32), "length": np.array([40])}
    with torch.inference_mode():
        expected, _ = adapted.log_probs_of(torch.ones(1, 40, 80), torch.ones(1, 40, dtype=torch.bool))
        plain, _ = recogniser.log_probs_of(torch.ones(1, 40, 80), torch.ones(1, 40, dtype=torch.bool))
    assert not torch.allclose(expected, plain, atol=1e-2)
    trainable.merge_adapters(adapted)
    onnx.export_recogniser(adapted, tmp_path)
    got = onnxruntime.InferenceSession(tmp_path / onnx.MODEL).run(None, features)[0]
    assert got == pytest.approx(expected.numpy(), abs=1e-4)
