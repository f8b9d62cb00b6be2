"""The scrub stage: personal data out of the transcript, and the same words out of the audio."""

import collections
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from speechpriv import corpus as corpora
from speechpriv import store
from speechpriv.config import ScrubConfig, Section
from speechpriv.corpus import Row
from speechpriv.data import audio
from speechpriv.models import asr
from speechpriv.models.asr import CtcRecogniser
from speechpriv.scrub import align, detect, redact


class CleanConfig(Section):
    """What is looked for, and the recogniser that aligns words with audio."""

    scrub: ScrubConfig


@store.stage(version=1)
def run(
    config: CleanConfig,
    inputs: Mapping[str, Path],
    out_dir: Path,
    *,
    device: str = "cpu",
    on_row: Callable[[int], None] = store.silent,
) -> dict[str, Any]:
    """Scrub every row of `inputs["corpus"]`; rows that cannot be scrubbed with certainty are dropped and counted.

    Writes a corpus and, for private eyes, `scrub.jsonl`: which rule fired on which words of which row, and which
    rows were dropped. Never the words themselves.
    """
    corpus = corpora.read(inputs["corpus"])
    recogniser = asr.load_ctc(config.scrub.aligner, device)
    counts: collections.Counter[str] = collections.Counter()
    kinds: collections.Counter[str] = collections.Counter()
    with (out_dir / "scrub.jsonl").open("w") as evidence:

        def cleaned() -> Iterator[Row]:
            for done, row in enumerate(corpus.rows(), start=1):
                findings = detect.find(row.text, config.scrub.profile)
                kinds.update(finding.kind for finding in findings)
                result = _clean(row, findings, recogniser, config.scrub)
                outcome = result if isinstance(result, str) else ("changed" if findings else "unchanged")
                counts[outcome] += 1
                if findings or isinstance(result, str):
                    words = [list(part) for part in detect.word_indices(row.text, findings)]
                    rules = [finding.rule for finding in findings]
                    evidence.write(
                        json.dumps({"id": row.id, "outcome": outcome, "words": words, "rules": rules}) + "\n"
                    )
                if isinstance(result, Row):
                    yield result
                on_row(done)

        kept = corpora.write(cleaned(), out_dir, lineage=corpus.lineage)
    return {
        "rows": len(kept),
        "utterances_changed": counts["changed"],
        "findings": dict(sorted(kinds.items())),
        "dropped_low_confidence": counts["low_confidence"],
        "dropped_not_alignable": counts["not_alignable"],
        "dropped_nothing_left": counts["nothing_left"],
    }


def names(texts: Iterable[str]) -> set[str]:
    """Names of people in transcripts, for a search through what is to be released."""
    return {text[found.start : found.end] for text in texts for found in detect.find(text) if found.kind == "NAME"}


def _clean(row: Row, findings: list[detect.Finding], recogniser: CtcRecogniser, config: ScrubConfig) -> Row | str:
    """The row without its findings, or the reason why it must be dropped."""
    samples = row.samples()
    if not recogniser.fits(len(samples), row.text):
        return "not_alignable"
    text = detect.mask(row.text, findings)
    if not asr.normalise(text):
        return "nothing_left"
    if not findings:
        return row
    words = align.align(recogniser, samples, row.text)
    if words is None:
        return "not_alignable"
    if not all(word.confidence >= config.min_word_confidence for word in words):
        return "low_confidence"
    # The recogniser tells time in output frames: its boundaries are right to about half of one.
    margin = recogniser.samples_per_frame // 2
    found = detect.word_indices(row.text, findings)
    spans = [(words[first].start - margin, words[last - 1].end + margin) for first, last, _ in found]
    clean = redact.silence(samples, spans, audio.RATE_HZ)
    return Row(row.id, row.unit, row.split, audio.flac(clean), text, row.seconds)
