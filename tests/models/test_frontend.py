import warnings

import numpy as np
import onnx
import pytest
import sherpa_onnx
import torch
from transformers import ParakeetFeatureExtractor

from speechpriv.models import asr, frontend

FILTERS = ParakeetFeatureExtractor().mel_filters.numpy()
LEVELS = 4000  # features in [-6, 6] are told in steps of 0.003
STEP = 7  # in frame t, band 7 t mod 80 is told: after 80 frames, each once


class _Probe(torch.nn.Module):
    """A "model" whose token in each frame is the level of one feature; even and odd frames have tokens of their own."""

    def forward(self, features: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        time = torch.arange(features.shape[2])
        told = features[0].T.gather(1, (time * STEP % 80)[:, None])[:, 0]
        level = ((told + 6) / 12 * (LEVELS - 1)).round().clamp(0, LEVELS - 1).long() + LEVELS * (time % 2)
        return torch.nn.functional.one_hot(level, 2 * LEVELS + 1)[None].float() + 0.0 * length.float()


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    """The features that sherpa-onnx computes: one band in each frame, shape (T,)."""
    directory = tmp_path_factory.mktemp("probe")
    model, tokens = str(directory / "model.onnx"), directory / "tokens.txt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Probe(),
            (torch.zeros(1, 80, 50), torch.tensor([50])),
            model,
            dynamo=False,
            opset_version=17,
            input_names=["features", "length"],
            output_names=["logprobs"],
            dynamic_axes={"features": {2: "T"}, "logprobs": {1: "T"}},
        )
    graph = onnx.load(model)
    facts = {"vocab_size": str(2 * LEVELS + 1), "subsampling_factor": "1", "normalize_type": "per_feature"}
    onnx.helper.set_model_props(graph, facts)
    onnx.save(graph, model)
    tokens.write_text("".join(f"t{index} {index}\n" for index in range(2 * LEVELS)) + f"<blk> {2 * LEVELS}\n")
    recogniser = sherpa_onnx.OfflineRecognizer.from_nemo_ctc(model=model, tokens=str(tokens))

    def features(samples: np.ndarray) -> np.ndarray:
        stream = recogniser.create_stream()
        stream.accept_waveform(16_000, samples)
        recogniser.decode_stream(stream)
        levels = np.array([int(token[1:]) % LEVELS for token in stream.result.tokens])
        return levels / (LEVELS - 1) * 12 - 6

    return features


def _told(samples: np.ndarray) -> np.ndarray:
    """The same of our features."""
    features = frontend.log_mel(samples, FILTERS)
    time = np.arange(len(features))
    return np.clip(features[time, time * STEP % 80], -6, 6)


@pytest.mark.parametrize("samples", [800, 1279, 1280, 1281, 1359, 1360, 16_000, 40_123])
@pytest.mark.parametrize("kind", ["noise", "quiet", "tone", "ends in a tone", "silence then noise"])
def test_features_are_those_of_the_runtime(heard, kind, samples):
    rng = np.random.default_rng(samples)
    noise = rng.standard_normal(samples)
    tone = np.sin(2 * np.pi * 700 * np.arange(samples) / 16_000)
    made = {
        "noise": 0.1 * noise,
        "quiet": 1e-4 * noise,  # near the floor under the logarithm
        "tone": 0.3 * tone + 1e-3 * noise,
        "ends in a tone": 1e-3 * noise + 0.3 * tone * (np.arange(samples) > samples / 2),
        "silence then noise": 0.1 * noise * (np.arange(samples) > samples / 2),
    }[kind].astype(np.float32)
    got, expected = _told(made), heard(made)
    assert len(got) == len(expected) == frontend.count_frames(samples)
    assert got == pytest.approx(expected, abs=0.02)


def test_the_comparison_would_notice_the_front_end_of_transformers(heard):
    samples = (0.1 * np.random.default_rng(0).standard_normal(16_000)).astype(np.float32)
    other = ParakeetFeatureExtractor()([samples], sampling_rate=16_000, return_tensors="np")["input_features"][0]
    time = np.arange(100)
    assert np.abs(other[time, time * STEP % 80] - heard(samples)).max() > 0.5


def test_a_batch_is_each_alone_and_zero_beyond():
    rng = np.random.default_rng(1)
    waveforms = [rng.standard_normal(n).astype(np.float32) for n in (3000, 16_000, 801)]
    features, mask = asr.load("tiny-en").features(waveforms)
    assert mask.sum(-1).tolist() == [frontend.count_frames(len(w)) for w in waveforms]
    assert (features[~mask] == 0).all()
    for row, waveform in enumerate(waveforms):
        assert features[row][mask[row]].numpy() == pytest.approx(frontend.log_mel(waveform, FILTERS))


def test_too_little_for_a_frame():
    assert frontend.log_mel(np.ones(79, np.float32), FILTERS).shape == (0, 80)


@pytest.mark.parametrize("bands", [80, 128])
def test_filters_are_those_of_the_family(bands):
    expected = ParakeetFeatureExtractor(feature_size=bands).mel_filters.numpy()
    assert frontend.mel_filters(bands) == pytest.approx(expected, abs=1e-8)
