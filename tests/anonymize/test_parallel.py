import os
import time

import pytest

from speechpriv.anonymize import parallel
from speechpriv.anonymize.parallel import ProcessExpired, TooSlowError

# The calls are `eval` of a text, since what a test file defines cannot be imported elsewhere.
DIES, SLEEPS, RAISES, SLOWER = "__import__('os')._exit(3)", "__import__('time').sleep(60)", "1 / 0", "sum(range(10**6))"


def run(*expressions, workers=2, limit_s=30.0):
    calls = ((text, None if text is None else (text,), limit_s) for text in expressions)
    return list(parallel.ordered(eval, calls, workers, preload="speechpriv.anonymize.worker"))


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

    found = parallel.ordered(eval, calls(), 2, preload="speechpriv.anonymize.worker")
    for taken in range(1, 20):
        next(found)
        assert len(asked) <= taken + 2 * parallel._AHEAD
    found.close()


def test_calls_are_made_elsewhere():
    assert run("__import__('os').getpid()")[0][1] != os.getpid()
