import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv.audit.inference import statistics

# Quantiles of z ~ N(0, 1), so that the lowest tenth-thousandth is far out in some and near in others.
SHAPES = {
    "normal": lambda z: z,
    "exponential": scipy.special.log_ndtr,
    "t3": lambda z: scipy.stats.t.ppf(scipy.special.ndtr(z), 3),
    "cauchy": lambda z: scipy.stats.cauchy.ppf(scipy.special.ndtr(z)),
    "rounded": np.round,
    "bounded": scipy.special.ndtr,
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("level", [1e-4, 1e-5, 1e-6])
def test_no_tail_is_taken_for_lighter_than_it_is(shape, level):
    """A phrase at the true quantile `level` gets at least `level`, but for the error of an estimate from 50."""
    rng = np.random.default_rng(1)
    place = SHAPES[shape](np.array([scipy.special.ndtri(level)]))
    found = [statistics.tail_p_values(place, SHAPES[shape](rng.normal(size=2000)))[0] for _ in range(200)]
    assert np.mean(np.array(found) < level) <= 0.05


def test_far_out_is_told_from_just_outside():
    rng = np.random.default_rng(2)
    references = rng.normal(size=2000)
    below, far, further = statistics.tail_p_values(np.array([references.min() - 0.01, -12.0, -40.0]), references)
    assert below == 1 / 2001
    assert 1e-6 < far < 1e-4
    assert further < 1e-6


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.sampled_from(sorted(SHAPES)), st.sampled_from([30, 999, 1000, 2000]))
def test_only_what_is_beyond_all_references_changes(seed, shape, count):
    rng = np.random.default_rng(seed)
    references = SHAPES[shape](rng.normal(size=count))
    planted = SHAPES[shape](3 * rng.normal(size=50))
    found, ranks = statistics.tail_p_values(planted, references), statistics.rank_p_values(planted, references)
    inside = planted >= references.min()
    assert np.array_equal(found[inside], ranks[inside])
    assert np.all((found > 0) & (found <= ranks))
    assert np.all(np.diff(found[np.argsort(planted)]) >= 0)
    if count < 1000:
        assert np.array_equal(found, ranks)


@pytest.mark.parametrize(
    "references", [np.zeros(2000), np.repeat([0.0, -1.0], [1990, 10])], ids=["equal", "two values"]
)
def test_references_without_a_tail_are_only_counted(references):
    assert statistics.tail_p_values(np.array([-1e9]), references)[0] == 1 / 2001


def test_shift_and_scale_change_nothing():
    rng = np.random.default_rng(3)
    references, planted = rng.normal(size=1000), np.array([-9.0, -20.0, 0.0])
    np.testing.assert_allclose(
        statistics.tail_p_values(7 * planted + 3, 7 * references + 3), statistics.tail_p_values(planted, references)
    )
