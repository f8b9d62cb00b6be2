import itertools
import math

import dp_accounting
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from speechpriv.errors import ConfigError
from speechpriv.train import accounting
from speechpriv.train.mechanism import SampledGaussian

RUN = accounting.build_event(0.1, 0.7, 40)
UTTERANCES = accounting.build_event(0.05, 2.0, 30, records=4)
DELTA = 1500**-1.1
NORMAL = stats.norm


def gaussian_delta(mu, epsilon):
    """Balle and Wang 2018, arXiv:1805.06530, Theorem 8."""
    return NORMAL.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon) * NORMAL.cdf(-mu / 2 - epsilon / mu)


def gaussian_epsilon(mu, delta):
    return optimize.brentq(lambda epsilon: math.log(gaussian_delta(mu, epsilon) / delta), 0.0, mu * mu / 2 + 7.5 * mu)


# Measured for this project with dp_accounting's PLD at its finest grid, in another program.
def test_epsilon_of_a_published_trial():
    found = accounting.epsilon(sampling_rate=0.1, noise_multiplier=0.7, steps=40, delta=DELTA)
    assert found == pytest.approx(7.2155, rel=2e-4)


@pytest.mark.parametrize(
    ("units", "rate", "steps", "sigma"),
    [(191, 1.0, 60, 3.46), (1000, 0.2, 100, 1.22), (2000, 0.1, 100, 0.83), (10_000, 0.05, 300, 0.82)],
)
def test_noise_for_epsilon_8(units, rate, steps, sigma):
    found = accounting.noise_multiplier(sampling_rate=rate, steps=steps, epsilon=8.0, delta=units**-1.1)
    assert found == pytest.approx(sigma, abs=0.005)


def test_epsilon_of_utterances_in_a_large_corpus():
    """N = 28,539 utterances, cohort 512, T = 1,000, sigma 1, delta 1e-5: 3.46."""
    found = accounting.epsilon(sampling_rate=512 / 28_539, noise_multiplier=1.0, steps=1000, delta=1e-5)
    assert found == pytest.approx(3.46, abs=0.005)


def test_delta_of_the_pld_library_s_own_test():
    """google/differential-privacy, pld_privacy_accountant_test.py, test_poisson_subsampled_gaussian."""
    assert accounting.privacy_profile([accounting.build_event(0.2, 0.5, 3)], [1.0])[0] == pytest.approx(
        0.15594, rel=1e-3
    )


@pytest.mark.parametrize(
    ("rate", "sigma", "steps", "delta", "published"),
    [
        (0.01, 4.0, 10_000, 1e-5, 1.26),  # Abadi et al. 2016, arXiv:1607.00133, section 3.2
        (256 / 60_000, 1.3, 20 * 235, 1e-5, 1.34),  # Bu et al. 2020, arXiv:1911.11607, figure 4: MNIST, 20 epochs
        (256 / 60_000, 0.7, 70 * 235, 1e-5, 8.68),  # the same, 70 epochs
    ],
)
def test_moments_accountants_of_papers_are_a_little_above_ours(rate, sigma, steps, delta, published):
    found = accounting.epsilon(sampling_rate=rate, noise_multiplier=sigma, steps=steps, delta=delta)
    assert 0.75 * published < found <= published * 1.005


@pytest.mark.parametrize("mu", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("delta", [1e-3, 1e-5, 1e-9, 1e-12])
@pytest.mark.parametrize("steps", [1, 100])
def test_full_cohorts_are_one_gaussian(mu, delta, steps):
    exact = gaussian_epsilon(mu, delta)
    found = accounting.epsilon(sampling_rate=1.0, noise_multiplier=math.sqrt(steps) / mu, steps=steps, delta=delta)
    assert exact <= found <= 1.003 * exact  # an upper bound, and a close one


def test_the_resolution_hardly_matters():
    """The grid chosen from a coarse estimate is as good as dp_accounting's default, which takes twenty times longer."""
    for rate, sigma, steps, delta in [(0.1, 0.7, 40, DELTA), (0.01, 0.6, 300, 1e-7)]:
        accountant = dp_accounting.pld.PLDAccountant(dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE, 1e-4)
        accountant.compose(dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(sigma)), steps)
        fine = accountant.get_epsilon(delta)
        found = accounting.epsilon(sampling_rate=rate, noise_multiplier=sigma, steps=steps, delta=delta)
        assert fine * (1 - 1e-3) <= found <= fine * (1 + 1e-3)


