"""Classifiers as ONNX files, and their card."""

import numpy as np
import pytest
import torch
import transformers as hf

from speechpriv import audio, store
from speechpriv import corpus as corpora
from speechpriv.config import ExportConfig
from speechpriv.corpus import Row
from speechpriv.errors import ModelError
from speechpriv.export import bundle, labels, runtime
from speechpriv.models import asr

LABELS = ("low", "high")
SMALL = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
    "conv_dim": [16] * 7, "num_conv_pos_embeddings": 15, "num_conv_pos_embedding_groups": 2,
    "id2label": dict(enumerate(LABELS)), "label2id": {"low": 0, "high": 1},
}  # fmt: skip


def tiny():
    found = asr.load_classifier("tiny-en", LABELS)
    torch.manual_seed(0)
    torch.nn.init.normal_(found.head.weight)
    return found


def from_samples():
    torch.manual_seed(0)
    front_end = hf.Wav2Vec2FeatureExtractor(return_attention_mask=True, do_normalize=True)
    return asr.Classifier(hf.Wav2Vec2ForSequenceClassification(hf.Wav2Vec2Config(**SMALL)).eval(), front_end)


def waveforms():
    rng = np.random.default_rng(0)
    return [rng.normal(0, 0.1, length).astype(np.float32) for length in (8_000, 16_000, 22_222, 48_000)]


@pytest.mark.parametrize("made", [tiny, from_samples])
def test_the_file_gives_torchs_labels(made, tmp_path):
    classifier = made()
    labels.export_classifier(classifier, tmp_path)
    assert labels.max_difference(classifier, tmp_path / "model.onnx") < 1e-4
    assert (tmp_path / "labels.txt").read_text() == "low\nhigh\n"
    heard = runtime.Transcriber(tmp_path).transcribe(waveforms())
    assert heard == [classifier.transcribe([samples])[0] for samples in waveforms()]


def test_another_models_file_is_not_torchs(tmp_path):
    classifier = tiny()
    labels.export_classifier(classifier, tmp_path)
    torch.nn.init.normal_(classifier.head.weight, std=3)
    assert labels.max_difference(classifier, tmp_path / "model.onnx") > 0.01


def test_a_front_end_that_nothing_else_computes_has_no_file(tmp_path):
    config = hf.Wav2Vec2BertConfig(**{k: v for k, v in SMALL.items() if not k.startswith(("conv", "num_conv"))})
    model = hf.Wav2Vec2BertForSequenceClassification(config).eval()
    classifier = asr.Classifier(model, hf.SeamlessM4TFeatureExtractor())
    assert "SeamlessM4TFeatureExtractor" in (labels.find_obstacle(classifier) or "")
    with pytest.raises(ModelError, match=r"No model\.onnx can be made"):
        labels.export_classifier(classifier, tmp_path)


def test_a_broken_file_is_an_error(tmp_path):
    (tmp_path / "labels.txt").write_text("low\nhigh\n")
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match="onnxruntime cannot use"):
        runtime.Transcriber(tmp_path)


def test_fewer_labels_than_outputs_are_an_error(tmp_path):
    labels.export_classifier(tiny(), tmp_path)
    (tmp_path / "labels.txt").write_text("")
    with pytest.raises(ModelError, match="do not fit"):
        runtime.Transcriber(tmp_path).transcribe(waveforms()[:1])


def test_the_bundle_has_a_card_of_its_own(tmp_path):
    classifier = tiny()
    classifier.save(tmp_path / "train" / "model")
    rows = (
        Row(f"r{i}", f"p{i}", "test", audio.encode_flac(samples), LABELS[i % 2], len(samples) / 16_000)
        for i, samples in enumerate(waveforms())
    )
    corpora.write(rows, tmp_path / "corpus", lineage="none")
    figures = {"auroc": 0.71, "auroc_low": 0.62, "auroc_high": 0.79, "word_accuracy": 0.66, "calibration_error": 0.05,
               "speakers": 178}  # fmt: skip
    for name in ("figures", "audit"):
        (tmp_path / name).mkdir()
    store.write_json(tmp_path / "figures" / "figures.json", {"baseline": figures})
    config = bundle.BundleConfig(
        export=ExportConfig(override_reason="a test of the card"), epsilon=8.0, budget_epsilon=None
    )
    inputs = {name: tmp_path / directory for name, directory in
              {"model": "train", "audit": "audit", "figures": "figures", "corpus": "corpus"}.items()}  # fmt: skip
    done = bundle.run(config, inputs, tmp_path / "bundle")
    assert done.counts["parity"] == 1
    card = (tmp_path / "bundle" / "README.md").read_text()
    for part in ("0.710 (0.620 to 0.790)", "audio-classification", "roc_auc", "no medical device", "model.onnx",
                 "| model.onnx | 100.0% |", "178"):  # fmt: skip
        assert part in card, part
    assert "$" not in card.replace("$ ", "")
    assert not (tmp_path / "bundle" / "tokens.txt").exists()
