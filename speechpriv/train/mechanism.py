"""What a private run does to the people in it, as a value: a sum with Gaussian noise, over records
drawn by coins.

A training repeats that; a table of phrases is one such sum over everybody, of which only what is
large is shown. User-level sampling draws whole units: a unit is one record, clipped once.
Example-level sampling draws utterances, each clipped alone; a unit then has as many records as the
cap per unit allows, and they may be drawn together.
"""

import json
import math
from dataclasses import asdict, dataclass

import dp_accounting
import numpy as np
from dp_accounting.dp_event import MixtureOfGaussiansDpEvent  # not exported at the top
from scipy import stats

from speechpriv.errors import ConfigError

LEAST_NOISE = 1e-3  # a smaller noise multiplier is no noise: its losses leave the range of floats
_MOST_STEPS = 10**6
_MOST_RECORDS = 1000
_CERTAIN = 1 - 1e-9
_NEVER = 1e-60  # a rarer number of records drawn changes no delta that floats can tell; its logarithms overflow
_NAMES = {
    "records": "poisson_sampled_gaussian_per_utterance",
    "slip": "gaussian_counts_above_a_threshold",
    None: "poisson_sampled_gaussian",
}  # by what is not as in the last


@dataclass(frozen=True)
class SampledGaussian:
    """The mechanism of a whole run; made by `build_event`."""

    sampling_rate: float  # probability of a record to be drawn in a step, independent of all others
    noise_multiplier: float  # standard deviation of the noise over the norm that one record is clipped to
    count: int  # steps
    records: int = 1  # of one unit, at most
    slip: float = 0.0  # probability to show that something is there that one unit alone has; not in a training


def build_event(
    sampling_rate: float, noise_multiplier: float, steps: int, records: int = 1, slip: float = 0.0
) -> SampledGaussian:
    """Build the mechanism of a whole run.

    Args:
      sampling_rate: probability of a record to be drawn in a step, in (0, 1].
      noise_multiplier: standard deviation of the noise over the clip norm, >= 0; below 0.001,
        epsilon is infinite.
      steps: number of steps, 1 to a million.
      records: of one unit, at most: 1 where whole units are drawn, the cap per unit where
        utterances are; 1 to 1,000.
      slip: of a sum over things nobody knows beforehand, of which only those are shown that reach a
        threshold: the probability that any is shown that one unit alone has; in [0, 1).

    Raises:
      ConfigError: an argument is out of its range.
    """
    if not 0 < sampling_rate <= 1:
        raise ConfigError(f"accounting: sampling rate = {sampling_rate}, expected 0 < rate <= 1.")
    if not 0 <= noise_multiplier < math.inf:
        raise ConfigError(f"accounting: noise multiplier = {noise_multiplier}, expected >= 0 and finite.")
    if not (1 <= steps <= _MOST_STEPS and steps == int(steps)):
        raise ConfigError(f"accounting: steps = {steps}, expected a whole number from 1 to {_MOST_STEPS:,}.")
    if not (1 <= records <= _MOST_RECORDS and records == int(records)):
        raise ConfigError(f"accounting: records = {records}, expected a whole number from 1 to {_MOST_RECORDS:,}.")
    if not 0 <= slip < 1:
        raise ConfigError(f"accounting: slip = {slip}, expected 0 <= slip < 1.")
    return SampledGaussian(float(sampling_rate), float(noise_multiplier), int(steps), int(records), float(slip))


def is_understood(found: object) -> bool:
    """Return whether `found` is a mechanism that can be priced."""
    match found:
        case SampledGaussian(float(rate), float(sigma), int(count), int(records), float(slip)):
            return (
                0 < rate <= 1
                and LEAST_NOISE <= sigma < math.inf
                and 1 <= count <= _MOST_STEPS
                and 1 <= records <= _MOST_RECORDS
                and 0 <= slip < 1
                and (slip == 0 or records == 1)
            )
    return False


def step_event(mechanism: SampledGaussian) -> dp_accounting.DpEvent:
    """Return one step, as dp_accounting knows it; a slip is priced beside it (accounting.py).

    With k records in the corpus, Binomial(k, rate) of a unit's clipped gradients are in a step's
    sum: at worst all in one direction, so the sum moves by as many clip norms. Nothing about the
    gradients is assumed.

    Source: Charles et al. 2024, arXiv:2407.07737; Ganesh 2024, arXiv:2401.10294; that the
    one-dimensional case is the worst: Choquette-Choo et al. 2023, arXiv:2310.15526, Corollary 4.7.
    """
    rate, sigma, records = mechanism.sampling_rate, mechanism.noise_multiplier, mechanism.records
    if records == 1:
        return dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(sigma))
    if rate > _CERTAIN:  # all of them; priced as such, since dp_accounting 0.6 fails there for want of digits
        return dp_accounting.GaussianDpEvent(sigma / records)
    chances = np.asarray(stats.binom.pmf(range(records + 1), records, rate))
    drawn = np.flatnonzero(chances > _NEVER)
    return MixtureOfGaussiansDpEvent(sigma, drawn.astype(float).tolist(), chances[drawn].tolist())


def event_to_json(found: SampledGaussian | None) -> str:
    """Return a mechanism as JSON, so that the ledger can hold it and anyone can recompute epsilon
    from it.
    """
    if found is None or not is_understood(found):
        return json.dumps({"mechanism": "unsupported"})
    plain, usual = asdict(found), {"records": 1, "slip": 0.0}
    kind = next((name for name, value in usual.items() if plain[name] != value), None)
    told = {name: value for name, value in plain.items() if usual.get(name) != value}  # as ledgers have always held it
    return json.dumps({"mechanism": _NAMES[kind], **told}, sort_keys=True)


def event_from_json(text: str) -> SampledGaussian | None:
    """Return the mechanism that `event_to_json` wrote; None (epsilon infinite) where it isn't
    understood.
    """
    try:
        plain = json.loads(text)
        rest = plain.get("records", 1), plain.get("slip", 0.0)
        found = build_event(plain["sampling_rate"], plain["noise_multiplier"], plain["count"], *rest)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, ConfigError):
        return None
    # Back and compared: an unknown key, another mechanism or a number of another type is not
    # understood.
    return found if event_to_json(found) == json.dumps(plain, sort_keys=True) else None
