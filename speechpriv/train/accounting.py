"""What a training costs in privacy: epsilon, delta, mu-GDP and the members an attacker can name.

Mechanism: Gaussian noise on a sum of clipped gradients, drawn by coins and repeated over steps
(mechanism.py). Adjacency: add or remove one unit, both ways. Every figure comes from the privacy
loss distribution (PLD) of Google's dp_accounting, with a discretisation that only rounds towards
more loss, so it is an upper bound. Whatever is not understood costs infinitely much, never nothing.

A slip (mechanism.py) is added to delta as it is. Where one unit alone has something, the sum is two
independent parts: its noise over what others have too, and what is shown of its own, which is
nothing with probability 1 - slip. If the unit is there, the loss of the second part is infinite
with probability slip, else log(1 - slip) < 0; if it is not, the loss is -log(1 - slip), which adds
at most slip to any delta.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import dp_accounting
import numpy as np
from dp_accounting import pld
from scipy import optimize, stats

from speechpriv.errors import ConfigError
from speechpriv.train.crosscheck import second_opinion
from speechpriv.train.mechanism import (
    LEAST_NOISE,
    SampledGaussian,
    build_event,
    event_from_json,
    event_to_json,
    is_understood,
    step_event,
)

__all__ = [
    "Event",
    "build_event",
    "epsilon",
    "epsilon_of",
    "event_from_json",
    "event_to_json",
    "max_true_positive_rate",
    "mu_gdp",
    "noise_multiplier",
    "of_group",
    "privacy_profile",
    "second_opinion",
]  # fmt: skip

Event = SampledGaussian | None  # None: not understood

_RELATION = dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE  # the larger of both directions
_LEAST_DELTA = 1e-10  # profiles are compared down to here, a margin above the rounding of the convolutions
_PROFILE_POINTS = 2000
_LARGEST_EPSILON = 700.0  # exp() of more overflows
_MOST_NOISE = 1e6  # that calibration tries
_PRECISION = 1e-4  # of the logarithm of the noise multiplier that it finds
_FAR = 50.0  # where a logarithm stands for any larger one


def epsilon(*, sampling_rate: float, noise_multiplier: float, steps: int, delta: float, records: int = 1) -> float:
    """Return epsilon of a run at `delta`, per unit; see `build_event` and `epsilon_of`."""
    return epsilon_of([build_event(sampling_rate, noise_multiplier, steps, records)], delta)


def noise_multiplier(
    *,
    sampling_rate: float,
    steps: int,
    epsilon: float,
    delta: float,
    records: int = 1,
    slip: float = 0.0,
    beside: Sequence[Event] = (),
) -> float:
    """Return the smallest noise multiplier whose epsilon is at most `epsilon`, rounded up by at
    most 0.05 %.

    Args:
      sampling_rate: probability of a unit (of an utterance, if `records` is above 1) to be drawn in
        a step, in (0, 1].
      steps: number of steps, 1 to a million.
      epsilon: the target, > 0 and finite.
      delta: in (0, 1).
      records: see `build_event`.
      slip: see `build_event`.
      beside: what else is released, that counts towards the target.

    Returns:
      A value that meets the target by this module's own `epsilon`; at least 0.001.

    Raises:
      ConfigError: an argument is out of its range, or no noise meets the target.
    """
    if not 0 < epsilon < math.inf:
        raise ConfigError(f"accounting: epsilon = {epsilon}, expected > 0 and finite.")

    def excess(log_sigma: float) -> float:
        spent = epsilon_of([*beside, build_event(sampling_rate, math.exp(log_sigma), steps, records, slip)], delta)
        return min(math.log(max(spent, 1e-300) / epsilon), _FAR)  # nearly linear, so that few trials are enough

    most, least = math.log(_MOST_NOISE), math.log(LEAST_NOISE)
    above = 0.0
    while excess(above) > 0 and above < most:
        above += 1.0
    if above >= most:
        raise ConfigError(
            f"accounting: no noise gives epsilon {epsilon:g} at delta {delta:g} in {steps} steps. Raise epsilon."
        )
    below = above - 1.0
    while excess(below) <= 0:
        if below <= least:
            return LEAST_NOISE
        above, below = below, max(below - 1.0, least)
    root = optimize.brentq(excess, below, above, xtol=_PRECISION)
    while excess(root) > 0:
        root += _PRECISION
    return math.exp(root)


def epsilon_of(events: Sequence[Event], delta: float) -> float:
    """Return epsilon at `delta` of everything released: all `events`, composed adaptively.

    Returns:
      An upper bound, within 0.1 % of the exact value where epsilon is above 1 (0.3 % above 0.1); 0
      for no events; infinity if any event is not understood, or if delta is below what the
      convolutions resolve (about 1e-14).

    Raises:
      ConfigError: delta is not in (0, 1).
    """
    if not 0 < delta < 1:
        raise ConfigError(f"accounting: delta = {delta}, expected 0 < delta < 1.")
    return _compose(events, delta)[0]


def of_group(events: Sequence[Event], size: int) -> list[Event]:
    """Return what was released, for `size` units that are added or removed together; slips are left
    out (groups.py).

    Each unit is drawn by coins of its own, and all may point one way: Binomial(size records, rate)
    clip norms a step.

    Source: as of `step_event`; units of a group are to it what utterances are to a unit.
    """
    return [
        replace(event, records=size * event.records) if event is not None else None for event in _without_slips(events)
    ]


def privacy_profile(events: Sequence[Event], epsilons: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return delta at each epsilon: the whole guarantee, of which (epsilon, delta) is one point.

    Args:
      events: what was released.
      epsilons: shape (E,), ascending, each in [0, 700].

    Returns:
      Shape (E,), in [0, 1]: upper bounds; 1 throughout if any event is not understood.

    Raises:
      ConfigError: epsilons are out of range or not ascending.
    """
    grid = np.asarray(epsilons, dtype=np.float64)
    if not (((grid >= 0) & (grid <= _LARGEST_EPSILON)).all() and (np.diff(grid) >= 0).all()):
        raise ConfigError(f"accounting: epsilons must ascend within 0 to {_LARGEST_EPSILON:g}.")
    return np.minimum(_deltas(_compose(_without_slips(events), _LEAST_DELTA)[1], grid) + _slips(events), 1.0)


