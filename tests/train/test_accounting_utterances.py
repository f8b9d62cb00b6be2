"""Example-level sampling: several records of one unit, each drawn and clipped alone."""

import itertools
import math

import dp_accounting
import numpy as np
import pytest
from dp_accounting import pld
from dp_accounting.dp_event import MixtureOfGaussiansDpEvent
from scipy import integrate, stats

from speechpriv.train import accounting
from tests.train.test_accounting import gaussian_epsilon

NORMAL = stats.norm


def epsilon(rate, sigma, steps, delta, records):
    return accounting.epsilon(sampling_rate=rate, noise_multiplier=sigma, steps=steps, delta=delta, records=records)


# N = 28,539 utterances, cohort 512, T = 1,000, sigma 1, delta 1e-5; measured for this project in another program.
@pytest.mark.parametrize(("records", "golden"), [(1, 3.46), (4, 18.0), (16, 122.0), (113, 3100.0)])
def test_what_an_utterance_level_epsilon_is_worth_to_a_speaker(records, golden):
    assert epsilon(512 / 28_539, 1.0, 1000, 1e-5, records) == pytest.approx(golden, rel=2e-3)


@pytest.mark.parametrize(("records", "golden"), [(1, 1.199), (2, 2.532)])
def test_a_published_user_level_statement(records, golden):
    """tensorflow/privacy, compute_dp_sgd_privacy_test.py, user_dp_with_pld: 10,000 examples, 64 a batch, 5 epochs,
    noise multiplier 2 halved by microbatching, at most 2 examples a user, Poisson sampling, delta 1e-6."""
    assert epsilon(64 / 10_000, 1.0, math.ceil(5 * 10_000 / 64), 1e-6, records) == pytest.approx(golden, abs=1e-3)


def densities(rate, sigma, records):
    """Densities of a step's sum in one dimension, without and with a unit all of whose gradients point one way."""
    weights = stats.binom.pmf(range(records + 1), records, rate)
    return (
        lambda x: NORMAL.pdf(x, 0, sigma),
        lambda x: sum(w * NORMAL.pdf(x, i, sigma) for i, w in enumerate(weights)),
    )


def exact_delta(epsilon, p, q, low, high):
    """Hockey-stick divergence by numerical integration, where it crosses found by bisection of a fine grid."""
    x = np.linspace(low, high, 20_001)
    signs = np.sign(p(x) - math.exp(epsilon) * q(x))
    cuts = [low, *x[1:][np.diff(signs) != 0], high]
    parts = (
        integrate.quad(lambda t: max(0.0, p(t) - math.exp(epsilon) * q(t)), a, b, limit=200)[0]
        for a, b in itertools.pairwise(cuts)
    )
    return sum(parts)


@pytest.mark.parametrize(("rate", "sigma", "records"), [(0.3, 1.0, 2), (0.1, 2.0, 5), (0.7, 4.0, 8)])
def test_one_step_is_the_larger_of_both_directions(rate, sigma, records):
    absent, present = densities(rate, sigma, records)
    grid = [0.0, 0.1, 0.5, 1.0, 2.0]
    found = accounting.privacy_profile([accounting.build_event(rate, sigma, 1, records)], grid)
    low, high = -10 * sigma, records + 10 * sigma
    removed = np.array([exact_delta(e, present, absent, low, high) for e in grid])
    added = np.array([exact_delta(e, absent, present, low, high) for e in grid])
    assert found == pytest.approx(np.maximum(removed, added), rel=0.01, abs=1e-9)
    assert not np.allclose(removed, added, rtol=0.05)  # the two differ, so that taking the wrong one would be seen


def test_three_steps_against_sampled_losses():
    """Monte Carlo: delta(epsilon) = E[1 - e^(epsilon - loss)]+ over the mechanism's own output."""
    rate, sigma, records, steps, at = 0.2, 1.5, 3, 3, 1.0
    rng = np.random.default_rng(0)
    weights = stats.binom.pmf(range(records + 1), records, rate)
    x = rng.binomial(records, rate, (10**6, steps)) + rng.normal(0, sigma, (10**6, steps))
    ratio = sum(w * np.exp(i * (2 * x - i) / (2 * sigma**2)) for i, w in enumerate(weights))
    excess = np.clip(1 - np.exp(at - np.log(ratio).sum(axis=1)), 0, None)
    (found,) = accounting.privacy_profile([accounting.build_event(rate, sigma, steps, records)], [at])
    assert abs(found - excess.mean()) < 4 * excess.std() / 1000
    (wrong,) = accounting.privacy_profile([accounting.build_event(rate, 1.05 * sigma, steps, records)], [at])
    assert abs(wrong - excess.mean()) > 4 * excess.std() / 1000


def test_a_mixture_of_one_record_is_the_poisson_sampled_gaussian():
    accountant = pld.PLDAccountant(dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE, 1e-3)
    accountant.compose(MixtureOfGaussiansDpEvent(0.8, [0.0, 1.0], [0.9, 0.1]), 40)
    assert epsilon(0.1, 0.8, 40, 1e-5, 1) == pytest.approx(accountant.get_epsilon(1e-5), rel=1e-3)


@pytest.mark.parametrize("records", [2, 7])
def test_all_utterances_in_every_step_are_one_gaussian_of_that_sensitivity(records):
    exact = gaussian_epsilon(records * math.sqrt(25) / 10, 1e-6)
    assert exact <= epsilon(1.0, 10.0, 25, 1e-6, records) <= 1.003 * exact
    run = [accounting.build_event(1.0, 10.0, 25, records)]
    assert records / 2 <= accounting.mu_gdp(run) <= 1.02 * records / 2
    named = NORMAL.cdf(NORMAL.ppf(0.01) + records / 2)
    assert named <= accounting.max_true_positive_rate(run) <= 1.01 * named


@pytest.mark.parametrize("rate", [1 - 1e-12, 1 - 1e-9, 1 - 1e-7])
def test_rates_near_one_are_priced_as_one(rate):
    whole = epsilon(1.0, 25.0, 20, 1e-5, 8)
    assert epsilon(rate, 25.0, 20, 1e-5, 8) == pytest.approx(whole, rel=1e-3)


def test_what_the_library_cannot_price_is_infinite():
    assert epsilon(0.999, 30.0, 20, 1e-5, 1000) == math.inf


def test_more_utterances_cost_more_and_more_than_their_number():
    spent = [epsilon(0.02, 1.0, 500, 1e-5, records) for records in (1, 2, 4, 8)]
    assert spent == sorted(spent)
    assert spent[2] > 4 * spent[0]  # group privacy is no multiplication


@pytest.mark.parametrize(("rate", "records", "target"), [(0.02, 4, 2.0), (0.3, 8, 8.0)])
def test_calibration_is_the_inverse(rate, records, target):
    settings = {"sampling_rate": rate, "steps": 60, "delta": 1e-6, "records": records}
    sigma = accounting.noise_multiplier(**settings, epsilon=target)
    assert accounting.epsilon(**settings, noise_multiplier=sigma) <= target
    assert accounting.epsilon(**settings, noise_multiplier=sigma / 1.001) > target


def test_both_ways_of_sampling_compose_on_one_unit():
    units, utterances = accounting.build_event(0.2, 2.0, 30), accounting.build_event(0.05, 3.0, 50, records=4)
    alone = [accounting.epsilon_of([event], 1e-5) for event in (units, utterances)]
    both = accounting.epsilon_of([units, utterances], 1e-5)
    assert max(alone) < both < sum(alone)
    assert accounting.epsilon_of([utterances, units], 1e-5) == pytest.approx(both, rel=1e-9)
