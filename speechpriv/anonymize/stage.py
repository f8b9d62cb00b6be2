"""The anonymize stage: every training recording spoken by somebody else."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from speechpriv import corpus as corpora
from speechpriv import store
from speechpriv.anonymize import convert, rows
from speechpriv.corpus import Row
from speechpriv.drops import Dropped, Drops
from speechpriv.errors import DataError
from speechpriv.sections import AnonymizeConfig


@store.stage(version=3)
def run(
    config: AnonymizeConfig,
    inputs: Mapping[str, Path],
    out_dir: Path,
    *,
    key: bytes,
    device: str = "cpu",
    workers: int = 1,
    on_row: Callable[[int], None] = store.ignore_progress,
) -> dict[str, Any]:
    """Disguise the train split of `inputs["corpus"]`, in order, a few rows in memory at a time.

    The test split is left as it was spoken: the recogniser will hear undisguised people. A row
    whose words cannot be found in its audio with enough confidence, or that twice crashes what
    disguises it or takes too long, is dropped and counted: its sound is never passed on instead.

    Args:
      config: the method.
      inputs: `corpus`.
      out_dir: the stage directory.
      key: makes one draw an utterance that nobody without it can repeat.
      device: where the aligner lives.
      workers: processes; how many changes nothing but the time.
      on_row: told how many rows are done.

    Raises:
      ConfigError: a part of the method is not installed, or the aligner cannot be read.
      DataError: no training row is left, or more than `config.max_failed` failed or took too long.
    """
    corpus = corpora.read(inputs["corpus"])
    timing = config.timing or convert.usual_timing(config.method)
    drops = Drops("anonymize", corpus.table["split"][:].count("train"), config.max_failed)

    def left(row: Row) -> bool:
        return row.split == "test" or (config.method == "none" and timing == "kept")

    def otherwise_spoken(outcomes: Iterable[tuple[Row, Row | Dropped]]) -> Iterator[Row]:
        trained_on = 0
        for done, (row, outcome) in enumerate(outcomes, start=1):
            if isinstance(outcome, Dropped):
                drops.add(outcome)
            else:
                trained_on += row.split == "train"
                yield outcome
            on_row(done)
        if (dropped := drops.counts()) and not trained_on:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items())
            raise DataError(
                f"anonymize: none of {sum(dropped.values()):,} training recordings could be disguised ({reasons}). "
                "Choose another anonymize.method or anonymize.aligner, or lower anonymize.min_confidence."
            )

    outcomes = rows.disguise_rows(corpus.rows(), config, key, device=device, workers=workers, left=left)
    with contextlib.closing(outcomes):  # whatever goes wrong, the processes end here and now
        kept = corpora.write(otherwise_spoken(outcomes), out_dir, lineage=corpus.lineage)
    return {"rows": len(kept), "method": config.method, "timing": timing, "dropped": drops.counts()}
