import hashlib
import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from speechpriv.errors import ConfigError
from speechpriv.train import noise, sampling

KEY = bytes(range(32))
N = 40_000


def noised(total, step=0, key=KEY, clip_norm=1.0, sigma=1.0):
    return noise.add_noise(total, key, step, clip_norm=clip_norm, noise_multiplier=sigma, rounding=0.0)


def draw(step=0, key=KEY, size=N, **scale):
    """The noise alone: that of a sum to which nobody added."""
    return noised({"w": torch.zeros(size, dtype=torch.float64)}, step, key, **scale)["w"].numpy().astype(np.float64)


@pytest.mark.parametrize(("sigma", "clip_norm"), [(1.0, 1.0), (0.3, 0.01), (25.0, 10.0)])
def test_values_are_normal_and_wrong_ones_are_found(sigma, clip_norm):
    values, std = draw(sigma=sigma, clip_norm=clip_norm), sigma * clip_norm
    assert stats.kstest(values, stats.norm(scale=std).cdf).pvalue > 1e-3
    for wrong in (2 / 3, 3 / 2, 0.9):
        assert stats.kstest(values, stats.norm(scale=std * wrong).cdf).pvalue < 1e-3
    assert stats.kstest(np.abs(values), stats.norm(scale=std).cdf).pvalue < 1e-9


def test_tails_are_normal():
    values = np.concatenate([draw(step=step) for step in range(10)])
    for z in (2.5, 3.5):
        expected = 2 * stats.norm.sf(z) * len(values)
        assert abs((np.abs(values) > z).sum() - expected) < 4 * math.sqrt(expected)