@settings(deadline=None, max_examples=5)
@given(rate=st.floats(0.02, 1.0), steps=st.integers(1, 100), epsilon=st.floats(0.2, 30), log_delta=st.floats(-9, -2.5))
def test_calibration_meets_its_target_and_wastes_nothing(rate, steps, epsilon, log_delta):
    delta = 10**log_delta
    sigma = accounting.noise_multiplier(sampling_rate=rate, steps=steps, epsilon=epsilon, delta=delta)

    def spent(noise):
        return accounting.epsilon(sampling_rate=rate, noise_multiplier=noise, steps=steps, delta=delta)

    assert spent(sigma) <= epsilon
    assert sigma <= 1.01e-3 or spent(sigma / 1.001) > epsilon


def test_more_of_anything_costs_more():
    base = {"sampling_rate": 0.1, "noise_multiplier": 0.9, "steps": 50, "delta": 1e-5}
    costs = accounting.epsilon(**base)
    assert accounting.epsilon(**base | {"sampling_rate": 0.11}) > costs
    assert accounting.epsilon(**base | {"steps": 51}) > costs
    assert accounting.epsilon(**base | {"noise_multiplier": 0.89}) > costs
    assert accounting.epsilon(**base | {"delta": 0.9e-5}) > costs


def test_composition_adds_up():
    half = accounting.build_event(0.1, 0.7, 20)
    whole = accounting.epsilon_of([RUN], DELTA)
    assert accounting.epsilon_of([half, half], DELTA) == pytest.approx(whole, rel=1e-6)
    other = accounting.build_event(1.0, 5.0, 3)
    both = accounting.epsilon_of([RUN, other], DELTA)
    assert whole < both < whole + accounting.epsilon_of([other], DELTA)
    assert accounting.epsilon_of([other, RUN], DELTA) == pytest.approx(both, rel=1e-9)
    assert accounting.epsilon_of([], DELTA) == 0.0


@pytest.mark.parametrize(("mu", "slip"), [(1.0, 1e-3), (0.5, 1e-6)])
def test_a_slip_is_added_to_delta(mu, slip):
    """Against the two pairs of distributions written out: the unit is there, or it is not (accounting.py, head)."""
    event = accounting.build_event(1.0, 1 / mu, 1, slip=slip)
    shift = math.log1p(-slip)
    for epsilon in (0.5, 1.0, 2.0):
        there = slip + (1 - slip) * gaussian_delta(mu, epsilon - shift)
        exact = max(there, gaussian_delta(mu, epsilon + shift))
        found = accounting.privacy_profile([event], [epsilon])[0]
        assert exact <= found <= exact + 0.01 * gaussian_delta(mu, epsilon) + slip**2 + slip * gaussian_delta(mu, 0)
    assert accounting.epsilon_of([event], slip) == math.inf
    assert accounting.epsilon_of([event], 2 * slip) == pytest.approx(gaussian_epsilon(mu, slip), rel=3e-3)
    assert accounting.mu_gdp([event]) == accounting.mu_gdp([accounting.build_event(1.0, 1 / mu, 1)])
    plain = accounting.max_true_positive_rate([accounting.build_event(1.0, 1 / mu, 1)])
    assert plain < accounting.max_true_positive_rate([event]) <= plain + slip


def test_noise_beside_another_release_meets_the_target_of_both():
    first = accounting.build_event(1.0, 1.2, 1, slip=1e-6)
    sigma = accounting.noise_multiplier(sampling_rate=0.3, steps=30, epsilon=6.0, delta=1e-5, beside=[first])
    both = accounting.epsilon_of([first, accounting.build_event(0.3, sigma, 30)], 1e-5)
    assert 5.95 < both <= 6.0
    assert sigma > accounting.noise_multiplier(sampling_rate=0.3, steps=30, epsilon=6.0, delta=1e-5)


