"""Private statistics of what people say: word n-grams, noised, without any that few people say.

    for each unit: the distinct n-grams of its transcripts, at most `cap` of them, each with weight 1 / sqrt(how many)
    for each n-gram that anybody says: total weight + N(0, sigma^2); published if that reaches the threshold

One unit more or less moves the totals by at most 1 in L2: a Gaussian mechanism. N-grams that one
unit alone says would betray it by being published at all; the threshold lets any of them pass with
a probability of at most `slip`. What is made of the published table afterwards costs nothing
further.

Totals are whole numbers of 2^-20, and so is the noise, added exactly (see noise.py). An n-gram's
noise is a function of a key and the n-gram, whoever says what else.

Source: Korolova et al. 2009 (release of queries by a threshold); Gopi et al. 2020, arXiv:2002.09745
(weights and Gaussian noise for sets of unknown items); Kim et al. 2021, arXiv:2108.02831 (n-grams).
"""

import hmac
import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import special, stats

from speechpriv.errors import ConfigError

START, END = "<s>", "</s>"
_ONE = 1 << 20  # the weight 1, in whole numbers
_KEY_BYTES = 32

Gram = tuple[str, ...]


def list_ngrams(words: Sequence[str], order: int) -> list[Gram]:
    """List the n-grams of a sentence that has `order - 1` starts before it and an end after it."""
    padded = [*[START] * (order - 1), *words, END]
    return [tuple(padded[i : i + order]) for i in range(len(padded) - order + 1)]


def compute_threshold(noise_multiplier: float, slip: float, cap: int) -> float:
    """Return what a published n-gram's noisy total reaches, so that what one unit alone says is
    hidden but for `slip`.

    For each number k of such n-grams up to the cap, each weighing 1 / sqrt(k): the union bound over
    them.

    Args:
      noise_multiplier: standard deviation of the noise; > 0.
      slip: probability that any of a unit's own n-grams is published; in (0, 1).
      cap: n-grams of a unit, at most; >= 1.
    """
    return max(1 / math.sqrt(k) + noise_multiplier * float(stats.norm.isf(slip / k)) for k in range(1, cap + 1))


def release_probability(noise_multiplier: float, slip: float, cap: int, units: int) -> float:
    """Return the probability, at most, that any n-gram is published that only these few units say.

    If every c of k units say the same m n-grams, k m / c of them weigh c / sqrt(m) each: the union
    bound over them, for the worst c and m. No other way to share them is worse. Below the threshold
    the noise's tail f is convex in the weight, so of an n-gram that units with the weights w_1 to
    w_c share, f(w_1 + ... + w_c) is at most the mean of f(c w_i), and a unit's part in the sum over
    all n-grams at most m f(c / sqrt(m)) / c.

    Args:
      noise_multiplier: see `compute_threshold`.
      slip: see `compute_threshold`.
      cap: see `compute_threshold`.
      units: k, >= 1; for one it is `slip`.

    Returns:
      In [0, 1]; 1 if the units may reach the threshold without noise, which is as likely as not to
      publish it.
    """
    least = compute_threshold(noise_multiplier, slip, cap)
    if units > least:
        return 1.0
    said, sharing = np.arange(1, cap + 1), np.arange(1, units + 1)[:, None]
    chances = stats.norm.sf((least - sharing / np.sqrt(said)) / noise_multiplier) * said * units / sharing
    return min(1.0, float(chances.max()))


def release_ngrams(
    units: Mapping[str, Sequence[Sequence[str]]],
    key: bytes,
    *,
    order: int,
    cap: int,
    noise_multiplier: float,
    slip: float,
) -> dict[Gram, float]:
    """Publish the n-grams that many units say.

    Args:
      units: the sentences of each unit, in words.
      key: 32 secret bytes; never publish two different corpora with one key.
      order: words in an n-gram, >= 2.
      cap: distinct n-grams of a unit that count, at most; which, only the key and the unit's own
        words decide.
      noise_multiplier: standard deviation of the noise, over what one unit moves the totals by in
        L2; > 0.
      slip: see `compute_threshold`.

    Returns:
      Noisy total weight of each published n-gram, largest first.

    Raises:
      ConfigError: an argument is out of its range.
    """
    if len(key) != _KEY_BYTES:
        raise ConfigError(f"phrases: key has {len(key)} bytes, expected {_KEY_BYTES}. Use noise.new_key().")
    if not (order >= 2 and cap >= 1 and 0 < noise_multiplier < math.inf and 0 < slip < 1):
        raise ConfigError(
            f"phrases: order = {order}, cap = {cap}, noise multiplier = {noise_multiplier}, slip = {slip}; expected an "
            "order of at least 2, a cap of at least 1, a positive and finite noise multiplier, and a slip in (0, 1)."
        )
    least = math.ceil(_ONE * compute_threshold(noise_multiplier, slip, cap)) + 1
    noisy = {
        gram: total + round(noise_multiplier * _ONE * _normal(key, gram))
        for gram, total in _totals(units, key, order, cap).items()
    }
    kept = sorted(((total, gram) for gram, total in noisy.items() if total >= least), reverse=True)
    return {gram: total / _ONE for total, gram in kept}


def _totals(units: Mapping[str, Sequence[Sequence[str]]], key: bytes, order: int, cap: int) -> dict[Gram, int]:
    """Weight of each n-gram over all units, in whole numbers: with and without a unit they differ
    by `_ONE` in L2.
    """
    totals: dict[Gram, int] = {}
    for sentences in units.values():
        said = _chosen({gram for words in sentences for gram in list_ngrams(words, order)}, key, cap)
        for gram in said:
            totals[gram] = totals.get(gram, 0) + math.isqrt(_ONE * _ONE // len(said))  # rounded down
    return totals


def _chosen(said: set[Gram], key: bytes, cap: int) -> list[Gram]:
    """`cap` of a unit's n-grams at most, in an order of its own that only the key explains."""
    own = hmac.digest(key, b"unit" + _digest(key, *sorted(said)), "sha256")
    return sorted(said, key=lambda gram: _digest(own, gram))[:cap]


def _digest(key: bytes, *found: Gram) -> bytes:
    return hmac.digest(key, "\n".join(" ".join(gram) for gram in found).encode(), "sha256")


def _normal(key: bytes, gram: Gram) -> float:
    """Standard normal noise of an n-gram, by the inverse of the distribution function at a uniform
    number.

    The first bit is the sign; the other 127 are a number below 1/2, so that the tail is cut off
    only beyond 13.
    """
    bits = int.from_bytes(_digest(hmac.digest(key, b"noise", "sha256"), gram)[:16])
    tail = float(special.ndtri(((bits & ((1 << 127) - 1)) + 0.5) / (1 << 128)))
    return tail if bits >> 127 else -tail
