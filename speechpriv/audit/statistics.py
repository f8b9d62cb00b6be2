"""Tests of "no more was learned than may be", and how well an attacker tells members from others."""

import math
from dataclasses import dataclass

import numpy as np
import scipy.stats

from speechpriv.audit import exposure
from speechpriv.errors import AuditError

_FALSE_ALARMS = 0.01  # at which a claim says how many members can be named


@dataclass(frozen=True)
class Leakage:
    """What the scores of planted phrases show against references of the same kind.

    Raises:
      AuditError: a probability is outside [0, 1] or not a number; no verdict may rest on it.
    """

    p_value: float  # of the two tests together, Bonferroni; like these, of more than the model may know
    p_mann_whitney: float  # diffuse leakage: all a little better known
    p_simes: float  # sparse leakage: a few far better known
    auc: float  # P(planted scores lower than reference), 0.5 for no leakage
    named: float  # share of planted phrases told from references at one false alarm in 100, 0.01 for no leakage
    median_exposure_bits: float
    max_exposure_bits: float

    def __post_init__(self) -> None:
        for name in ("p_value", "p_mann_whitney", "p_simes", "auc", "named"):
            if not 0 <= getattr(self, name) <= 1:
                raise AuditError(f"leakage: {name} = {getattr(self, name)}; expected a number in [0, 1].")


def leakage(planted: np.ndarray, references: np.ndarray, mu: float = 0.0) -> Leakage:
    """Compare scores of planted phrases, shape (P,), with references', shape (R,); lower is better known.

    A model with a claim may know what it was trained on, as far as the claim goes: under mu-GDP, what a test calls
    with probability p where a phrase stayed out, it calls with at most Phi(Phi^-1(p) + mu) where it was planted (Dong
    et al. 2019, arXiv:1905.02383, equation 6). That is the p-value of "known no better than mu allows", and the two
    tests are of it. They take canaries as independent given the model, which they are not quite.

    Args:
      planted: scores of planted phrases.
      references: scores of phrases of the same kind that stayed out.
      mu: what the model may know of each, >= 0; 0: nothing.

    Raises:
      AuditError: there is no score on a side, one is not a number, or mu is out of range.

    Source: Mann & Whitney 1947; Simes 1986, valid under the positive dependence that shared references
    bring (Bates et al. 2021, arXiv:2104.08279); exposure: Carlini et al. 2019, arXiv:1802.08232.
    """
    if not mu >= 0:
        raise AuditError(f"leakage: mu = {mu}; expected a number >= 0.")
    p_values = exposure.p_values(planted, references)
    allowed = scipy.stats.norm.cdf(scipy.stats.norm.ppf(p_values) + mu) if mu else p_values
    p_simes = simes(allowed)
    test = scipy.stats.mannwhitneyu(planted, references, alternative="less")
    p_mann_whitney = _p_mean(allowed, len(references)) if mu else float(test.pvalue)
    bits = exposure.bits(p_values)
    return Leakage(
        p_value=min(1.0, 2 * min(p_mann_whitney, p_simes)),
        p_mann_whitney=p_mann_whitney,
        p_simes=p_simes,
        auc=1 - float(test.statistic) / (len(planted) * len(references)),  # the statistic counts planted > reference
        named=float(np.mean(p_values <= _FALSE_ALARMS)),
        median_exposure_bits=float(np.median(bits)),
        max_exposure_bits=float(bits.max()),
    )


def _p_mean(p_values: np.ndarray, references: int) -> float:
    """The Mann-Whitney test again, for p-values that were changed: their mean against the 1/2 of uniform ones."""
    deviation = math.sqrt((1 / len(p_values) + 1 / references) / 12)
    return float(scipy.stats.norm.cdf((p_values.mean() - 0.5) / deviation))


def simes(p_values: np.ndarray) -> float:
    """Simes' combination of p-values, shape (P,), P >= 1: min over i of P p_(i) / i.

    Raises:
      AuditError: there is none, or one is outside [0, 1].
    """
    count = len(p_values)
    if count == 0 or not np.all((p_values >= 0) & (p_values <= 1)):
        raise AuditError(f"simes: got {count} p-values; expected at least one, and all in [0, 1].")
    return float(np.min(np.sort(p_values) * count / np.arange(1, count + 1)))
