"""Sentences sampled from published n-grams: every n-gram in them is one that was published."""

import functools
import re
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from speechpriv.train.phrases import END, START, Gram

_SLOT = re.compile(r"\[([A-Z_]+)\]")
_MOST_WORDS = 23


def sample(table: Mapping[Gram, float], rng: np.random.Generator) -> Iterator[str]:
    """Sentences without end; none if no path through the table leads from a start to an end.

    A walk goes on as the weights say, given that it ends within 23 words: a table may be so full of dead ends that
    nearly every other walk comes to none.

    Args:
      table: weights of n-grams of one order, as `phrases.release` gives them.
      rng: seeded.
    """
    order = len(next(iter(table))) if table else 2
    after: dict[Gram, dict[str, float]] = {}
    for gram, weight in table.items():
        after.setdefault(gram[:-1], {})[gram[-1]] = weight
    ending = _ending(after)

    @functools.cache
    def choices(context: Gram, left: int) -> tuple[list[str], np.ndarray]:
        """What may follow with so many words left, and up to which random number."""
        following = {
            word: weight if word == END else weight * ending[left - 1].get((*context[1:], word), 0.0)
            for word, weight in after.get(context, {}).items()
            if (left > 0 if word != END else left < _MOST_WORDS)  # a sentence has at least one word
        }
        words = [word for word, weight in following.items() if weight > 0]
        weights = np.array([following[word] for word in words])
        return words, np.cumsum(weights) / weights.sum() if words else weights

    first = (START,) * (order - 1)
    while choices(first, _MOST_WORDS)[0]:
        context, said = first, list[str]()
        while True:
            words, cumulative = choices(context, _MOST_WORDS - len(said))
            word = words[min(int(np.searchsorted(cumulative, rng.random(), "right")), len(words) - 1)]
            if word == END:
                break
            said.append(word)
            context = (*context[1:], word)
        yield " ".join(said)


def _ending(after: Mapping[Gram, Mapping[str, float]]) -> list[dict[Gram, float]]:
    """For n = 0, 1, ... words: how likely a walk from each context ends within n words more."""
    found: list[dict[Gram, float]] = [{}]
    for _ in range(_MOST_WORDS + 1):
        found.append({
            context: sum(
                weight * (1.0 if word == END else found[-1].get((*context[1:], word), 0.0))
                for word, weight in words.items()
            ) / sum(words.values())
            for context, words in after.items()
        })  # fmt: skip
    return found[1:]


def filled(sentence: str, fill: Callable[[str], str]) -> str:
    """A sentence with something in each slot: `call [NAME]` -> `call anna smith`, if `fill("NAME")` says so."""
    return _SLOT.sub(lambda slot: fill(slot[1]), sentence)
