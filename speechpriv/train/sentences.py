"""Sentences sampled from published n-grams: every n-gram in them is one that was published."""

import re
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from speechpriv.train.phrases import END, START, Gram

_SLOT = re.compile(r"\[([A-Z_]+)\]")
_MOST_WORDS = 24


def sample(table: Mapping[Gram, float], rng: np.random.Generator) -> Iterator[str]:
    """Sentences without end; none if no path through the table leads from a start to an end.

    A word is drawn by the weights of the n-grams that go on from the words before it, among those words from which an
    end can still be reached: where few n-grams are published, most paths are dead ends.

    Args:
      table: weights of n-grams of one order, as `phrases.release` gives them.
      rng: seeded.
    """
    order = len(next(iter(table))) if table else 2
    after: dict[Gram, list[tuple[str, float]]] = {}
    for gram, weight in table.items():
        after.setdefault(gram[:-1], []).append((gram[-1], weight))
    left, first = _words_left(after), (START,) * (order - 1)
    while first in left:
        context, said = first, list[str]()
        while True:
            room = _MOST_WORDS - len(said)
            words, weights = zip(*(
                (word, weight) for word, weight in after[context]
                if (said if word == END else left.get((*context[1:], word), room) < room)
            ), strict=True)  # fmt: skip
            word = words[min(int(np.searchsorted(np.cumsum(weights) / sum(weights), rng.random())), len(words) - 1)]
            if word == END:
                break
            said.append(word)
            context = (*context[1:], word)
        yield " ".join(said)


def _words_left(after: Mapping[Gram, list[tuple[str, float]]]) -> dict[Gram, int]:
    """The fewest words from each context to an end; those too far from any are left out."""
    left: dict[Gram, int] = {}
    for words in range(_MOST_WORDS + 1):
        for context, following in after.items():
            if context not in left and any(
                (word == END and context[-1] != START) if words == 0 else left.get((*context[1:], word)) == words - 1
                for word, _ in following
            ):
                left[context] = words
    return left


def filled(sentence: str, fill: Callable[[str], str]) -> str:
    """A sentence with something in each slot: `call [NAME]` -> `call anna smith`, if `fill("NAME")` says so."""
    return _SLOT.sub(lambda slot: fill(slot[1]), sentence)
