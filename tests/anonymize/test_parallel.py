import os
import time

import pytest

from speechpriv.anonymize import parallel
from speechpriv.anonymize.parallel import ProcessExpired, TooSlowError

# The calls are `eval` of a text, since what a test file defines cannot be imported elsewhere.
DIES, SLEEPS, RAISES, SLOWER = "__import__('os')._exit(3)", "__import__('time').sleep(60)", "1 / 0", "sum(range(10**6))"


def run(*expressions, workers=2, limit_s=30.0):
    calls = ((text, None if text is None else (text,), limit_s) for text in expressions)
    return list(parallel.map_in_order(eval, calls, workers, preload="speechpriv.anonymize.worker"))


@pytest.mark.parametrize("workers", [1, 3])
def test_in_order_whatever_finishes_first(workers):
    expressions = [SLOWER, *(f"{number} + 1" for number in range(60)), None, "7"]
    found = run(*expressions, workers=workers)
    assert [text for text, _ in found] == expressions
    assert [result for _, result in found] == [sum(range(10**6)), *range(1, 61), None, 7]


def test_a_call_that_dies_or_raises_costs_itself_alone():
    found = [result for _, result in run("1", DIES, "2", RAISES, "3", DIES, "4")]
    assert [found[index] for index in (0, 2, 4, 6)] == [1, 2, 3, 4]
    assert isinstance(found[1], ProcessExpired)
    assert isinstance(found[3], ZeroDivisionError)
    assert isinstance(found[5], ProcessExpired)


def once(path, then):
    """A call that does so the first time and is well the second."""
    return f"open({str(path)!r}, 'x').close() or {then} if not __import__('os').path.exists({str(path)!r}) else 7"


def test_a_call_that_dies_or_hangs_once_is_made_again(tmp_path):
    calls = ["1", once(tmp_path / "a", DIES), "2", once(tmp_path / "b", SLEEPS), "3"]
    assert [result for _, result in run(*calls, limit_s=5.0)] == [1, 7, 2, 7, 3]


def test_it_is_made_again_alone_in_a_process_that_inherits_nothing(tmp_path):
    """The server that others are forked from may be what is damaged; and beside others memory may be short."""
    parent, busy = "__import__('os').getppid()", tmp_path / "busy"
    slow = f"open({str(busy)!r}, 'x').close() or __import__('time').sleep(2) or __import__('os').remove({str(busy)!r})"
    again = once(tmp_path / "a", DIES).replace(
        "else 7", f"else ({parent}, __import__('os').path.exists({str(busy)!r}))"
    )
    found = [result for _, result in run(parent, again, slow)]
    assert found[0] != os.getpid()
    assert found[1] == (os.getpid(), False)


def test_a_call_that_raises_is_not_made_again(tmp_path):
    raises = f"open({str(tmp_path / 'once')!r}, 'x').close() or 1 / 0"
    assert isinstance(run(raises)[0][1], ZeroDivisionError)


def test_a_call_that_takes_too_long_is_ended():
    run("1")  # the server is there
    started = time.monotonic()
    found = [result for _, result in run("1", SLEEPS, "2", limit_s=2.0)]
    assert isinstance(found[1], TooSlowError)
    assert found[0::2] == [1, 2]
    assert time.monotonic() - started < 30


def test_few_calls_are_made_ahead():
    asked = []

    def calls():
        for number in range(200):
            asked.append(number)
            yield number, (str(number),), 30.0

    found = parallel.map_in_order(eval, calls(), 2, preload="speechpriv.anonymize.worker")
    for taken in range(1, 20):
        next(found)
        assert len(asked) <= taken + 2 * parallel._AHEAD
    found.close()


def test_calls_are_made_elsewhere():
    assert run("__import__('os').getpid()")[0][1] != os.getpid()
