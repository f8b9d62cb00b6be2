"""Spoken numbers to digits: "double seven oh nineteen eighty four" -> "7701984", with the words
they came from.

Transcripts spell numbers out, and people say one number in many ways: digit by digit, in pairs,
with repeats, with hundreds. The reading chosen is the one people mean when they dictate an
identifier, so nothing is summed across a pause between groups: "twenty five" is 25, but "nineteen
eighty four" is 19 and 84, which makes 1984.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_ONE_TO_NINETEEN = (
    *("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen"),
    *("fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TWENTY_TO_NINETY = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SMALL = {word: str(value) for value, word in enumerate(_ONE_TO_NINETEEN, start=1)}
_UNITS = {word: text for word, text in _SMALL.items() if len(text) == 1}
_TENS = {word: f"{value}0" for value, word in enumerate(_TWENTY_TO_NINETY, start=2)}
_BASES = _SMALL | _TENS | dict.fromkeys(["zero", "oh", "o", "nought", "naught"], "0")
_REPEATS = {"double": 2, "triple": 3, "treble": 3, "quadruple": 4}
_WORDS = frozenset(_BASES) | frozenset(_REPEATS) | {"hundred", "thousand", "and"}
NUMBER_WORDS = frozenset(_BASES)  # without one of these, or a digit, there is no number
_EDGES = ".,;:!?\"'()[]{}…"
# 415-555-2671, +1.415.555.2671, 415)555-2671: digits joined by what people write between the groups
# of one number.
_WRITTEN = re.compile(r"\+?[0-9]+(?:[-()]+[0-9]+)*|\+?[0-9]+(?:\.[0-9]+){2,}")
_GROUP = re.compile(r"[0-9]+")
_END = ""  # an atom that belongs to no number


@dataclass(frozen=True, slots=True)
class NumberSpan:
    """Consecutive number words.

    Attributes:
      start: index of the first word.
      end: index after the last word.
      parts: the digit string of each group as it was said: ("19", "84") for "nineteen eighty four".
    """

    start: int
    end: int
    parts: tuple[str, ...]

    @property
    def digits(self) -> str:
        """The digit string that the words stand for."""
        return "".join(self.parts)


def find_numbers(words: Sequence[str]) -> list[NumberSpan]:
    """Find every maximal run of number words, in order; linear in the number of words.

    Args:
      words: the words of an utterance in any case; edge punctuation is ignored, hyphens join number
        words ("twenty-five", "555-2671"). Decimals, prices, clock times and slashed dates are not
        number words.

    Returns:
      Non-overlapping spans with word ranges [start, end). A lone "oh" is an exclamation, not a
      zero.
    """
    atoms: list[str] = []
    owners: list[int] = []  # the word each atom came from
    for index, word in enumerate(words):
        pieces = _pieces(word)
        atoms.extend(pieces)
        owners.extend([index] * len(pieces))
    atoms.extend([_END] * 3)  # so that looking ahead needs no bounds check
    found = []
    at = 0
    while at < len(owners):
        if atoms[at] == _END:
            at += 1
            continue
        first = at
        parts: list[str] = []
        group, after = _group(atoms, at)
        while group:
            parts.extend(group)
            at = after
            group, after = _group(atoms, at)
        if parts and any(atom not in ("oh", "o") for atom in atoms[first:at]):
            found.append(NumberSpan(owners[first], owners[at - 1] + 1, tuple(parts)))
        at = max(at, first + 1)
    return found


def is_counting(parts: Sequence[str]) -> bool:
    """Return whether this is a countdown, a count or a times table: four numbers or more, three
    steps in four alike and not 0.
    """
    if len(parts) < 4:
        return False
    values = [int(part[-9:]) for part in parts]  # the tail is enough to see a step, and bounds the cost of int()
    steps = [b - a for a, b in pairwise(values)]
    common = sorted(steps)[len(steps) // 2]  # a majority is the median
    return common != 0 and 4 * steps.count(common) >= 3 * len(steps)


def _pieces(word: str) -> list[str]:
    """The number atoms of one written word, or [_END] where it is no number."""
    if word.isalpha():  # most words, so this comes first
        word = word.lower()
        return [word] if word in _WORDS else [_END]
    word = word.strip(_EDGES).lower()
    label, _, rest = word.rpartition(":")
    word = rest if label.isalpha() else word  # "tel:555-0123"
    if word in _WORDS:
        return [word]
    if _WRITTEN.fullmatch(word):
        groups = _GROUP.findall(word)
        dotted_other = "." in word and (sum(map(len, groups)) < 9 or (len(groups) == 4 and max(map(len, groups)) <= 3))
        return [_END] if dotted_other else groups  # a date, a version or an internet address
    if "-" in word:
        pieces = word.split("-")
        if all(piece in _WORDS or (piece.isascii() and piece.isdigit()) for piece in pieces):
            return pieces
    return [_END]


def _group(atoms: Sequence[str], at: int) -> tuple[tuple[str, ...], int]:
    """The digits of the group said at `at` and the index after it; no digits where none starts
    there.
    """
    times = _REPEATS.get(atoms[at])
    if times is not None:
        digit, after = _base(atoms, at + 1)
        return ((digit,) * times, after) if len(digit) == 1 else ((), at)
    text, after, _ = _hundreds(atoms, at)
    if atoms[after] == "thousand" and _scales(text):
        rest, after = _rest(atoms, after + 1)
        text = str(int(text) * 1000 + rest)
    return ((text,) if text else (), after)


def _base(atoms: Sequence[str], at: int) -> tuple[str, int]:
    """A digit, a teen, tens with their unit, or written digits."""
    atom = atoms[at]
    if atom in _TENS:
        unit = _UNITS.get(atoms[at + 1])
        return (_TENS[atom][0] + unit, at + 2) if unit else (_TENS[atom], at + 1)
    if atom[:1].isdigit():
        return atom, at + 1
    text = _BASES.get(atom, "")
    return text, at + 1 if text else at


def _hundreds(atoms: Sequence[str], at: int) -> tuple[str, int, bool]:
    """A base with its hundreds; whether there were hundreds."""
    text, after = _base(atoms, at)
    if atoms[after] != "hundred" or not _scales(text):
        return text, after, False
    rest, after = _rest(atoms, after + 1, hundreds=False)
    return str(int(text) * 100 + rest), after, True


def _rest(atoms: Sequence[str], at: int, *, hundreds: bool = True) -> tuple[int, int]:
    """What is added after a hundred or a thousand, and the index after it; 0 if what follows starts
    a new group.
    """
    linked = atoms[at] == "and"
    start = at + linked
    text, after, scaled = _hundreds(atoms, start) if hundreds else (*_base(atoms, start), False)
    if not text or atoms[after] == "hundred" or (hundreds and atoms[after] == "thousand"):
        return 0, at
    if not scaled:
        # "eight hundred five five five": a digit among digits is dictated, not added.
        dictated = len(text) == 1 and not linked and (atoms[after] in _REPEATS or _base(atoms, after)[0] != "")
        if dictated or len(text) > 2 or text[0] == "0":
            return 0, at
    return int(text), after


def _scales(text: str) -> bool:
    """Whether a hundred or a thousand can follow: 1 to 999, said without a leading zero."""
    return 0 < len(text) <= 3 and text[0] != "0"
