"""The model card of a model that gives labels; `card.py` has that of recognisers, and what both
say.
"""

from string import Template
from typing import Any

import yaml

from speechpriv.export import card, points
from speechpriv.export.card import Facts

_CARD = """\
# $name

A classifier of recordings, trained and exported by speechpriv. It hears speech at 16 kHz and gives the probability of
each label in labels.txt, or in config.json. Intended use: $intended_use

## What is guaranteed

$guarantee
$override
## What the audit found

The verdict is **$verdict**$because. Canaries were recordings with the wrong label. An audit can find leaks; it cannot
prove that there are none. The details are in audit.json, whose SHA-256 is $audit_sha256.

## How well it screens

$figures
On people who are in no training recording, each once, by the mean probability of their recordings. AUROC: how often
somebody with what is looked for gets a higher probability than somebody without, with its interval at 95 %.
Calibration error: how far probabilities are from shares, on average.

$files
The same label as torch, on $compared test recordings.

## What is not covered

$not_covered- The people of the test part: the figures above were measured on them without noise.
- The audit's verdict, one word, and that this bundle was let out: both look at the recordings.
- The claim is about what the model gives away. It says nothing about who may read the recordings themselves.
- People, rooms and microphones unlike those of the training part are screened less well, and nobody measured how much.
- It is no medical device, and has not been tried on patients.
$points
## How to use it

$onnx
```python
from speechpriv import audio
from speechpriv.models import asr

classifier = asr.load(".")
print(classifier.labels, classifier.probabilities([audio.read("speech.wav")])[0])
```

`speechpriv verify . --public-key KEY` compares every file here with the signature in model.sig. Get KEY, or its
fingerprint, from the publisher by another way than this bundle.

## Files

| file | what it is |
|---|---|
$onnx_files| model.safetensors, config.json and preprocessor_config.json | the weights for transformers |
| claim.json | the guarantee, with all that is needed to compute it again |
| privacy.yaml | the same as a draft for the differential privacy deployments registry; only with a claim |
| audit.json | what of the audit's verdict is released |
| manifest.json | digests of all files, the export's settings and versions |
| model.sig | signature over all other files (OpenSSF model signing) |
"""
_ONNX = "onnxruntime runs model.onnx alone: `speechpriv.export.runtime` shows how in two dozen lines.\n"
_ONNX_FILES = "| model.onnx, labels.txt | probabilities by onnxruntime, and what they are of |\n"
_HEADER = "| model | AUROC | label right | calibration error | people |\n|---|---|---|---|---|\n"
_FILES = "| file | same label |\n|---|---|\n"
_LABELS = {
    "base": "base model with an output layer that has learned nothing",
    "baseline": "trained without privacy",
    "private": "trained with differential privacy",
}

# All that such a card may say whatever was learned.
FIXED_TEXT = "\n".join((_CARD, _ONNX, _ONNX_FILES, _HEADER, _FILES, *_LABELS.values()))


def render_card(facts: Facts) -> str:
    """Render the text of README.md."""
    claim, verdict = facts.claim, facts.verdict
    this = "private" if claim else "baseline"
    has_onnx = "model.onnx" in facts.comparison.files
    body = Template(_CARD).substitute(
        name=facts.publisher.name,
        intended_use=facts.publisher.intended_use,
        guarantee=card.state_guarantee(claim),
        override=card.render_override(facts.override, facts.reasons),
        verdict=verdict["verdict"] if verdict else "missing",
        audit_sha256=facts.audit_sha256,
        because=f": {'; '.join(verdict['reasons'])}" if verdict else "",
        figures=_table(facts, this),
        files=_FILES + "".join(f"| {name} | {heard.parity:.1%} |\n" for name, heard in facts.comparison.files.items()),
        compared=facts.comparison.compared,
        not_covered="".join(f"- {item}\n" for item in claim.not_covered) if claim else "",
        points=card.POINTS
        + "".join(f"| {point} | {answer} |\n" for point, answer in points.list_answers(claim).items())
        if claim
        else "",
        onnx=_ONNX if has_onnx else f"{facts.obstacle}\n",
        onnx_files=_ONNX_FILES if has_onnx else "",
    )
    return f"---\n{yaml.safe_dump(_front_matter(facts, this), sort_keys=False)}---\n\n{body}"


def _table(facts: Facts, this: str) -> str:
    rows = []
    for name, label in _LABELS.items():
        if name in facts.figures and name in {"base", "private", this}:  # never the baseline
            row = facts.figures[name]
            mark = f"**{label} (this model)**" if name == this else label
            area = f"{row['auroc']:.3f} ({row['auroc_low']:.3f} to {row['auroc_high']:.3f})"
            right = f"{row['word_accuracy']:.1%} | {row['calibration_error']:.3f}"
            rows.append(f"| {mark} | {area} | {right} | {row['speakers']:,} |\n")
    return _HEADER + "".join(rows) if rows else "Not measured.\n"


def _front_matter(facts: Facts, this: str) -> dict[str, Any]:
    """What the hub indexes a model by."""
    front: dict[str, Any] = {
        "language": ["en"],
        "license": facts.publisher.licence,
        "library_name": "transformers",
        "pipeline_tag": "audio-classification",
        "tags": ["speech", "onnx", *(["differential-privacy"] if facts.claim else [])],
    }
    if (figures := facts.figures.get(this)) is not None:
        result = {
            "task": {"type": "audio-classification"},
            "dataset": {"name": "held-out people of the training corpus", "type": "private"},
            "metrics": [{"type": "roc_auc", "value": round(float(figures["auroc"]), 4)}],
        }
        front |= {"metrics": ["roc_auc"], "model-index": [{"name": facts.publisher.name, "results": [result]}]}
    return front
