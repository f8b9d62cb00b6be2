"""Tests of "no more was learned than may be", and how well an attacker tells members from others."""

import functools
import math
from dataclasses import dataclass

import numpy as np
import scipy.special
import scipy.stats

from speechpriv.audit import counting, exposure, intervals, tail
from speechpriv.errors import AuditError

_FALSE_ALARMS = 0.01  # at which a claim says how many members can be named
_LARGEST_MU = 8.0  # what a larger one allows, no test can find too much
_PROBABILITIES = (
    "p_value", "p_mann_whitney", "p_simes", "p_counts", "auc", "auc_low", "auc_high", "named", "named_high",
)  # fmt: skip


@dataclass(frozen=True)
class Leakage:
    """What the scores of planted phrases show against references of the same kind.

    Raises:
      AuditError: a probability is outside [0, 1] or not a number; no verdict may rest on it.
    """

    p_value: float  # of the three tests together, Bonferroni; like these, of more than the model may know
    p_mann_whitney: float  # diffuse leakage: all a little better known
    p_simes: float  # sparse leakage: one or two far better known
    p_counts: float  # between them: more than may be, known this well
    auc: float  # P(planted scores lower than reference), 0.5 for no leakage
    auc_low: float
    auc_high: float
    named: float  # share of planted phrases told from references at one false alarm in 100, 0.01 for no leakage
    named_high: float  # upper bound on it
    median_exposure_bits: float
    max_exposure_bits: float

    def __post_init__(self) -> None:
        for name in _PROBABILITIES:
            if not 0 <= getattr(self, name) <= 1:
                raise AuditError(f"leakage: {name} = {getattr(self, name)}; expected a number in [0, 1].")


def leakage(planted: np.ndarray, references: np.ndarray, mu: float = 0.0, confidence: float = 0.95) -> Leakage:
    """Compare scores of planted phrases, shape (P,), with references', shape (R,); lower is better known.

    A model with a claim may know what it was trained on, as far as the claim goes: under mu-GDP, what a test calls
    with probability p where a phrase stayed out, it calls with at most Phi(Phi^-1(p) + mu) where it was planted (Dong
    et al. 2019, arXiv:1905.02383, equation 6). That is the p-value of "known no better than mu allows", and the three
    tests are of it. They take canaries as independent given the model, which they are not quite; the bounds of
    onerun.py do not.

    Args:
      planted: scores of planted phrases.
      references: scores of phrases of the same kind that stayed out.
      mu: what the model may know of each, >= 0; 0: nothing.
      confidence: of the interval of the AUC, two-sided, and of `named_high`, one-sided.

    Raises:
      AuditError: there is no score on a side, one is not a number, or mu is out of range.

    Source: Mann & Whitney 1947; Simes 1986, valid under the positive dependence that shared references
    bring (Bates et al. 2021, arXiv:2104.08279); exposure: Carlini et al. 2019, arXiv:1802.08232.
    """
    if not mu >= 0:
        raise AuditError(f"leakage: mu = {mu}; expected a number >= 0.")
    ranked, extended = exposure.p_values(planted, references), tail.p_values(planted, references)
    p_simes, p_counts = sparse(extended, len(references), mu)
    p_mann_whitney = _p_mean(_allowed(ranked, mu), len(references), mu) if mu else _p_sum(planted, references)
    bits = exposure.bits(ranked)
    told = int(np.count_nonzero(ranked <= _FALSE_ALARMS))
    auc, auc_low, auc_high = intervals.auc(planted, references, confidence)
    return Leakage(
        p_value=min(1.0, 3 * min(p_mann_whitney, p_simes, p_counts)),
        p_mann_whitney=p_mann_whitney,
        p_simes=p_simes,
        p_counts=p_counts,
        auc=auc,
        auc_low=auc_low,
        auc_high=auc_high,
        named=told / len(planted),
        named_high=intervals.most(told, len(planted), confidence),
        median_exposure_bits=float(np.median(bits)),
        max_exposure_bits=float(bits.max()),
    )


def sparse(p_values: np.ndarray, references: int, mu: float) -> tuple[float, float]:
    """Simes' p-value and that of the counts, from phrases' p-values, shape (P,), among so many references."""
    return simes(_allowed(p_values, mu)), counting.p_counts(p_values, references, mu)


def _allowed(p_values: np.ndarray, mu: float) -> np.ndarray:
    return np.asarray(scipy.special.ndtr(scipy.special.ndtri(p_values) + mu)) if mu else p_values


def _p_sum(planted: np.ndarray, references: np.ndarray) -> float:
    return float(scipy.stats.mannwhitneyu(planted, references, alternative="less").pvalue)


def _p_mean(p_values: np.ndarray, references: int, mu: float) -> float:
    """The Mann-Whitney test again, for p-values that were changed: their mean against the 1/2 of uniform ones."""
    return float(scipy.stats.norm.cdf((p_values.mean() - 0.5) / mean_deviation(len(p_values), references, mu)))


@functools.lru_cache(maxsize=256)
def mean_deviation(planted: int, references: int, mu: float) -> float:
    """Standard deviation of the mean of `planted` p-values at the edge of mu-GDP, where all share the references.

    A reference at quantile Phi(z) moves the mean by the integral, from z on, of how dense planted phrases are there
    times how steeply their p-values change there; at the edge both are phi(v + mu) / phi(v), so that it comes to
    exp(mu^2) Phi(-(z + 2 mu)). Its variance over z ~ N(0, 1) is 1/12 at mu = 0, and grows fast with mu.
    """
    mu = min(mu, _LARGEST_MU)
    z = np.linspace(-16, 16, 6401)
    weights = scipy.stats.norm.pdf(z) / scipy.stats.norm.pdf(z).sum()
    moved = math.exp(mu**2) * scipy.special.ndtr(-(z + 2 * mu))
    variance = float(weights @ moved**2 - (weights @ moved) ** 2)
    return math.sqrt(1 / 12 / planted + variance / references)


def simes(p_values: np.ndarray) -> float:
    """Simes' combination of p-values, shape (P,), P >= 1: min over i of P p_(i) / i.

    Raises:
      AuditError: there is none, or one is outside [0, 1].
    """
    count = len(p_values)
    if count == 0 or not np.all((p_values >= 0) & (p_values <= 1)):
        raise AuditError(f"simes: got {count} p-values; expected at least one, and all in [0, 1].")
    return float(np.min(np.sort(p_values) * count / np.arange(1, count + 1)))
