"""Which utterances of a unit are used: `sampling.choose_utterances`, and example-level cohorts over what it chose."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from speechpriv.errors import ConfigError
from speechpriv.train import mechanism, sampling

KEY = bytes(range(32))


@settings(deadline=None, max_examples=100)
@given(
    seconds=st.lists(st.floats(0.1, 30), max_size=40),
    cap=st.integers(1, 50),
    cap_seconds=st.floats(0.05, 200) | st.just(math.inf),
    step=st.none() | st.integers(0, 2**64 - 1),
)
def test_caps_hold_and_somebody_stays(seconds, cap, cap_seconds, step):
    picked = sampling.choose_utterances(KEY, "u", seconds, cap, cap_seconds, step)
    assert picked.tolist() == sorted(set(picked.tolist()))
    assert all(0 <= place < len(seconds) for place in picked)
    assert len(picked) <= cap
    assert len(picked) >= min(1, len(seconds))
    assert len(picked) == 1 or sum(seconds[place] for place in picked) <= cap_seconds * (1 + 1e-9)
    if cap >= len(seconds) and cap_seconds == math.inf:
        assert len(picked) == len(seconds)


def test_one_long_recording_does_not_shut_a_unit_out():
    assert sampling.choose_utterances(KEY, "u", [60.0], 8, 10.0).tolist() == [0]
    assert all(len(sampling.choose_utterances(KEY, "u", [60.0] * 5, 8, 10.0, step)) == 1 for step in range(20))


def test_each_step_chooses_anew_and_a_run_once():
    seconds = [1.0] * 20
    first = [sampling.choose_utterances(KEY, "u", seconds, 4, step=step).tolist() for step in range(30)]
    assert first == [sampling.choose_utterances(KEY, "u", seconds, 4, step=step).tolist() for step in range(30)]
    assert len({tuple(picked) for picked in first}) > 25
    once = sampling.choose_utterances(KEY, "u", seconds, 4).tolist()
    assert once == sampling.choose_utterances(KEY, "u", seconds, 4).tolist()
    assert once != first[0]
    assert once != sampling.choose_utterances(KEY, "v", seconds, 4).tolist()
    assert once != sampling.choose_utterances(bytes(32), "u", seconds, 4).tolist()


@pytest.mark.parametrize("step", [None, 3])
def test_every_utterance_is_as_likely_as_any_other(step):
    counts = np.zeros(6)
    for unit in range(2000):
        counts[sampling.choose_utterances(KEY, f"unit {unit}", [1.0] * 6, 2, step=step)] += 1
    assert stats.chisquare(counts).pvalue > 1e-3
    assert stats.chisquare(counts + np.array([150, 0, 0, 0, 0, -150])).pvalue < 1e-6  # a leaning choice would be seen


def test_the_choice_of_others_does_not_change_when_somebody_leaves():
    units = {f"unit {n}": [1.0] * (n % 7 + 1) for n in range(40)}
    whole = {unit: sampling.choose_utterances(KEY, unit, seconds, 3).tolist() for unit, seconds in units.items()}
    for left in ("unit 0", "unit 17", "unit 39"):
        rest = {unit: seconds for unit, seconds in units.items() if unit != left}
        assert {u: sampling.choose_utterances(KEY, u, s, 3).tolist() for u, s in rest.items()} == {
            u: picked for u, picked in whole.items() if u != left
        }


def test_a_unit_is_drawn_as_often_as_the_accounting_says():
    """Example-level cohorts: how many of a unit's 4 chosen utterances come together is Binomial(4, rate)."""
    rate, cap, steps, units = 0.3, 4, 300, 50
    owner = np.repeat(
        np.arange(units), [len(sampling.choose_utterances(KEY, str(u), [1.0] * 9, cap)) for u in range(units)]
    )

    def p_value(draw):
        together = np.zeros(cap + 1)
        for step in range(steps):
            together += np.bincount(np.bincount(draw(step), minlength=units), minlength=cap + 1)
        weights = mechanism.step_event(mechanism.build_event(rate, 1.0, 1, records=cap)).sampling_probs
        return stats.chisquare(together, np.array(weights) * steps * units).pvalue

    assert p_value(lambda step: owner[sampling.draw_cohort(KEY, step, len(owner), rate)]) > 1e-3
    assert (
        p_value(lambda step: np.repeat(sampling.draw_cohort(KEY, step, units, rate), cap)) < 1e-9
    )  # all of a unit at once


@pytest.mark.parametrize(
    "change",
    [
        {"key": b"short"},
        {"cap": 0},
        {"cap": -1},
        {"cap_seconds": 0.0},
        {"cap_seconds": -1.0},
        {"cap_seconds": math.nan},
        {"step": -1},
        {"step": 2**64},
        {"seconds": [1.0, 0.0]},
        {"seconds": [1.0, math.nan]},
    ],
)
def test_bad_arguments_are_refused(change):
    with pytest.raises(ConfigError, match=r"expected|Prepare"):
        sampling.choose_utterances(**({"key": KEY, "unit": "u", "seconds": [1.0, 2.0], "cap": 2} | change))
