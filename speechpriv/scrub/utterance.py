"""One transcript as the rules see it: words, where they stand, and the numbers among them."""

import re
from dataclasses import dataclass

from speechpriv.scrub.numbers import NumberSpan, spans

Hit = tuple[int, int, str, str]  # words [start, end), kind, rule

_EDGE = r".,;:!?\"'()\[\]{}<>«»“”‘’…¿¡–—-"
_WORD = re.compile(rf"[^\s{_EDGE}](?:\S*[^\s{_EDGE}])?")

_DIGIT = re.compile(r"[0-9]")


@dataclass(frozen=True, slots=True)
class Utterance:
    """What every rule reads; see `read`.

    Attributes:
      text: as it was given.
      words: lower case, without edge punctuation.
      bounds: characters [start, end) of each word.
      numbers: runs of number words, spoken or written.
      vocabulary: the distinct words, so that a rule whose carriers are absent costs one look.
      number_at: the numbers by their first word.
      has_digits: whether there is a digit, said or written.
    """

    text: str
    words: list[str]
    bounds: list[tuple[int, int]]
    numbers: list[NumberSpan]
    vocabulary: frozenset[str]
    number_at: dict[int, NumberSpan]
    has_digits: bool

    def word(self, i: int) -> str:
        """Word i, or "" outside of the utterance."""
        return self.words[i] if 0 <= i < len(self.words) else ""

    def before(self, i: int, count: int) -> list[str]:
        """Up to `count` words that end before word i."""
        return self.words[max(0, i - count) : i]

    def ends_phrase(self, i: int) -> bool:
        """Whether punctuation after word i ends a phrase; a full stop after the first word is an abbreviation's."""
        end = self.bounds[i][1]
        mark = self.text[end : end + 1]
        return mark in (",", ";", ":", "!", "?") if mark != "." else i > 0

    def capital(self, i: int) -> bool:
        """Whether word i is capitalised where a word that is no name would not be."""
        start, end = self.bounds[i]
        others = (self.text[first].islower() for first, _ in self.bounds[max(0, i - 2) : i + 3])
        return self.text[start].isupper() and not self.text[start:end].isupper() and (i == 1 or any(others))


def read(text: str) -> Utterance:
    """Split a transcript into words and find its numbers; linear in the length."""
    words, bounds = [], []
    for match in _WORD.finditer(text):
        words.append(match[0].lower().replace("’", "'"))
        bounds.append(match.span())
    numbers = spans(words)
    number_at = {span.start: span for span in numbers}
    return Utterance(
        text, words, bounds, numbers, frozenset(words), number_at, bool(numbers) or bool(_DIGIT.search(text))
    )
