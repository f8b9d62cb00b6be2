import hashlib
import hmac
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.signal import lfilter

from speechpriv.anonymize import mcadams
from speechpriv.anonymize.convert import disguise, draw_uniform
from speechpriv.errors import ConfigError, DataError

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))


def noise(n_samples, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(n_samples)).astype(np.float32)


SIGNAL_METHODS = ("mcadams", "formant", "cascade")  # those that change the sound they are given
METHODS = (*SIGNAL_METHODS, "none")


def voiced(n_samples, seed=0):
    """A buzz through two formants, in noise: it has a pitch."""
    rng = np.random.default_rng(seed)
    buzz = (np.arange(n_samples) % rng.integers(80, 160) == 0) + 0.01 * rng.standard_normal(n_samples)
    for hz in (600, 1_800):
        buzz = lfilter([1], [1, -1.9 * np.cos(2 * np.pi * hz / 16_000), 0.95**2], buzz)
    return (0.5 * buzz / np.abs(buzz).max()).astype(np.float32)


@pytest.mark.parametrize("method", METHODS)
def test_same_call_same_bits_in_any_order(method):
    utterances = {f"u{i}": voiced(6_400, seed=i) for i in range(5)}
    forward = {name: disguise(audio, 16_000, method, KEY, name) for name, audio in utterances.items()}
    for name in reversed(utterances):
        again = disguise(utterances[name].copy(), 16_000, method, KEY, name)
        assert again.tobytes() == forward[name].tobytes()


SCRIPT = """
import hashlib
import numpy as np
from speechpriv.anonymize.convert import disguise
audio = (0.1 * np.random.default_rng(0).standard_normal(30_000)).astype(np.float32)
for method in ("mcadams", "formant", "cascade", "none"):
    print(hashlib.sha256(disguise(audio, 22_050, method, bytes(range(32)), "u1").tobytes()).hexdigest())
"""


def test_same_bits_in_another_process_whatever_its_threads():
    here = [
        hashlib.sha256(disguise(noise(30_000), 22_050, method, KEY, "u1").tobytes()).hexdigest() for method in METHODS
    ]
    for threads in ("1", "3"):
        env = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        there = subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=True)
        assert there.stdout.split() == here


@pytest.mark.parametrize("method", METHODS)
def test_timing_can_be_randomised_whatever_the_method(method):
    audio = voiced(24_000)
    kept = disguise(audio, 16_000, method, KEY, "u1")
    moved = {name: disguise(audio, 16_000, method, KEY, name, timing="randomised") for name in ("u1", "u2")}
    assert len(moved["u1"]) != len(kept)
    assert len(moved["u1"]) != len(moved["u2"])
    again = disguise(audio, 16_000, method, KEY, "u1", timing="randomised")
    assert again.tobytes() == moved["u1"].tobytes()


@pytest.mark.parametrize("method", SIGNAL_METHODS)
def test_key_and_utterance_each_change_the_voice(method):
    audio = voiced(6_400)
    voices = [disguise(audio, 16_000, method, key, name) for key in (KEY, OTHER_KEY) for name in ("a", "b")]
    assert len({voice.tobytes() for voice in voices}) == 4
    assert disguise(audio, 16_000, "none", KEY, "a").tobytes() == audio.tobytes()  # negative control


def test_mcadams_uses_the_drawn_coefficient():
    audio = noise(3_200)
    alpha = 0.5 + 0.4 * draw_uniform(KEY, "u1", "mcadams alpha")
    expected = mcadams.disguise(audio, 16_000, alpha)
    np.testing.assert_array_equal(disguise(audio, 16_000, "mcadams", KEY, "u1"), expected)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("method", METHODS)
def test_any_rate_in_16_khz_out(method, rate_hz):
    time_s = np.arange(rate_hz) / rate_hz
    disguised = disguise(0.5 * np.sin(2 * np.pi * 440 * time_s), rate_hz, method, KEY, "u1")
    assert disguised.dtype == np.float32
    low, high = (0.8, 1.25) if method == "cascade" else (1, 1)
    assert low * 16_000 <= len(disguised) <= high * 16_000
    if method == "none":  # the tone is still at 440 Hz
        assert np.argmax(np.abs(np.fft.rfft(disguised))) == 440


def test_none_changes_nothing_at_16_khz_and_returns_a_copy():
    audio = noise(1_000)
    out = disguise(audio, 16_000, "none", KEY, "u1")
    np.testing.assert_array_equal(out, audio)
    out[:] = 0
    assert audio.any()


def test_does_not_write_to_its_input():
    audio = noise(1_000)
    audio.flags.writeable = False
    disguise(audio, 16_000, "mcadams", KEY, "u1")
    disguise(audio[::2], 8_000, "mcadams", KEY, "u1")


