import numpy as np
import pytest

from speechpriv.anonymize import timing

RATE_HZ = 16_000


def tone(n_samples, hz=200):
    return np.sin(2 * np.pi * hz * np.arange(n_samples) / RATE_HZ).astype(np.float32)


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.0, 1.5, 3.0])
@pytest.mark.parametrize("n_samples", [40, 700, 16_000])
def test_longer_or_shorter_at_the_same_pitch(factor, n_samples):
    out = timing.stretch(tone(n_samples), [0, n_samples], [0, round(factor * n_samples)])
    assert out.shape == (round(factor * n_samples),)
    assert out.dtype == np.float32
    if n_samples == 16_000:
        spectrum = np.abs(np.fft.rfft(out[:8_000]))
        assert np.argmax(spectrum) * 2 == 200  # resampling would have moved it
        assert 0.9 < np.abs(out[1_000:-1_000]).max() < 1.1


def test_moments_come_where_they_are_wanted():
    samples = np.concatenate([tone(8_000, 300), tone(8_000, 900)])
    out = timing.stretch(samples, [0, 8_000, 16_000], [0, 12_000, 16_000])

    def loudest_hz(part):
        return np.argmax(np.abs(np.fft.rfft(part))) * RATE_HZ / len(part)

    assert loudest_hz(out[9_500:11_500]) == pytest.approx(300, abs=20)
    assert loudest_hz(out[12_500:14_500]) == pytest.approx(900, abs=20)
    assert loudest_hz(samples[9_500:11_500]) == pytest.approx(900, abs=20)  # where it was before


def test_silence_stays_silent():
    assert not timing.stretch(np.zeros(5_000, np.float32), [0, 5_000], [0, 9_000]).any()


@pytest.mark.parametrize("n_samples", [1, 2, 10, 700, 7_999, 40_000, 160_000])
def test_randomised_length_is_within_its_range(n_samples):
    samples = tone(n_samples)
    lengths = {len(timing.draw_timing(samples, np.random.default_rng(seed))) for seed in range(10)}
    assert 0.6 * n_samples - 1 <= min(lengths) <= max(lengths) <= 1.6 * n_samples + 1
    assert len(lengths) > 5 or n_samples <= 10


def test_the_speed_changes_within_an_utterance():
    """Clicks a second apart come at unlike distances."""
    samples = np.tile(np.concatenate([tone(800, 400), np.zeros(15_200, np.float32)]), 8)

    def distances(sound):
        loud = np.flatnonzero(np.abs(sound) > 0.3)
        begun = loud[np.flatnonzero(np.diff(loud, prepend=-9_999) > 4_000)]
        return np.diff(begun)

    assert np.ptp(distances(samples)) < 100  # as it was
    moved = distances(timing.draw_timing(samples, np.random.default_rng(1)))
    assert len(moved) == 7
    assert np.ptp(moved) > 1_000


def test_two_people_of_unlike_speed_are_told_apart_less():
    rng = np.random.default_rng(0)
    slow = [len(timing.draw_timing(np.zeros(44_000, np.float32), rng)) for _ in range(200)]
    fast = [len(timing.draw_timing(np.zeros(40_000, np.float32), rng)) for _ in range(200)]
    told = np.mean(np.array(slow)[:, None] > np.array(fast))
    assert told < 0.8  # 1 without
