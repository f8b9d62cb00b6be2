import functools
import math

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv.audit.inference import onerun
from speechpriv.audit.inference.onerun import epsilon_lower_bound, mu_lower_bound
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


mu_bound = functools.cache(mu_lower_bound)


def most_probable(mu, canaries, guesses, correct):
    """The largest P[N >= correct] that the inequalities on N's distribution allow, as a linear program."""
    z = np.linspace(-8, 8, 2001)
    slope, value = np.exp(-mu * z - mu**2 / 2), scipy.special.ndtr(z + mu)  # tangents of the trade-off curve
    counts = np.arange(guesses + 1)
    rows, limits = [], []
    for i in range(1, guesses + 1):
        right = counts / canaries * (counts >= i)
        wrong = (guesses - counts) / canaries * (counts >= i - 1)
        rows.append(right - slope[:, None] * wrong)
        limits.append(value - slope * scipy.special.ndtr(z))
    wanted, total = -(counts >= correct).astype(float), np.ones((1, guesses + 1))
    found = scipy.optimize.linprog(wanted, np.concatenate(rows), np.concatenate(limits), total, [1])
    return -found.fun


@pytest.mark.parametrize(
    ("mu", "canaries", "guesses", "correct"),
    [
        (1, 4, 4, 4),
        (1, 4, 4, 3),
        (1, 8, 4, 4),
        (0.5, 8, 5, 4),
        (2, 10, 6, 6),
        (0, 6, 6, 6),
        (0, 12, 6, 5),
        (3, 9, 8, 8),
    ],
)
def test_mu_is_refuted_where_nothing_else_is_possible(mu, canaries, guesses, correct):
    """The recursion against the program that it solves."""
    most = most_probable(mu, canaries, guesses, correct)
    for probability, expected in ((most - 1e-3, False), (most + 1e-3, True)):
        if 0 < probability < 1:
            assert onerun._refuted(np.array([float(mu)]), canaries, guesses, correct, probability)[0] == expected


@pytest.mark.parametrize("guesses", [5, 20, 60])
def test_without_privacy_loss_guesses_are_coin_tosses(guesses):
    """mu = 0: the bound is above 0 only where the binomial test fires, and nearly everywhere there."""
    for correct in range(guesses + 1):
        chance = scipy.stats.binom.sf(correct - 1, guesses, 0.5)
        found = mu_bound(canaries=guesses, guesses=guesses, correct=correct, confidence=0.95)
        if not 0.03 < chance < 0.05:
            assert (found > 0) == (chance < 0.05)
        assert found == 0 or chance < 0.05


def gaussian_audit(rng, mu, canaries=200):
    """How many of a quarter of guesses on either side are right, against a mechanism that is exactly mu-GDP."""
    coins = rng.integers(2, size=canaries).astype(bool)
    order = np.argsort(rng.normal(size=canaries) - mu * coins)
    quarter = canaries // 4
    right = coins[order[:quarter]].sum() + (~coins[order[-quarter:]]).sum()
    return {"canaries": canaries, "guesses": 2 * quarter, "correct": int(right), "confidence": 0.95}


def epsilon_of(mu, delta=1e-5):
    def excess(epsilon):
        tail = scipy.special.ndtr(-epsilon / mu + mu / 2)
        return tail - math.exp(epsilon) * scipy.special.ndtr(-epsilon / mu - mu / 2) - delta

    return scipy.optimize.brentq(excess, 0, 60) if excess(0) > 0 else 0.0


@pytest.mark.parametrize("mu", [0.001, 0.5, 1.7, 3.0])
def test_mu_holds_as_often_as_it_says_and_proves_more_than_epsilon(mu):
    rng = np.random.default_rng(11)
    audits = [gaussian_audit(rng, mu) for _ in range(400)]
    found = np.array([mu_bound(**audit) for audit in audits])
    assert np.count_nonzero(found > mu) <= scipy.stats.binom.ppf(0.999, 400, 0.05)
    by_epsilon = np.array([epsilon_lower_bound(**audit, delta=1e-5) for audit in audits[:50]])
    by_mu = np.array([epsilon_of(bound) if bound else 0.0 for bound in found[:50]])
    assert np.all(by_mu >= by_epsilon - 0.02)
    if mu >= 1:
        assert by_mu.mean() > 1.3 * by_epsilon.mean()


def test_a_mechanism_of_a_larger_mu_is_refuted():
    """Negative control: at mu = 4 a claim of 1 seldom stands."""
    rng = np.random.default_rng(12)
    assert np.mean([mu_bound(**gaussian_audit(rng, 4.0)) > 1 for _ in range(100)]) > 0.9


@settings(deadline=None, max_examples=40)
@given(audits())
def test_more_evidence_proves_more_of_mu(audit):
    del audit["delta"]
    found = mu_lower_bound(**audit, confidence=0.95)
    assert mu_lower_bound(**audit, confidence=0.99) <= found
    assert mu_lower_bound(**{**audit, "canaries": audit["canaries"] + 9}, confidence=0.95) <= found + 1e-6
    if audit["correct"]:
        assert mu_lower_bound(**{**audit, "correct": audit["correct"] - 1}, confidence=0.95) <= found + 1e-6


@pytest.mark.parametrize("guesses", [1, 1000, 20_000])
def test_mu_of_many_guesses_stays_finite(guesses):
    assert 0 <= mu_lower_bound(canaries=guesses, guesses=guesses, correct=guesses, confidence=0.95) < 5


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
    asked = {"canaries": 10, "guesses": 5, "correct": 5, "delta": 0.0, "confidence": 0.95, **changed}
    with pytest.raises(AuditError, match="one-run bound"):
        epsilon_lower_bound(**asked)
    del asked["delta"]
    if "delta" not in changed:
        with pytest.raises(AuditError, match="one-run bound"):
            mu_lower_bound(**asked)
