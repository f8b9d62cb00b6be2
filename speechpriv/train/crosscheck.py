"""Epsilon a second time, by code that shares nothing with accounting.py: two must agree before
anything is spent.
"""

import math
import warnings

import numpy as np
from opacus.accountants import PRVAccountant
from scipy import fft, optimize, special, stats

_BINS = 2**20
_POINTS = 50_000
_TAIL_Z = 12.0  # standard deviations beyond which a normal has less than 1e-32
_NEVER = 1e-100
_EXPONENTS = np.geomspace(1e-4, 1e3, 70)  # of the Chernoff bound


def second_opinion(
    *, sampling_rate: float, noise_multiplier: float, steps: int, delta: float, records: int = 1, beside: float = 0.0
) -> float:
    """Return epsilon of a run, and of one Gaussian over everybody whose mu is `beside`; arguments
    as of `mechanism.build_event`.

    Of whole units: Opacus's PRV accountant, whose bound lies 0.01 above its estimate. Of several
    records a unit, which Opacus does not know: the density of the mixture, its losses on a grid,
    and their sum by one Fourier transform; an estimate, not a bound.

    Source: Gopi et al. 2021, arXiv:2106.02848; Koskela et al. 2020, arXiv:1906.03049.
    """
    if records == 1:
        accountant = PRVAccountant()
        accountant.history = [(noise_multiplier, sampling_rate, steps), *([(1 / beside, 1.0, 1)] if beside else [])]
        with np.errstate(divide="ignore"), warnings.catch_warnings():  # log(1 - rate) where everyone is in every cohort
            warnings.filterwarnings("ignore", "Optimal order is the largest")  # RDP there only says how far to sum
            return float(accountant.get_epsilon(delta))
    edges = np.linspace(-_TAIL_Z * noise_multiplier, records + _TAIL_Z * noise_multiplier, _POINTS + 1)
    x = (edges[1:] + edges[:-1]) / 2
    loss, present = np.full(_POINTS, -np.inf), np.zeros(_POINTS)
    for drawn in range(records + 1):
        chance = stats.binom.logpmf(drawn, records, sampling_rate)
        # The loss at x if a member is looked for: the mixture over the noise alone.
        loss = np.logaddexp(loss, chance + drawn * (2 * x - drawn) / (2 * noise_multiplier**2))
        present += np.exp(chance) * np.diff(special.ndtr((edges - drawn) / noise_multiplier))
    absent = np.diff(special.ndtr(edges / noise_multiplier))
    return max(_summed(losses, mass, steps, delta, beside) for losses, mass in ((loss, present), (-loss, absent)))


def _summed(losses: np.ndarray, mass: np.ndarray, steps: int, delta: float, beside: float) -> float:
    """Epsilon at `delta` of the sum of `steps` independent losses, each with its probability, and a
    Gaussian's.
    """
    losses, mass = losses[mass > _NEVER], mass[mass > _NEVER]
    low, high = (
        sign * (_reach(sign * losses, mass, steps, delta / 1000) + sign * beside**2 / 2 + _TAIL_Z * beside)
        for sign in (-1, 1)
    )
    width = (high - low) / _BINS
    # Bin b stands for the losses near b width; what the transform wraps around lies outside `low`
    # to `high`.
    one = np.bincount(np.rint(losses / width).astype(np.int64) % _BINS, weights=mass, minlength=_BINS)
    first = math.floor(low / width)
    waves = fft.rfft(one) ** steps
    if beside:  # its loss is normal, with mean mu^2 / 2 and variance mu^2
        edges = ((np.arange(_BINS + 1) - _BINS // 2 - 0.5) * width - beside**2 / 2) / beside
        waves *= fft.rfft(np.roll(np.diff(special.ndtr(edges)), -(_BINS // 2)))
    total = np.roll(fft.irfft(waves, _BINS), -first)
    values = width * (first + np.arange(_BINS))

    def excess(epsilon: float) -> float:
        above = values > epsilon
        return float(total[above] @ -np.expm1(epsilon - values[above])) - delta

    return optimize.brentq(excess, 0.0, high) if excess(0.0) > 0 else 0.0


def _reach(losses: np.ndarray, mass: np.ndarray, steps: int, chance: float) -> float:
    """What the sum of `steps` losses exceeds with a probability of at most `chance`, by Chernoff's
    bound.
    """
    logs = np.array([special.logsumexp(exponent * losses, b=mass) for exponent in _EXPONENTS])
    return float(((steps * logs - math.log(chance)) / _EXPONENTS).min())
