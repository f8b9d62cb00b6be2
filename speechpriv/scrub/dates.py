"""Dates of birth by their carrier, and any date for the profiles that want it."""

import re
from collections.abc import Iterator

from speechpriv.scrub.numbers import NumberSpan
from speechpriv.scrub.utterance import Hit, Utterance
from speechpriv.scrub.words import MEASURES, QUESTIONS, word_set

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
    r"(?:0?[1-9]|[12][0-9]|3[01])([-/.])(?:0?[1-9]|[12][0-9]|3[01])\1(?:[0-9]{2}){1,2}|"
    r"(?:19|20)[0-9]{2}([-/.])[0-9]{1,2}\2[0-9]{1,2}"
)
_BIRTH_WRITTEN = re.compile(
    r"[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}|[0-9]{1,2}(?:st|nd|rd|th)$|[0-9]{1,2}/[0-9]{1,2}$"
)
_LOW_ORDINALS = word_set("first second third fourth fifth sixth seventh eighth ninth")
# A month by itself is a date after these; "may" and "march" are verbs too, and need the stricter
# ones.
_BEFORE_MONTH = word_set("in since last this next early late of mid until by")
_BEFORE_VERBS = word_set("in since last early late")


def find_births(u: Utterance) -> Iterator[Hit]:
    """Find a date after "date of birth is", "born on" or "birthday is"; questions about the famous
    are let go.
    """
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
    ends = _ends(u)
    for i in range(len(u.words) - 2):  # "the third of may nineteen eighty is my birthday"
        if u.words[i] in ("is", "was") and not BIRTHS.isdisjoint(u.words[i + 1 : i + 5]):
            for start, end, *_ in _dates(u, max(0, i - 10), i, ends):
                if end == i:
                    yield start, end, "DATE_OF_BIRTH", "birth.before"


def _spread(u: Utterance, start: int) -> tuple[int, int, bool]:
    """Index after the words of a date from `start`, how many digits were said, and whether a month
    or the like was.
    """
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


def find_dates(u: Utterance) -> Iterator[Hit]:
    """Find every date more exact than a year: "the third of may", "march 5 2021", "5/12/2021", "in
    june".
    """
    yield from _dates(u, 0, len(u.words), _ends(u))


def _ends(u: Utterance) -> dict[int, NumberSpan]:
    """The numbers by the index after their last word."""
    return {span.end: span for span in u.numbers}


def _dates(u: Utterance, first: int, last: int, ends: dict[int, NumberSpan]) -> Iterator[Hit]:
    for i in range(first, last):
        word = u.words[i]
        if word[0].isdigit() and _WRITTEN.fullmatch(word):
            yield i, i + 1, "DATE", "date.written"
        elif word in MONTHS:
            start, end = _day_before(u, i, ends), _after_month(u, i + 1)
            verbs = word in ("may", "mar", "march")
            alone = u.word(i - 1) in (_BEFORE_VERBS if verbs else _BEFORE_MONTH)
            if start < i or end > i + 1 or alone:
                yield start, end, "DATE", "date.month"


def _day_before(u: Utterance, month: int, ends: dict[int, NumberSpan]) -> int:
    """Index where the day starts that is said before a month, "twenty second of may"; the month's
    where none is.
    """
    back = month - 1 - (u.word(month - 1) == "of")
    if back < 0 or not _is_day(u, back, ends):
        return month
    start = ends[back + 1].start if back + 1 in ends else back
    return start - (u.words[start] in _LOW_ORDINALS and u.word(start - 1) in ("twenty", "thirty"))


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
