"""P-values beyond the lowest reference, where counting references ends."""

import math

import numpy as np

from speechpriv.audit import exposure

_FEWEST = 1000  # references: fewer say too little of their tail
_SHARE = 40  # one reference in 40, the lowest, tells how the tail goes on
_CAUTION = 2  # deviations by which the tail is taken to be heavier than it looks


def p_values(planted: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Rank p-values; smaller ones for phrases below every reference, by how far below they are.

    2,000 references put any phrase at 1/2,001 at best, be it just below the lowest or ten times as far. Beyond the
    lowest the tail is taken to go on as a power of the distance from the median, its exponent Hill's estimate less
    two of its deviations. That is too careful for lighter tails, and wrong only where the tail gets heavier out there
    than it is among the references. Fewer than 1,000 references are only counted.

    Args:
      planted: scores, shape (P,); lower is better known.
      references: scores, shape (R,), R >= 1.

    Returns:
      Shape (P,), in (0, 1]; never above the rank p-values.

    Raises:
      AuditError: a shape is wrong, or a score is not a number.

    Source: Hill 1975, A simple general approach to inference about the tail of a distribution.
    """
    found = exposure.p_values(planted, references)
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
