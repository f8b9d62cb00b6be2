import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv.audit.inference import intervals
from speechpriv.errors import AuditError


@pytest.mark.parametrize(
    ("hits", "trials", "bound"), [(0, 59, 0.0495), (0, 100, 0.0295), (0, 299, 0.01), (1, 10, 0.3942), (10, 10, 1.0)]
)
def test_textbook_upper_bounds(hits, trials, bound):
    """Zero hits: 1 - 0.05^(1/n) (REFERENCE.md)."""
    assert intervals.upper_bound(hits, trials, 0.95) == pytest.approx(bound, abs=1e-4)


@given(st.integers(1, 60), st.floats(0.001, 0.999))
def test_upper_bounds_hold_as_often_as_they_say(trials, truth):
    """Every outcome counted."""
    chance = scipy.stats.binom.pmf(np.arange(trials + 1), trials, truth)
    wrong = [intervals.upper_bound(hits, trials, 0.95) < truth for hits in range(trials + 1)]
    assert chance[wrong].sum() <= 0.05 + 1e-9


@pytest.mark.parametrize("bad", [(0, 0, 0.95), (-1, 5, 0.95), (6, 5, 0.95), (1, 5, 1.0), (1, 5, math.nan)])
def test_upper_bound_of_nothing(bad):
    with pytest.raises(AuditError, match="interval"):
        intervals.upper_bound(*bad)


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0])
def test_the_area_is_inside_as_often_as_it_says(shift):
    rng = np.random.default_rng(6)
    truth, inside = scipy.stats.norm.cdf(shift / math.sqrt(2)), 0
    for _ in range(400):
        area, low, high = intervals.auc(rng.normal(size=30) - shift, rng.normal(size=1000), 0.95)
        assert low <= area <= high
        inside += low <= truth <= high
    assert inside >= 0.92 * 400
    assert shift == 2 or inside <= 0.98 * 400  # near its end it is wider than it need be


def test_it_is_the_bootstraps_interval():
    rng = np.random.default_rng(7)
    planted, references = rng.normal(size=60) - 0.8, rng.normal(size=500)
    wins = (planted[:, None] < references).mean()
    drawn = [(rng.choice(planted, 60)[:, None] < rng.choice(references, 500)).mean() for _ in range(1000)]
    area, low, high = intervals.auc(planted, references, 0.9)
    assert area == pytest.approx(wins)
    assert [low, high] == pytest.approx(np.quantile(drawn, [0.05, 0.95]), abs=0.01)


@settings(deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9), st.lists(st.integers(-3, 3), min_size=1, max_size=9))
def test_never_outside_nor_of_no_width(planted, references):
    area, low, high = intervals.auc(np.array(planted, float), np.array(references, float), 0.95)
    assert 0 <= low <= area <= high <= 1
    assert high > low
