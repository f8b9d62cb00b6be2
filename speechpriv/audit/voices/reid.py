"""How well an attacker tells people apart by voice: the equal error rate of their scores, with its
uncertainty.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression

from speechpriv.errors import AuditError

N_RESAMPLES = 1_000
TAIL = 0.025  # on each side of a 95 % interval

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.intp]


def equal_error_rate(target: npt.ArrayLike, nontarget: npt.ArrayLike, seed: int = 0) -> tuple[float, float, float]:
    """Return the equal error rate on the convex hull of the ROC (ROCCH), with a 95 % bootstrap
    interval.

    On the hull, an attacker may also toss a coin between two thresholds; so the rate never exceeds
    0.5, does not depend on how ties are broken, and is the attacker's best error under the prior
    that suits them least.

    The interval resamples scores as if they were independent. Where many scores share a speaker it
    is too narrow. The hull fits chance patterns, so the rate comes out low when scores are few; the
    interval is shifted by the bias that the resampling shows, and holds the truth in 86 to 93 % of
    simulations with 50 to 200 targets (80 % where the truth is 0.5, which the hull never exceeds).
    Where it misses, it mostly makes the attacker look too strong.

    Args:
      target: shape (n,), finite: scores of pairs from one speaker; higher means more alike.
      nontarget: shape (m,), finite: scores of pairs from two speakers.
      seed: of the resampling; the same seed gives the same interval.

    Returns:
      (eer, low, high) as fractions, low <= eer <= high, in [0, 0.5]: 0 is a perfect attacker, 0.5
      one that guesses.

    Raises:
      AuditError: scores are empty, not one-dimensional, or not finite.

    Source: Brummer and de Villiers 2013, arXiv:1304.2865 (ROCCH by pool-adjacent-violators); Efron
    and Tibshirani 1993, chapters 10 (bias) and 13 (percentiles).
    """
    targets, nontargets = _checked(target, "target"), _checked(nontarget, "nontarget")
    distinct, rank = np.unique(np.concatenate([targets, nontargets]), return_inverse=True)
    target_rank, nontarget_rank = rank[: len(targets)], rank[len(targets) :]

    def rate(of_targets: Counts, of_nontargets: Counts) -> float:
        return _rocch_eer(
            np.bincount(of_targets, minlength=len(distinct)), np.bincount(of_nontargets, minlength=len(distinct))
        )

    rng = np.random.default_rng(seed)
    resampled = [
        rate(rng.choice(target_rank, len(target_rank)), rng.choice(nontarget_rank, len(nontarget_rank)))
        for _ in range(N_RESAMPLES)
    ]
    return _with_interval(rate(target_rank, nontarget_rank), resampled, min(len(targets), len(nontargets)))


def equal_error_rate_of_people(
    scores: npt.ArrayLike, heard: npt.ArrayLike, claimed: npt.ArrayLike, seed: int = 0
) -> tuple[float, float, float]:
    """As `equal_error_rate`, where people are resampled, with all their scores, and not scores.

    A person who is drawn k times counts k times in pairs with themselves, and k * l times with one
    who is drawn l times: scores of one person are no news of others.

    Args:
      scores: shape (n,), finite: how alike the two sides of each pair are.
      heard: shape (n,), whose the one side is, as whole numbers from 0.
      claimed: shape (n,), whose the other is, likewise; the same person: a target pair.
      seed: of the resampling.

    Returns:
      (eer, low, high), as there.

    Raises:
      AuditError: as there, or the shapes differ, or there are no pairs of one of the two kinds.

    Source: Bolle et al. 2004 (subsets bootstrap of people).
    """
    values = _checked(scores, "pairs")
    one, other = np.asarray(heard, np.intp), np.asarray(claimed, np.intp)
    same = one == other
    if not (values.shape == one.shape == other.shape and 0 < np.count_nonzero(same) < len(values)):
        raise AuditError(
            f"equal error rate: {len(values)} scores, {len(one)} and {len(other)} people, {np.count_nonzero(same)} "
            "target pairs: expected as many of each, and pairs of one person and of two. Record more people."
        )
    distinct, rank = np.unique(values, return_inverse=True)
    people = max(int(one.max()), int(other.max())) + 1

    def rate(times: Counts) -> float:
        weights = np.where(same, times[one], times[one] * times[other])
        return _rocch_eer(*(np.bincount(rank[kind], weights[kind], minlength=len(distinct)) for kind in (same, ~same)))

    rng = np.random.default_rng(seed)
    there = np.unique(one[same])
    resampled: list[float] = []
    while len(resampled) < N_RESAMPLES:
        times = np.bincount(rng.choice(there, len(there)), minlength=people)
        if (times[one] * times[other])[~same].any():  # somebody is there to be taken for another
            resampled.append(rate(times))
    return _with_interval(rate(np.ones(people, np.intp)), resampled, len(there))


def _with_interval(eer: float, resampled: Sequence[float], independent: int) -> tuple[float, float, float]:
    """The rate, and from where to where it may be; without a single error, `independent` draws
    could have shown one.
    """
    # Resampling adds the hull's bias a second time; taking it off twice centres the interval on the
    # corrected rate.
    low, high = np.quantile(resampled, [TAIL, 1 - TAIL]) - 2 * (np.mean(resampled) - eer)
    if eer == 0:
        # Resampling cannot show errors that never happened. Were the true rate e, scores as cleanly
        # separated as these would come with probability (1 - e)^n + (1 - e)^m at most.
        high = 1 - TAIL ** (1 / independent)
    return eer, float(np.clip(low, 0, eer)), float(np.clip(high, eer, 0.5))


def _rocch_eer(n_target: Counts | Floats, n_nontarget: Counts | Floats) -> float:
    """From the number of scores of each kind at each distinct value, ascending; values without
    scores may occur.
    """
    n_scores = n_target + n_nontarget
    used = n_scores > 0
    n_target, n_nontarget, n_scores = n_target[used], n_nontarget[used], n_scores[used]
    # Thresholds between the pools of the isotonic fit to P(target | score) are the corners of the
    # hull.
    corners = isotonic_regression(n_target / n_scores, weights=n_scores).blocks
    miss = np.concatenate([[0], np.cumsum(n_target)])[corners] / n_target.sum()
    false_alarm = 1 - np.concatenate([[0], np.cumsum(n_nontarget)])[corners] / n_nontarget.sum()
    return float(np.interp(0, miss - false_alarm, miss))


def _checked(scores: npt.ArrayLike, name: str) -> Floats:
    values = np.asarray(scores, np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise AuditError(f"equal error rate: {name} has shape {values.shape}: expected (n,) with n >= 1.")
    if not np.isfinite(values).all():
        n_bad = np.count_nonzero(~np.isfinite(values))
        raise AuditError(
            f"equal error rate: {n_bad} of {len(values)} {name} scores are NaN or infinite. Remove the cause."
        )
    return values
