"""Dates of birth by their carrier, any date (for the profiles that want it), and ages over 89."""

import re
from collections.abc import Iterator

from speechpriv.scrub.numbers import NumberSpan
from speechpriv.scrub.utterance import Hit, Utterance
from speechpriv.scrub.words import MEASURES, PERSONS, QUESTIONS, word_set

MONTHS = word_set(
    "january february march april may june july august september october november december jan feb mar apr jun jul aug "
    "sep sept oct nov dec"
)
BIRTHS = word_set("birth birthday birthdate birthday's birthdays dob d.o.b born b dobs")
_ORDINALS = ("first", "second", "third", "th")  # as endings
_ORDINAL = re.compile(
    r"(?:first|second|third|(?:four|fif|six|seven|eigh|nin|ten|eleven|twelf|thirteen|fourteen|fifteen|sixteen|seventeen|"
    r"eighteen|nineteen|twentie|thirtie)th|(?:twenty|thirty)-(?:first|second|third|[a-z]+th)|[0-9]{1,2}(?:st|nd|rd|th))"
)
_WRITTEN = re.compile(
    r"(?:0?[1-9]|[12][0-9]|3[01])([-/.])(?:0?[1-9]|[12][0-9]|3[01])\1(?:[0-9]{2}){1,2}|(?:19|20)[0-9]{2}([-/.])[0-9]{1,2}\2[0-9]{1,2}"
)
_BIRTH_WRITTEN = re.compile(
    r"[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}|[0-9]{1,2}(?:st|nd|rd|th)$|[0-9]{1,2}/[0-9]{1,2}$"
)
_AGES = word_set("age aged ages turned turns turning old")
_THINGS = word_set("it it's this that building house church tree bridge company wine castle tower bottle")
_OLD = re.compile(r"([0-9]{2,3})-?(?:years?-old|yo|y/o)|(nine?ty)-?([a-z]*)-years?-old")
_TURNED = word_set("turned turns turning")


def births(u: Utterance) -> Iterator[Hit]:
    """A date after "date of birth is", "born on" or "birthday is"; questions about the famous are let go."""
    for i, carrier in enumerate(u.words):
        if carrier not in BIRTHS or (carrier == "born" and u.words[0] in QUESTIONS):
            continue
        if carrier == "b" and u.before(i, 2) != ["d", "o"]:
            continue
        at = i + 1
        while at < i + 4 and u.word(at) in ("is", "was", "on", "in", "it's", "um", "uh", "date", "of", "birth", "the"):
            at += 1
        end, digits, dated = _spread(u, at)
        if (dated or digits >= 4) and u.word(end) not in MEASURES:
            yield at, end, "DATE_OF_BIRTH", "birth.carrier"
    for i in range(len(u.words) - 2):  # "the third of may nineteen eighty is my birthday"
        if u.words[i] in ("is", "was") and not BIRTHS.isdisjoint(u.words[i + 1 : i + 5]):
            for start, end, *_ in _dates(u, max(0, i - 10), i):
                if end == i:
                    yield start, end, "DATE_OF_BIRTH", "birth.before"


def _spread(u: Utterance, start: int) -> tuple[int, int, bool]:
    """Index after the words of a date from `start`, how many digits were said, and whether a month or the like was."""
    at = end = start
    digits, dated = 0, False
    while at < min(len(u.words), start + 14):
        word = u.words[at]
        if at in u.number_at:
            digits += len(u.number_at[at].digits)
            at = end = u.number_at[at].end
            continue
        month = word in MONTHS or bool(_BIRTH_WRITTEN.match(word))
        if not (month or word.endswith(_ORDINALS) or word in ("of", "the", "and", "slash", "dash", "in")):
            break
        at += 1
        dated |= month
        end = at if month or word.endswith(_ORDINALS) else end
    return end, digits, dated


def dates(u: Utterance) -> Iterator[Hit]:
    """Every date more exact than a year: "the third of may", "march 5 2021", "5/12/2021", "in june"."""
    yield from _dates(u, 0, len(u.words))


def _dates(u: Utterance, first: int, last: int) -> Iterator[Hit]:
    ends = {span.end: span for span in u.numbers}
    for i in range(first, last):
        word = u.words[i]
        if word[0].isdigit() and _WRITTEN.fullmatch(word):
            yield i, i + 1, "DATE", "date.written"
        if word not in MONTHS:
            continue
        start, end = i, i + 1
        back = i - 1 - (u.word(i - 1) == "of")
        if back >= 0 and _is_day(u, back, ends):
            start = ends[back + 1].start if back + 1 in ends else back
            if (
                start
                and u.words[start]
                in ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
                and u.words[start - 1] in ("twenty", "thirty")
            ):
                start -= 1
        end = _after_month(u, end)
        preposed = u.word(i - 1) in ("in", "since", "last", "this", "next", "early", "late", "of", "mid", "until", "by")
        if (
            end > i + 1
            or start < i
            or (preposed and word not in ("march", "may", "mar", "jan"))
            or (preposed and word in ("march", "may") and u.word(i - 1) in ("in", "since", "last", "early", "late"))
        ):
            yield start, end, "DATE", "date.month"


def _is_day(u: Utterance, i: int, ends: dict[int, NumberSpan]) -> bool:
    word = u.words[i]
    if _ORDINAL.fullmatch(word):
        return True
    span = ends.get(i + 1)
    return span is not None and len(span.digits) <= 2 and 0 < int(span.digits) <= 31


def _after_month(u: Utterance, at: int) -> int:
    """Index after the day and the year that may follow a month."""
    end = at
    while at < len(u.words):
        word = u.words[at]
        if at in u.number_at and len(u.number_at[at].digits) <= 6 and u.word(u.number_at[at].end) not in MEASURES:
            at = end = u.number_at[at].end
        elif _ORDINAL.fullmatch(word):
            at = end = at + 1
        elif word in ("the", "of", "in") and at == end:
            at += 1
        else:
            break
    return end


def ages(u: Utterance) -> Iterator[Hit]:
    """Ages of 90 to 125 of people: "she is ninety two years old", "aged 94", "turned one hundred and one"."""
    for span in u.numbers:
        if not (span.digits.isdigit() and len(span.digits) <= 3 and 90 <= int(span.digits) <= 125):
            continue
        before, after = u.before(span.start, 5), u.words[span.end : span.end + 4]
        old = after[:1] in (["year"], ["years"], ["yr"], ["yrs"]) and after[1:2] in (["old"], ["young"])
        old = old or after[1:3] == ["of", "age"]
        aged = bool(before) and (
            before[-1] in _AGES or (before[-1] in ("is", "was", "of") and not _AGES.isdisjoint(before))
        )
        person = not PERSONS.isdisjoint(before)
        stated = (
            person
            and bool(before)
            and (before[-1] in ("i'm", "he's", "she's", "is", "am", "was", "be") or not _TURNED.isdisjoint(before))
        )
        plain = stated and (
            not after or after[0] in ("and", "now", "today", "this", "next", "tomorrow") or u.ends_phrase(span.end - 1)
        )
        things = (*before, *u.words[span.end : span.end + 4])
        if (old and (person or _THINGS.isdisjoint(things))) or aged or plain:
            yield span.start, span.end, "AGE", "age.carrier"
    for i, word in enumerate(u.words):
        if (word[0].isdigit() and (match := _OLD.fullmatch(word)) and match[1] and 90 <= int(match[1]) <= 125) or (
            word.startswith("ninety") and word.endswith(("-old", "-olds"))
        ):
            yield i, i + 1, "AGE", "age.joined"
