"""Many calls on many cores, in order: one that crashes or takes too long is tried again, and costs
itself alone.
"""

import collections
import concurrent.futures
import multiprocessing
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import TimeoutError as TooSlowError
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pebble import ProcessExpired, ProcessFuture, ProcessPool

Subject = TypeVar("Subject")
Result = TypeVar("Result")

_AHEAD = 8  # calls a worker that may wait or be done before their turn: bounds the memory


@dataclass(frozen=True)
class _Call(Generic[Subject]):
    subject: Subject
    arguments: tuple[Any, ...] | None
    limit_s: float
    future: ProcessFuture[Any] | None


def map_in_order(
    function: Callable[..., Result],
    calls: Iterable[tuple[Subject, tuple[Any, ...] | None, float]],
    workers: int,
    preload: str,
) -> Generator[tuple[Subject, Result | Exception | None]]:
    """Call `function` for each subject, in other processes, which end when this generator does:
    close it.

    A call whose process dies, or that takes too long, may not be to blame: memory was short, or the
    process had been left damaged. It is made once more, in a fresh process, while nothing else runs
    here.

    Args:
      function: importable by name, as are its arguments and results.
      calls: subject, arguments (None: nothing is called), and how long it may take, in seconds.
      workers: processes, >= 1.
      preload: a module to import once for all of them.

    Yields:
      Each subject with what the function returned or raised, in the order of `calls`:
      `TooSlowError`, or `ProcessExpired` where its process died, both times.
    """
    # Forked from a server without threads: a fork of this process could inherit the locks of its
    # threads.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    pool = ProcessPool(max_workers=workers, context=context)
    waiting: collections.deque[_Call[Subject]] = collections.deque()

    def first() -> tuple[Subject, Result | Exception | None]:
        call = waiting.popleft()
        outcome = _outcome(call.future)
        if isinstance(outcome, ProcessExpired | TooSlowError):
            concurrent.futures.wait([other.future for other in waiting if other.future])
            outcome = _alone(function, call)
        return call.subject, outcome

    try:
        for subject, arguments, limit_s in calls:
            future = None if arguments is None else pool.schedule(function, args=arguments, timeout=limit_s)
            waiting.append(_Call(subject, arguments, limit_s, future))
            if len(waiting) > _AHEAD * workers:
                yield first()
        while waiting:
            yield first()
    finally:
        pool.stop()
        pool.join()


def _alone(function: Callable[..., Result], call: _Call[Any]) -> Result | Exception | None:
    """Make a call again in a process that inherits nothing from any other."""
    with ProcessPool(max_workers=1, context=multiprocessing.get_context("spawn")) as pool:
        return _outcome(pool.schedule(function, args=call.arguments or (), timeout=call.limit_s))


def _outcome(future: ProcessFuture[Any] | None) -> Any:
    try:
        return None if future is None else future.result()
    except Exception as error:  # noqa: BLE001  whatever it is, the caller decides on it
        return error


__all__ = ["ProcessExpired", "TooSlowError", "map_in_order"]
