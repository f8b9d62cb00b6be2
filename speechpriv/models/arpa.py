"""N-gram language models in the ARPA format, which CTC decoders read (KenLM's users): made of counts, read again."""

import math
import types
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from speechpriv.errors import ModelError

START, END, UNKNOWN = "<s>", "</s>", "<unk>"
_LEFT = 0.2  # of each context's probability, for words that were not counted after it; measured in LOG.md
_NEVER = -99.0  # the format's logarithm of zero

Gram = tuple[str, ...]
Chances = dict[Gram, float]


@dataclass(frozen=True)
class Language:
    """A model as read: base-10 logarithms of probabilities by n-gram, and of back-off weights by context."""

    order: int
    chances: Mapping[Gram, float]
    weights: Mapping[Gram, float]

    def chance(self, context: Gram, word: str) -> float:
        """Natural logarithm of the probability of `word` after `context`; of its last `order - 1` words at most."""
        context, left = context[max(0, len(context) - self.order + 1) :], 0.0
        while (found := self.chances.get((*context, word))) is None:
            if not context:
                found = self.chances[UNKNOWN,]
                break
            left += self.weights.get(context, 0.0)
            context = context[1:]
        return (left + found) * math.log(10)


def read(path: Path) -> Language:
    """A model from its file.

    Raises:
      ModelError: the file is not in the ARPA format, or has no probability for unknown words.
    """
    chances: Chances = {}
    weights: Chances = {}
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            chance, tab, rest = line.partition("\t")
            if tab:
                words, _, weight = rest.partition("\t")
                gram = tuple(words.split(" "))
                chances[gram] = float(chance)
                if weight:
                    weights[gram] = float(weight)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not a language model in the ARPA format ({type(error).__name__}).") from error
    if not chances.keys() >= {(UNKNOWN,), (END,)} or not all(
        map(math.isfinite, [*chances.values(), *weights.values()])
    ):
        raise ModelError(f"{path}: not a language model: expected finite numbers, {END} and {UNKNOWN} among them.")
    return Language(max(map(len, chances)), chances, weights)


def arpa(table: Mapping[Gram, float], general: Mapping[str, float] = types.MappingProxyType({})) -> str:
    """The language model of a table of n-grams with weights, as text.

    Of each context a fixed share is left to shorter ones, and last to `general` (interpolation with a constant weight,
    as Jelinek and Mercer 1980, written as back-off). Weights of shorter n-grams are sums over the longer ones: nothing
    but the table and `general` is read.

    Args:
      table: weights > 0 of n-grams of one order, 2 at least, with `<s>` before a sentence and `</s>` after it; some of
        those that were said may be missing.
      general: probabilities of words at large; what they leave of 1 is for unknown words.

    Raises:
      ModelError: the table is empty.
    """
    if not table:
        raise ModelError("language model: no phrase was published. Raise privacy.phrases.share, or do not ask for it.")
    levels = [dict(table)]
    while len(next(iter(levels[0]))) > 1:
        levels.insert(0, _shorter(levels[0]))
    levels[0].setdefault((END,), min(levels[0].values()))  # readers want it, and every sentence ends
    chances: list[Chances] = [_words(levels[0], general)]
    for level in levels[1:]:
        # A sentence starts once; none may be long enough for the longest.
        if weights := {gram: weight for gram, weight in level.items() if gram.count(START) <= 1}:
            chances.append(_chances(weights, chances[-1]))
    counts = [len(chances[0]) + 1, *map(len, chances[1:])]  # and the start, which nothing comes before
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
        if set(gram[:-1]) != {START}:
            contexts[gram[:-1]] += weight
    return contexts | found


def _words(weights: Mapping[Gram, float], general: Mapping[str, float]) -> Chances:
    """Probability of each word whatever came before, and of all unknown ones together."""
    total = math.fsum(weights.values())
    chances: Chances = {(word,): _LEFT * chance for word, chance in general.items()}
    chances[UNKNOWN,] = _LEFT * (1 - math.fsum(general.values()))
    for gram, weight in weights.items():
        chances[gram] = chances.get(gram, 0.0) + (1 - _LEFT) * weight / total
    return chances


def _chances(weights: Mapping[Gram, float], shorter: Chances) -> Chances:
    """Probability of each n-gram's last word after the others, with what is left for all other words mixed in."""
    totals: dict[Gram, float] = defaultdict(float)
    for gram, weight in weights.items():
        totals[gram[:-1]] += weight
    return {
        gram: (1 - _LEFT) * weight / totals[gram[:-1]] + _LEFT * shorter.get(gram[1:], 0.0)
        for gram, weight in weights.items()
    }


def _section(found: Chances, contexts: set[Gram]) -> Iterator[str]:
    """The lines of one size; a context of longer n-grams has its back-off weight."""
    size = len(next(iter(found)))
    yield ""
    yield f"\\{size}-grams:"
    back_off = f"\t{math.log10(_LEFT):.5f}"
    if size == 1:
        yield f"{_NEVER:.5f}\t{START}{back_off if (START,) in contexts else ''}"
    for gram, chance in sorted(found.items()):
        yield f"{math.log10(chance):.5f}\t{' '.join(gram)}{back_off if gram in contexts else ''}"
