"""The model card: one README.md that says what is guaranteed, what was found and how to use the model.

The front matter is what the Hugging Face hub reads.
"""

from collections.abc import Mapping, Sequence
from string import Template
from typing import Any

import yaml

from speechpriv.claim import Claim

_LABELS = {
    "base": "base model, before any recording of these people",
    "nonprivate": "fine-tuned without privacy",
    "private": "fine-tuned with differential privacy",
}

FIXED_TEXT = """\
# English speech recogniser

CTC on log-mel features, fine-tuned and exported by speechpriv. It hears English at 16 kHz and answers in
lower-case words.

## What is guaranteed

$guarantee
$override
## What the audit found

The verdict is **$verdict**$because. An audit can find leaks; it cannot prove that there are none. The details are in
audit.json, whose SHA-256 is $audit_sha256.

## How well it hears

$figures
Word error rate (WER) and word accuracy on people who are in no training recording. The exported file gave the same
words as torch for $parity of $compared test utterances.

## What is not covered

$not_covered- The people of the test part: the figures above were measured on them without noise.
- The claim is about what the model gives away. It says nothing about who may read the recordings themselves.
- Voices, rooms, accents and words unlike those of the training part are heard less well, and nobody measured how
  much.

## How to use it

```python
import sherpa_onnx
import soundfile

recogniser = sherpa_onnx.OfflineRecognizer.from_nemo_ctc(model="model.onnx", tokens="tokens.txt")
samples, rate_hz = soundfile.read("speech.wav", dtype="float32")
stream = recogniser.create_stream()
stream.accept_waveform(rate_hz, samples)
recogniser.decode_stream(stream)
print(stream.result.text)
```

`speechpriv transcribe . speech.wav` does the same for any audio file.

In Home Assistant, start `speechpriv serve . --uri tcp://0.0.0.0:10300` on a machine of yours and add the integration
"Wyoming Protocol" with that machine's address and port. The server keeps and logs nothing that is said.

In Python, `speechpriv.models.asr.load(".")` opens the weights for further training; further training on other
recordings needs a claim of its own.

## Files

| file | what it is |
|---|---|
| model.onnx, tokens.txt | what sherpa-onnx decodes with |
| model.safetensors, config.json, tokenizer and preprocessor files | the same weights for transformers |
| claim.json | the guarantee, with all that is needed to compute it again |
| audit.json | the audit's verdict |
| manifest.json | digests of all files, the export's settings and versions |
"""


def card(
    *,
    claim: Claim | None,
    verdict: Mapping[str, Any] | None,
    audit_sha256: str,
    figures: Mapping[str, Mapping[str, float]],
    override: str | None,
    reasons: Sequence[str],
    parity: float,
    compared: int,
) -> str:
    """The text of README.md.

    Args:
      claim: None for a model trained without privacy; the card then says so.
      verdict: the audit's; None if there was none.
      audit_sha256: digest of audit.json, which holds it.
      figures: by model, any of `base`, `nonprivate` and `private`: `wer`, `word_accuracy` in [0, 1], `utterances`.
      override: why the gate was overridden, with `reasons`, all that stood against the export; None if it was not.
      parity: share of utterances with the same words from the exported file as from torch.
      compared: how many utterances that is a share of.
    """
    this = "private" if claim else "nonprivate"
    body = Template(FIXED_TEXT).substitute(
        guarantee=f"{claim.sentence()}\n\nTrust: {claim.trust_model}."
        if claim
        else "Nothing: this model was trained without differential privacy.",
        override=_override(override, reasons),
        verdict=verdict["verdict"] if verdict else "missing",
        audit_sha256=audit_sha256,
        because=f": {'; '.join(verdict['reasons'])}" if verdict else "",
        not_covered="".join(f"- {item}\n" for item in claim.not_covered) if claim else "",
        figures=_table(figures, this),
        parity=f"{parity:.1%}",
        compared=compared,
    )
    front = yaml.safe_dump(_front_matter(figures.get(this), private=claim is not None), sort_keys=False)
    return f"---\n{front}---\n\n{body}"


def _override(override: str | None, reasons: Sequence[str]) -> str:
    """Nothing, or a section that nobody can overlook."""
    if override is None:
        return ""
    lines = "\n".join(f"- {reason}" for reason in reasons)
    return f"\n## Exported in spite of the gate\n\n{lines}\n\nReason given: {override}\n"


def _table(figures: Mapping[str, Mapping[str, float]], this: str) -> str:
    if not figures:
        return "Not measured.\n"
    rows = ["| model | WER | word accuracy | utterances |", "|---|---|---|---|"]
    for name, label in _LABELS.items():
        if name in figures:
            row = figures[name]
            mark = f"**{label} (this model)**" if name == this else label
            rows.append(f"| {mark} | {row['wer']:.1%} | {row['word_accuracy']:.1%} | {row['utterances']:,} |")
    return "\n".join(rows) + "\n"


def _front_matter(figures: Mapping[str, float] | None, *, private: bool) -> dict[str, Any]:
    """What the hub indexes a model by."""
    front: dict[str, Any] = {
        "language": ["en"],
        "library_name": "sherpa-onnx",
        "pipeline_tag": "automatic-speech-recognition",
        "tags": ["speech", "ctc", "onnx", "wyoming", *(["differential-privacy"] if private else [])],
    }
    if figures is not None:
        result = {
            "task": {"type": "automatic-speech-recognition"},
            "dataset": {"name": "held-out people of the training corpus", "type": "private"},
            "metrics": [{"type": "wer", "value": round(float(figures["wer"]), 4)}],
        }
        front |= {"metrics": ["wer"], "model-index": [{"name": "speechpriv", "results": [result]}]}
    return front
