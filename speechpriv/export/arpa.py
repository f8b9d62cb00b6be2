"""Published phrases as an n-gram language model in the ARPA format, which CTC decoders (KenLM's users) read."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping

from speechpriv.errors import ModelError

_LEFT = 0.1  # of each context's probability, for words that were not published after it
_START, _END, _UNKNOWN = "<s>", "</s>", "<unk>"
_NEVER = -99.0  # the format's logarithm of zero

Gram = tuple[str, ...]
Chances = dict[Gram, float]


def arpa(table: Mapping[Gram, float]) -> str:
    """The language model of a table of n-grams with weights.

    Of each context a fixed share is left to shorter ones (interpolation with a constant weight, as Jelinek and Mercer
    1980, written as back-off). Weights of shorter n-grams are sums over the longer ones: nothing but the table is read.

    Args:
      table: weights > 0 of n-grams of one order, 2 at least, with `<s>` before a sentence and `</s>` after it; some of
        those that were said may be missing.

    Raises:
      ModelError: the table is empty.
    """
    if not table:
        raise ModelError("language model: no phrase was published. Raise privacy.phrases.share, or do not ask for it.")
    levels = [dict(table)]
    while len(next(iter(levels[0]))) > 1:
        levels.insert(0, _shorter(levels[0]))
    levels[0].setdefault((_END,), min(levels[0].values()))  # readers want it, and every sentence ends
    chances: list[Chances] = []
    for level in levels:
        # A sentence starts once; none may be long enough for the longest.
        if weights := {gram: weight for gram, weight in level.items() if gram.count(_START) <= 1}:
            chances.append(_chances(weights, chances[-1] if chances else {}))
    counts = [len(chances[0]) + 2, *map(len, chances[1:])]
    head = [f"ngram {size}={count}" for size, count in enumerate(counts, start=1)]
    contexts = [{gram[:-1] for gram in longer} for longer in chances[1:]] + [set[Gram]()]
    body = [line for found, longer in zip(chances, contexts, strict=True) for line in _section(found, longer)]
    return "\n".join(["\\data\\", *head, *body, "", "\\end\\", ""])


def _shorter(longer: Mapping[Gram, float]) -> dict[Gram, float]:
    """Weights of n-grams' last words, and of contexts that are nothing's last words: a context has to be there too."""
    found: dict[Gram, float] = defaultdict(float)
    contexts: dict[Gram, float] = defaultdict(float)
    for gram, weight in longer.items():
        found[gram[1:]] += weight
        if set(gram[:-1]) != {_START}:
            contexts[gram[:-1]] += weight
    return contexts | found


def _chances(weights: Mapping[Gram, float], shorter: Chances) -> Chances:
    """Probability of each n-gram's last word after the others, with what is left for all other words mixed in."""
    totals: dict[Gram, float] = defaultdict(float)
    for gram, weight in weights.items():
        totals[gram[:-1]] += weight
    return {
        gram: (1 - _LEFT) * weight / totals[gram[:-1]] + (_LEFT * shorter.get(gram[1:], 0.0) if shorter else 0.0)
        for gram, weight in weights.items()
    }


def _section(found: Chances, contexts: set[Gram]) -> Iterator[str]:
    """The lines of one size; a context of longer n-grams has its back-off weight."""
    size = len(next(iter(found)))
    yield ""
    yield f"\\{size}-grams:"
    back_off = f"\t{math.log10(_LEFT):.5f}"
    if size == 1:
        yield f"{math.log10(_LEFT):.5f}\t{_UNKNOWN}"
        yield f"{_NEVER:.5f}\t{_START}{back_off if (_START,) in contexts else ''}"
    for gram, chance in sorted(found.items()):
        yield f"{math.log10(chance):.5f}\t{' '.join(gram)}{back_off if gram in contexts else ''}"
