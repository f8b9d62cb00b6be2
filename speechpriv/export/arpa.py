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
      table: weights > 0 of n-grams of one order, 2 at least, with `<s>` before a sentence and `</s>` after it.

    Raises:
      ModelError: the table is empty.
    """
    if not table:
        raise ModelError("language model: no phrase was published. Raise privacy.phrases.share, or do not ask for it.")
    order = len(next(iter(table)))
    chances: list[Chances] = []
    for size in range(1, order + 1):
        if weights := _shortened(table, size):  # no sentence may be long enough for the longest
            chances.append(_chances(weights, chances[-1] if chances else {}))
    counts = [len(chances[0]) + 2, *map(len, chances[1:])]
    head = [f"ngram {size}={count}" for size, count in enumerate(counts, start=1)]
    contexts = [{gram[:-1] for gram in longer} for longer in chances[1:]] + [set[Gram]()]
    body = [line for found, longer in zip(chances, contexts, strict=True) for line in _section(found, longer)]
    return "\n".join(["\\data\\", *head, *body, "", "\\end\\", ""])


def _shortened(table: Mapping[Gram, float], size: int) -> dict[Gram, float]:
    """Weights of n-grams' last `size` words; a sentence starts once."""
    found: dict[Gram, float] = defaultdict(float)
    for gram, weight in table.items():
        if gram[-size:].count(_START) <= 1:
            found[gram[-size:]] += weight
    return dict(found)


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
    if size == 1:
        yield f"{math.log10(_LEFT):.5f}\t{_UNKNOWN}"
        yield f"{_NEVER:.5f}\t{_START}\t{math.log10(_LEFT):.5f}"
    for gram, chance in sorted(found.items()):
        weight = f"\t{math.log10(_LEFT):.5f}" if gram in contexts else ""
        yield f"{math.log10(chance):.5f}\t{' '.join(gram)}{weight}"
