"""The least that an audit would have seen: a PASS says nothing about less."""

import bisect
import math
from dataclasses import dataclass

import numpy as np
import scipy.special
import scipy.stats

from speechpriv.audit.inference import statistics

_POWER = 0.8


@dataclass(frozen=True)
class Detectable:
    """What fails a model under these canaries, references, claim and alpha, if it does nothing else
    wrong.

    None: nothing that these tests could see.
    """

    auc: float | None  # of all planted phrases together, seen four times in five
    memorised: int | None  # planted phrases just below the lowest reference
    memorised_far: int | None  # planted phrases ten times as far from the median as the lowest reference


def find_minimum_effect(planted: int, references: np.ndarray, mu: float, level: float) -> Detectable:
    """Try it: phrases that stand out, among others that the model does not know at all.

    Args:
      planted: P, number of planted phrases.
      references: scores, shape (R,).
      mu: what the model may know of each.
      level: of each test.
    """
    lowest, median = float(references.min()), float(np.median(references))
    just_below = float(np.nextafter(lowest, -math.inf))
    places = np.array([just_below, min(just_below, median - 10 * (median - lowest)), median])
    below, far, unknown = statistics.tail_p_values(places, references)

    def seen(count: int, p_value: float) -> bool:
        p_values = np.full(planted, unknown)
        p_values[:count] = p_value
        return min(statistics.test_sparse(p_values, len(references), mu)) < level

    def least(p_value: float) -> int | None:
        if not seen(planted, p_value):
            return None
        return 1 + bisect.bisect_left(range(1, planted), 1, key=lambda count: seen(count, p_value))

    return Detectable(auc=_auc(planted, len(references), mu, level), memorised=least(below), memorised_far=least(far))


def _auc(planted: int, references: int, mu: float, level: float) -> float | None:
    """The AUC at which the Mann-Whitney test fires with probability 0.8, its deviation taken as
    under the null.
    """
    deviation = statistics.mean_deviation(planted, references, mu)
    mean = 0.5 + deviation * float(scipy.special.ndtri(level) - scipy.special.ndtri(_POWER))
    if not mean > 0:
        return None
    # Phrases shifted by s have p-values of mean Phi((mu - s) / sqrt(2)) after the claim's mu is
    # taken off, and AUC Phi(s / sqrt(2)).
    return float(scipy.special.ndtr(mu / math.sqrt(2) - scipy.special.ndtri(mean)))
