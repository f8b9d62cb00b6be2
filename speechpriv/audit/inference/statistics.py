"""Exposure, tests of "no more was learned than may be", and how well an attacker tells members from
others.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.special
import scipy.stats

from speechpriv.audit.inference import intervals
from speechpriv.errors import AuditError

_FALSE_ALARMS = 0.01  # at which a claim says how many members can be named
_LARGEST_MU = 8.0  # what a larger one allows, no test can find too much
_FEWEST = 1000  # references: fewer say too little of their tail
_SHARE = 40  # one reference in 40, the lowest, tells how the tail goes on
_CAUTION = 2  # deviations by which the tail is taken to be heavier than it looks
LEVELS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)  # of false alarms
_REACH = 1e-13  # of a quantile's distribution on either side, that the sum over it may leave out
_POINTS = 601
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


def measure_leakage(planted: np.ndarray, references: np.ndarray, mu: float = 0.0, confidence: float = 0.95) -> Leakage:
    """Compare scores of planted phrases, shape (P,), with references', shape (R,); lower is better
    known.

    A model with a claim may know what it was trained on, as far as the claim goes: under mu-GDP,
    what a test calls with probability p where a phrase stayed out, it calls with at most
    Phi(Phi^-1(p) + mu) where it was planted (Dong et al. 2019, arXiv:1905.02383, equation 6). That
    is the p-value of "known no better than mu allows", and the three tests are of it. They take
    canaries as independent given the model, which they are not quite; the bounds of onerun.py do
    not.

    Args:
      planted: scores of planted phrases.
      references: scores of phrases of the same kind that stayed out.
      mu: what the model may know of each, >= 0; 0: nothing.
      confidence: of the interval of the AUC, two-sided, and of `named_high`, one-sided.

    Raises:
      AuditError: there is no score on a side, one is not a number, or mu is out of range.

    Source: Mann & Whitney 1947; Simes 1986, valid under the positive dependence that shared
    references bring (Bates et al. 2021, arXiv:2104.08279); exposure: Carlini et al. 2019,
    arXiv:1802.08232.
    """
    if not mu >= 0:
        raise AuditError(f"leakage: mu = {mu}; expected a number >= 0.")
    ranked, extended = rank_p_values(planted, references), tail_p_values(planted, references)
    p_simes, p_counted = test_sparse(extended, len(references), mu)
    p_mann_whitney = _p_mean(_allowed(ranked, mu), len(references), mu) if mu else _p_sum(planted, references)
    bits = compute_exposures(ranked)
    told = int(np.count_nonzero(ranked <= _FALSE_ALARMS))
    auc, auc_low, auc_high = intervals.auc(planted, references, confidence)
    return Leakage(
        p_value=min(1.0, 3 * min(p_mann_whitney, p_simes, p_counted)),
        p_mann_whitney=p_mann_whitney,
        p_simes=p_simes,
        p_counts=p_counted,
        auc=auc,
        auc_low=auc_low,
        auc_high=auc_high,
        named=told / len(planted),
        named_high=intervals.upper_bound(told, len(planted), confidence),
        median_exposure_bits=float(np.median(bits)),
        max_exposure_bits=float(bits.max()),
    )


def test_sparse(p_values: np.ndarray, references: int, mu: float) -> tuple[float, float]:
    """Return Simes' p-value and that of the counts, from phrases' p-values, shape (P,), among so
    many references.
    """
    return combine_by_simes(_allowed(p_values, mu)), test_counts(p_values, references, mu)


def _allowed(p_values: np.ndarray, mu: float) -> np.ndarray:
    return np.asarray(scipy.special.ndtr(scipy.special.ndtri(p_values) + mu)) if mu else p_values


def _p_sum(planted: np.ndarray, references: np.ndarray) -> float:
    return float(scipy.stats.mannwhitneyu(planted, references, alternative="less").pvalue)


def _p_mean(p_values: np.ndarray, references: int, mu: float) -> float:
    """The Mann-Whitney test again, for p-values that were changed: their mean against the 1/2 of
    uniform ones.
    """
    return float(scipy.stats.norm.cdf((p_values.mean() - 0.5) / mean_deviation(len(p_values), references, mu)))


@functools.lru_cache(maxsize=256)
def mean_deviation(planted: int, references: int, mu: float) -> float:
    """Return the standard deviation of the mean of `planted` p-values at the edge of mu-GDP, where
    all share the references.

    A reference at quantile Phi(z) moves the mean by the integral, from z on, of how dense planted
    phrases are there times how steeply their p-values change there; at the edge both are phi(v +
    mu) / phi(v), so that it comes to exp(mu^2) Phi(-(z + 2 mu)). Its variance over z ~ N(0, 1) is
    1/12 at mu = 0, and grows fast with mu.
    """
    mu = min(mu, _LARGEST_MU)
    z = np.linspace(-16, 16, 6401)
    weights = scipy.stats.norm.pdf(z) / scipy.stats.norm.pdf(z).sum()
    moved = math.exp(mu**2) * scipy.special.ndtr(-(z + 2 * mu))
    variance = float(weights @ moved**2 - (weights @ moved) ** 2)
    return math.sqrt(1 / 12 / planted + variance / references)


def combine_by_simes(p_values: np.ndarray) -> float:
    """Return Simes' combination of p-values, shape (P,), P >= 1: min over i of P p_(i) / i.

    Raises:
      AuditError: there is none, or one is outside [0, 1].
    """
    count = len(p_values)
    if count == 0 or not np.all((p_values >= 0) & (p_values <= 1)):
        raise AuditError(f"simes: got {count} p-values; expected at least one, and all in [0, 1].")
    return float(np.min(np.sort(p_values) * count / np.arange(1, count + 1)))


def exposure_bits(canary: float, references: Sequence[float] | np.ndarray) -> float:
    """Return the exposure of one canary, in bits.

    Under the null (the canary was not learned) P(exposure >= x) <= 2^-x, whatever the scores'
    distribution.

    Args:
      canary: score of the canary; lower is better known to the model.
      references: scores, shape (R,), of phrases of the same kind that were not planted; R >= 1.

    Returns:
      -log2((1 + #{reference <= canary}) / (R + 1)), from 0 to log2(R + 1).

    Raises:
      AuditError: no reference, or a score that is not a number.

    Source: Carlini et al. 2019, arXiv:1802.08232, section 4; the rank p-value of Phipson & Smyth
    2010.
    """
    return float(compute_exposures(rank_p_values(np.array([canary]), references))[0])


def compute_exposures(p_values: np.ndarray) -> np.ndarray:
    """Compute exposures of p-values in (0, 1], any shape."""
    return np.log2(1 / p_values)


def rank_p_values(canaries: np.ndarray, references: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return (1 + #{reference <= canary}) / (R + 1) of each canary: valid p-values of "was not
    learned".

    A tie counts against the canary, so that a model to which all phrases are alike exposes none.

    Args:
      canaries: scores, shape (P,); lower is better known.
      references: scores, shape (R,), R >= 1.

    Returns:
      Shape (P,), from 1 / (R + 1) to 1.

    Raises:
      AuditError: a shape is wrong, or a score is not a number.
    """
    planted, known = np.asarray(canaries, dtype=np.float64), np.asarray(references, dtype=np.float64)
    if planted.ndim != 1 or known.ndim != 1 or len(known) == 0:
        raise AuditError(
            f"exposure: canaries have shape {planted.shape} and references {known.shape}; expected (P,) and (R,) with "
            "at least one reference."
        )
    if missing := int(np.count_nonzero(np.isnan(planted)) + np.count_nonzero(np.isnan(known))):
        raise AuditError(
            f"exposure: {missing} of {len(planted) + len(known)} scores are not numbers. Look for phrases that the "
            "model cannot score."
        )
    return (1 + np.searchsorted(np.sort(known), planted, side="right")) / (len(known) + 1)


def tail_p_values(planted: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Return rank p-values; smaller ones for phrases below every reference, by how far below they
    are.

    2,000 references put any phrase at 1/2,001 at best, be it just below the lowest or ten times as
    far. Beyond the lowest the tail is taken to go on as a power of the distance from the median,
    its exponent Hill's estimate less two of its deviations. That is too careful for lighter tails,
    and wrong only where the tail gets heavier out there than it is among the references. Fewer than
    1,000 references are only counted.

    Args:
      planted: scores, shape (P,); lower is better known.
      references: scores, shape (R,), R >= 1.

    Returns:
      Shape (P,), in (0, 1]; never above the rank p-values.

    Raises:
      AuditError: a shape is wrong, or a score is not a number.

    Source: Hill 1975, A simple general approach to inference about the tail of a distribution.
    """
    found = rank_p_values(planted, references)
    if len(references) < _FEWEST:
        return found
    median = np.median(references)
    distances = np.sort(median - np.asarray(references, dtype=np.float64))[::-1]
    chosen = len(distances) // _SHARE
    inside = distances[distances < distances[chosen - 1]]  # of ties, all or none are in the tail
    if len(inside) == 0 or not inside[0] > 0:
        return found
    tail = distances[distances > inside[0]]
    heaviness = float(np.mean(np.log(tail / inside[0]))) * (1 + _CAUTION / math.sqrt(chosen))
    reach = np.maximum(median - planted, distances[0]) / inside[0]
    share = (len(tail) + 1) / (len(distances) + 1)
    further = np.maximum(share * np.exp(-np.log(reach) / heaviness), np.finfo(np.float64).tiny)
    return np.where(median - planted > distances[0], np.minimum(found, further), found)


def test_counts(p_values: np.ndarray, references: int, mu: float) -> float:
    """Return the p-value of "at no level are more phrases told than mu-GDP allows", Bonferroni over
    `LEVELS`.

    Args:
      p_values: of planted phrases, shape (P,), as `tail_p_values` gives them.
      references: R, that they come from.
      mu: what the model may know of each, >= 0.
    """
    found = []
    for level in LEVELS:
        rank = int(level * (references + 1) + 1e-9)
        reached = rank / (references + 1) if rank else level
        told = int(np.count_nonzero(p_values <= reached * (1 + 1e-12)))
        weights, chances = _chances(references, rank, level, mu)
        found.append(float(scipy.stats.binom.sf(told - 1, len(p_values), chances) @ weights))
    return min(1.0, len(LEVELS) * min(found))


@functools.lru_cache(maxsize=64)
def _chances(references: int, rank: int, level: float, mu: float) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and with which weights, that a phrase at the edge of mu-GDP is told; both of
    shape (K,).

    Below the rank-th lowest reference the false alarms are Beta(rank, R + 1 - rank), not just rank
    / (R + 1): all phrases are measured with the same references. Rank 0: at `level`, which lies
    beyond them.
    """
    if rank == 0:
        return np.ones(1), scipy.special.ndtr(scipy.special.ndtri([level]) + mu)
    alarms = scipy.stats.beta(rank, references + 1 - rank)
    low, high = (float(scipy.special.ndtri(alarms.ppf(edge))) for edge in (_REACH, 1 - _REACH))
    z = np.linspace(low, high, _POINTS)
    logs = alarms.logpdf(scipy.special.ndtr(z)) - z**2 / 2
    weights = np.exp(logs - logs.max())
    return weights / weights.sum(), scipy.special.ndtr(z + mu)