@pytest.mark.parametrize("size", [noise._CHUNK, noise._CHUNK + 1, 3 * noise._CHUNK // 2, 3 * noise._CHUNK])
def test_no_part_of_the_noise_repeats_another(size):
    values = draw(size=size)
    for lag in {1, 2, size // 2, noise._CHUNK // 2, noise._CHUNK, 2 * noise._CHUNK}:
        if lag < size:
            product = values[:-lag] * values[lag:]
            assert abs(product.sum()) < 4.5 * math.sqrt(len(product)) + 10


def test_a_repeating_stream_would_be_found():
    """Negative control for the figure above."""
    values = np.tile(draw(size=1000), 2)
    product = values[:-1000] * values[1000:]
    assert abs(product.sum()) > 4.5 * math.sqrt(len(product)) + 10


def correlation(a, b):
    return abs(np.corrcoef(a, b)[0, 1])


@pytest.mark.parametrize("other", [{"step": 1}, {"step": 256}, {"key": bytes(32)}], ids=str)
def test_steps_and_keys_are_independent(other):
    a, b = draw(), draw(**other)
    assert correlation(a, b) < 4.5 / math.sqrt(N)
    assert correlation(a**2, b**2) < 4.5 / math.sqrt(N)
    assert correlation(a, b + 0.05 * a) > 4.5 / math.sqrt(N)  # the control: one part in twenty is seen


def test_parameters_of_one_shape_get_noise_of_their_own():
    drawn = noised({name: torch.zeros(64, 8, dtype=torch.float64) for name in "ab"})
    assert correlation(drawn["a"].flatten(), drawn["b"].flatten()) < 4.5 / math.sqrt(512)


def test_noise_and_sampling_share_no_stream(monkeypatch):
    seen = []
    monkeypatch.setattr(sampling.hmac, "digest", lambda key, message, name: seen.append(message) or bytes(32))
    sampling.draw_cohort(KEY, 5, 3, 0.5)
    draw(step=5, size=1)
    assert [message[:5] for message in seen] == [b"cohor", b"noise"]  # no message can equal another's


@settings(deadline=None, max_examples=25)
@given(
    step=st.integers(0, 2**64 - 1),
    shapes=st.lists(st.lists(st.integers(0, 5), max_size=3).map(tuple), min_size=1, max_size=4),
)
def test_replay_is_exact(step, shapes):
    total = {str(number): torch.ones(shape, dtype=torch.float64) for number, shape in enumerate(shapes)}
    first, again = noised(total, step), noised(total, step)
    assert list(first) == list(total)
    for name, value in total.items():
        assert first[name].dtype == torch.float32
        assert first[name].shape == value.shape
        assert torch.equal(first[name], again[name])
        assert (value == 1).all()  # the sum is left alone


def test_threads_change_nothing():
    total = {str(size): torch.zeros(size, dtype=torch.float64) for size in (1, 1000, 100_000, 10)}
    one = noised(total)
    torch.set_num_threads(2)
    two = noised(total)
    torch.set_num_threads(1)  # as conftest.py sets it
    assert all(torch.equal(one[name], two[name]) for name in total)


def test_the_stream_never_changes_unnoticed():
    """Golden, rounded so that another processor's last bits do not matter."""
    values = draw(step=2, size=70_000)
    assert np.round(values[[0, 1, 40_000, 69_999]], 4).tolist() == [-0.3497, 0.5731, 2.3036, 0.6808]


# The generator, against 50 digits.


def distance(value, high, low):
    """From a value to the exact quantile of its two words: to first order, which is exact at such distances."""
    with mpmath.workdps(50):
        exact = (mpmath.mpf(high % 2**63) + (mpmath.mpf(low % 2**63) + 0.5) / 2**63) / 2**64
        below = mpmath.mpf(value if high >> 63 else -value)
        return float(abs(mpmath.ncdf(below) - exact) / mpmath.npdf(below))


def test_values_are_quantiles_to_within_what_the_guarantee_allows():
    """docs/guarantees.md counts on 2^-48. Words shifted to the right, by up to 63 bits, reach into the tail."""
    extremes = np.array([0, 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1], dtype="<u8")
    words = np.frombuffer(hashlib.shake_256(b"words").digest(16 * 4096), dtype="<u8").reshape(2, -1).copy()
    words[0] >>= np.arange(words.shape[1], dtype=np.uint64) % np.uint64(64)
    words = np.concatenate([words, [extremes, extremes], [extremes, extremes[::-1]]], axis=1)
    values = noise._standard_normals(words.tobytes()).tolist()
    pairs = list(zip(*words.tolist(), strict=True))
    assert max(distance(value, *pair) for value, pair in zip(values, pairs, strict=True)) < 2**-48
    assert distance(values[0] + 2**-47, *pairs[0]) > 2**-48  # the control: the last bits are looked at
    assert max(values) == -min(values) == pytest.approx(13.06, abs=0.01)


# The grid.


def test_the_noised_sum_is_the_rounded_sum_shifted_by_the_rounded_noise():
    """Exactly: where the sum lies shifts the output and changes nothing else, so the low bits tell nothing."""
    size = 64
    grid = noise.grid_of(1.0, size)
    rng = np.random.default_rng(0)
    total = torch.from_numpy(rng.uniform(-3, 3, size))
    shift = noised({"w": total})["w"].double() - noised({"w": torch.zeros_like(total)})["w"].double()
    assert torch.equal(shift, torch.round(total / grid) * grid)
    plain = torch.randn(size)
    assert not torch.equal((total.float() + plain).double() - plain, total.float().double())  # floats don't do that


def told_by_low_bits(outputs, resolution):
    """The attack: is any output between the floats that a value of 1 plus float noise can reach?"""
    return bool((outputs / resolution != np.round(outputs / resolution)).any())


def test_low_bits_tell_a_value_under_float_noise_and_not_under_ours():
    noise_alone = np.random.default_rng(0).standard_normal(N).astype(np.float32)
    for_0, for_1 = noise_alone, np.float32(1) + noise_alone
    unreachable = 2.0**-25  # half the spacing of floats just below 1: what 1 + noise rounds to
    assert told_by_low_bits(for_0.astype(np.float64), unreachable)
    assert not told_by_low_bits(for_1.astype(np.float64), unreachable)
    ours = [noised({"w": torch.full((N,), value, dtype=torch.float64)})["w"].double().numpy() for value in (0.0, 1.0)]
    assert [told_by_low_bits(outputs, noise.grid_of(1.0, N)) for outputs in ours] == [False, False]


@given(clip_norm=st.floats(1e-30, 1e30), entries=st.integers(0, 2**40))
def test_the_grid_is_a_power_of_two_that_costs_no_more_than_its_share(clip_norm, entries):
    grid = noise.grid_of(clip_norm, entries)
    assert math.frexp(grid)[0] == 0.5
    share = grid * math.sqrt(max(1, entries)) / clip_norm
    assert 2**-9 * (1 - 1e-9) < share <= 2**-8 * (1 + 1e-9)


def test_rounding_moves_neighbours_apart_by_no_more_than_is_paid_for():
    """The worst case: every entry straddles the middle between two grid points."""
    size, clip_norm = 4096, 0.7
    grid = noise.grid_of(clip_norm, size)
    apart = clip_norm / math.sqrt(size)
    low = torch.full((size,), (0.5 - 1e-6) * grid - (apart % grid), dtype=torch.float64)
    # Lift the upper end over the next middle.
    sums = low, low + apart + 2e-6 * grid
    first, second = (noised({"w": total}, clip_norm=clip_norm, sigma=0.0)["w"].double() for total in sums)
    grown = float(torch.linalg.vector_norm(second - first)) / clip_norm
    assert 1 + 2**-11 < grown <= noise.rounding_allowance(0)


def test_the_noise_is_scaled_to_the_widened_bound():
    """A sample of 2^22 has a standard error of 0.035 %; the allowance is 0.42 %."""
    values = draw(size=1 << 22)
    assert abs(values.std() / noise.rounding_allowance(0) - 1) < 1.2e-3
    assert abs(values.std() - 1) > 1.2e-3


def test_rounding_in_the_passes_is_paid_for_too():
    total = {"w": torch.zeros(1 << 20, dtype=torch.float64)}
    wide, plain = (
        noise.add_noise(total, KEY, 0, clip_norm=1.0, noise_multiplier=1.0, rounding=rounding)["w"].double().std()
        for rounding in (0.5, 0.0)
    )
    assert float(wide / plain) == pytest.approx(noise.rounding_allowance(0.5) / noise.rounding_allowance(0.0), rel=1e-5)


def test_a_sum_in_float32_is_refused():
    """Its rounding errors, 2^-24 an addition, are not paid for."""
    with pytest.raises(ConfigError, match=r"'w'.*float64"):
        noised({"w": torch.zeros(3)})


def test_no_noise_and_large_noise():
    assert torch.equal(noised({"w": torch.zeros(3, dtype=torch.float64)}, sigma=0.0)["w"], torch.zeros(3))
    assert np.isfinite(draw(size=1000, clip_norm=1e30, sigma=2.0**20)).all()


@pytest.mark.parametrize(
    "change",
    [
        *({"noise_multiplier": value} for value in (-1.0, math.nan, math.inf, 2.0**21)),
        *({"clip_norm": value} for value in (0.0, -1.0, math.nan, math.inf)),
        *({"rounding": value} for value in (-1e-9, math.nan, math.inf)),
        {"step": -1},
        {"step": 2**64},
        {"key": b"x"},
    ],
    ids=str,
)
def test_bad_arguments_are_refused(change):
    arguments = {"key": KEY, "step": 0, "clip_norm": 1.0, "noise_multiplier": 1.0, "rounding": 0.0} | change
    with pytest.raises(ConfigError, match="expected"):
        noise.add_noise({"w": torch.zeros(1, dtype=torch.float64)}, **arguments)


def test_keys_are_fresh():
    keys = {noise.new_key() for _ in range(10)}
    assert len(keys) == 10
    assert {len(key) for key in keys} == {32}
