"""Intervals of what the audit measured: shares, and the area under the curve (AUC)."""

import math

import numpy as np
import scipy.stats

from speechpriv.errors import AuditError


def upper_bound(hits: int, trials: int, confidence: float) -> float:
    """Return the one-sided upper bound on a probability that gave `hits` in `trials`.

    Args:
      hits: from 0 to trials.
      trials: >= 1.
      confidence: in (0, 1).

    Raises:
      AuditError: a number is out of its range.

    Source: Clopper & Pearson 1934.
    """
    if not (trials >= 1 and 0 <= hits <= trials and 0 < confidence < 1):
        raise AuditError(
            f"interval: {hits} of {trials} at confidence {confidence}; expected 0 <= hits <= trials, at least one "
            "trial, and a confidence between 0 and 1."
        )
    return 1.0 if hits == trials else float(scipy.stats.beta.ppf(confidence, hits + 1, trials - hits))


def auc(planted: np.ndarray, references: np.ndarray, confidence: float) -> tuple[float, float, float]:
    """Return P(planted score lower than reference), ties counting half, with the ends of its
    two-sided interval.

    The placements of planted phrases among references and of references among planted phrases tell
    the variance. Few planted phrases may be placed alike by chance: their part of it is at least
    that of one in P + 1 placed at the other end.

    Args:
      planted: scores, shape (P,), P >= 1.
      references: scores, shape (R,), R >= 1.
      confidence: in (0, 1).

    Source: DeLong et al. 1988, Comparing the areas under two or more correlated ROC curves.
    """
    of_planted, of_references = 1 - rank_among(planted, references), rank_among(references, planted)
    area, count = float(of_planted.mean()), len(planted)
    variance = max(float(np.var(of_planted)), count / (count + 1) ** 2 * max(area, 1 - area) ** 2) / count
    variance += float(np.var(of_references)) / len(references)
    half = float(scipy.stats.norm.ppf((1 + confidence) / 2)) * math.sqrt(variance)
    return area, max(0.0, area - half), min(1.0, area + half)


def rank_among(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the share of `others` below each score, ties counting half, shape of `scores`."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, scores, side="left") + np.searchsorted(ordered, scores, side="right")
    return np.asarray(below / (2 * len(others)))
