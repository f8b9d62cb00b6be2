"""The anonymize stage: every training recording spoken by somebody else."""

import collections
import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from speechpriv import corpus as corpora
from speechpriv import store
from speechpriv.anonymize import convert, parallel, worker
from speechpriv.anonymize.parallel import TooSlowError
from speechpriv.corpus import Row
from speechpriv.data import audio
from speechpriv.errors import DataError, SpeechprivError
from speechpriv.sections import AnonymizeConfig

# Seconds that a row may take, and how many more for each of its own: some hundred times what it needs.
_LIMIT_S, _LIMIT_PER_S = 60.0, 2.0
_REASONS = ("not_alignable", "low_confidence", "nothing_to_say")  # see resynth.py; all else is `failed`


@store.stage(version=3)
def run(
    config: AnonymizeConfig,
    inputs: Mapping[str, Path],
    out_dir: Path,
    *,
    key: bytes,
    device: str = "cpu",
    workers: int = 1,
    on_row: Callable[[int], None] = store.silent,
) -> dict[str, Any]:
    """Disguise the train split of `inputs["corpus"]`, in order, a few rows in memory at a time.

    The test split is left as it was spoken: the recogniser will hear undisguised people. A row whose words cannot be
    found in its audio with enough confidence, or that crashes what disguises it or takes too long, is dropped and
    counted: its sound is never passed on instead.

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
      DataError: no training row is left.
    """
    corpus = corpora.read(inputs["corpus"])
    timing = config.timing or convert.usual_timing(config.method)
    dropped: collections.Counter[str] = collections.Counter()
    kept_rows: collections.Counter[str] = collections.Counter()

    def calls() -> Iterator[tuple[Row, tuple[Any, ...] | None, float]]:
        for row in corpus.rows():
            as_it_is = row.split == "test" or (config.method == "none" and timing == "kept")
            arguments = None if as_it_is else (row.flac, row.text, row.id, config, key, device)
            yield row, arguments, _LIMIT_S + _LIMIT_PER_S * row.seconds

    def disguised(outcomes: Iterable[tuple[Row, Any]]) -> Iterator[Row]:
        for done, (row, outcome) in enumerate(outcomes, start=1):
            if isinstance(outcome, Exception):
                dropped[_reason(outcome)] += 1
            else:
                kept_rows[row.split] += 1
                yield row if outcome is None else replace(row, flac=outcome[0], seconds=outcome[1] / audio.RATE_HZ)
            on_row(done)
        if dropped and not kept_rows["train"]:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(dropped.items()))
            raise DataError(
                f"anonymize: none of {dropped.total():,} training recordings could be disguised ({reasons}). Choose "
                "another anonymize.method or anonymize.aligner, or lower anonymize.min_confidence."
            )

    outcomes = parallel.ordered(worker.disguised, calls(), workers, preload=worker.__name__)
    with contextlib.closing(outcomes):  # whatever goes wrong, the processes end here and now
        kept = corpora.write(disguised(outcomes), out_dir, lineage=corpus.lineage)
    drops = {f"dropped_{reason}": count for reason, count in sorted(dropped.items())}
    return {"rows": len(kept), "method": config.method, "timing": timing, **drops}


def _reason(error: Exception) -> str:
    """Under which a row is counted that could not be disguised.

    Raises:
      SpeechprivError: it is no row's fault.
    """
    if isinstance(error, SpeechprivError) and not isinstance(error, DataError):
        raise error
    if isinstance(error, TooSlowError):
        return "too_slow"
    reason = str(error).partition(":")[0]
    return reason if isinstance(error, DataError) and reason in _REASONS else "failed"