def mu_gdp(events: Sequence[Event]) -> float:
    """Return Gaussian differential privacy: one number for the whole profile, but for what slips.

    Rule: the smallest mu whose Gaussian profile is nowhere below ours, where ours is at least
    1e-10. Between grid points, our delta on the left must not exceed the Gaussian's on the right,
    so mu errs upwards (below 1 %). No mu covers a probability that does not shrink with epsilon:
    slips are left out, and hold on top of mu.

    Returns:
      mu >= 0; infinity if an event is not understood or epsilon at delta 1e-10 is above 700.

    Source: Gomez et al. 2025, arXiv:2503.10945; the profile of a Gaussian: Balle and Wang 2018,
    arXiv:1805.06530, Theorem 8.
    """
    grid, deltas = _profile(events)
    if deltas[-1] >= 1:
        return math.inf
    needed = deltas[:-1] >= _LEAST_DELTA
    if not needed.any():
        return 0.0
    left, right = deltas[:-1][needed], grid[1:][needed]
    return _least(lambda mu: bool((_gaussian_profile(mu, right) >= left).all()), tolerance=1e-4)


def max_true_positive_rate(events: Sequence[Event], false_positive_rate: float = 0.01) -> float:
    """Return the largest share of members that any attacker can name at a given rate of false
    alarms.

    Every point (epsilon, delta) of the profile bounds it by min(delta + e^epsilon a, 1 - e^-epsilon
    (1 - delta - a)), a being the false positive rate; so does the smallest of these over a grid of
    epsilons.

    Args:
      events: what was released.
      false_positive_rate: in (0, 1).

    Returns:
      An upper bound in [false_positive_rate, 1]; 1 if an event is not understood.

    Raises:
      ConfigError: the rate is out of its range.

    Source: Kairouz et al. 2015, arXiv:1311.0776, Theorem 2.1; Dong et al. 2019, arXiv:1905.02383,
    Proposition 2.5.
    """
    alpha = false_positive_rate
    if not 0 < alpha < 1:
        raise ConfigError(f"accounting: false positive rate = {alpha}, expected in (0, 1).")
    grid, deltas = _profile(events)
    deltas = np.minimum(deltas + _slips(events), 1.0)
    bounds = np.minimum(deltas + np.exp(grid) * alpha, 1 - np.exp(-grid) * (1 - deltas - alpha))
    return float(np.clip(bounds.min(), alpha, 1.0))


