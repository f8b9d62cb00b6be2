"""N-gram language models in the ARPA format, which CTC decoders read (KenLM's users): made of
counts, read again.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from speechpriv import store
from speechpriv.errors import ModelError
from speechpriv.models.spelling import is_slot

START, END, UNKNOWN = "<s>", "</s>", "<unk>"
# Of each context's probability, for words that were not counted after it; measured in
# docs/experiments/ngrams.md#learning-from-dp-n-grams.
_LEFT = 0.2
_NEVER = -99.0  # the format's logarithm of zero
_UNKNOWN_WORDS = 10_000  # that share the probability of <unk>; a tenth or ten times as many cost words (same place)
PUBLISHED = "phrases.json"

Gram = tuple[str, ...]
Chances = dict[Gram, float]


@dataclass(frozen=True)
class Language:
    """A model as read: base-10 logarithms of probabilities by n-gram, and of back-off weights by
    context.

    `<unk>` stands for every word without a 1-gram, after other words and before them too.
    """

    order: int
    chances: Mapping[Gram, float]
    weights: Mapping[Gram, float]

    def chance(self, context: Gram, word: str) -> float:
        """Return the natural logarithm of the probability of `word` after `context`; of its last
        `order
        - 1` words at most.
        """
        found = 0.0 if (word,) in self.chances else -math.log10(_UNKNOWN_WORDS)
        context, word = tuple(map(self._known, context[max(0, len(context) - self.order + 1) :])), self._known(word)
        while (chance := self.chances.get((*context, word))) is None:  # ends with the 1-gram, which every word has
            found += self.weights.get(context, 0.0)
            context = context[1:]
        return (found + chance) * math.log(10)

    def _known(self, word: str) -> str:
        return word if (word,) in self.chances else UNKNOWN


def read(path: Path) -> Language:
    """Read a model from its file.

    Raises:
      ModelError: the file is not in the ARPA format, or has no probability for unknown words.
    """
    try:
        return _parsed(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path}: not a language model in the ARPA format with {END} and {UNKNOWN} ({type(error).__name__})."
        ) from error


def build_language_model(table: Mapping[Gram, float]) -> Language:
    """Build the language model of a table of n-grams with weights, as `render_arpa` writes it."""
    return _parsed(render_arpa(table))


def sort_published(directory: Path) -> dict[Gram, float]:
    """Return N-grams with weights as the phrasebook stage published them, largest weight first."""
    return {tuple(gram): weight for *gram, weight in store.read_json(directory / PUBLISHED)}


def render_arpa(table: Mapping[Gram, float]) -> str:
    """Render the language model of a table of n-grams with weights, as text.

    Of each context a fixed share is left to shorter ones, and last to unknown words (interpolation
    with a constant weight, as Jelinek and Mercer 1980, written as back-off). Weights of shorter
    n-grams are sums over the longer ones: nothing but the table is read. What was scrubbed
    (`[NAME]`) is an unknown word.

    Args:
      table: weights > 0 of n-grams of one order, 2 at least, with `<s>` before a sentence and
        `</s>` after it; some of those that were said may be missing.

    Raises:
      ModelError: the table is empty.
    """
    if not table:
        raise ModelError("language model: no phrase was published. Raise privacy.phrases.epsilon, or ask for none.")
    levels: list[dict[Gram, float]] = [defaultdict(float)]
    for gram, weight in table.items():
        levels[0][tuple(UNKNOWN if is_slot(word) else word for word in gram)] += weight
    while len(next(iter(levels[0]))) > 1:
        levels.insert(0, _shorter(levels[0]))
    levels[0].setdefault((END,), min(levels[0].values()))  # readers want it, and every sentence ends
    chances: list[Chances] = [_words(levels[0])]
    for level in levels[1:]:
        # A sentence starts once; none may be long enough for the longest.
        if weights := {gram: weight for gram, weight in level.items() if gram.count(START) <= 1}:
            chances.append(_chances(weights, chances[-1]))
    counts = [len(chances[0]) + 1, *map(len, chances[1:])]  # and the start, which nothing comes before
    head = [f"ngram {size}={count}" for size, count in enumerate(counts, start=1)]
    contexts = [{gram[:-1] for gram in longer} for longer in chances[1:]] + [set[Gram]()]
    body = [line for found, longer in zip(chances, contexts, strict=True) for line in _section(found, longer)]
    return "\n".join(["\\data\\", *head, *body, "", "\\end\\", ""])


def _parsed(text: str) -> Language:
    chances: Chances = {}
    weights: Chances = {}
    for line in text.splitlines():
        chance, tab, rest = line.partition("\t")
        if tab:
            words, _, weight = rest.partition("\t")
            gram = tuple(words.split(" "))
            chances[gram] = float(chance)
            if weight:
                weights[gram] = float(weight)
    if not chances.keys() >= {(UNKNOWN,), (END,)} or not all(
        map(math.isfinite, (*chances.values(), *weights.values()))
    ):
        raise ValueError("a probability is missing or is none")
    return Language(max(map(len, chances)), chances, weights)


def _shorter(longer: Mapping[Gram, float]) -> dict[Gram, float]:
    """Weights of n-grams' last words, and of contexts that are nothing's last words: a context has
    to be there too.
    """
    found: dict[Gram, float] = defaultdict(float)
    contexts: dict[Gram, float] = defaultdict(float)
    for gram, weight in longer.items():
        found[gram[1:]] += weight
        if set(gram[:-1]) != {START}:
            contexts[gram[:-1]] += weight
    return contexts | found


def _words(weights: Mapping[Gram, float]) -> Chances:
    """Probability of each word whatever came before, and of all unknown ones together."""
    total = math.fsum(weights.values())
    chances = {gram: (1 - _LEFT) * weight / total for gram, weight in weights.items()}
    chances[UNKNOWN,] = chances.get((UNKNOWN,), 0.0) + _LEFT
    return chances


def _chances(weights: Mapping[Gram, float], shorter: Chances) -> Chances:
    """Probability of each n-gram's last word after the others, with what is left for all other
    words mixed in.
    """
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
