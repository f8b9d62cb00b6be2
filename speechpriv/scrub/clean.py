"""The scrub stage: personal data out of the transcript, and the same words out of the audio."""

import collections
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from speechpriv import audio, store
from speechpriv import corpus as corpora
from speechpriv.audio import RATE_HZ
from speechpriv.corpus import Row
from speechpriv.models import align, asr
from speechpriv.models.asr import CtcRecogniser
from speechpriv.scrub import detect, redact, surrogate, terms
from speechpriv.scrub.detect import Finding
from speechpriv.sections import ScrubConfig, Section

EVIDENCE = "scrub.jsonl"
_REASONS = ("low_confidence", "not_alignable", "nothing_left")  # for which a row is dropped


class CleanConfig(Section):
    """What is looked for, what stands in its place, and the recogniser that aligns words with
    audio.
    """

    scrub: ScrubConfig


@dataclass(frozen=True)
class _Scrubbed:
    """What became of a row: `changed`, `unchanged`, or why it is dropped, and then there is no row."""

    outcome: str
    row: Row | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)


@store.stage(version=4)
def run(
    config: CleanConfig,
    inputs: Mapping[str, Path],
    out_dir: Path,
    *,
    key: bytes,
    device: str = "cpu",
    on_row: Callable[[int], None] = store.ignore_progress,
) -> dict[str, Any]:
    """Scrub every row of `inputs["corpus"]`; rows that cannot be scrubbed with certainty are
    dropped and counted.

    Writes a corpus and, for private eyes, `scrub.jsonl`: a line for each row that was changed or
    dropped, with which rule fired on which words, the samples that were cut, how sure the alignment
    was of its least sure word, and which words of the new text are synthetic. Never a word of
    anybody's.

    Args:
      config: see `ScrubConfig`.
      inputs: `corpus`.
      out_dir: private.
      key: what synthetic values are drawn with.
      device: where the aligner lives.
      on_row: is told how many rows are done.

    Raises:
      ConfigError: values are to be replaced, and the synthesiser is not installed; or the tagger
        cannot be read.
      DataError: no row is left.
    """
    corpus = corpora.read(inputs["corpus"])
    recogniser = asr.load_ctc(config.scrub.aligner, device)
    own = terms.find_custom(config.scrub, device)
    counts: collections.Counter[str] = collections.Counter()
    kinds: collections.Counter[str] = collections.Counter()
    with (out_dir / EVIDENCE).open("w") as evidence:

        def cleaned() -> Iterator[Row]:
            for done, row in enumerate(corpus.rows(), start=1):
                findings = detect.find(row.text, config.scrub.profile, own)
                kinds.update(finding.kind for finding in findings)
                result = _clean(row, findings, recogniser, config.scrub, key)
                counts[result.outcome] += 1
                if result.outcome != "unchanged":
                    words = [list(part) for part in detect.word_indices(row.text, findings)]
                    rules = [finding.rule for finding in findings]
                    line = {"id": row.id, "outcome": result.outcome, "words": words, "rules": rules}
                    evidence.write(json.dumps({**line, **result.evidence}) + "\n")
                if result.row is not None:
                    yield result.row
                on_row(done)

        kept = corpora.write(cleaned(), out_dir, lineage=corpus.lineage)
    return {
        "rows": len(kept),
        "utterances_changed": counts["changed"],
        "findings": dict(sorted(kinds.items())),
        "dropped": {reason: counts[reason] for reason in _REASONS if counts[reason]},
    }


def list_names(texts: Iterable[str]) -> set[str]:
    """List names of people in transcripts, for a search through what is to be released."""
    return {text[found.start : found.end] for text in texts for found in detect.find(text) if found.kind == "NAME"}


def _clean(
    row: Row, findings: Sequence[Finding], recogniser: CtcRecogniser, config: ScrubConfig, key: bytes
) -> _Scrubbed:
    """The row without its findings, or the reason why it must be dropped."""
    samples = row.samples()
    if not recogniser.fits(len(samples), row.text):
        return _Scrubbed("not_alignable")
    if not asr.normalise(_without(row.text, findings)):
        return _Scrubbed("nothing_left")
    if not findings:
        return _Scrubbed("unchanged", row)
    words = align.align_words(recogniser, samples, row.text)
    if words is None:
        return _Scrubbed("not_alignable")
    found = detect.word_indices(row.text, findings)
    # The recogniser tells time in output frames: its boundaries are right to about half of one.
    margin = recogniser.samples_per_frame // 2
    spans = [(words[first].earliest - margin, words[last - 1].end + margin) for first, last, _ in found]
    confidence = float(np.nan_to_num(np.min([word.confidence for word in words]), nan=-1.0))
    evidence: dict[str, Any] = {"spans": spans, "confidence": round(confidence, 4)}
    if not confidence >= config.min_word_confidence:
        return _Scrubbed("low_confidence", evidence=evidence)
    if config.redaction == "replace":
        rng = surrogate.make_generator(key, row.id)
        values = [surrogate.draw_value(finding.kind, rng) for finding in findings]
        clean = redact.replace_spans(samples, spans, RATE_HZ, surrogate.speak_values(values, rng))
        text, evidence["synthetic"] = _replaced(row.text, findings, values)
    else:
        clean = redact.WAYS[config.redaction](samples, spans, RATE_HZ)
        text = detect.mask(row.text, findings) if config.mark == "token" else _without(row.text, findings)
    return _Scrubbed("changed", _row(row, clean, text), evidence)


def _row(row: Row, samples: np.ndarray, text: str) -> Row:
    """The row with other audio and text."""
    return Row(row.id, row.unit, row.split, audio.encode_flac(samples), text, len(samples) / RATE_HZ)


def _without(text: str, findings: Sequence[Finding]) -> str:
    """`text` without the findings."""
    return " ".join(_with(text, findings, [""] * len(findings)).split())


def _replaced(text: str, findings: Sequence[Finding], values: Sequence[str]) -> tuple[str, list[list[int]]]:
    """`text` with `values` in the findings' place, and which of its words are made up, as [first,
    end).
    """
    new, synthetic, longer = _with(text, findings, values), [], 0
    for (first, end, _), value in zip(detect.word_indices(text, findings), values, strict=True):
        count = len(value.split())
        synthetic.append([first + longer, first + longer + count])
        longer += count - (end - first)
    return new, synthetic


def _with(text: str, findings: Sequence[Finding], values: Sequence[str]) -> str:
    """`text` with each finding (sorted, not overlapping) replaced and all else as it is."""
    pieces, at = [], 0
    for finding, value in zip(findings, values, strict=True):
        pieces += [text[at : finding.start], value]
        at = finding.end
    return "".join([*pieces, text[at:]])
