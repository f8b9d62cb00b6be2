from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from speechpriv.audit.voices import reid
from speechpriv.audit.voices.reid import equal_error_rate
from speechpriv.errors import AuditError

scores = st.lists(st.integers(-20, 20), min_size=1, max_size=12)


@pytest.fixture
def few_resamples(monkeypatch):
    monkeypatch.setattr(reid, "N_RESAMPLES", 200)


def point(target, nontarget):
    """The rate alone, without the price of the interval."""
    distinct = np.unique(np.concatenate([target, nontarget]))
    return reid._rocch_eer(*(np.array([np.sum(np.equal(side, v)) for v in distinct]) for side in (target, nontarget)))


def operating_points(target, nontarget):
    """(miss, false alarm) at every threshold."""
    thresholds = [*np.unique(np.concatenate([target, nontarget])), np.inf]
    return [(np.mean(np.less(target, t)), np.mean(np.greater_equal(nontarget, t))) for t in thresholds]


def naive_hull_eer(target, nontarget):
    """Toss a coin between any two thresholds so that both rates are equal; the best such pair."""
    best = 1.0
    for (miss_a, alarm_a), (miss_b, alarm_b) in product(operating_points(target, nontarget), repeat=2):
        below, above = miss_a - alarm_a, miss_b - alarm_b
        if below <= 0 <= above:
            share = -below / (above - below) if above > below else 0.0
            best = min(best, miss_a + share * (miss_b - miss_a))
    return best


@pytest.mark.parametrize(
    ("target", "nontarget", "expected"),
    [
        ([3, 4, 5], [0, 1, 2], 0),  # separated
        ([7, 7, 7], [7, 7], 1 / 2),  # says nothing
        ([0, 1, 2], [3, 4, 5], 1 / 2),  # the wrong way round is no better than a coin
        # (miss, false alarm) at thresholds 1 and 3: (0, 1/2), (1/2, 0). The line between meets miss = alarm at 1/4.
        ([1, 3], [0, 2], 1 / 4),
        # Corners (0, 2/3) at threshold 2 and (1/5, 0) at 5; (1/5, 1/3) at 4 lies above their line. A share s of the
        # way, s/5 = 2/3 (1 - s), so s = 10/13. A sweep without the hull would say 1/5.
        ([2, 5, 6, 7, 8], [1, 3, 4], 2 / 13),
        # A tie: (0, 1) at 1, (0, 1/2) at 2, (1/2, 0) above 2.
        ([2, 3], [1, 2], 1 / 4),
    ],
)
def test_hand_worked_cases(target, nontarget, expected):
    eer, low, high = equal_error_rate(target, nontarget)
    assert eer == pytest.approx(expected, abs=1e-12)
    assert low <= eer <= high


@given(scores, scores)
def test_equals_the_naive_search_over_pairs_of_thresholds(target, nontarget):
    assert point(target, nontarget) == pytest.approx(naive_hull_eer(target, nontarget), abs=1e-12)


@given(scores, scores)
def test_no_single_threshold_does_better(target, nontarget):
    best = min(max(miss, alarm) for miss, alarm in operating_points(target, nontarget))
    assert point(target, nontarget) <= best + 1e-12


@given(scores, scores)
def test_only_the_order_of_scores_matters(target, nontarget):
    target, nontarget = np.array(target), np.array(nontarget)
    eer = point(target, nontarget)
    assert point(target**3 + 5, nontarget**3 + 5) == eer
    assert point(np.exp(target / 4), np.exp(nontarget / 4)) == eer
    # Turning the scores round and swapping their names is the same task.
    assert point(-nontarget, -target) == pytest.approx(eer, abs=1e-12)


