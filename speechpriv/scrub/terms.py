"""What the user adds to the rules: terms to remove, words to keep, patterns, and a model that tags
words.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import re2

from speechpriv.scrub.tagger import Tagger
from speechpriv.scrub.utterance import Hit, Utterance, read_utterance
from speechpriv.sections import ScrubConfig

_Phrases = Mapping[str, tuple[tuple[str, ...], ...]]  # by their first word, the longest first
RankedHit = tuple[int, int, int, str, str]  # a hit with its rule's rank before the kind; the lower goes before
_LAST = 1_000  # the rank of the model: where a rule knows better, its kind is given


@dataclass(frozen=True, slots=True)
class Custom:
    """The user's own kinds, ready to be looked for; made once by `find_custom`."""

    terms: _Phrases = field(default_factory=dict)
    keep: _Phrases = field(default_factory=dict)
    patterns: tuple[tuple[str, "re2._Regexp"], ...] = ()
    tagger: Tagger | None = None

    def applied(self, u: Utterance, hits: Iterable[RankedHit]) -> list[RankedHit]:
        """Return the rules' hits without what is kept, and the user's own: first in rank, and
        nothing of them is kept.

        A hit loses the kept words at its edges: a kept "jasper" leaves "smith" of "jasper smith".
        """
        kept = {i for start, end in _occurrences(u.words, self.keep) for i in range(start, end)}
        applied = [(start, end, 0, kind, rule) for start, end, kind, rule in self._own(u)]
        tagged = ((start, end, _LAST, kind, rule) for start, end, kind, rule in self._tagged(u))
        for start, end, rank, kind, rule in (*hits, *tagged):
            left = [i for i in range(start, end) if i not in kept]
            if left:
                applied.append((left[0], left[-1] + 1, rank, kind, rule))
        return applied

    def _own(self, u: Utterance) -> Iterator[Hit]:
        for start, end in _occurrences(u.words, self.terms):
            yield start, end, "TERM", "term"
        for kind, pattern in self.patterns:
            for match in pattern.finditer(u.text):
                yield from _whole_words(u, match.start(), match.end(), kind, "pattern")

    def _tagged(self, u: Utterance) -> Iterator[Hit]:
        if self.tagger is not None:
            for start, end, kind in self.tagger.find(u.text):
                yield from _whole_words(u, start, end, kind, "tagger")


NOTHING = Custom()


def find_custom(config: ScrubConfig, device: str = "cpu") -> Custom:
    """Find what a config adds.

    Raises:
      ConfigError: the tagger cannot be read, or none of its labels is a personal kind.
    """
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    return Custom(
        terms=_phrases(config.terms),
        keep=_phrases(config.keep),
        patterns=tuple((kind, re2.compile(pattern, options)) for kind, pattern in config.patterns.items()),
        tagger=Tagger.load(config.tagger, config.tagger_kinds, device) if config.tagger else None,
    )


def _phrases(phrases: Iterable[str]) -> _Phrases:
    by_first: dict[str, list[tuple[str, ...]]] = {}
    for phrase in phrases:
        words = tuple(read_utterance(phrase).words)
        if words:
            by_first.setdefault(words[0], []).append(words)
    return {first: tuple(sorted(found, key=len, reverse=True)) for first, found in by_first.items()}


def _occurrences(words: list[str], phrases: _Phrases) -> Iterator[tuple[int, int]]:
    """Word ranges of the phrases, the longest at each place; a possessive ending does not hide a
    term.
    """
    for i, word in enumerate(words):
        for phrase in phrases.get(word) or phrases.get(word.removesuffix("'s"), ()):
            end = i + len(phrase)
            if end <= len(words) and all(
                word.removesuffix("'s") == part.removesuffix("'s")
                for word, part in zip(words[i:end], phrase, strict=True)
            ):
                yield i, end
                break


def _whole_words(u: Utterance, start: int, end: int, kind: str, rule: str) -> Iterator[Hit]:
    """The words that characters [start, end) touch."""
    first = bisect_right(u.bounds, start, key=lambda bounds: bounds[1])
    last = bisect_left(u.bounds, end, key=lambda bounds: bounds[0])
    if first < last:
        yield first, last, kind, rule
