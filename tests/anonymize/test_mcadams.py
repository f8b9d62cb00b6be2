import runpy
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from speechpriv.anonymize import mcadams
from speechpriv.anonymize.mcadams import disguise
from speechpriv.errors import ConfigError

RATE_HZ = 16_000
naive_disguise = runpy.run_path(str(Path(__file__).with_name("naive_mcadams.py")))["naive_disguise"]


def resonator(centre_hz, radius=0.97):
    return [1, -2 * radius * np.cos(2 * np.pi * centre_hz / RATE_HZ), radius**2]


def speech_like(n_samples, seed=0, pitch_hz=120):
    """A pulse train and some breath through three formants, with pauses."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(n_samples) / RATE_HZ
    source = np.diff(np.floor(time_s * pitch_hz), prepend=0) + 0.02 * rng.standard_normal(n_samples)
    for centre_hz in (500, 1500, 2500):
        source = lfilter([1], resonator(centre_hz), source)
    source *= np.clip(np.sin(2 * np.pi * 2 * time_s) + 0.5, 0, 1)
    return (0.5 * source / np.abs(source).max()).astype(np.float32)


def rms(samples):
    return np.sqrt(np.mean(np.square(samples, dtype=np.float64)))


@pytest.mark.parametrize("alpha", [0.5, 0.8])
@pytest.mark.parametrize("n_samples", [1, 100, 160, 161, 800, 16_000])
def test_equals_the_frame_by_frame_oracle(n_samples, alpha):
    samples = speech_like(24_000)[4_000 : 4_000 + n_samples]
    disguised = disguise(samples, RATE_HZ, alpha)
    assert disguised.shape == (n_samples,)
    assert disguised.dtype == np.float32
    np.testing.assert_allclose(disguised, naive_disguise(samples, RATE_HZ, alpha), atol=1e-6)
    if n_samples > 1:  # a single sample has no formants; everything else does change
        assert rms(disguised - samples) > 0.1 * rms(samples)


def test_equals_the_oracle_at_another_rate():
    samples = speech_like(4_410)
    np.testing.assert_allclose(disguise(samples, 11_025, 0.6), naive_disguise(samples, 11_025, 0.6), atol=1e-6)


def test_blocks_do_not_show(monkeypatch):
    samples = speech_like(16_000)
    whole = disguise(samples, RATE_HZ, 0.7)
    for block in (1, 7, 100):
        monkeypatch.setattr(mcadams, "BLOCK_FRAMES", block)
        np.testing.assert_allclose(disguise(samples, RATE_HZ, 0.7), whole, atol=1e-6)


def test_alpha_one_changes_nothing():
    samples = speech_like(8_001)
    np.testing.assert_allclose(disguise(samples, RATE_HZ, 1.0), samples, atol=1e-6)


@pytest.mark.parametrize(("formant_hz", "alpha"), [(1_000, 0.7), (1_000, 0.9), (5_000, 0.8)])
def test_moves_a_formant_to_phi_to_the_alpha(formant_hz, alpha):
    noise = np.random.default_rng(1).standard_normal(RATE_HZ)
    samples = lfilter([1], resonator(formant_hz, 0.98), noise).astype(np.float32)
    phi = 2 * np.pi * formant_hz / RATE_HZ
    expected_hz = phi**alpha * RATE_HZ / (2 * np.pi)

    def peak_hz(signal):
        power = np.mean(np.abs(np.fft.rfft(signal.reshape(-1, 320))) ** 2, axis=0)
        return np.argmax(power) * 50

    assert peak_hz(samples) == pytest.approx(formant_hz, abs=100)
    assert peak_hz(disguise(samples, RATE_HZ, alpha)) == pytest.approx(expected_hz, abs=150)


def test_keeps_real_poles_and_radii_in_any_order():
    def bend(angle, radius):
        return angle**0.5, radius

    poles = np.array([0.9, -0.5, 0.8 * np.exp(1j), 0.8 * np.exp(-1j), 0.3j, -0.3j], dtype=complex)
    shuffled = np.random.default_rng(0).permutation(poles)
    moved = mcadams._moved(shuffled, bend)
    np.testing.assert_allclose(np.abs(moved), np.abs(shuffled))
    real = shuffled.imag == 0
    np.testing.assert_array_equal(moved[real], shuffled[real])
    assert np.allclose(np.poly(moved).imag, 0)  # conjugates stay conjugates
    np.testing.assert_allclose(np.sort_complex(moved), np.sort_complex(mcadams._moved(poles, bend)))
    np.testing.assert_allclose(mcadams._moved(np.array([0.8 * np.exp(2j)]), bend), [0.8 * np.exp(1j * np.sqrt(2))])


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_polynomials_have_the_given_roots(seed):
    rng = np.random.default_rng(seed)
    upper = rng.uniform(0.1, 0.99, (3, 9)) * np.exp(1j * rng.uniform(0.1, 3, (3, 9)))
    poles = np.concatenate([upper, upper.conj(), rng.uniform(-0.9, 0.9, (3, 2))], axis=1)
    poles = rng.permuted(poles, axis=1)
    expected = np.array([np.poly(row).real for row in poles])
    np.testing.assert_allclose(mcadams._polynomials(poles), expected, atol=1e-9)


def test_one_resonant_frame_does_not_set_the_loudness():
    time_s = np.arange(RATE_HZ) / RATE_HZ
    samples = 0.3 * speech_like(RATE_HZ)
    samples[8_000:8_320] += 0.3 * np.sin(2 * np.pi * 60 * time_s[:320]).astype(np.float32)
    peak = np.abs(samples).max()
    assert np.abs(naive_disguise(samples, RATE_HZ, 0.5, match_energy=False)).max() > 5 * peak
    disguised = disguise(samples, RATE_HZ, 0.5)
    assert np.abs(disguised).max() < 2.5 * peak
    assert rms(disguised) == pytest.approx(rms(samples), rel=0.2)


@pytest.mark.parametrize("alpha", [0.01, 0.5, 0.9])
@pytest.mark.parametrize(
    "samples",
    [
        np.ones(4_000),
        np.sin(2 * np.pi * 440 * np.arange(4_000) / RATE_HZ),
        np.sign(np.sin(2 * np.pi * 100 * np.arange(4_000) / RATE_HZ)),
        np.clip(20 * speech_like(4_000), -1, 1),
        speech_like(4_000) + 0.5,
        np.eye(1, 4_000, 2_000)[0],
        1e-30 * speech_like(4_000).astype(np.float64),
        (-1.0) ** np.arange(4_000),
    ],
    ids=["dc", "tone", "square", "clipped", "offset", "click", "faint", "nyquist"],
)
def test_awkward_signals_stay_finite_and_as_loud(samples, alpha):
    disguised = disguise(samples.astype(np.float32), RATE_HZ, alpha)
    assert np.isfinite(disguised).all()
    assert 0.5 * rms(samples) < rms(disguised) < 1.2 * rms(samples)
    assert np.abs(disguised).max() < 6 * np.abs(samples).max()


@pytest.mark.parametrize("n_samples", [0, 1, 5_000])
def test_silence_stays_silent(n_samples):
    disguised = disguise(np.zeros(n_samples, np.float32), RATE_HZ, 0.6)
    assert disguised.shape == (n_samples,)
    assert not disguised.any()


def test_first_and_last_samples_are_kept():
    samples = speech_like(16_000)[500:3_737]
    disguised = disguise(samples, RATE_HZ, 0.8)
    for edge in (slice(None, 160), slice(-160, None)):
        assert 0.5 * rms(samples[edge]) < rms(disguised[edge]) < 2 * rms(samples[edge])


def test_work_space_does_not_grow_with_the_file(monkeypatch):
    monkeypatch.setattr(mcadams, "BLOCK_FRAMES", 200)

    def peak_bytes(samples):
        tracemalloc.start()
        try:
            disguise(samples, RATE_HZ, 0.7)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    short, long = speech_like(4 * RATE_HZ), speech_like(12 * RATE_HZ)
    two_copies = 2 * (long.nbytes - short.nbytes)  # the padded input and the output
    growth = peak_bytes(long) - peak_bytes(short)
    assert growth < 1.5 * two_copies
    monkeypatch.setattr(mcadams, "BLOCK_FRAMES", 10_000)  # without blocks it does grow
    assert peak_bytes(long) - peak_bytes(short) > 5 * two_copies


@pytest.mark.parametrize("alpha", [0, -0.5, 1.1, float("nan")])
def test_refuses_a_coefficient_out_of_range(alpha):
    with pytest.raises(ConfigError, match="alpha"):
        disguise(np.zeros(10, np.float32), RATE_HZ, alpha)


@pytest.mark.parametrize("rate_hz", [0, 7_999, float("nan")])
def test_refuses_a_rate_too_low_for_the_order(rate_hz):
    with pytest.raises(ConfigError, match="rate_hz"):
        disguise(np.zeros(10, np.float32), rate_hz, 0.7)
