"""Sentences and parts of sentences sampled from published n-grams: every n-gram in them is one that
was published.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from speechpriv.train.phrases import END, START, Gram

_SLOT = re.compile(r"\[([A-Z][A-Z0-9_]*)\]")
_MOST_WORDS = 24


def sample_sentences(table: Mapping[Gram, float], rng: np.random.Generator) -> Iterator[str]:
    """Sample sentences and parts of them, without end; none from an empty table.

    A walk through the table that uses every n-gram about as often as it weighs. What few people say
    is missing from the table, and where it is missing, less leads into a context than out of it, or
    the other way about: a walk begins at the contexts that too little leads into, for as much as is
    missing, and ends at those that too much leads into. With walks from sentence start to end
    alone, much of what was published would never be said.

    Args:
      table: weights > 0 of n-grams of one order, as `phrases.release_ngrams` gives them.
      rng: seeded.
    """
    following: dict[Gram, dict[str, float]] = defaultdict(dict)
    surplus: dict[Gram, float] = defaultdict(float)  # of what leads out over what leads in
    for gram, weight in table.items():
        if gram != (*(START,) * (len(gram) - 1), END):  # nothing said
            following[gram[:-1]][gram[-1]] = weight
            surplus[gram[:-1]] += weight
            surplus[gram[1:]] -= weight
    beginnings = {context: more for context, more in surplus.items() if more > 0}
    further = {
        context: _chooser({**words, END: words.get(END, 0.0) + max(0.0, -surplus[context])})
        for context, words in following.items()
    }
    if not beginnings:
        return
    begin = _chooser(beginnings)
    while True:
        context = begin(rng.random())
        said = [word for word in context if word != START]
        while context in further and len(said) < _MOST_WORDS:
            word = further[context](rng.random())
            if word == END:
                break
            said.append(word)
            context = (*context[1:], word)
        yield " ".join(said)


def _chooser(weights: Mapping[Any, float]) -> Callable[[float], Any]:
    """From a uniform number in [0, 1) to one of the keys, by weight."""
    keys, cumulative = list(weights), np.cumsum(list(weights.values()))
    return lambda number: keys[min(int(np.searchsorted(cumulative, number * cumulative[-1], "right")), len(keys) - 1)]


def fill_slots(sentence: str, fill: Callable[[str], str]) -> str:
    """Return a sentence with something in each slot: `call [NAME]` -> `call anna smith`, if
    `fill("NAME")` says so.
    """
    return _SLOT.sub(lambda slot: fill(slot[1]), sentence)