def test_clips_at_full_scale_or_at_the_input_peak():
    square = np.sign(np.sin(2 * np.pi * 100 * np.arange(8_000) / 16_000) + 1e-6).astype(np.float32)
    assert np.abs(mcadams.disguise(square, 16_000, 0.6)).max() > 1  # there is something to clip
    assert np.abs(disguise(square, 16_000, "mcadams", KEY, "u1")).max() <= 1
    assert 1 < np.abs(disguise(2 * square, 16_000, "mcadams", KEY, "u1")).max() <= 2


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n_samples", [1, 2, 10, 100, 800, 1_700])
def test_short_files(n_samples, method):
    disguised = disguise(noise(n_samples), 16_000, method, KEY, "u1")
    assert len(disguised) == pytest.approx(n_samples, rel=0.25)
    assert np.isfinite(disguised).all()


AWKWARD = {
    "silence": np.zeros(8_000),
    "dc": 0.5 * np.ones(8_000),
    "offset": voiced(8_000) + 0.4,
    "clipped": np.clip(50 * voiced(8_000), -1, 1),
    "click": np.eye(1, 8_000, 4_000)[0],
    "faint": 1e-30 * voiced(8_000).astype(float),
    "tone": np.sin(np.arange(8_000)),
    "nyquist": (-1.0) ** np.arange(8_000),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_files(name, method):
    samples = AWKWARD[name].astype(np.float32)
    disguised = disguise(samples, 16_000, method, KEY, "u1")
    assert np.isfinite(disguised).all()
    assert np.abs(disguised).max() <= 1
    if name in ("offset", "clipped"):  # somebody is heard
        assert np.std(disguised) > 0.01
    if name == "silence":
        assert not disguised.any()


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_ten_minutes(method):
    samples = np.tile(voiced(16_000), 600)
    disguised = disguise(samples, 16_000, method, KEY, "u1")
    assert np.isfinite(disguised).all()
    assert len(disguised) == pytest.approx(len(samples), rel=0.25)
    parts = np.std(disguised[: 100 * (len(disguised) // 100)].reshape(100, -1), axis=1)
    assert parts.min() > 0.5 * parts.max()


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(0, np.float32), "no samples"),
        (np.zeros((2, 100), np.float32), "shape"),
        (np.float32(0.5) * np.ones(()), "shape"),
        (np.zeros(100, np.int16), "int16"),
        (np.array([0, np.nan], np.float32), "1 of 2"),
        (np.array([0, np.inf, -np.inf], np.float32), "2 of 3"),
    ],
)
def test_refuses_unusable_samples(samples, message):
    with pytest.raises(DataError, match=message):
        disguise(samples, 16_000, "mcadams", KEY, "u1")


def test_refuses_what_is_empty_at_16_khz():
    with pytest.raises(DataError, match="shorter than one"):
        disguise(np.zeros(1, np.float32), 48_000, "none", KEY, "u1")


def test_refuses_an_unknown_method_and_names_the_choices():
    with pytest.raises(ConfigError, match=r"'mcadam'.*mcadams, formant, cascade, resynth, none"):
        disguise(noise(100), 16_000, "mcadam", KEY, "u1")


@pytest.mark.parametrize("rate_hz", [0, -16_000, float("nan"), float("inf")])
def test_refuses_a_rate_that_is_no_rate(rate_hz):
    with pytest.raises(ConfigError, match="rate_hz"):
        disguise(noise(100), rate_hz, "none", KEY, "u1")


@pytest.mark.parametrize("key", [b"", b"shortsecretkey!", "a string of more than sixteen", None])
@pytest.mark.parametrize("method", ["mcadams", "none"])
def test_refuses_a_weak_key_without_showing_it(key, method):
    with pytest.raises(ConfigError, match="key is") as caught:
        disguise(noise(100), 16_000, method, key, "u1")
    assert "secret" not in str(caught.value).replace("secrets.token_bytes", "")
    assert "sixteen" not in str(caught.value)


def test_draw_is_hmac_sha256():
    digest = hmac.new(KEY, b"label\0u1", hashlib.sha256).digest()
    assert draw_uniform(KEY, "u1", "label") == int.from_bytes(digest[:7]) // 8 / 2**53


@given(st.binary(min_size=16), st.text(st.characters(exclude_categories=["Cs"])))
def test_draw_stays_in_range(key, utterance_id):
    assert 0 <= draw_uniform(key, utterance_id, "label") < 1


def uniformity(numbers):
    return stats.kstest(numbers, "uniform").pvalue


def test_draws_are_uniform_over_utterances():
    numbers = np.array([draw_uniform(KEY, f"u{i}", "label") for i in range(2_000)])
    assert uniformity(numbers) > 0.01
    assert uniformity(numbers**1.2) < 1e-6  # the test would see a skew


def test_draws_of_two_labels_or_keys_are_unrelated():
    first, second, third = (
        [draw_uniform(key, f"u{i}", label) for i in range(2_000)]
        for key, label in [(KEY, "one"), (KEY, "two"), (OTHER_KEY, "one")]
    )
    assert stats.spearmanr(first, second).pvalue > 0.01
    assert stats.spearmanr(first, third).pvalue > 0.01
    assert stats.spearmanr(first, np.array(first) + second).pvalue < 1e-6
