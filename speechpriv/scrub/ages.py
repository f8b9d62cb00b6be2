"""Ages over 89, which tell people apart as younger ones do not: "she is ninety two years old",
"aged 94".
"""

import re
from collections.abc import Iterator

from speechpriv.scrub.utterance import Hit, Utterance
from speechpriv.scrub.words import PERSONS, word_set

HUNDRED = word_set("hundred")
_LEAST, _MOST = 90, 125
_AGES = word_set("age aged ages turned turns turning old")
_TURNED = word_set("turned turns turning")
_BEING = word_set("i'm he's she's is am was be")
_NOW = word_set("and now today this next tomorrow")
_THINGS = word_set("it it's this that building house church tree bridge company wine castle tower bottle")
_YEARS = word_set("year years yr yrs")
_JOINED = re.compile(r"([0-9]{2,3})-?(?:years?-olds?|yo|y/o)|ninety(?:-[a-z]+)?-years?-olds?")


def find_ages(u: Utterance) -> Iterator[Hit]:
    """Find ages of 90 to 125 that something says are a person's."""
    for start, end, age in _numbers(u):
        if _LEAST <= age <= _MOST and (_is_old(u, start, end) or _is_stated(u, start, end)):
            yield start, end, "AGE", "age.carrier"
    for i, word in enumerate(u.words):
        joined = _JOINED.fullmatch(word) if "y" in word and not word.isalpha() else None
        if joined and (joined[1] is None or _LEAST <= int(joined[1]) <= _MOST):
            yield i, i + 1, "AGE", "age.joined"


def _numbers(u: Utterance) -> Iterator[tuple[int, int, int]]:
    """First word, index after the last, and value of each number that may be an age; also "a
    hundred and four".
    """
    for span in u.numbers:
        if len(span.digits) <= 3:
            yield span.start, span.end, int(span.digits)
    for i, word in enumerate(u.words):
        if word == "hundred" and u.word(i - 1) == "a":
            rest = u.number_at.get(i + 1 + (u.word(i + 1) == "and"))
            below = rest is not None and len(rest.digits) <= 2
            yield (i - 1, rest.end, 100 + int(rest.digits)) if rest and below else (i - 1, i + 1, 100)


def _is_old(u: Utterance, start: int, end: int) -> bool:
    """Whether years of age are counted, and not those of a house."""
    before, after = u.before(start, 5), u.words[end : end + 4]
    old = (after[:1] and after[0] in _YEARS and after[1:2] in (["old"], ["young"])) or after[1:3] == ["of", "age"]
    return bool(old) and (not PERSONS.isdisjoint(before) or _THINGS.isdisjoint((*before, *after)))


def _is_stated(u: Utterance, start: int, end: int) -> bool:
    """Whether the number stands where only an age does: "aged 94", "grandma turned", "i am ninety
    three".
    """
    before = u.before(start, 5)
    if not before:
        return False
    if before[-1] in _AGES or (before[-1] in ("is", "was", "of") and not _AGES.isdisjoint(before)):
        return True
    person = before[-1].removesuffix("'s") in PERSONS and before[-1].endswith("'s")  # "my grandad's ninety eight"
    ends = end == len(u.words) or u.words[end] in _NOW or u.ends_phrase(end - 1)
    return ends and (
        person or (not PERSONS.isdisjoint(before) and (before[-1] in _BEING or not _TURNED.isdisjoint(before)))
    )
