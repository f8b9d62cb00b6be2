import sys

import numpy as np
import pytest

from speechpriv.anonymize import formant, pitch
from speechpriv.data import voices
from speechpriv.errors import ConfigError

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def speech():
    return voices.speak("please turn on the lights in the kitchen", voices.Voice()).samples


def pitches(samples):
    """The fundamental of each frame, and how loud it is."""
    cut = pitch.cut_frames(samples, 1024, 256)
    return pitch.estimate_pitch_hz(cut, RATE_HZ, 60, 500), np.sqrt(np.mean(cut**2, axis=1))


def pitch_hz(samples):
    found, loudness = pitches(samples)
    return np.median(found[loudness > np.median(loudness)])


def centroid_hz(samples):
    power = np.abs(np.fft.rfft(samples)) ** 2
    hz = np.fft.rfftfreq(len(samples), 1 / RATE_HZ)
    return np.exp(np.sum(np.log(hz[1:]) * power[1:]) / power[1:].sum())


@pytest.mark.parametrize("wanted_hz", [90, 150, 220])
def test_the_fundamental_comes_to_the_wanted_median(speech, wanted_hz):
    assert pitch_hz(formant.disguise(speech, RATE_HZ, 1.0, wanted_hz, 1.0)) == pytest.approx(wanted_hz, rel=0.1)


def test_formants_move_and_pitch_does_not_follow(speech):
    low, high = (formant.disguise(speech, RATE_HZ, factor, 120.0, 1.0) for factor in (0.85, 1.2))
    assert centroid_hz(high) > 1.15 * centroid_hz(low)
    assert pitch_hz(high) == pytest.approx(pitch_hz(low), rel=0.1)


def test_the_range_of_pitch_is_scaled(speech):
    def spread(factor):
        found, _ = pitches(formant.disguise(speech, RATE_HZ, 1.0, 150.0, factor))
        return np.percentile(found, 75) - np.percentile(found, 25)

    assert spread(0.0) < 0.5 * spread(1.5)


def test_no_fundamental_falls_below_zero(speech):
    """There Praat gives up, or never ends."""
    widest, wider = (formant.disguise(speech, RATE_HZ, 1.1, 150.0, factor) for factor in (20.0, 40.0))
    np.testing.assert_array_equal(widest, wider)
    assert pitch_hz(widest) == pytest.approx(150, rel=0.1)


def test_whispering_stays_whispered():
    """What is aperiodic stays so: no pitch is made up where there was none."""
    whisper = 0.1 * np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    moved = formant.disguise(whisper, RATE_HZ, 1.15, 120.0, 1.0)
    flatness = [np.exp(np.mean(np.log(p))) / np.mean(p) for p in (np.abs(np.fft.rfft(moved[:8_000]))[100:3_000] ** 2,)]
    assert flatness[0] > 0.4
    assert moved.shape == whisper.shape


@pytest.mark.parametrize("n_samples", [1, 100, 1_599, 1_601, 16_001])
def test_as_long_as_before(n_samples):
    assert formant.disguise(np.ones(n_samples, np.float32), RATE_HZ, 1.1, 100.0, 1.0).shape == (n_samples,)


@pytest.mark.parametrize("numbers", [(0, 100, 1), (1, -5, 1), (1, 100, -1), (float("nan"), 100, 1), (1, np.inf, 1)])
def test_numbers_out_of_range_are_refused(numbers):
    with pytest.raises(ConfigError, match="formant: formants"):
        formant.disguise(np.ones(2_000, np.float32), RATE_HZ, *numbers)


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "parselmouth", None)
    with pytest.raises(ConfigError, match=r"speechpriv\[voices\]"):
        formant.disguise(np.ones(2_000, np.float32), RATE_HZ, 1.1, 100.0, 1.0)
