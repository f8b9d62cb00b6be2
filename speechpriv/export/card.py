"""The model card: one README.md that says what is guaranteed, what was found and how to use the
model.

The front matter is what the Hugging Face hub reads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from string import Template
from typing import Any, Literal

import yaml

from speechpriv.claim import Claim
from speechpriv.config import PublisherConfig
from speechpriv.export import int8, points
from speechpriv.export.compare import Comparison

Layout = Literal["features", "samples", "torch"]  # what the shipped model is fed with; see onnx.py

_TOLD_PHRASES = "private_with_lm"
_LABELS = {
    "base": "base model, before any recording of these people",
    "baseline": "fine-tuned without privacy",
    "private": "fine-tuned with differential privacy",
    _TOLD_PHRASES: "the same, decoding with phrases.arpa",
}

_CARD = """\
# $name

A speech recogniser ($kind), fine-tuned and exported by speechpriv. It hears English at 16 kHz and answers in
lower-case words. Intended use: $intended_use

## What is guaranteed

$guarantee
$published$override
## What the audit found

The verdict is **$verdict**$because. An audit can find leaks; it cannot prove that there are none. The details are in
audit.json, whose SHA-256 is $audit_sha256.

## How well it hears

$figures
Word error rate (WER) and word accuracy on people who are in no training recording.

$files
The same words as torch, and WER over torch's ($torch_wer), on $compared test utterances.
$eight_bits
## What is not covered

$not_covered- The people of the test part: the figures above were measured on them without noise.
- The audit's verdict, one word, and that this bundle was let out: both look at the recordings.
- The claim is about what the model gives away. It says nothing about who may read the recordings themselves.
- Voices, rooms, accents and words unlike those of the training part are heard less well, and nobody measured how
  much.
$points
## How to use it

$runs_where
$example
`speechpriv transcribe . speech.wav` does the same for any audio file.

In Home Assistant, start `speechpriv serve . --uri tcp://0.0.0.0:10300` on a machine of yours and add the integration
"Wyoming Protocol" with that machine's address and port. The server keeps and logs nothing that is said.

In Python, `speechpriv.models.asr.load(".")` opens the weights for further training; further training on other
recordings needs a claim of its own.

## Whose it is, and whole

`speechpriv verify . --public-key KEY` compares every file here with the signature in model.sig, and names those that
were changed, added or taken away. Get KEY, or its fingerprint, from the publisher by another way than this bundle:
whoever can replace the bundle can replace a key that lies beside it.

## Files

| file | what it is |
|---|---|
$onnx_files| model.safetensors, config.json, tokenizer and preprocessor files | the weights for transformers |
$phrase_files| claim.json | the guarantee, with all that is needed to compute it again |
| privacy.yaml | the same as a draft for the differential privacy deployments registry; only with a claim |
| audit.json | what of the audit's verdict is released |
| manifest.json | digests of all files, the export's settings and versions |
| model.sig | signature over all other files (OpenSSF model signing) |
"""

_KINDS = {
    "features": "CTC on log-mel features",
    "samples": "CTC on raw samples",
    "torch": "in transformers' own format",
}
_ROWS = """\
| with | |
|---|---|
"""
_SHERPA = "| sherpa-onnx | yes: `OfflineRecognizer.$loader`$without |\n"
_WITHOUT = ", without the phrases"  # its CTC decoders take none
_TOLD = "onnxruntime, told the phrases"
_ALONE = {
    "features": "| onnxruntime alone | yes; log-mel features are made outside the file, as sherpa-onnx makes them |\n",
    "samples": "| onnxruntime alone | yes; the file takes raw samples at 16 kHz, and normalises them itself |\n",
    "torch": "",
}
_TRANSFORMERS = {
    "features": "| transformers | yes, with the features of `speechpriv.models.frontend`; its own differ |\n",
    "samples": "| transformers | yes, as any checkpoint of its family |\n",
    "torch": "| transformers | yes, as any checkpoint of its family |\n",
}
_NO_ONNX = """\
| sherpa-onnx, onnxruntime | no. $obstacle |
"""
_WYOMING = {
    "features": "| Wyoming (Home Assistant) | yes: `speechpriv serve`, by $runtime |\n",
    "samples": "| Wyoming (Home Assistant) | yes: `speechpriv serve`, by $runtime |\n",
    "torch": "| Wyoming (Home Assistant) | yes: `speechpriv serve`, by torch: slower, larger |\n",
}
_SHERPA_EXAMPLE = """\
```python
import sherpa_onnx
import soundfile

recogniser = sherpa_onnx.OfflineRecognizer.$loader(model="model.onnx", tokens="tokens.txt")
samples, rate_hz = soundfile.read("speech.wav", dtype="float32")
stream = recogniser.create_stream()
stream.accept_waveform(rate_hz, samples)
recogniser.decode_stream(stream)
print(stream.result.text)
```
"""
_TORCH_EXAMPLE = """\
```python
from speechpriv import audio
from speechpriv.models import asr

recogniser = asr.load(".")
print(recogniser.transcribe([audio.read("speech.wav")])[0])
```
"""
POINTS = """
## The claim, point by point

