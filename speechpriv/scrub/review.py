"""A sample of what the scrubber did, for somebody who may read what was said and judges whether it
did enough.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechpriv import corpus as corpora
from speechpriv.scrub.clean import EVIDENCE

_QUIET = 4  # for so many rows with findings, one in which nothing was found, and one that was dropped


@dataclass(frozen=True)
class Reviewed:
    """One row; holds what was said, so it is for the terminal of who asked, and nowhere else."""

    id: str
    outcome: str  # changed, unchanged, or why it was dropped
    words: tuple[str, ...]  # of the transcript as it was
    found: tuple[tuple[int, int, str, str], ...]  # words [first, end), kind and rule
    after: str | None  # the transcript as it is trained on; None where the row was dropped
    confidence: float | None  # of the least sure word's place in the audio


def sample_rows(private: Path, rows: int, seed: int | None = None) -> list[Reviewed]:
    """Sample rows at random: changed ones, and fewer that were dropped or in which nothing was
    found.

    Args:
      private: of a run; its stages `ingest` and `scrub` are done.
      rows: changed ones, at most.
      seed: the same shows the same rows; None: others each time.

    Returns:
      Changed rows first, then dropped, then unchanged ones.
    """
    draw = random.Random(seed)
    raw, clean = corpora.read(private / "ingest"), corpora.read(private / "scrub")
    said = dict(zip(raw.table["id"][:], raw.table["text"][:], strict=True))
    after = dict(zip(clean.table["id"][:], clean.table["text"][:], strict=True))
    # Synthetic personal phrases went through the scrubber too, and are none of the recordings.
    lines = {line["id"]: line for line in _lines(private / "scrub" / EVIDENCE) if line["id"] in said}
    groups: dict[str, list[str]] = {"changed": [], "dropped": [], "unchanged": []}
    for row_id in said:
        outcome = lines[row_id]["outcome"] if row_id in lines else "unchanged"
        groups[outcome if outcome in groups else "dropped"].append(row_id)
    few = -(-rows // _QUIET)
    chosen = [
        row_id
        for name, most in (("changed", rows), ("dropped", few), ("unchanged", few))
        for row_id in draw.sample(groups[name], min(most, len(groups[name])))
    ]
    return [_reviewed(row_id, said[row_id], after.get(row_id), lines.get(row_id, {})) for row_id in chosen]


def _reviewed(row_id: str, said: str, after: str | None, line: dict[str, Any]) -> Reviewed:
    found = tuple((*part, rule) for part, rule in zip(line.get("words", ()), line.get("rules", ()), strict=True))
    outcome = line.get("outcome", "unchanged")
    return Reviewed(row_id, outcome, tuple(said.split()), found, after, line.get("confidence"))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