def _compose(events: Sequence[Event], delta: float) -> tuple[float, pld.PLDAccountant | None]:
    """Epsilon at `delta`, and an accountant as fine as that needs; infinity and None for what isn't
    understood.
    """
    known = [event for event in events if event is not None and is_understood(event)]
    delta -= _slips(known)
    if len(known) < len(events) or delta <= 0:
        return math.inf, None

    def composed(interval: float) -> tuple[float, pld.PLDAccountant]:
        accountant = pld.PLDAccountant(_RELATION, interval)
        for one in known:
            accountant.compose(step_event(one), one.count)
        with np.errstate(over="ignore"):  # dp_accounting compares a loss with a ratio that may be beyond floats
            return float(accountant.get_epsilon(delta)), accountant

    # Rounding the losses to a grid adds about 0.3 steps interval^2 to epsilon (measured). Hold that
    # to 0.01 % of epsilon, found on a coarse grid first; the second bound keeps an absurd event
    # from filling the memory.
    steps = sum(one.count for one in known)
    reach = max((_most_drawn(one) / one.noise_multiplier for one in known), default=1.0)
    largest_loss = 0.5 * reach**2 + 10 * reach  # of one step
    try:
        estimate, _ = composed(4e-3 * largest_loss)
        if estimate == math.inf:
            return math.inf, None
        return composed(max(math.sqrt(3e-4 * estimate / max(steps, 1)), 1e-5 * (estimate + largest_loss)))
    except (OverflowError, ValueError, TypeError):  # losses beyond the range of floats, or of dp_accounting's grids
        return math.inf, None


def _slips(events: Sequence[Event]) -> float:
    return math.fsum(event.slip for event in events if event is not None and is_understood(event))


def _without_slips(events: Sequence[Event]) -> list[Event]:
    return [replace(event, slip=0.0) if event is not None and is_understood(event) else None for event in events]


def _most_drawn(one: SampledGaussian) -> int:
    """So many records of a unit are drawn at once that more have a probability below e^-50,
    dp_accounting's limit.
    """
    beyond = stats.binom.sf(np.arange(one.records), one.records, one.sampling_rate)
    return max(1, int((beyond > math.exp(-50)).sum()))


def _deltas(accountant: pld.PLDAccountant | None, epsilons: np.ndarray) -> np.ndarray:
    """The accountant's delta at each epsilon (ascending); 1 throughout if there is none."""
    if accountant is None:
        return np.ones_like(epsilons)
    # The largest so far from the right: a profile never rises, but the convolutions' rounding may.
    deltas = np.asarray(accountant.get_delta(epsilons), dtype=np.float64)
    return np.clip(np.maximum.accumulate(deltas[::-1])[::-1], 0.0, 1.0)


def _profile(events: Sequence[Event]) -> tuple[np.ndarray, np.ndarray]:
    """Epsilons from 0 to where delta is 1e-10, and the deltas, slips left out; all 1 if that is out
    of reach.
    """
    largest, accountant = _compose(_without_slips(events), _LEAST_DELTA)
    if not largest <= _LARGEST_EPSILON:
        return np.array([0.0, _LARGEST_EPSILON]), np.ones(2)
    grid = np.linspace(0.0, largest, _PROFILE_POINTS)
    return grid, _deltas(accountant, grid)


def _gaussian_profile(mu: float, epsilons: np.ndarray) -> np.ndarray:
    """Delta of the Gaussian mechanism whose sensitivity is `mu` standard deviations."""
    cdf = [[0.5 * math.erfc((e / mu + side * mu / 2) / math.sqrt(2)) for e in epsilons] for side in (-1, 1)]
    return np.array(cdf[0]) - np.exp(epsilons) * np.array(cdf[1])


def _least(holds: Callable[[float], bool], tolerance: float) -> float:
    """The least positive number for which a monotone condition holds, rounded up; infinity if it is
    above 1e6.
    """
    above = 1.0
    while not holds(above):
        if above > 1e6:
            return math.inf
        above *= 2
    below = above / 2
    while holds(below):
        above, below = below, below / 2
    while above > below * (1 + tolerance):
        middle = math.sqrt(above * below)
        above, below = (middle, below) if holds(middle) else (above, middle)
    return above