What NIST SP 800-226 asks of a claim of differential privacy.

| it asks | answer |
|---|---|
"""
_NOTHING = "Nothing: this model was trained without differential privacy."
_LEARNED_FIRST = """
What many people say, in runs of a few words, was published first, with noise of its own and a threshold, and the model
learned from that before it learned from any recording. The guarantee is about both together.
"""
_SHIPPED = """
phrases.arpa and hotwords.txt hold what was published, and are made of nothing else: the same guarantee covers them.
Whoever has this bundle can read in them what many people say.
"""
_INT8_REFUSED = """
There is no model.int8.onnx: with 8-bit weights the WER was $increase higher than torch's, and at most $limit was
allowed.
"""
_ONNX_FILE = "| model.onnx, tokens.txt | what sherpa-onnx decodes with |\n"
_INT8_FILE = "| model.int8.onnx | the same with 8-bit weights: smaller, and on most processors faster |\n"
_PHRASE_FILES = """\
| phrases.arpa | n-gram language model of the published phrases; `speechpriv transcribe` and `serve` decode with it |
| hotwords.txt | the phrases as sherpa-onnx reads hotwords; its CTC decoders take none |
"""
_LOADERS = {"features": "from_nemo_ctc", "samples": "from_omnilingual_asr_ctc", "torch": ""}

# All that any card may say whatever was learned; what stands here was learned from nobody.
FIXED_TEXT = "\n".join(
    (
        _CARD, _ROWS, _SHERPA, _WITHOUT, _TOLD, *_ALONE.values(), *_TRANSFORMERS.values(), _NO_ONNX,
        *_WYOMING.values(), _SHERPA_EXAMPLE, _TORCH_EXAMPLE, POINTS, _NOTHING, _LEARNED_FIRST, _SHIPPED, _INT8_REFUSED,
        _ONNX_FILE, _INT8_FILE, _PHRASE_FILES, *_KINDS.values(), *_LABELS.values(), points.TIMING,
        points.FLOATING_POINT, points.RANDOMNESS, points.TUNING, points.ACCESS, points.POST_PROCESSING, points.AUDIT,
        points.BIAS,
    )
)  # fmt: skip


@dataclass(frozen=True)
class Facts:
    """What a card is made of.

    Attributes:
      claim: None for a model trained without privacy; the card then says so.
      verdict: what the audit released of it; None if there was none.
      audit_sha256: digest of audit.json, which is that.
      figures: by model, any of `base`, `baseline`, `private` and
        `private_with_lm`: `wer`, `word_accuracy` in [0, 1], `utterances`.
      comparison: what the files hear, the one that was quantised too if it was refused.
      layout: what the model is fed with.
      obstacle: why it has no ONNX file, if it has none.
      int8_limit: by how much 8-bit weights may raise the WER.
      publisher: who publishes it and what for.
      phrases_shipped: whether the published phrases are in the bundle.
      override: why the gate was overridden, with `reasons`, all that stood against the export; None
        if it was not.
    """

    claim: Claim | None
    verdict: Mapping[str, Any] | None
    audit_sha256: str
    figures: Mapping[str, Mapping[str, float]]
    comparison: Comparison
    layout: Layout = "features"
    obstacle: str | None = None
    int8_limit: float = 0.01
    publisher: PublisherConfig = field(default_factory=PublisherConfig)
    phrases_shipped: bool = False
    override: str | None = None
    reasons: Sequence[str] = ()

    @property
    def int8_shipped(self) -> bool:
        """Whether there are 8-bit weights that lose no more than is allowed."""
        found = self.comparison.files.get(int8.MODEL)
        return found is not None and found.wer_increase <= self.int8_limit


def render_card(facts: Facts) -> str:
    """Render the text of README.md."""
    claim, verdict = facts.claim, facts.verdict
    this = _this(facts)
    torch_only = facts.layout == "torch"
    loader = _LOADERS[facts.layout]
    body = Template(_CARD).substitute(
        name=facts.publisher.name,
        kind=_KINDS[facts.layout],
        intended_use=facts.publisher.intended_use,
        guarantee=state_guarantee(claim),
        published=_published(facts),
        override=render_override(facts.override, facts.reasons),
        verdict=verdict["verdict"] if verdict else "missing",
        audit_sha256=facts.audit_sha256,
        because=f": {'; '.join(verdict['reasons'])}" if verdict else "",
        not_covered="".join(f"- {item}\n" for item in claim.not_covered) if claim else "",
        figures=_table(facts.figures, this),
        files=_files(facts),
        torch_wer=f"{facts.comparison.torch_wer:.1%}",
        compared=facts.comparison.compared,
        eight_bits=_eight_bits(facts),
        points=POINTS + "".join(f"| {point} | {answer} |\n" for point, answer in points.list_answers(claim).items())
        if claim
        else "",
        runs_where=_runs_where(facts),
        example=_TORCH_EXAMPLE if torch_only else Template(_SHERPA_EXAMPLE).substitute(loader=loader),
        onnx_files=("" if torch_only else _ONNX_FILE) + (_INT8_FILE if facts.int8_shipped else ""),
        phrase_files=_PHRASE_FILES if facts.phrases_shipped else "",
    )
    return f"---\n{yaml.safe_dump(_front_matter(facts, this), sort_keys=False)}---\n\n{body}"


def state_guarantee(claim: Claim | None) -> str:
    """State the claim in a sentence, and whom it trusts."""
    return f"{claim.sentence()}\n\nTrust: {claim.trust_model}." if claim else _NOTHING


def _this(facts: Facts) -> str:
    """Whose figures are the bundle's."""
    if facts.claim is None:
        return "baseline"
    return _TOLD_PHRASES if facts.phrases_shipped and _TOLD_PHRASES in facts.figures else "private"


