"""One transcript as the rules see it: words, where they stand, and the numbers among them."""

import re
from typing import NamedTuple

from speechpriv.scrub.numbers import NUMBER_WORDS, NumberSpan, find_numbers

Hit = tuple[int, int, str, str]  # words [start, end), kind, rule

_EDGE = r".,;:!?\"'()\[\]{}<>«»“”‘’…¿¡–—-"
_WORD = re.compile(rf"[^\s{_EDGE}](?:\S*[^\s{_EDGE}])?")

_DIGIT = re.compile(r"[0-9]")


class Utterance(NamedTuple):
    """What every rule reads; see `read_utterance`.

    Attributes:
      text: as it was given.
      words: lower case, without edge punctuation.
      bounds: characters [start, end) of each word.
      numbers: runs of number words, spoken or written.
      vocabulary: the distinct words, so that a rule whose carriers are absent costs one look.
      number_at: the numbers by their first word.
      has_digits: whether a digit is written.
      has_numbers: whether there is a digit, said or written.
    """

    text: str
    words: list[str]
    bounds: list[tuple[int, int]]
    numbers: list[NumberSpan]
    vocabulary: frozenset[str]
    number_at: dict[int, NumberSpan]
    has_digits: bool
    has_numbers: bool

    def word(self, i: int) -> str:
        """Return word i, or "" outside of the utterance."""
        return self.words[i] if 0 <= i < len(self.words) else ""

    def before(self, i: int, count: int) -> list[str]:
        """Return up to `count` words that end before word i."""
        return self.words[max(0, i - count) : i]

    def ends_phrase(self, i: int) -> bool:
        """Return whether punctuation after word i ends a phrase; a full stop after the first word
        is an abbreviation's.
        """
        end = self.bounds[i][1]
        mark = self.text[end : end + 1]
        return mark in (",", ";", ":", "!", "?") if mark != "." else i > 0

    def capital(self, i: int) -> bool:
        """Return whether word i is capitalised where a word that is no name would not be."""
        start, end = self.bounds[i]
        others = (self.text[first].islower() for first, _ in self.bounds[max(0, i - 2) : i + 3])
        return self.text[start].isupper() and not self.text[start:end].isupper() and (i == 1 or any(others))


def read_utterance(text: str) -> Utterance:
    """Split a transcript into words and find its numbers; linear in the length."""
    matches = list(_WORD.finditer(text))
    words = [match[0].lower() for match in matches]
    if "’" in text:
        words = [word.replace("’", "'") for word in words]
    vocabulary = frozenset(words)
    digits = _DIGIT.search(text) is not None
    numbers = find_numbers(words) if digits or not NUMBER_WORDS.isdisjoint(vocabulary) or "-" in text else []
    return Utterance(
        text=text,
        words=words,
        bounds=[match.span() for match in matches],
        numbers=numbers,
        vocabulary=vocabulary,
        number_at={span.start: span for span in numbers},
        has_digits=digits,
        has_numbers=digits or bool(numbers),
    )
