"""Sentences sampled from published n-grams: every n-gram in them is one that was published."""

import re
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from speechpriv.train.phrases import END, START, Gram

_SLOT = re.compile(r"\[([A-Z_]+)\]")
_MOST_WORDS = 24
_TRIES = 50  # for one sentence, before the table is taken to hold none


def sample(table: Mapping[Gram, float], rng: np.random.Generator) -> Iterator[str]:
    """Sentences without end; none if no path through the table leads from a start to an end.

    Args:
      table: weights of n-grams of one order, as `phrases.release` gives them.
      rng: seeded.
    """
    order = len(next(iter(table))) if table else 2
    after: dict[Gram, tuple[list[str], list[float]]] = {}
    for gram, weight in table.items():
        words, weights = after.setdefault(gram[:-1], ([], []))
        words.append(gram[-1])
        weights.append(weight)
    chances = {context: (words, np.cumsum(weights) / sum(weights)) for context, (words, weights) in after.items()}
    first = (START,) * (order - 1)
    while True:
        for _ in range(_TRIES):
            context, said = first, list[str]()
            while context in chances and len(said) < _MOST_WORDS:
                words, cumulative = chances[context]
                word = words[min(int(np.searchsorted(cumulative, rng.random(), "right")), len(words) - 1)]
                if word == END:
                    break
                said.append(word)
                context = (*context[1:], word)
            else:
                continue  # a dead end: no published n-gram goes on from here
            if said:
                yield " ".join(said)
                break
        else:
            return


def filled(sentence: str, fill: Callable[[str], str]) -> str:
    """A sentence with something in each slot: `call [NAME]` -> `call anna smith`, if `fill("NAME")` says so."""
    return _SLOT.sub(lambda slot: fill(slot[1]), sentence)
