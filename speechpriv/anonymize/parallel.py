"""Many calls on many cores, in order: one that crashes or takes too long costs itself alone."""

import collections
import multiprocessing
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import TimeoutError as TooSlowError
from typing import Any, TypeVar

from pebble import ProcessExpired, ProcessFuture, ProcessPool

Subject = TypeVar("Subject")
Result = TypeVar("Result")

_AHEAD = 8  # calls a worker that may wait or be done before their turn: bounds the memory


def ordered(
    function: Callable[..., Result],
    calls: Iterable[tuple[Subject, tuple[Any, ...] | None, float]],
    workers: int,
    preload: str,
) -> Generator[tuple[Subject, Result | Exception | None]]:
    """Call `function` for each subject, in other processes, which end when this generator does: close it.

    Args:
      function: importable by name, as are its arguments and results.
      calls: subject, arguments (None: nothing is called), and how long it may take, in seconds.
      workers: processes, >= 1.
      preload: a module to import once for all of them.

    Yields:
      Each subject with what the function returned or raised, in the order of `calls`: `TooSlowError`, or
      `ProcessExpired` where its process died.
    """
    # Forked from a server without threads: a fork of this process could inherit the locks of its threads.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    pool = ProcessPool(max_workers=workers, context=context)
    waiting: collections.deque[tuple[Subject, ProcessFuture[Result] | None]] = collections.deque()
    try:
        for subject, arguments, limit_s in calls:
            future = None if arguments is None else pool.schedule(function, args=arguments, timeout=limit_s)
            waiting.append((subject, future))
            if len(waiting) > _AHEAD * workers:
                first, its_future = waiting.popleft()
                yield first, _outcome(its_future)
        for first, its_future in waiting:
            yield first, _outcome(its_future)
    finally:
        pool.stop()
        pool.join()


def _outcome(future: ProcessFuture[Any] | None) -> Any:
    try:
        return None if future is None else future.result()
    except Exception as error:  # noqa: BLE001  whatever it is, the caller decides on it
        return error


__all__ = ["ProcessExpired", "TooSlowError", "ordered"]
