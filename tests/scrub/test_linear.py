"""Work grows with the length and no faster, whatever the words are; nothing here is timed."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv.scrub.detect import find

PIECES = [
    " my name is anna",
    " anna",
    " five",
    " and",
    " oh",
    " double",
    " at x dot",
    " at",
    " dot",
    " www dot",
    " slash",
    " a.b@c.",
    "@",
    " (5",
    " 12 oak",
    " 12",
    " pin is",
    " is",
    " password is",
    " my password for",
    " born on the of",
    " the of",
    " i live in",
    " s w 1",
    " s",
    " s as in",
    " a b colon",
    " one dot",
    " 1.2.3",
    " ::1",
    " aa:bb",
    " gb82",
    ".",
    "a.",
    "a",
    "5",
    "5-",
    "-",
    " twenty",
    " hundred",
    " may the",
    " number on the",
    " user name is",
]


def calls(text):
    """How many functions are called, of Python or C, to search a text."""
    count = 0

    def note(_frame, event, _argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        find(text, "strict")
    finally:
        sys.setprofile(None)
    return count


@pytest.fixture(scope="module", autouse=True)
def lists():
    """Read the lists of names and places, which happens once."""
    find("call anna in boston on five five five zero one nine nine", "strict")


@pytest.mark.parametrize("piece", PIECES)
def test_calls_grow_with_the_length(piece):
    small, large = calls(piece * 200), calls(piece * 1600)
    assert large <= 8 * 1.3 * small + 1_000  # quadratic would be 64 times


@pytest.mark.parametrize("piece", PIECES)
def test_two_hundred_thousand_characters_come_to_an_end(piece):
    """What regular expressions do inside counts as no call: backtracking would run into the test's time limit."""
    find(piece * (200_000 // len(piece)), "strict")


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=4), st.lists(st.sampled_from(PIECES), max_size=2))
def test_mixtures_grow_with_the_length(pieces, tail):
    piece = "".join(pieces)
    small, large = calls(piece * 100 + "".join(tail)), calls(piece * 800 + "".join(tail))
    assert large <= 8 * 1.3 * small + 1_000


def test_the_count_would_notice():
    """A search that starts anew at every word is seen."""

    def quadratic(words):
        return sum(len(words[i:]) for i in range(len(words)) for _ in range(i))

    count = 0

    def note(_frame, event, _argument):
        nonlocal count
        count += event in ("call", "c_call")

    counts = []
    for size in (20, 160):
        count = 0
        sys.setprofile(note)
        quadratic([""] * size)
        sys.setprofile(None)
        counts.append(count)
    assert counts[1] > 8 * 1.3 * counts[0] + 1_000