@given(scores, scores, st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_interval_holds_the_rate(target, nontarget, seed):
    eer, low, high = equal_error_rate(target, nontarget, seed=seed)
    assert eer == point(target, nontarget)
    assert 0 <= low <= eer <= high <= 0.5


def gaussians(rng, n_target, n_nontarget, shift):
    return rng.normal(shift, 1, n_target), rng.normal(0, 1, n_nontarget)


def coverage(n_simulations, repeats):
    """Share of intervals that hold the true rate, where each score is handed in `repeats` times."""
    shift = 1.5
    true_eer = norm.cdf(-shift / 2)
    hits = 0
    for seed in range(n_simulations):
        target, nontarget = gaussians(np.random.default_rng(seed), 200, 200, shift)
        _, low, high = equal_error_rate(np.repeat(target, repeats), np.repeat(nontarget, repeats))
        hits += low <= true_eer <= high
    return hits / n_simulations


@pytest.mark.usefixtures("few_resamples")
def test_interval_covers_the_true_rate_of_gaussians():
    assert 0.88 <= coverage(400, repeats=1) <= 0.99


@pytest.mark.usefixtures("few_resamples")
def test_scores_handed_in_many_times_cover_less():
    assert coverage(50, repeats=9) < 0.75  # negative control: the interval takes each copy for news


def test_interval_narrows_with_the_number_of_scores():
    rng = np.random.default_rng(0)
    widths = []
    for n_scores in (50, 5_000):
        _, low, high = equal_error_rate(*gaussians(rng, n_scores, n_scores, 1.5))
        widths.append(high - low)
    assert widths[1] < widths[0] / 4


def test_no_error_seen_is_not_no_error_possible():
    for n_scores in (5, 59):
        eer, low, high = equal_error_rate(np.ones(n_scores), np.zeros(1_000))
        assert (eer, low) == (0, 0)
        assert (1 - high) ** n_scores == pytest.approx(0.025) or high == 0.5
    assert high == pytest.approx(0.0606, abs=1e-4)
    assert equal_error_rate([1], [0]) == (0, 0, 0.5)


def test_seed_decides_the_interval():
    target, nontarget = gaussians(np.random.default_rng(0), 60, 60, 1.5)
    assert equal_error_rate(target, nontarget, seed=3) == equal_error_rate(target, nontarget, seed=3)
    assert equal_error_rate(target, nontarget, seed=3) != equal_error_rate(target, nontarget, seed=4)


def test_returns_plain_floats():
    assert [type(value) for value in equal_error_rate(np.ones(2, np.float32), [0, 1])] == [float, float, float]


@pytest.mark.parametrize("bad", [[], [[1.0, 2.0]], 3.0, [1.0, float("nan")], [float("inf")]])
def test_refuses_unusable_scores(bad):
    with pytest.raises(AuditError, match="target"):
        equal_error_rate(bad, [0.0])
    with pytest.raises(AuditError, match="nontarget"):
        equal_error_rate([0.0], bad)


def pairs(rng, people, each, shift, habit):
    """Scores of all pairs of people, `each` of a pair; a person's own lie higher by `shift`, give or take `habit`."""
    heard, claimed = (side.ravel() for side in np.indices((people, people)))
    own = np.where(heard == claimed, shift + habit * rng.normal(size=people)[heard], 0)
    scores = own[:, None] + rng.normal(size=(len(heard), each))
    return scores.ravel(), np.repeat(heard, each), np.repeat(claimed, each)


@pytest.mark.usefixtures("few_resamples")
def test_people_and_scores_agree_on_the_rate():
    scores_, heard, claimed = pairs(np.random.default_rng(0), 12, 3, 1.5, 0)
    eer, low, high = reid.equal_error_rate_of_people(scores_, heard, claimed)
    assert eer == equal_error_rate(scores_[heard == claimed], scores_[heard != claimed])[0]
    assert low <= eer <= high


@pytest.mark.usefixtures("few_resamples")
def test_interval_over_people_covers_the_true_rate_where_each_has_habits():
    """Negative control: scores taken for independent cover it much less often."""
    _, heard, claimed = pairs(np.random.default_rng(0), 20, 20, 1.5, 1.0)
    truth = equal_error_rate(*(
        np.concatenate([pairs(np.random.default_rng(seed), 20, 20, 1.5, 1.0)[0][kind] for seed in range(100, 200)])
        for kind in (heard == claimed, heard != claimed)
    ))[0]  # fmt: skip
    by_people = by_scores = 0
    for seed in range(40):
        drawn = pairs(np.random.default_rng(seed), 20, 20, 1.5, 1.0)[0]
        _, low, high = reid.equal_error_rate_of_people(drawn, heard, claimed)
        by_people += low <= truth <= high
        _, low, high = equal_error_rate(drawn[heard == claimed], drawn[heard != claimed])
        by_scores += low <= truth <= high
    assert by_people >= 33
    assert by_scores <= by_people - 8


@pytest.mark.usefixtures("few_resamples")
def test_no_error_among_few_people_is_not_no_error_possible():
    scores_, heard, claimed = pairs(np.random.default_rng(0), 10, 50, 100, 0)
    assert reid.equal_error_rate_of_people(scores_, heard, claimed) == (0, 0, pytest.approx(1 - 0.025 ** (1 / 10)))


@pytest.mark.parametrize(("heard", "claimed"), [([0, 0], [0, 0]), ([0, 1], [1, 0]), ([0], [0])])
def test_people_without_pairs_are_refused(heard, claimed):
    with pytest.raises(AuditError, match="target pairs"):
        reid.equal_error_rate_of_people([0.0, 1.0], heard, claimed)
