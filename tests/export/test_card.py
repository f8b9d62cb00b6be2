from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from huggingface_hub import ModelCard

from speechpriv.config import PublisherConfig
from speechpriv.export import card, points
from speechpriv.export.compare import Comparison, Hearing

FIGURES = {
    "base": {"wer": 0.5, "word_accuracy": 0.5, "utterances": 1234, "speakers": 5},
    "baseline": {"wer": 0.1, "word_accuracy": 0.9, "utterances": 1234, "speakers": 5},
    "private": {"wer": 0.25, "word_accuracy": 0.75, "utterances": 1234, "speakers": 5},
}
VERDICT = {"verdict": "PASS", "reasons": ["nothing was found", "the baseline was caught"]}


COMPARISON = Comparison(
    200, 0.25, {"model.onnx": Hearing(0.995, 0.25, 0.0, 90), "model.int8.onnx": Hearing(0.95, 0.257, 0.007, 120)}
)


def _card(claim, **changes) -> str:
    facts = {"claim": claim, "verdict": VERDICT, "audit_sha256": "5ha", "figures": FIGURES, "comparison": COMPARISON}
    return card.render_card(card.Facts(**{**facts, **changes}))


def test_it_says_what_is_guaranteed_found_measured_and_not_covered(claim):
    text = _card(claim)
    assert claim.sentence() in text
    assert claim.trust_model in text
    assert "verdict is **PASS**: nothing was found; the baseline was caught." in text
    assert "| **fine-tuned with differential privacy (this model)** | 25.0% | 75.0% | 1,234 |" in text
    assert "| base model, before any recording of these people | 50.0% | 50.0% | 1,234 |" in text
    assert "| model.onnx | 99.5% | +0.0 points |" in text
    assert "| model.int8.onnx | 95.0% | +0.7 points |" in text
    assert "(25.0%), on 200 test utterances" in text
    assert all(item in text for item in claim.not_covered)
    assert "$" not in text


def test_the_hub_reads_the_front_matter(claim):
    data = ModelCard(_card(claim)).data
    assert data.language == ["en"]
    assert data.pipeline_tag == "automatic-speech-recognition"
    assert "differential-privacy" in data.tags
    (result,) = data.eval_results
    assert (result.metric_type, result.metric_value) == ("wer", 0.25)


def test_every_point_that_the_guidelines_ask_for_is_answered(claim):
    text = _card(claim)
    for point, answer in points.list_answers(claim).items():
        assert f"| {point} | {answer} |" in text
    assert "| Several units that are added or removed together | 2: epsilon 17.6, delta 1e-5 |" in text
    assert "NIST SP 800-226" not in _card(None)


def test_eight_bits_that_cost_too_much_are_not_offered_and_it_is_said(claim):
    text = _card(claim, int8_limit=0.005)
    assert "There is no model.int8.onnx: with 8-bit weights the WER was 0.7 points higher than torch's" in text
    assert "at most 0.5 was\nallowed" in text
    assert "| model.int8.onnx |" not in text
    assert "There is no model.int8.onnx" not in _card(claim)


@pytest.mark.parametrize("layout", ["features", "samples", "torch"])
def test_it_says_what_runs_where(claim, layout):
    why = "No sherpa-onnx loader computes the features of its front end." if layout == "torch" else None
    comparison = Comparison(9, 0.1, {"model.safetensors": Hearing(1, 0.1, 0, 9)}) if layout == "torch" else COMPARISON
    text = _card(claim, layout=layout, obstacle=why, comparison=comparison)
    assert ("from_nemo_ctc" in text) == (layout == "features")
    assert ("from_omnilingual_asr_ctc" in text) == (layout == "samples")
    assert ("sherpa-onnx, onnxruntime | no. No sherpa-onnx loader" in text) == (layout == "torch")
    assert ("| model.onnx, tokens.txt |" in text) == (layout != "torch")
    assert ModelCard(text).data.library_name == ("transformers" if layout == "torch" else "sherpa-onnx")
    assert "speechpriv serve" in text


