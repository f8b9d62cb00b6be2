"""How many planted phrases are below a level that was fixed beforehand, and how many may be."""

import functools

import numpy as np
import scipy.special
import scipy.stats

LEVELS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)  # of false alarms
_REACH = 1e-13  # of a quantile's distribution on either side, that the sum over it may leave out
_POINTS = 601


def p_counts(p_values: np.ndarray, references: int, mu: float) -> float:
    """P-value of "at no level are more phrases told than mu-GDP allows", Bonferroni over `LEVELS`.

    Args:
      p_values: of planted phrases, shape (P,), as `tail.p_values` gives them.
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
    """Probabilities, and with which weights, that a phrase at the edge of mu-GDP is told; both of shape (K,).

    Below the rank-th lowest reference the false alarms are Beta(rank, R + 1 - rank), not just rank / (R + 1): all
    phrases are measured with the same references. Rank 0: at `level`, which lies beyond them.
    """
    if rank == 0:
        return np.ones(1), scipy.special.ndtr(scipy.special.ndtri([level]) + mu)
    alarms = scipy.stats.beta(rank, references + 1 - rank)
    low, high = (float(scipy.special.ndtri(alarms.ppf(edge))) for edge in (_REACH, 1 - _REACH))
    z = np.linspace(low, high, _POINTS)
    logs = alarms.logpdf(scipy.special.ndtr(z)) - z**2 / 2
    weights = np.exp(logs - logs.max())
    return weights / weights.sum(), scipy.special.ndtr(z + mu)
