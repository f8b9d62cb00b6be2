import numpy as np
import pytest

from speechpriv.data import augment, voices

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def speech():
    return voices.speak("turn on the lights in the kitchen", voices.Voice()).samples


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def tone(frequency_hz, seconds=1.0):
    return (0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(int(seconds * RATE_HZ)) / RATE_HZ)).astype(np.float32)


def loudest_hz(samples):
    return np.fft.rfftfreq(len(samples), 1 / RATE_HZ)[np.abs(np.fft.rfft(samples)).argmax()]


@pytest.mark.parametrize("seed", range(10))
def test_distorted_speech_is_speech_within_full_scale(speech, seed):
    found = augment.distort(speech, np.random.default_rng(seed))
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert 0 < np.abs(found).max() <= 1
    # Speed 0.85 to 1.18, and at most 0.8 s of silence on either side.
    assert len(speech) / 1.19 <= len(found) <= len(speech) / 0.84 + 1.6 * RATE_HZ


def test_a_seed_distorts_alike_and_seeds_differ(speech):
    one, same, other = (augment.distort(speech, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert len(one) != len(other) or not np.array_equal(one, other)


def test_the_input_is_left_alone(speech, rng):
    before = speech.copy()
    for change in (augment.distort, augment.reverberate, augment.filter_microphone):
        change(speech, rng)
    augment.add_noise(speech, rng, snr_db=10)
    assert np.array_equal(speech, before)


@pytest.mark.parametrize("factor", [0.85, 1.0, 1.18])
def test_speed_moves_time_and_pitch_together(factor):
    found = augment.change_speed(tone(1000), factor)
    assert len(found) == pytest.approx(RATE_HZ / factor, abs=2)
    assert loudest_hz(found) == pytest.approx(1000 * factor, abs=3)


@pytest.mark.parametrize("snr_db", [0, 10, 35])
def test_noise_is_as_loud_as_asked(speech, snr_db):
    for seed in range(8):  # with and without a changing loudness, with and without hum
        noise = augment.add_noise(speech, np.random.default_rng(seed), snr_db=snr_db) - speech
        found_db = 10 * np.log10(np.mean(speech**2) / np.mean(noise**2))
        assert found_db == pytest.approx(snr_db, abs=0.1)


def test_a_room_adds_an_echo_after_the_sound(rng):
    click = np.zeros(RATE_HZ, np.float32)
    click[4000] = 1
    for _ in range(5):
        found = augment.reverberate(click, rng)
        assert len(found) == len(click)
        assert np.abs(found[:4000]).max() < 1e-5  # nothing before the sound
        assert found[4000] == pytest.approx(1, abs=1e-4)  # the direct sound as it was
        assert np.abs(found[4001:4016]).max() < 1e-5  # reflections arrive later
        early, late = found[4100:5000], found[10_000:15_000]
        assert np.square(early).sum() > np.square(late).sum()  # and die away
        direct_to_echo_db = -10 * np.log10(np.square(found[4001:]).sum())
        assert -3.5 <= direct_to_echo_db <= 15.5


def test_a_microphone_colours_and_does_not_move(speech):
    found = augment.filter_microphone(speech, np.random.default_rng(1))
    assert len(found) == len(speech)
    lags = np.arange(-40, 41)
    likeness = [np.dot(speech[100:-100], np.roll(found, lag)[100:-100]) for lag in lags]
    assert abs(lags[np.argmax(likeness)]) <= 2
    assert not np.allclose(found, speech, atol=0.01)


def test_silence_stays_finite(rng):
    silence = np.zeros(RATE_HZ, np.float32)
    assert np.isfinite(augment.distort(silence, rng)).all()
