import hashlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from speechpriv.errors import ConfigError
from speechpriv.train import sampling

KEY = bytes(range(32))


def membership(draw, steps=1500, units=60):
    """Shape (steps, units): which unit is in which cohort."""
    inside = np.zeros((steps, units), dtype=bool)
    for step in range(steps):
        inside[step, draw(step, units)] = True
    return inside


def shuffled(rate):
    """Epochs over a shuffled corpus, cut into cohorts of one size: what must not be mistaken for Poisson sampling."""

    def draw(step, units):
        size = round(rate * units)
        epoch, part = divmod(step, round(1 / rate))
        return np.random.default_rng(epoch).permutation(units)[part * size : (part + 1) * size]

    return draw


def fixed_size(rate):
    return lambda step, units: np.random.default_rng(step).choice(units, round(rate * units), replace=False)


def poisson(rate):
    return lambda step, units: sampling.draw_cohort(KEY, step, units, rate)


def p_frequency(inside, rate):
    """p-value: every unit is in as often as its rate says."""
    steps, units = inside.shape
    expected = steps * rate
    chi2 = ((inside.sum(axis=0) - expected) ** 2).sum() / (expected * (1 - rate))
    return 2 * min(stats.chi2.sf(chi2, units), stats.chi2.cdf(chi2, units))


def p_cohort_size(inside, rate):
    """p-value: cohort sizes vary as those of independent units do."""
    steps, units = inside.shape
    chi2 = ((inside.sum(axis=1) - units * rate) ** 2).sum() / (units * rate * (1 - rate))
    return 2 * min(stats.chi2.sf(chi2, steps), stats.chi2.cdf(chi2, steps))


def p_pairs(inside, rate):
    """p-value: no two units are in together too often or too rarely (largest of all correlations, Bonferroni)."""
    z = ((inside - rate) / math.sqrt(rate * (1 - rate))).T
    correlation = (z @ z.T / math.sqrt(inside.shape[0]))[np.triu_indices(inside.shape[1], 1)]
    return min(1.0, 2 * stats.norm.sf(np.abs(correlation).max()) * correlation.size)


def p_steps(inside, rate):
    """p-value: being in one step says nothing about the next."""
    z = (inside - rate) / math.sqrt(rate * (1 - rate))
    product = z[:-1] * z[1:]
    return 2 * stats.norm.sf(abs(product.sum()) / math.sqrt(product.size))


@pytest.mark.parametrize("rate", [0.05, 0.3])
@pytest.mark.parametrize("p_value", [p_frequency, p_cohort_size, p_pairs, p_steps])
def test_cohorts_are_poisson(rate, p_value):
    assert p_value(membership(poisson(rate)), rate) > 1e-3


def test_negative_controls_fail():
    assert p_cohort_size(membership(fixed_size(0.3)), 0.3) < 1e-9
    assert p_cohort_size(membership(shuffled(0.1)), 0.1) < 1e-9
    assert p_steps(membership(shuffled(0.1)), 0.1) < 1e-9
    assert p_frequency(membership(poisson(0.3)), 0.28) < 1e-9

    def coupled(step, units):
        halves = sampling.draw_cohort(KEY, step, units // 2, 0.3)
        return np.concatenate([halves, halves + units // 2])

    assert p_frequency(membership(coupled), 0.3) > 1e-6  # every unit has the right rate ...
    assert p_pairs(membership(coupled), 0.3) < 1e-9  # ... but not independently

    def stuck(step, units):
        return sampling.draw_cohort(KEY, step // 2, units, 0.3)

    assert p_steps(membership(stuck), 0.3) < 1e-9


def test_replay_is_exact():
    first = [sampling.draw_cohort(KEY, step, 1000, 0.1) for step in range(20)]
    again = [sampling.draw_cohort(KEY, step, 1000, 0.1) for step in reversed(range(20))][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_the_stream_never_changes_unnoticed():
    """Golden: a changed derivation would make resumed runs draw other cohorts than they recorded."""
    cohort = sampling.draw_cohort(KEY, 7, 10_000, 0.01)
    digest = hashlib.sha256(cohort.astype("<i8").tobytes()).hexdigest()
    assert (cohort.dtype, digest[:16]) == (np.int64, "df523aad830cb848")


def test_steps_and_keys_differ():
    base = sampling.draw_cohort(KEY, 0, 1000, 0.5)
    assert not np.array_equal(base, sampling.draw_cohort(KEY, 1, 1000, 0.5))
    assert not np.array_equal(base, sampling.draw_cohort(bytes(32), 0, 1000, 0.5))


def test_a_cohort_may_be_empty():
    sizes = [len(sampling.draw_cohort(KEY, step, 10, 0.05)) for step in range(400)]
    empty = sizes.count(0) / len(sizes)
    assert abs(empty - 0.95**10) < 4 * math.sqrt(0.95**10 * (1 - 0.95**10) / 400)
    assert sampling.draw_cohort(KEY, 0, 0, 0.5).shape == (0,)


@settings(deadline=None, max_examples=40)
@given(units=st.integers(0, 300), step=st.integers(0, 2**64 - 1), low=st.floats(0, 1), high=st.floats(0, 1))
def test_cohorts_are_sorted_in_range_and_nested(units, step, low, high):
    low, high = sorted((low, high))
    small, large = (sampling.draw_cohort(KEY, step, units, rate) for rate in (low, high))
    assert (np.diff(large) > 0).all()
    assert ((large >= 0) & (large < units)).all()
    assert set(small) <= set(large)


def test_the_ends_of_the_range_are_exact(monkeypatch):
    assert len(sampling.draw_cohort(KEY, 0, 5000, 0.0)) == 0
    assert len(sampling.draw_cohort(KEY, 0, 5000, 1.0)) == 5000
    words = np.array([0, 2**63 - 1, 2**63, 2**64 - 1], dtype="<u8")
    monkeypatch.setattr(sampling, "_words", lambda *_: words)

    def chosen(rate):
        return sampling.draw_cohort(KEY, 0, 4, rate).tolist()

    assert chosen(0.5) == [0, 1]
    assert chosen(1.0) == [0, 1, 2, 3]
    assert chosen(math.nextafter(1.0, 0.0)) == [0, 1, 2]
    assert chosen(2.0**-64) == [0]
    assert chosen(2.0**-65) == []  # rounded down, never up


@pytest.mark.parametrize(
    "change",
    [
        {"key": b"short"},
        {"step": -1},
        {"step": 2**64},
        {"records": -1},
        {"rate": -0.1},
        {"rate": 1.0001},
        {"rate": math.nan},
        {"rate": math.inf},
    ],
)
def test_bad_arguments_are_refused(change):
    with pytest.raises(ConfigError, match="expected"):
        sampling.draw_cohort(**({"key": KEY, "step": 0, "records": 10, "rate": 0.5} | change))


def test_the_key_is_not_in_the_message():
    with pytest.raises(ConfigError) as error:
        sampling.draw_cohort(b"secret-key", 0, 10, 0.5)
    assert "secret-key" not in str(error.value)
