import math

import pytest

from speechpriv.errors import ConfigError
from speechpriv.train import accounting, comparison

TARGET = {"epsilon": 8.0, "delta": 1e-6, "steps": 20}


def noise(sampling, cap, found):
    return next(plan.noise for plan in found if (plan.sampling, plan.cap) == (sampling, cap))


def test_every_plan_meets_the_target_at_the_same_cost():
    counts, gradients = [1] * 50 + [3] * 50 + [20] * 10, 40
    found = comparison.compare_plans(counts, gradients_per_step=gradients, caps=(1, 3), **TARGET)
    assert [plan.noise for plan in found] == sorted(plan.noise for plan in found)
    assert {(plan.sampling, plan.cap) for plan in found} == {("units", 1), ("units", 3), ("utterances", 3)}
    for plan in found:
        records = plan.cap if plan.sampling == "utterances" else 1
        spent = accounting.epsilon(
            sampling_rate=plan.sampling_rate, noise_multiplier=plan.noise_multiplier, steps=20, delta=1e-6,
            records=records,
        )  # fmt: skip
        assert 0.99 * 8 < spent <= 8
        left = sum(min(count, plan.cap) for count in counts)
        assert plan.sampling_rate * left == pytest.approx(gradients)


def test_the_findings_of_the_paper():
    """Many people, few gradients, a large epsilon: utterances. Different utterances, much compute: units."""
    few = comparison.compare_plans([100] * 20_000, gradients_per_step=512, epsilon=8, delta=1e-9, steps=20, caps=(8,))
    assert few[0].sampling == "utterances"
    much = {"gradients_per_step": 800, "epsilon": 1.0, "delta": 1e-5, "steps": 20, "caps": (8,)}
    different = comparison.compare_plans([8] * 100, similarity=0.0, **much)
    assert different[0].sampling == "units"
    assert noise("units", 8, different) == pytest.approx(noise("utterances", 8, different) / math.sqrt(8), rel=0.01)
    alike = comparison.compare_plans([8] * 100, **much)
    assert noise("units", 8, alike) == pytest.approx(noise("utterances", 8, alike), rel=0.01)  # all of it, every step


def test_caps_that_leave_too_little_and_caps_beyond_the_most_are_left_out():
    found = comparison.compare_plans([2] * 100, gradients_per_step=150, caps=(1, 2, 16), **TARGET)
    assert {plan.cap for plan in found} == {2}


@pytest.mark.parametrize(
    "change",
    [
        {"public_counts": []},
        {"public_counts": [3, 0]},
        {"delta": 0.1},
        {"delta": 0.0},
        {"delta": math.nan},
        {"gradients_per_step": 0},
        {"gradients_per_step": 41},
        {"gradients_per_step": math.nan},
        {"caps": ()},
        {"caps": (0,)},
        {"similarity": 1.1},
        {"similarity": math.nan},
        {"epsilon": 0.0},
        {"epsilon": math.nan},
        {"steps": 0},
    ],
)
def test_bad_arguments_are_refused(change):
    with pytest.raises(ConfigError, match="expected"):
        comparison.compare_plans(
            **({"public_counts": [4] * 10, "gradients_per_step": 5, "caps": (1, 4), **TARGET} | change)
        )


def test_what_is_hidden():
    """N = 28,539 utterances, cohort 512, T = 1,000, sigma 1, delta 1e-5; measured in another program."""
    run = {"sampling_rate": 512 / 28_539, "noise_multiplier": 1.0, "steps": 1000, "delta": 1e-5}
    found = dict(comparison.utterance_level(**run, utterances=(1, 4, 16, 113)))
    assert found == pytest.approx({1: 3.46, 4: 18.0, 16: 122.0, 113: 3100.0}, rel=2e-3)
    assert found[1] == accounting.epsilon(**run)


def test_what_cannot_be_told_is_infinite():
    assert (
        dict(comparison.utterance_level(sampling_rate=0.1, noise_multiplier=1e-4, steps=1, delta=1e-5))[1] == math.inf
    )
