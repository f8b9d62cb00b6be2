from pathlib import Path

import numpy as np
import soundfile
import yaml
from huggingface_hub import ModelCard

from speechpriv.export import card

FIGURES = {
    "base": {"wer": 0.5, "word_accuracy": 0.5, "utterances": 1234, "speakers": 5},
    "nonprivate": {"wer": 0.1, "word_accuracy": 0.9, "utterances": 1234, "speakers": 5},
    "private": {"wer": 0.25, "word_accuracy": 0.75, "utterances": 1234, "speakers": 5},
}
VERDICT = {"verdict": "PASS", "reasons": ["nothing was found", "the twin was caught"]}


def _card(claim, **changes) -> str:
    facts = {
        "claim": claim,
        "verdict": VERDICT,
        "audit_sha256": "5ha",
        "figures": FIGURES,
        "override": None,
        "reasons": (),
        "parity": 0.995,
        "compared": 200,
    }
    return card.card(**{**facts, **changes})


def test_it_says_what_is_guaranteed_found_measured_and_not_covered(claim):
    text = _card(claim)
    assert claim.sentence() in text
    assert claim.trust_model in text
    assert "verdict is **PASS**: nothing was found; the twin was caught." in text
    assert "| **fine-tuned with differential privacy (this model)** | 25.0% | 75.0% | 1,234 |" in text
    assert "| base model, before any recording of these people | 50.0% | 50.0% | 1,234 |" in text
    assert "99.5% of 200" in text
    assert all(item in text for item in claim.not_covered)
    assert "$" not in text


def test_the_hub_reads_the_front_matter(claim):
    data = ModelCard(_card(claim)).data
    assert data.language == ["en"]
    assert data.pipeline_tag == "automatic-speech-recognition"
    assert "differential-privacy" in data.tags
    (result,) = data.eval_results
    assert (result.metric_type, result.metric_value) == ("wer", 0.25)


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