def _published(facts: Facts) -> str:
    if facts.claim is None or facts.claim.phrases is None:
        return ""
    return _LEARNED_FIRST + (_SHIPPED if facts.phrases_shipped else "")


def render_override(reason: str | None, reasons: Sequence[str]) -> str:
    """Return nothing, or a section that nobody can overlook."""
    if reason is None:
        return ""
    lines = "\n".join(f"- {reason}" for reason in reasons)
    return f"\n## Exported in spite of the gate\n\n{lines}\n\nReason given: {reason}\n"


def _table(figures: Mapping[str, Mapping[str, float]], this: str) -> str:
    if not figures:
        return "Not measured.\n"
    rows = ["| model | WER | word accuracy | utterances |", "|---|---|---|---|"]
    for name, label in _LABELS.items():
        if name in figures and name in {"base", "private", this}:  # never the baseline beside them
            row = figures[name]
            mark = f"**{label} (this model)**" if name == this else label
            rows.append(f"| {mark} | {row['wer']:.1%} | {row['word_accuracy']:.1%} | {row['utterances']:,} |")
    return "\n".join(rows) + "\n"


def _files(facts: Facts) -> str:
    rows = ["| file | same words | WER over torch's |", "|---|---|---|"]
    for name, heard in facts.comparison.files.items():
        if name != int8.MODEL or facts.int8_shipped:
            rows.append(f"| {name} | {heard.parity:.1%} | {100 * heard.wer_increase:+.1f} points |")
    return "\n".join(rows) + "\n"


def _eight_bits(facts: Facts) -> str:
    if facts.int8_shipped or int8.MODEL not in facts.comparison.files:
        return ""
    increase = facts.comparison.files[int8.MODEL].wer_increase
    return Template(_INT8_REFUSED).substitute(
        increase=f"{100 * increase:.1f} points", limit=f"{100 * facts.int8_limit:.1f}"
    )


def _runs_where(facts: Facts) -> str:
    if facts.layout == "torch":
        onnx_rows = Template(_NO_ONNX).substitute(obstacle=facts.obstacle)
    else:
        onnx_rows = (
            Template(_SHERPA).substitute(
                loader=_LOADERS[facts.layout], without=_WITHOUT if facts.phrases_shipped else ""
            )
            + _ALONE[facts.layout]
        )
    runtime = _TOLD if facts.phrases_shipped else "sherpa-onnx"
    wyoming = Template(_WYOMING[facts.layout]).substitute(runtime=runtime)
    return _ROWS + onnx_rows + _TRANSFORMERS[facts.layout] + wyoming


def _front_matter(facts: Facts, this: str) -> dict[str, Any]:
    """What the hub indexes a model by."""
    torch_only = facts.layout == "torch"
    tags = ["speech", *(["transformers"] if torch_only else ["ctc", "onnx"]), "wyoming"]
    front: dict[str, Any] = {
        "language": ["en"],
        "license": facts.publisher.licence,
        "library_name": "transformers" if torch_only else "sherpa-onnx",
        "pipeline_tag": "automatic-speech-recognition",
        "tags": [*tags, *(["differential-privacy"] if facts.claim else [])],
    }
    if (figures := facts.figures.get(this)) is not None:
        result = {
            "task": {"type": "automatic-speech-recognition"},
            "dataset": {"name": "held-out people of the training corpus", "type": "private"},
            "metrics": [{"type": "wer", "value": round(float(figures["wer"]), 4)}],
        }
        front |= {"metrics": ["wer"], "model-index": [{"name": facts.publisher.name, "results": [result]}]}
    return front
