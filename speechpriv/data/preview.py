"""What ingest would make of a corpus, by its first rows: nothing is written, and nobody is named."""

import itertools
import os
from collections import Counter
from dataclasses import dataclass

from speechpriv.corpus import Row
from speechpriv.data import ingest, lineage, people, sources
from speechpriv.data.rows import Rejected

ROWS = 1000


@dataclass(frozen=True)
class Preview:
    """Counts of a corpus's first rows."""

    layout: str
    rows: int
    kept: int
    units: int
    hours: float
    set_aside: dict[str, int]  # rows by kind of reason
    warnings: tuple[str, ...]
    is_whole: bool  # there are no further rows

    def lines(self) -> list[str]:
        """Tell the counts in words, a line each."""
        which = f"{self.rows:,} rows" if self.is_whole else f"first {self.rows:,} rows"
        told = [f"layout {self.layout}; {which}: {self.kept:,} kept, {self.units:,} people, {self.hours:.2f} hours"]
        told += [f"set aside: {count:,} {reason}" for reason, count in self.set_aside.items()]
        return told + [f"warning: {warning}" for warning in self.warnings]


def preview_corpus(config: ingest.IngestConfig, most_rows: int = ROWS) -> Preview:
    """Read the first rows of a corpus of people as ingest does.

    Args:
      config: as of the stage.
      most_rows: rows looked at.

    Raises:
      DataError: the corpus cannot be read.
    """
    found = sources.open_source(config.data)
    first = list(itertools.islice(found, most_rows + 1))
    named, listed, seconds, kept = people.People(), ingest.Listed(), 0.0, 0
    units, reasons = set[str](), Counter[str]()
    for row in ingest.check_rows(first[:most_rows], config, os.urandom(32), lineage.Sketcher(), listed, named):
        if isinstance(row, Row):
            kept, seconds = kept + 1, seconds + row.seconds
            units.add(row.unit)
        elif isinstance(row, Rejected):
            reasons[row.reason.partition(":")[0]] += 1
    return Preview(
        layout=sources.locate_corpus(config.data).layout,
        rows=kept + reasons.total(),
        kept=kept,
        units=len(units),
        hours=seconds / 3600,
        set_aside=dict(reasons.most_common()),
        warnings=tuple(ingest.collect_warnings(config.data, named, listed)),
        is_whole=len(first) <= most_rows,
    )