def test_the_publishers_words_are_on_it(claim):
    publisher = PublisherConfig(name="Lamp Dictation", intended_use="Letters.", licence="cc-by-4.0")
    text = _card(claim, publisher=publisher)
    assert "# Lamp Dictation" in text
    assert "Intended use: Letters." in text
    assert ModelCard(text).data.license == "cc-by-4.0"
    assert ModelCard(text).data.model_name == "Lamp Dictation"


def test_it_says_how_to_check_the_signature_and_what_that_cannot_tell(claim):
    text = _card(claim)
    assert "speechpriv verify . --public-key KEY" in text
    assert "whoever can replace the bundle can replace a key" in text


def test_a_model_without_privacy_says_so():
    text = _card(None, verdict=None)
    assert "Nothing: this model was trained without differential privacy." in text
    assert "verdict is **missing**" in text
    assert "| **fine-tuned without privacy (this model)** | 10.0%" in text
    assert "differential-privacy" not in ModelCard(text).data.tags


def test_an_override_is_printed_with_all_it_overrides(claim):
    reasons = ["The audit's verdict is FAIL; expected PASS."]
    text = _card(claim, override="shown at a fair: nobody's voice", reasons=reasons)
    assert "in spite of the gate" in text
    assert reasons[0] in text
    assert "shown at a fair: nobody's voice" in text
    assert "in spite of the gate" not in _card(claim, reasons=reasons)


def test_figures_may_be_missing(claim):
    text = _card(claim, figures={})
    assert "Not measured." in text
    assert "model-index" not in yaml.safe_load(text.split("---")[1])


def test_its_example_runs_as_printed(exported, tones, claim, tmp_path, monkeypatch, capsys):
    soundfile.write(tmp_path / "speech.wav", tones.say("fan light", np.random.default_rng(1)), 16_000)
    for name in ("model.onnx", "tokens.txt"):
        (tmp_path / name).write_bytes((Path(exported) / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    example = _card(claim).split("```python\n")[1].split("```")[0]
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip() == "fan light"


def test_figures_are_of_what_is_shipped(claim):
    told = FIGURES | {"private_with_lm": FIGURES["private"] | {"wer": 0.123, "word_accuracy": 0.88}}
    with_phrases = claim.model_copy(update={"phrases": '{"noise_multiplier": 2.5, "slip": 2.5e-07}'})
    shipped = _card(with_phrases, figures=told, phrases_shipped=True)
    assert "| **the same, decoding with phrases.arpa (this model)** | 12.3% |" in shipped
    assert yaml.safe_load(shipped.split("---")[1])["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.123
    left_out = _card(with_phrases, figures=told)
    assert "12.3%" not in left_out
    assert "**fine-tuned with differential privacy (this model)**" in left_out


def test_phrases_that_were_learned_first_are_said_and_where_they_are(claim):
    event = '{"noise_multiplier": 2.5, "slip": 2.5e-07}'
    with_phrases = claim.model_copy(update={"phrases": event})
    text, shipped = _card(with_phrases), _card(with_phrases, phrases_shipped=True)
    for found in (text, shipped):
        assert "What many people say, in runs of a few words, was published first" in found
        assert "Gaussian noise of 2.5 on the weights of word n-grams" in found
        assert "but for a probability of 2.5e-07; epsilon is of both together" in found
        assert "weights of word n-grams with an L2 norm of at most 1" in found
    assert "| phrases.arpa |" in shipped
    assert "the same guarantee covers them" in shipped
    assert "`speechpriv serve`, by onnxruntime, told the phrases" in shipped
    assert "told the phrases" not in text
    assert "phrases.arpa" not in text
    assert "published first" not in _card(claim)
    assert "n-grams" not in _card(claim)
