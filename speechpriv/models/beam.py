"""The likeliest texts of a CTC recogniser: prefix beam search, with or without a language model."""

import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from speechpriv.models.arpa import END, START, Gram, Language

Prefix = tuple[int, ...]
Weigh = Callable[[Prefix], float]

# Chosen on synthetic people (docs/experiments/ngrams.md#learning-from-dp-n-grams). The bonus for
# each word makes up for what a language model takes from longer texts.
_WEIGHT, _BONUS, _WIDTH = 0.3, 2.0, 16
_LEAST = 1e-3  # of a token's probability in a frame: less likely ones change no text, and most of the time goes there
_BOUNDARIES = str.maketrans("▁|", "  ")  # how SentencePiece and wav2vec 2.0 write the space between two words


def search_prefixes(
    log_probs: np.ndarray, blank: int, width: int, *, weigh: Weigh = lambda _: 0.0, least: float = 0.0
) -> dict[Prefix, float]:
    """Return token lists whose paths, all added up, are likeliest.

    Args:
      log_probs: shape (T, V), of one recording.
      blank: index of the blank.
      width: >= 1, lists kept after each frame, and tokens looked at in each besides the blank.
      weigh: added to the logarithm of a list's probability, in nats, where lists are compared.
      least: tokens less likely than this in a frame are not looked at.

    Returns:
      Up to `width` token lists, the likeliest first, each with what it is worth in nats, up to a
      constant that they share; an empty list where nothing is said.

    Source: Hannun et al. 2014, arXiv:1408.2873, Algorithm 1.
    """
    worth: dict[Prefix, float] = {(): 0.0}
    kept: dict[Prefix, tuple[float, float]] = {(): (1.0, 0.0)}  # relative probability of ending in a blank, in a token
    for frame in np.exp(log_probs.astype(float)):
        probabilities = frame.tolist()
        ranked = np.argsort(-frame, kind="stable")[: width + 1].tolist()
        likeliest = [token for token in ranked if token != blank and probabilities[token] >= least]
        paused: defaultdict[Prefix, float] = defaultdict(float)
        said: defaultdict[Prefix, float] = defaultdict(float)
        for prefix, (ends_paused, ends_said) in kept.items():
            paused[prefix] += (ends_paused + ends_said) * probabilities[blank]
            if prefix:
                said[prefix] += ends_said * probabilities[prefix[-1]]
            for token in likeliest:
                from_said = 0.0 if prefix[-1:] == (token,) else ends_said  # a repeat needs a blank between
                if grown := (ends_paused + from_said) * probabilities[token]:
                    said[*prefix, token] += grown
        totals = {prefix: paused[prefix] + said[prefix] for prefix in said.keys() | paused.keys()}
        worth = {prefix: (math.log(total) if total else -math.inf) + weigh(prefix) for prefix, total in totals.items()}
        worth = dict(heapq.nlargest(width, worth.items(), key=lambda item: item[::-1]))
        scale = max(totals[prefix] for prefix in worth) or 1.0  # so that a long recording does not underflow
        kept = {prefix: (paused[prefix] / scale, said[prefix] / scale) for prefix in worth}
    return worth


def search_words(log_probs: np.ndarray, blank: int, pieces: Sequence[str], language: Language) -> str:
    """Return the words that acoustics and a language model together find likeliest (shallow
    fusion).

    Args:
      log_probs: shape (T, V), of one recording.
      blank: index of the blank.
      pieces: what each token writes; "▁" or "|" is the space between words.
      language: of words.

    Source: Hannun et al. 2014, arXiv:1408.2873, section 2.2.
    """
    text = [piece.translate(_BOUNDARIES).lower() for piece in pieces]
    written: dict[Prefix, _Written] = {(): _Written(0.0, (START,), "")}

    def weigh(prefix: Prefix) -> float:
        if prefix not in written:
            written[prefix] = _continued(written[prefix[:-1]], text[prefix[-1]], language)
        return written[prefix].worth

    def ended(prefix: Prefix) -> _Written:
        return _continued(written[prefix], " ", language)

    def whole(item: tuple[Prefix, float]) -> float:
        prefix, worth = item
        last = ended(prefix)
        return worth - written[prefix].worth + last.worth + _WEIGHT * language.chance(last.said, END)

    found = search_prefixes(log_probs, blank, _WIDTH, weigh=weigh, least=_LEAST)
    return " ".join(ended(max(found.items(), key=whole)[0]).said[1:])


class _Written(NamedTuple):
    """What the language model makes of a prefix: its words so far, and the one that is being
    spelled.
    """

    worth: float
    said: Gram
    word: str


def _continued(before: _Written, text: str, language: Language) -> _Written:
    """After more text; each space ends a word, which then counts."""
    worth, said, word = before
    for letter in text:
        if letter != " ":
            word += letter
        elif word:
            worth += _WEIGHT * language.chance(said, word) + _BONUS
            said, word = (*said, word), ""
    return _Written(worth, said, word)
