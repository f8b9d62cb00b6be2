import hashlib
import math

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


def draw(step=0, name="w", std=1.0, key=KEY, size=N):
    return noise.gaussian(key, step, {name: (size,)}, std)[name].numpy().astype(np.float64)


@pytest.mark.parametrize("std", [1.0, 0.003, 250.0])
def test_values_are_normal_and_wrong_ones_are_found(std):
    values = draw(std=std)
    assert stats.kstest(values, stats.norm(scale=std).cdf).pvalue > 1e-3
    for wrong in (2 / 3, 3 / 2, 0.9):
        assert stats.kstest(values, stats.norm(scale=std * wrong).cdf).pvalue < 1e-3
    assert stats.kstest(np.abs(values), stats.norm(scale=std).cdf).pvalue < 1e-9


def test_tails_are_normal():
    values = np.concatenate([draw(step=step) for step in range(10)])
    for z in (2.5, 3.5):
        expected = 2 * stats.norm.sf(z) * len(values)
        assert abs((np.abs(values) > z).sum() - expected) < 4 * math.sqrt(expected)


@pytest.mark.parametrize("size", [noise._CHUNK, noise._CHUNK + 1, 3 * noise._CHUNK // 2])
def test_no_part_of_a_parameter_repeats_another(size):
    """Neighbours, halves of a chunk (which share uniforms) and chunks are uncorrelated and distinct."""
    values = draw(size=size)
    for lag in {1, 2, noise._CHUNK // 2, size // 2, noise._CHUNK} - {size}:
        if lag < size:
            product = values[:-lag] * values[lag:]
            assert abs(product.sum()) < 4.5 * math.sqrt(len(product)) + 10
    assert len(np.unique(values)) > 0.99 * size
    # Halves of a chunk share radii: dependence would show in the squares.
    first, second = np.split(values[: noise._CHUNK], 2)
    assert abs(stats.pearsonr(first**2, second**2).statistic) < 4.5 / math.sqrt(len(first))


def test_a_repeating_stream_would_be_found():
    """Negative control for the figures above."""
    values = np.tile(draw(size=1000), 2)
    product = values[:-1000] * values[1000:]
    assert abs(product.sum()) > 4.5 * math.sqrt(len(product)) + 10


def correlation(a, b):
    return abs(np.corrcoef(a, b)[0, 1])


@pytest.mark.parametrize("other", [{"step": 1}, {"name": "v"}, {"key": bytes(32)}])
def test_steps_names_and_keys_are_independent(other):
    a, b = draw(), draw(**other)
    assert correlation(a, b) < 4.5 / math.sqrt(N)
    assert not np.isin(a, b).mean() > 0.01
    assert correlation(a, a + 0.1 * b) > 0.9  # the control: the figure does see a reused value


def test_parameters_of_one_shape_get_noise_of_their_own():
    drawn = noise.gaussian(KEY, 3, {"a": (64, 8), "b": (64, 8)}, 1.0)
    assert not torch.equal(drawn["a"], drawn["b"])
    assert correlation(drawn["a"].flatten(), drawn["b"].flatten()) < 4.5 / math.sqrt(512)


def test_noise_and_sampling_share_no_stream(monkeypatch):
    seen = []
    monkeypatch.setattr(sampling.hmac, "digest", lambda key, message, name: seen.append(message) or bytes(32))
    sampling.cohort(KEY, 5, 3, 0.5)
    noise.gaussian(KEY, 5, {"": (1,), "w": (1,)}, 1.0)
    assert len(set(seen)) == 3
    assert [message[:5] for message in seen] == [b"cohor", b"noise", b"noise"]  # no message can equal another's


@settings(deadline=None, max_examples=25)
@given(
    step=st.integers(0, 2**64 - 1),
    shapes=st.dictionaries(st.text(max_size=8), st.lists(st.integers(0, 5), max_size=3).map(tuple), max_size=4),
)
def test_replay_is_exact_in_any_order(step, shapes):
    drawn = noise.gaussian(KEY, step, shapes, 0.7)
    again = noise.gaussian(KEY, step, dict(reversed(shapes.items())), 0.7)
    assert drawn.keys() == shapes.keys()
    for name, shape in shapes.items():
        assert drawn[name].dtype == torch.float32
        assert tuple(drawn[name].shape) == shape
        assert torch.equal(drawn[name], again[name])


def test_threads_change_nothing():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    one = draw(size=100_000)
    torch.set_num_threads(2)
    two = draw(size=100_000)
    torch.set_num_threads(threads)
    assert np.array_equal(one, two)


def test_the_stream_never_changes_unnoticed():
    """Golden, rounded so that another processor's last bits do not matter."""
    values = draw(step=2, size=70_000)
    assert np.round(values[[0, 1, 40_000, 69_999]], 4).tolist() == [0.9718, 0.0043, -0.5983, 1.1364]


def test_the_naive_formula_gives_the_same(monkeypatch):
    """Box and Muller written out, value by value, on the same words."""
    words = np.frombuffer(hashlib.shake_256(b"words").digest(8 * 8 * 3), dtype="<u8")

    class Stream:
        def update(self, zeros):
            assert len(zeros) == words.nbytes
            return words.tobytes()

    made = noise._standard_normals(Stream(), 5)
    table = words.reshape(2, 4, 3)
    for value in range(5):
        trig, pair = (math.cos, value) if value < 3 else (math.sin, value - 3)
        total = 0.0
        for term in range(4):
            u, v = ((int(table[part, term, pair]) // 2**11 + 1) / 2**53 for part in (0, 1))
            total += math.sqrt(-2 * math.log(u)) * trig(2 * math.pi * v)
        assert made[value].item() == pytest.approx(total / 2, rel=1e-12, abs=1e-12)


def test_the_smallest_and_largest_words_stay_finite():
    for byte in (b"\x00", b"\xff"):

        class Stream:
            def update(self, zeros, byte=byte):
                return byte * len(zeros)

        values = noise._standard_normals(Stream(), 4)
        assert torch.isfinite(values).all()
        assert values.abs().max() <= 17.2


def test_no_noise_and_large_noise():
    assert torch.equal(noise.gaussian(KEY, 0, {"w": (3,)}, 0.0)["w"], torch.zeros(3))
    assert torch.isfinite(noise.gaussian(KEY, 0, {"w": (1000,)}, 1e30)["w"]).all()


@pytest.mark.parametrize(
    "change",
    [
        {"std": -1.0},
        {"std": math.nan},
        {"std": math.inf},
        {"std": 1e31},
        {"step": -1},
        {"step": 2**64},
        {"key": b"x"},
    ],
)
def test_bad_arguments_are_refused(change):
    with pytest.raises(ConfigError, match="expected"):
        noise.gaussian(**({"key": KEY, "step": 0, "shapes": {"w": (1,)}, "std": 1.0} | change))


def test_keys_are_fresh():
    keys = {noise.new_key() for _ in range(10)}
    assert len(keys) == 10
    assert {len(key) for key in keys} == {32}
