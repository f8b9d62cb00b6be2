import copy
import dataclasses
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
from speechpriv.export import onnx
from speechpriv.models import asr


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


def test_a_blank_that_is_not_last_is_moved(recogniser, tmp_path):
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
    onnx.export(dataclasses.replace(recogniser, model=model.eval(), tokenizer=tokenizer), tmp_path)

    features = {"audio_signal": np.ones((1, 80, 30), np.float32), "length": np.array([30])}
    got = onnxruntime.InferenceSession(tmp_path / onnx.MODEL).run(None, features)[0]
    with torch.inference_mode():  # the model that was not turned has its blank last already
        expected, _ = recogniser.log_probs_of(torch.ones(1, 30, 80), torch.ones(1, 30, dtype=torch.bool))
    assert got == pytest.approx(expected.numpy(), abs=1e-4)
    assert (tmp_path / onnx.TOKENS).read_text(encoding="utf-8") == onnx._tokens(recogniser, list(range(size)))


def test_a_file_with_other_weights_is_noticed(recogniser, tones, exported):
    assert onnx.max_difference(recogniser, exported / onnx.MODEL) < 1e-4
    assert onnx.max_difference(tones.untrained(), exported / onnx.MODEL) > 0.1


def test_the_embedded_base_model_is_exported_as_torch_has_it(tiny_en, tmp_path):
    onnx.export(tiny_en, tmp_path)
    assert onnx.max_difference(tiny_en, tmp_path / onnx.MODEL) < 1e-4
    assert (tmp_path / onnx.MODEL).stat().st_size < 12 * 2**20


def test_a_file_that_differs_from_torch_is_refused(recogniser, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx, "max_difference", lambda *_: float("nan"))
    with pytest.raises(ModelError, match="differ from torch"):
        onnx.export(recogniser, tmp_path)


def test_another_front_end_is_refused(recogniser, tmp_path):
    other = dataclasses.replace(recogniser, front_end=ParakeetFeatureExtractor(feature_size=128))
    with pytest.raises(ModelError, match=r"feature_size = 128 \(expected 80\)"):
        onnx.export(other, tmp_path)


def test_a_family_without_an_export_is_refused_before_it_is_trained(family_dir):
    name = asr.family_name(str(family_dir))
    if name == "parakeet_ctc":
        onnx.require_exportable(str(family_dir))
    else:
        with pytest.raises(ModelError, match=rf"family '{name}' can be trained .* `speechpriv train CONFIG`"):
            onnx.require_exportable(str(family_dir))
