import itertools
from dataclasses import replace

import numpy as np
import pytest

from speechpriv.anonymize import cascade
from speechpriv.data import voices

NEUTRAL = cascade.Draw(
    pitch_hz=120.0, formants=1.0, alpha=1.0, rate=1.0, radius=1.0, curve_db=(0.0,) * 8, snr_db=60.0, level_db=-20.0
)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def speech():
    return voices.speak("please turn on the lights in the kitchen", voices.Voice()).samples


def disguised(speech, **changed):
    return cascade.disguise(speech, replace(NEUTRAL, **changed), rng())


def spectrum_db(samples):
    """Long-term spectrum in octaves; above 4 kHz a synthesiser has next to nothing that could be raised."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    edges = [0, 500, 1_000, 2_000, 4_000]
    hz = np.fft.rfftfreq(len(samples), 1 / 16_000)
    bands = [power[(hz >= a) & (hz < b)].sum() for a, b in itertools.pairwise(edges)]
    return 10 * np.log10(np.array(bands) / power.sum())


@pytest.mark.parametrize("wanted_hz", [100, 150, 200])
def test_the_pitch_comes_to_the_drawn_median(wanted_hz):
    speech = voices.speak("please turn on the lights in the kitchen", voices.Voice(pitch=80)).samples
    assert cascade._median_pitch_hz(speech) == pytest.approx(127, rel=0.05)
    assert cascade._median_pitch_hz(disguised(speech, pitch_hz=wanted_hz)) == pytest.approx(wanted_hz, rel=0.1)


def test_people_of_unlike_pitch_come_to_the_same(speech):
    higher = cascade.disguise(voices.speak("please turn on the lights", voices.Voice(pitch=80)).samples, NEUTRAL, rng())
    lower = cascade.disguise(voices.speak("please turn on the lights", voices.Voice(pitch=25)).samples, NEUTRAL, rng())
    assert cascade._median_pitch_hz(higher) == pytest.approx(cascade._median_pitch_hz(lower), rel=0.15)


def test_the_rate_changes_the_length_alone(speech):
    slower = disguised(speech, rate=1.2)
    assert len(slower) == round(1.2 * len(speech))
    assert cascade._median_pitch_hz(slower) == pytest.approx(cascade._median_pitch_hz(disguised(speech)), rel=0.1)


def test_the_spectrum_and_the_level_become_the_drawn_ones(speech):
    """A microphone that raises the treble, and that somebody is quiet, is no longer heard."""
    sharp = 0.05 * np.convolve(speech, [1, -0.8], mode="same").astype(np.float32)
    before = np.abs(spectrum_db(speech) - spectrum_db(sharp)).max()
    after = np.abs(spectrum_db(disguised(speech)) - spectrum_db(disguised(sharp))).max()
    assert after < 0.5 * before
    for sound in (speech, sharp):
        assert np.sqrt(np.mean(disguised(sound, level_db=-25.0) ** 2)) == pytest.approx(10 ** (-25 / 20), rel=0.01)
    curve = (0.0, 0.0, 0.0, 12.0, 12.0, 0.0, 0.0, 0.0)
    assert spectrum_db(disguised(speech, curve_db=curve))[-1] > spectrum_db(disguised(speech))[-1] + 4


def test_smoothing_flattens_the_formants(speech):
    def peaky(samples):
        frame = samples[8_000 : 8_000 + 4_096] * np.hanning(4_096)
        power = np.abs(np.fft.rfft(frame, 512)) ** 2
        return np.mean(np.log(power + 1e-12) ** 2) - np.mean(np.log(power + 1e-12)) ** 2

    assert peaky(disguised(speech, radius=0.8)) < peaky(disguised(speech))


def test_formants_warp_and_mcadams_each_change_the_sound(speech):
    plain = disguised(speech)
    for changed in ({"formants": 1.2}, {"alpha": 0.85}, {"snr_db": 15.0}):
        assert np.abs(disguised(speech, **changed) - plain).max() > 0.01


def test_every_draw_is_within_its_range():
    draws = [cascade.draw_parameters(rng(seed)) for seed in range(300)]
    assert len(set(draws)) == 300
    for name, low, high in [
        ("pitch_hz", 100, 220), ("formants", 0.74, 1.36), ("alpha", 0.8, 1.2), ("rate", 0.81, 1.23),
        ("radius", 0.94, 1.0), ("snr_db", 15, 30), ("level_db", -30, -20),
    ]:  # fmt: skip
        found = [getattr(draw, name) for draw in draws]
        assert low <= min(found) < max(found) <= high
        assert max(found) - min(found) > 0.8 * (high - low)


def test_what_nobody_can_hear_is_not_made_loud():
    assert np.abs(disguised(1e-7 * rng().standard_normal(8_000).astype(np.float32))).max() < 1e-2
    assert not disguised(np.full(8_000, 0.3, np.float32)).any()
