import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv.audit import onerun
from speechpriv.audit.onerun import epsilon_lower_bound
from speechpriv.errors import AuditError


def bound(guesses, correct, *, canaries=None, delta=0.0, confidence=0.95):
    return epsilon_lower_bound(
        canaries=canaries or guesses, guesses=guesses, correct=correct, delta=delta, confidence=confidence
    )


def naive_p_value(epsilon, canaries, guesses, correct, delta):
    """The loop of Appendix D, term by term."""
    accuracy = math.exp(epsilon) / (1 + math.exp(epsilon))
    probability = [scipy.stats.binom.pmf(k, guesses, accuracy) for k in range(guesses + 1)]
    beta = sum(probability[correct:])
    alpha = max((sum(probability[correct - i : correct]) / i for i in range(1, correct + 1)), default=0)
    return min(1.0, beta + 2 * canaries * delta * alpha)


@st.composite
def audits(draw):
    guesses = draw(st.integers(1, 60))
    return {
        "canaries": guesses + draw(st.integers(0, 60)),
        "guesses": guesses,
        "correct": draw(st.integers(0, guesses)),
        "delta": draw(st.sampled_from([0.0, 1e-6, 1e-3, 1e-2])),
    }


def test_the_papers_example():
    """m = 1000, r = 100, v = 95, delta = 1e-3 (REFERENCE.md)."""
    assert bound(100, 95, canaries=1000, delta=1e-3) == pytest.approx(0.59, abs=0.005)


@pytest.mark.parametrize(
    ("guesses", "ceiling"), [(10, 1.05), (20, 1.82), (50, 2.78), (100, 3.49), (200, 4.19), (500, 5.11), (1000, 5.81)]
)
def test_the_most_that_right_guesses_can_prove(guesses, ceiling):
    found = bound(guesses, guesses)
    assert found == pytest.approx(ceiling, abs=0.006)
    accuracy = 0.05 ** (1 / guesses)  # P[all right] = accuracy^r
    assert found == pytest.approx(math.log(accuracy / (1 - accuracy)), abs=1e-5)


@settings(deadline=None)
@given(audits(), st.floats(0, 12))
def test_p_value_as_in_the_paper(audit, epsilon):
    assert onerun._p_value(epsilon, **audit) == pytest.approx(naive_p_value(epsilon, **audit), rel=1e-8, abs=1e-12)


@settings(deadline=None)
@given(audits())
def test_p_value_never_falls_as_epsilon_grows(audit):
    """Else there were no one place for the bisection to find."""
    found = [onerun._p_value(epsilon, **audit) for epsilon in np.linspace(0, 12, 97)]
    assert np.all(np.diff(found) >= -1e-12)


@settings(deadline=None)
@given(audits())
def test_the_bound_is_the_largest_refuted_epsilon(audit):
    found = epsilon_lower_bound(**audit, confidence=0.95)
    if found > 0:
        assert onerun._p_value(found, **audit) <= 0.05 + 1e-12
    assert onerun._p_value(found + 1e-5, **audit) > 0.05


@settings(deadline=None)
@given(audits())
def test_more_evidence_proves_more(audit):
    found = epsilon_lower_bound(**audit, confidence=0.95)
    assert epsilon_lower_bound(**audit, confidence=0.99) <= found
    assert epsilon_lower_bound(**{**audit, "delta": audit["delta"] + 1e-3}, confidence=0.95) <= found
    assert epsilon_lower_bound(**{**audit, "canaries": audit["canaries"] + 9}, confidence=0.95) <= found
    if audit["correct"]:
        assert epsilon_lower_bound(**{**audit, "correct": audit["correct"] - 1}, confidence=0.95) <= found


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("guesses", [10, 30, 100])
def test_the_bound_holds_as_often_as_it_says(epsilon, guesses):
    """Against randomised response, whose right guesses are exactly binomial: every outcome counted."""
    accuracy = 1 / (1 + math.exp(-epsilon))
    chance = scipy.stats.binom.pmf(np.arange(guesses + 1), guesses, accuracy)
    wrong = np.array([bound(guesses, correct) > epsilon for correct in range(guesses + 1)])
    assert chance[wrong].sum() <= 0.05


def test_a_mechanism_that_is_less_private_is_refuted():
    """Negative control of the test above: at epsilon 3 a claim of 1 seldom stands."""
    chance = scipy.stats.binom.pmf(np.arange(101), 100, 1 / (1 + math.exp(-3)))
    assert chance[[bound(100, correct) > 1 for correct in range(101)]].sum() > 0.95


def test_the_best_of_many_thresholds_is_no_bound():
    """Why the threshold is fixed before the scores are seen: coins guessed blindly, the luckiest threshold taken."""
    rng = np.random.default_rng(5)
    proves = {(r, v): bound(r, v, canaries=60) > 0 for r in range(2, 61, 2) for v in range(r + 1)}
    fixed = lucky = 0
    for _ in range(400):
        right = rng.integers(2, size=60).cumsum()
        positive = [proves[r, int(right[r - 1])] for r in range(2, 61, 2)]
        fixed += positive[14]
        lucky += any(positive)
    assert fixed <= scipy.stats.binom.ppf(0.999, 400, 0.05)
    assert lucky > scipy.stats.binom.ppf(0.999, 400, 0.05)


@pytest.mark.parametrize("guesses", [0, 1, 10])
def test_guesses_no_better_than_chance_prove_nothing(guesses):
    assert bound(guesses, guesses // 2, canaries=20) == 0


@pytest.mark.parametrize("guesses", [1, 1_000, 100_000])
def test_many_guesses_stay_finite(guesses):
    assert 0 <= bound(guesses, guesses) < 20


@pytest.mark.parametrize(
    "changed",
    [
        {"correct": 6}, {"correct": -1}, {"guesses": 11}, {"canaries": 0, "guesses": 0, "correct": 0},
        {"delta": -0.1}, {"delta": 1.0}, {"delta": math.nan}, {"confidence": 0.0}, {"confidence": 1.0},
        {"confidence": math.nan}, {"correct": math.nan},
    ],
    ids=str,
)  # fmt: skip
def test_numbers_out_of_range(changed):
    with pytest.raises(AuditError, match="one-run bound"):
        epsilon_lower_bound(**{"canaries": 10, "guesses": 5, "correct": 5, "delta": 0.0, "confidence": 0.95, **changed})
