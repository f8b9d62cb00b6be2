import numpy as np
import onnx as onnx_library
import onnxruntime
import pytest

from speechpriv.export import int8, onnx, runtime


@pytest.fixture(scope="module")
def both(exported):
    """The exported files, with 8-bit weights beside them."""
    int8.quantise_weights(exported / onnx.MODEL, exported / int8.MODEL)
    yield exported
    (exported / int8.MODEL).unlink()


def test_it_is_smaller_and_carries_the_same_metadata_and_no_trace_of_its_making(tiny_en, tmp_path):
    onnx.export_recogniser(tiny_en, tmp_path)
    int8.quantise_weights(tmp_path / onnx.MODEL, tmp_path / int8.MODEL)
    assert (tmp_path / int8.MODEL).stat().st_size < 0.5 * (tmp_path / onnx.MODEL).stat().st_size
    facts = [
        {entry.key: entry.value for entry in onnx_library.load(tmp_path / name).metadata_props}
        for name in (onnx.MODEL, int8.MODEL)
    ]
    assert facts[0] == facts[1]
    assert str(tmp_path).encode() not in (tmp_path / int8.MODEL).read_bytes()
    assert b"/tmp" not in (tmp_path / int8.MODEL).read_bytes()


def test_weights_are_integers_and_log_probabilities_stay_near(both):
    features = np.random.default_rng(0).standard_normal((2, 80, 150)).astype(np.float32)
    inputs = {"audio_signal": features, "length": np.array([150, 90])}
    full, small = (onnxruntime.InferenceSession(both / name).run(None, inputs)[0] for name in (onnx.MODEL, int8.MODEL))
    assert 0 < np.abs(full - small).mean() < 0.3
    kinds = {node.op_type for node in onnx_library.load(both / int8.MODEL).graph.node}
    assert "MatMulInteger" in kinds


def test_the_runtime_hears_the_same_words_with_it(both, tones):
    rng = np.random.default_rng(5)
    texts = [tones.sentence(rng) for _ in range(20)]
    waveforms = [tones.say(text, rng) for text in texts]
    heard = runtime.Transcriber(both, "model.int8.onnx").transcribe(waveforms)
    assert np.mean([a == b for a, b in zip(heard, texts, strict=True)]) >= 0.95
