"""Recordings disguised one after the other, by as many processes as are wanted: for the stage, and
for attackers.
"""

import contextlib
import functools
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from typing import Any, get_args

from speechpriv.anonymize import parallel, worker
from speechpriv.anonymize.parallel import ProcessExpired, TooSlowError
from speechpriv.audio import RATE_HZ
from speechpriv.config import PerformanceConfig
from speechpriv.corpus import Row
from speechpriv.drops import Dropped
from speechpriv.errors import DataError, SpeechprivError
from speechpriv.sections import AnonymizeConfig, Method

Imitation = Callable[[Iterable[Row]], Generator[tuple[Row, bytes | Dropped]]]

# Seconds that a row may take, and how many more for each of its own: some hundred times what it
# needs.
_LIMIT_S, _LIMIT_PER_S = 60.0, 2.0
_REASONS = ("not_alignable", "low_confidence", "nothing_to_say")  # see resynth.py; all else is `failed`
_ANYBODYS_KEY = b"An attacker's own, as good as any other."


def disguise_rows(
    rows: Iterable[Row],
    config: AnonymizeConfig,
    key: bytes,
    *,
    device: str = "cpu",
    workers: int = 1,
    left: Callable[[Row], bool] = lambda _: False,
) -> Generator[tuple[Row, Row | Dropped]]:
    """Disguise recordings in other processes, which end when this generator does: close it.

    Args:
      rows: may be a generator; a few are in memory at a time.
      config: the method.
      key: at least 16 random bytes.
      device: where the aligner lives.
      workers: processes.
      left: whether a row is left as it is.

    Yields:
      Each row, in order, with what becomes of it: the row spoken by somebody else, or why it is
      dropped.

    Raises:
      ConfigError: a part of the method is not installed.
      ModelError: the aligner cannot be read.
    """

    def calls() -> Iterator[tuple[Row, tuple[Any, ...] | None, float]]:
        for row in rows:
            arguments = None if left(row) else (row.flac, row.text, row.id, config, key, device)
            yield row, arguments, _LIMIT_S + _LIMIT_PER_S * row.seconds

    outcomes = parallel.map_in_order(worker.disguise_to_flac, calls(), workers, preload=worker.__name__)
    with contextlib.closing(outcomes):  # whatever goes wrong, the processes end here and now
        for row, outcome in outcomes:
            if outcome is None:
                yield row, row
            elif isinstance(outcome, Exception):
                yield row, _dropped(outcome)
            else:
                flac, samples = outcome
                yield row, replace(row, flac=flac, seconds=samples / RATE_HZ)


def make_imitation(config: AnonymizeConfig, speed: PerformanceConfig) -> Imitation:
    """Return what anyone may do who knows the method and its settings: disguise recordings, with
    another key, as FLAC.
    """
    return functools.partial(_imitated, config, speed)


def make_imitations() -> dict[str, Imitation]:
    """Return every method but `none`, with its usual settings, for comparison."""
    methods = (method for method in get_args(Method) if method != "none")
    return {method: make_imitation(AnonymizeConfig(method=method), PerformanceConfig()) for method in methods}


def _imitated(
    config: AnonymizeConfig, speed: PerformanceConfig, rows: Iterable[Row]
) -> Generator[tuple[Row, bytes | Dropped]]:
    outcomes = disguise_rows(rows, config, _ANYBODYS_KEY, device=speed.device, workers=speed.workers)
    with contextlib.closing(outcomes):
        for row, outcome in outcomes:
            yield row, outcome if isinstance(outcome, Dropped) else outcome.flac


def _dropped(error: Exception) -> Dropped:
    """Why a row is dropped that could not be disguised.

    Raises:
      SpeechprivError: it is no row's fault.
    """
    if isinstance(error, SpeechprivError) and not isinstance(error, DataError):
        raise error
    if isinstance(error, TooSlowError):
        return Dropped("too_slow", "it was stopped at its time limit")
    if isinstance(error, ProcessExpired):
        return Dropped("failed", f"its process ended with exit code {error.exitcode}")
    reason = str(error).partition(":")[0]
    known = isinstance(error, DataError) and reason in _REASONS
    return Dropped(reason if known else "failed", type(error).__name__)
