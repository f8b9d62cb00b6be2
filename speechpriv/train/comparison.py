"""One person, many utterances: which way of sampling needs less noise, and what a figure per
utterance hides.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from speechpriv.errors import ConfigError
from speechpriv.train import accounting


@dataclass(frozen=True)
class Plan:
    """One way to train that meets the target."""

    sampling: Literal["units", "utterances"]  # what is drawn, and clipped as one
    cap: int  # utterances of one unit: in a step (units), or ever (utterances)
    sampling_rate: float
    noise_multiplier: float
    noise: float  # standard deviation of each coordinate of the mean gradient, in clip norms of one utterance


def compare_plans(
    public_counts: Sequence[int],
    *,
    epsilon: float,
    delta: float,
    steps: int,
    gradients_per_step: float,
    similarity: float = 1.0,
    caps: Sequence[int] = (1, 2, 4, 8, 16),
) -> tuple[Plan, ...]:
    """Return ways to train under one user-level guarantee and at one cost, the one with the least
    noise first.

    With a cap k, n utterances of N units are left, and both ways draw at the rate B / n. Drawing
    utterances, the noised sum is divided by B; drawing units, by their expected number, B N / n.
    Units are divided by less, but may be clipped to less: if two gradients of one unit have a
    cosine of r, the mean of k is sqrt(r + (1 - r) / k) times as long as one of them. So units win
    where people's utterances differ, where epsilon is small and where B is large; and whatever is
    drawn, an utterance beyond the cap is never used if utterances are.

    Args:
      public_counts: utterances of each unit, >= 1. The real ones are private, and a choice made by
        them is a release that no epsilon covers: take a guess, another corpus of the same kind, or
        a noised histogram.
      epsilon: the target per unit, > 0.
      delta: in (0, 1 / units).
      steps: number of steps.
      gradients_per_step: B, utterances expected in a step.
      similarity: r, in [0, 1]; 1 assumes nothing and lets the clip norms be the same.
      caps: to be compared, each >= 1; those that leave fewer than B utterances are left out.

    Raises:
      ConfigError: an argument is out of its range, or no cap leaves B utterances.

    Source: Charles et al. 2024, arXiv:2407.07737, which compares both under fixed compute.
    """
    counts = list(public_counts)
    if not counts or not all(count >= 1 for count in counts):
        raise ConfigError("comparison: expected counts of at least one unit, each >= 1. Leave out units without any.")
    if not 0 < delta < 1 / len(counts):
        raise ConfigError(f"comparison: delta = {delta}, expected above 0 and below 1/units = {1 / len(counts):.3g}.")
    if not (caps and all(cap >= 1 for cap in caps)):
        raise ConfigError(f"comparison: caps = {list(caps)}, expected at least one, each >= 1.")
    if not 0 <= similarity <= 1:
        raise ConfigError(f"comparison: similarity = {similarity}, expected in [0, 1].")
    most = sum(min(count, max(caps)) for count in counts)
    if not 0 < gradients_per_step <= most:
        raise ConfigError(
            f"comparison: {gradients_per_step} gradients a step, expected above 0 and at most {most}, the utterances "
            f"left by a cap of {max(caps)}. Lower it, or raise the cap."
        )
    found = []
    for cap in sorted({min(cap, max(counts)) for cap in caps}):
        left = sum(min(count, cap) for count in counts)
        if (rate := gradients_per_step / left) > 1:
            continue

        def sigma(records: int, rate: float = rate) -> float:
            return accounting.noise_multiplier(
                sampling_rate=rate, steps=steps, epsilon=epsilon, delta=delta, records=records
            )

        length = math.sqrt(similarity + (1 - similarity) / cap)
        found.append(Plan("units", cap, rate, alone := sigma(1), alone * length / (rate * len(counts))))
        if cap > 1:  # with one utterance a unit, both are the same
            found.append(Plan("utterances", cap, rate, alone := sigma(cap), alone / gradients_per_step))
    return tuple(sorted(found, key=lambda plan: plan.noise))


def utterance_level(
    *,
    sampling_rate: float,
    noise_multiplier: float,
    steps: int,
    delta: float,
    utterances: Sequence[int] = (1, 4, 16, 100),
) -> tuple[tuple[int, float], ...]:
    """Return what this noise would protect if each utterance were drawn and clipped alone, as an
    epsilon per utterance counts.

    Args:
      sampling_rate: of the run; as the rate of utterances, it costs the same time where every unit
        has as many.
      noise_multiplier: of the run.
      steps: of the run.
      delta: in (0, 1).
      utterances: how many somebody has, each >= 1.

    Returns:
      (utterances, epsilon) each. The first, for one utterance, is what would be stated; the others
      are what that statement means for somebody with more. Infinite where it can't be told.

    Source: Ganesh 2024, arXiv:2401.10294.
    """
    events = [accounting.build_event(sampling_rate, noise_multiplier, steps, number) for number in utterances]
    return tuple((each.records, accounting.epsilon_of([each], delta)) for each in events)
