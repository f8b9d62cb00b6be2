import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv.scrub.numbers import find_numbers, is_counting

UNTIMED = settings(deadline=None)  # the first phone number loads tables, and machines are shared
ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
TEENS = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("five five five zero one two three", "5550123"),
        ("twenty five", "25"),
        ("twenty-five", "25"),
        ("nineteen eighty four", "1984"),
        ("nineteen oh five", "1905"),
        ("four one five, five five five, two six seven one.", "4155552671"),
        ("oh seven seven double one nine hundred one two three", "077119001" + "23"),
        ("triple nine double oh seven", "999007"),
        ("one eight hundred five five five one two three four", "18005551234"),
        ("eight hundred and five", "805"),
        ("eight hundred twenty five", "825"),
        ("two thousand twenty four", "2024"),
        ("two thousand and one", "2001"),
        ("nineteen hundred", "1900"),
        ("twelve thousand three hundred forty five", "12345"),
        ("one hundred five thousand two hundred", "105200"),
        ("+1 (415) 555-2671", "14155552671"),
        ("415.555.2671", "4155552671"),
        ("tel:555-0123", "5550123"),
        ("TWENTY Five", "25"),
        ("double 7 five hundred 5", "77505"),
    ],
)
def test_one_number(text, digits):
    (span,) = find_numbers(text.split())
    assert span.digits == digits
    assert (span.start, span.end) == (0, len(text.split()))


def test_spans_carry_the_range_of_their_words():
    found = find_numbers(["set", "two", "alarms", "for", "seven", "thirty", "and", "nine", "forty", "five", "please"])
    assert [(s.start, s.end, s.digits) for s in found] == [(1, 2, "2"), (4, 6, "730"), (7, 10, "945")]


@pytest.mark.parametrize(
    "text",
    ["oh my god", "oh oh", "double espresso", "thousand hundred and", "3.14", "192.168.1.1", "$5 10:30 1/2", "²", ""],
)
def test_no_number(text):
    assert find_numbers(text.split()) == []


def say(value: int) -> str:
    """The textbook cardinal of 1 to 999,999: the naive inverse of `spans`."""
    thousands, below = divmod(value, 1000)
    hundreds, rest = divmod(below, 100)
    words = [say(thousands), "thousand"] if thousands else []
    words += [ONES[hundreds], "hundred"] if hundreds else []
    if rest >= 20:
        words += [TENS[rest // 10]] + ([ONES[rest % 10]] if rest % 10 else [])
    elif rest:
        words += [TEENS[rest - 10] if rest >= 10 else ONES[rest]]
    return " ".join(words)


@UNTIMED
@given(st.integers(1, 999_999))
def test_every_cardinal_reads_back(value):
    (span,) = find_numbers(say(value).split())
    assert span.digits == str(value)


@UNTIMED
@given(st.text("0123456789", min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_dictated_digits_read_back(digits, rng: random.Random):
    words: list[str] = []
    at = 0
    while at < len(digits):
        word = rng.choice(["oh", "zero"]) if digits[at] == "0" else ONES[int(digits[at])]
        run = len(digits[at:]) - len(digits[at:].lstrip(digits[at]))
        repeat = rng.randint(1, min(run, 3))
        words += [word] if repeat == 1 else [["double", "triple"][repeat - 2], word]
        at += repeat
    found = find_numbers(words)
    if all(word == "oh" for word in words):
        assert found == []
    else:
        assert [(s.start, s.end, s.digits) for s in found] == [(0, len(words), digits)]


@UNTIMED
@given(
    st.lists(st.sampled_from([*ONES, *TEENS, *TENS[2:], "hundred", "thousand", "and", "double", "oh", "cat", "12-3"]))
)
def test_spans_are_disjoint_sorted_and_stable(words):
    found = find_numbers(words)
    edges = [edge for span in found for edge in (span.start, span.end)]
    assert edges == sorted(edges)
    assert all(span.start < span.end and span.digits.isdigit() for span in found)
    assert not any("cat" in words[span.start : span.end] for span in found)
    single = set(ONES[1:])
    assert single.isdisjoint(word for i, word in enumerate(words) if not any(s.start <= i < s.end for s in found))


@UNTIMED
@given(st.lists(st.text()))
def test_spans_never_crash(words):
    find_numbers(words)


@pytest.mark.parametrize(
    "text", ["ten nine eight seven six", "five ten fifteen twenty", "one two three one two three four"]
)
def test_counting(text):
    (span,) = find_numbers(text.split())
    assert is_counting(span.parts)


@pytest.mark.parametrize("text", ["five five five five five", "three one four one five nine", "three two one"])
def test_not_counting(text):
    (span,) = find_numbers(text.split())
    assert not is_counting(span.parts)