NOT_UNDERSTOOD = [
    None,
    "poisson_sampled_gaussian",
    dp_accounting.GaussianDpEvent(1.0),
    dp_accounting.NoOpDpEvent(),
    *(
        SampledGaussian(**{"sampling_rate": 0.1, "noise_multiplier": 1.0, "count": 5, "records": 3} | change)
        for change in (
            {"sampling_rate": 0.0}, {"sampling_rate": math.nan}, {"sampling_rate": 1.5}, {"sampling_rate": "0.1"},
            {"noise_multiplier": 0.0}, {"noise_multiplier": 1e-4}, {"noise_multiplier": math.nan},
            {"noise_multiplier": math.inf}, {"count": 0}, {"count": -3}, {"count": 2.5}, {"records": 0},
            {"records": 1001}, {"records": 1.5}, {"slip": 1e-6}, {"slip": -0.1}, {"slip": math.nan}, {"slip": 1},
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize("event", NOT_UNDERSTOOD, ids=repr)
def test_what_is_not_understood_costs_infinitely_much(event):
    for events in ([event], [RUN, event], [event, UTTERANCES]):
        assert accounting.epsilon_of(events, DELTA) == math.inf
        assert accounting.mu_gdp(events) == math.inf
        assert accounting.max_true_positive_rate(events) == 1.0
        assert (accounting.privacy_profile(events, [0.0, 5.0]) == 1).all()
    again = accounting.event_from_json(accounting.event_to_json(event))
    assert accounting.epsilon_of([again], DELTA) == math.inf


def test_absurd_runs_stay_bounded_and_finite_in_time():
    assert accounting.epsilon(sampling_rate=1.0, noise_multiplier=1e-3, steps=40, delta=1e-5) > 1e7
    assert accounting.epsilon(sampling_rate=1.0, noise_multiplier=1e6, steps=1, delta=1e-5) < 1e-5
    assert accounting.mu_gdp([accounting.build_event(1.0, 1e-3, 40)]) == math.inf
    assert accounting.epsilon(sampling_rate=0.1, noise_multiplier=1.0, steps=10, delta=1e-300) == math.inf


def test_the_profile_is_that_of_a_gaussian():
    grid = np.linspace(0, 12, 50)
    found = accounting.privacy_profile([accounting.build_event(1.0, 1 / 1.5, 1)], grid)
    exact = np.array([gaussian_delta(1.5, epsilon) for epsilon in grid])
    assert (np.diff(found) <= 0).all()
    assert (found >= exact - 1e-14).all()
    assert found[exact > 1e-8] == pytest.approx(exact[exact > 1e-8], rel=0.01)
    assert accounting.privacy_profile([RUN], [accounting.epsilon_of([RUN], DELTA)])[0] == pytest.approx(DELTA, rel=0.01)


def test_epsilon_over_time_only_grows():
    for records in (1, 4):
        times = [accounting.build_event(0.1, 3.0, steps, records) for steps in (1, 2, 3, 5, 10, 20, 40)]
        spent = [accounting.epsilon_of([event], DELTA) for event in times]
        assert all(before < after for before, after in itertools.pairwise(spent))


@pytest.mark.parametrize("mu", [0.05, 0.5, 1.67, 4.0])
def test_mu_of_a_gaussian_is_its_own(mu):
    assert mu <= accounting.mu_gdp([accounting.build_event(1.0, 1 / mu, 1)]) <= 1.02 * mu
    assert mu <= accounting.mu_gdp([accounting.build_event(1.0, 5 / mu, 25)]) <= 1.02 * mu


def test_the_gaussian_of_mu_covers_the_run_and_no_smaller_one_does():
    mu = accounting.mu_gdp([RUN])
    grid = np.linspace(0.0, accounting.epsilon_of([RUN], 1e-10), 137)
    profile = accounting.privacy_profile([RUN], grid)
    assert all(gaussian_delta(mu, e) >= d for e, d in zip(grid, profile, strict=True) if d >= 1e-10)
    assert any(gaussian_delta(0.98 * mu, e) < d for e, d in zip(grid, profile, strict=True) if d >= 1e-10)
    assert accounting.mu_gdp([]) == 0.0


# Gaussian mechanism at delta 1e-5: the true positive rate at 1 % false alarms that is consistent with epsilon.
@pytest.mark.parametrize(
    ("epsilon", "auc", "rate"), [(1, 0.575, 0.020), (2, 0.639, 0.034), (4, 0.743, 0.081), (8, 0.881, 0.255)]
)
def test_members_named_at_one_percent(epsilon, auc, rate):
    sigma = accounting.noise_multiplier(sampling_rate=1.0, steps=1, epsilon=epsilon, delta=1e-5)
    event = accounting.build_event(1.0, sigma, 1)
    exact = NORMAL.cdf(NORMAL.ppf(0.01) + 1 / sigma)
    assert exact == pytest.approx(rate, abs=0.001)
    assert NORMAL.cdf(accounting.mu_gdp([event]) / math.sqrt(2)) == pytest.approx(auc, abs=0.002)
    assert exact <= accounting.max_true_positive_rate([event]) <= 1.01 * exact


def test_members_named_is_between_blind_guessing_and_everyone():
    rates = [
        accounting.max_true_positive_rate([accounting.build_event(0.1, sigma, 40)]) for sigma in (50.0, 5.0, 0.7, 0.2)
    ]
    assert rates == sorted(rates)
    assert rates[0] == pytest.approx(0.01, abs=0.001)
    assert rates[-1] > 0.9
    alphas = [accounting.max_true_positive_rate([RUN], alpha) for alpha in (0.001, 0.01, 0.1, 0.5, 0.99)]
    assert alphas == sorted(alphas)
    assert alphas[-1] <= 1.0
    assert accounting.max_true_positive_rate([]) == 0.01


BAD = [
    {"sampling_rate": 0.0},
    {"sampling_rate": 1.1},
    {"sampling_rate": math.nan},
    {"steps": 0},
    {"steps": -1},
    {"steps": 2.5},
    {"steps": math.nan},
    {"steps": 10**6 + 1},
    {"records": 0},
    {"records": 1001},
    {"records": 2.5},
    {"records": math.nan},
    {"delta": 0.0},
    {"delta": 1.0},
    {"delta": -1e-5},
    {"delta": math.nan},
]


@pytest.mark.parametrize(
    "change", [*BAD, {"noise_multiplier": -1.0}, {"noise_multiplier": math.nan}, {"noise_multiplier": math.inf}]
)
def test_epsilon_refuses_bad_arguments(change):
    with pytest.raises(ConfigError, match="expected"):
        accounting.epsilon(**{"sampling_rate": 0.1, "noise_multiplier": 1.0, "steps": 10, "delta": 1e-5} | change)


@pytest.mark.parametrize(
    "change", [*BAD, {"epsilon": 0.0}, {"epsilon": -1.0}, {"epsilon": math.nan}, {"epsilon": math.inf}]
)
def test_calibration_refuses_bad_arguments(change):
    with pytest.raises(ConfigError, match="expected"):
        accounting.noise_multiplier(**{"sampling_rate": 0.1, "epsilon": 1.0, "steps": 10, "delta": 1e-5} | change)


def test_calibration_says_when_no_noise_is_enough():
    with pytest.raises(ConfigError, match="no noise"):
        accounting.noise_multiplier(sampling_rate=1.0, steps=10, epsilon=1.0, delta=1e-300)


@pytest.mark.parametrize("rate", [0.0, 1.0, math.nan])
def test_false_positive_rates_are_checked(rate):
    with pytest.raises(ConfigError, match="expected"):
        accounting.max_true_positive_rate([RUN], rate)


@pytest.mark.parametrize("grid", [[-1.0], [800.0], [math.nan], [2.0, 1.0]])
def test_profile_grids_are_checked(grid):
    with pytest.raises(ConfigError, match="ascend"):
        accounting.privacy_profile([RUN], grid)
