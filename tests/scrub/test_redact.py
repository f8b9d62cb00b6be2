import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv.data import voices
from speechpriv.errors import DataError
from speechpriv.scrub import redact
from speechpriv.scrub.redact import silence_spans

UNTIMED = settings(deadline=None)  # machines are shared
RATE_HZ = 16_000


def noise(n: int) -> np.ndarray:
    return np.random.default_rng(n).uniform(0.1, 0.9, n).astype(np.float32)


@UNTIMED
@given(
    st.integers(0, 600),
    st.lists(st.tuples(st.integers(-100, 700), st.integers(0, 180)).map(lambda s: (s[0], s[0] + s[1])), max_size=6),
    st.sampled_from([0.0, 0.001, 0.005]),
)
def test_inside_is_zero_far_outside_is_untouched_and_length_stays(n, spans, fade_s):
    samples = noise(n)
    before = samples.copy()
    out = silence_spans(samples, spans, RATE_HZ, fade_s)
    assert out.shape == samples.shape
    assert out.dtype == np.float32
    np.testing.assert_array_equal(samples, before)
    fade = round(fade_s * RATE_HZ)
    inside, near = np.zeros(n, bool), np.zeros(n, bool)
    for start, end in spans:  # the slow and plain definition
        for i in range(n):
            inside[i] |= start <= i < end
    for i in np.flatnonzero(inside):
        near[max(0, i - fade) : i + fade + 1] = True
    assert not out[inside].any()
    np.testing.assert_array_equal(out[~near], samples[~near])
    assert (out[near & ~inside] > 0).all()
    assert (out[near & ~inside] < samples[near & ~inside]).all()


def test_fades_are_monotonic_and_leave_no_click():
    tone = np.full(2000, 0.8, np.float32)
    out = silence_spans(tone, [(800, 1200)], RATE_HZ)
    steps = np.diff(out)
    assert np.all(steps[:1000] <= 0)
    assert np.all(steps[1000:] >= 0)
    assert np.abs(steps).max() < 0.8 * np.pi / 2 / 80  # the steepest a raised cosine of 80 samples gets
    assert np.abs(np.diff(silence_spans(tone, [(800, 1200)], RATE_HZ, 0.0))).max() > 0.7  # without fades it would click


def test_overlapping_spans_equal_their_union():
    samples = noise(1000)
    np.testing.assert_array_equal(
        silence_spans(samples, [(300, 500), (100, 200), (450, 600), (600, 650)], RATE_HZ),
        silence_spans(samples, [(100, 200), (300, 650)], RATE_HZ),
    )


def test_what_was_inside_cannot_change_the_output():
    samples, other = noise(1000), noise(1000)
    other[400:600] = np.nan
    samples[400:600] = -samples[400:600]
    other[:400], other[600:] = samples[:400], samples[600:]
    np.testing.assert_array_equal(
        silence_spans(samples, [(400, 600)], RATE_HZ), silence_spans(other, [(400, 600)], RATE_HZ)
    )


@pytest.mark.parametrize("span", [(5, 4), (float("nan"), 4), (1, float("nan")), (1.5, 2.5), (None, 2)])
def test_bad_span_is_refused(span):
    with pytest.raises(DataError, match="span 1"):
        silence_spans(noise(10), [(0, 1), span], RATE_HZ)


@pytest.mark.parametrize(
    ("rate_hz", "fade_s"), [(0, 0.005), (float("nan"), 0.005), (16000, -1.0), (16000, float("nan"))]
)
def test_bad_rate_or_fade_is_refused(rate_hz, fade_s):
    with pytest.raises(DataError, match="rate_hz"):
        silence_spans(noise(10), [(0, 1)], rate_hz, fade_s)


@pytest.mark.parametrize("samples", [np.zeros((2, 5), np.float32), np.zeros(5)])
def test_bad_samples_are_refused(samples):
    with pytest.raises(DataError, match="float32"):
        silence_spans(samples, [(0, 1)], RATE_HZ)


@functools.cache  # a voice is not the same to the last bit when it speaks again
def said(words: str, voice: voices.Voice) -> np.ndarray:
    return voices.speak(words, voice).samples


def speech() -> np.ndarray:
    return np.pad(said("turn on the lights in the kitchen", voices.Voice()), 800)


def joins(before: np.ndarray, after: np.ndarray, start: int, end: int) -> np.ndarray:
    """Steps between neighbouring samples about both edges of what came in."""
    back = len(after) - (len(before) - end)
    return np.abs(np.diff(np.concatenate([after[start - 20 : start + 20], after[back - 20 : back + 20]])))


SPAN = (6000, 14_000)


def redacted(way: str, samples: np.ndarray, spans: list[tuple[int, int]]) -> np.ndarray:
    if way == "replace":
        sounds = [said("larch street", voices.Voice("en", "f2"))] * len(spans)
        return redact.replace_spans(samples, spans, RATE_HZ, sounds)
    return redact.WAYS[way](samples, spans, RATE_HZ)


EVERY_WAY = pytest.mark.parametrize("way", [*redact.WAYS, "replace"])


@EVERY_WAY
def test_no_way_clicks(way):
    before = speech()
    after = redacted(way, before, [SPAN])
    steps = np.abs(np.diff(before))
    assert joins(before, after, *SPAN).max() <= np.percentile(steps, 99)
    assert np.abs(np.diff(after)).max() <= 1.1 * steps.max() + (way == "replace")  # another voice has its own steps
    hard = np.concatenate([before[: SPAN[0]], 0.5 + before[SPAN[1] :]])  # what a click would look like
    assert joins(before, hard, *SPAN).max() > np.percentile(steps, 99)


@EVERY_WAY
def test_no_way_lets_anything_of_the_span_through(way):
    before, other = speech(), speech()
    other[slice(*SPAN)] = np.random.default_rng(0).normal(0, 0.5, SPAN[1] - SPAN[0])
    np.testing.assert_array_equal(redacted(way, before, [SPAN]), redacted(way, other, [SPAN]))


@EVERY_WAY
def test_what_is_far_from_the_span_is_the_same(way):
    before = speech()
    after = redacted(way, before, [SPAN])
    np.testing.assert_array_equal(after[: SPAN[0] - 80], before[: SPAN[0] - 80])
    np.testing.assert_array_equal(after[-(len(before) - SPAN[1] - 80) :], before[SPAN[1] + 80 :])


@given(st.integers(1, 8000), st.integers(1, 8000))
def test_the_length_of_a_cut_tells_nothing(one, other):
    """Recordings that differ in how long the secret is only are the same after the cut."""
    kept = noise(6000)
    cuts = [
        redact.cut_spans(np.concatenate([kept[:2000], noise(length), kept[2000:]]), [(2000, 2000 + length)], RATE_HZ)
        for length in (one, other)
    ]
    np.testing.assert_array_equal(*cuts)
    assert len(cuts[0]) == 6000 + 1600
    assert not cuts[0][2000:3600].any()


def test_a_beep_is_heard_as_loud_as_the_speech():
    before = speech()
    tone = redacted("beep", before, [SPAN])[SPAN[0] + 80 : SPAN[1] - 80]
    assert np.sqrt(np.mean(tone**2)) == pytest.approx(redact.measure_level(before, [SPAN], RATE_HZ), rel=0.02)
    spectrum = np.abs(np.fft.rfft(tone))
    assert spectrum.argmax() * RATE_HZ / len(tone) == pytest.approx(1000, abs=3)


def test_what_comes_in_is_as_loud_as_the_speech_around_it():
    before = speech()
    quiet = 0.01 * said("larch street", voices.Voice("en", "f2"))
    inside = redact.replace_spans(before, [SPAN], RATE_HZ, [quiet])[SPAN[0] : SPAN[0] + len(quiet)]
    assert redact.measure_level(inside, (), RATE_HZ) == pytest.approx(
        redact.measure_level(before, [SPAN], RATE_HZ), rel=0.05
    )
    assert redact.measure_level(quiet, (), RATE_HZ) < 0.1 * redact.measure_level(before, [SPAN], RATE_HZ)
    loud = redact.replace_spans(np.ones(9000, np.float32), [(10, 20)], RATE_HZ, [said("hello", voices.Voice())])
    assert np.abs(loud).max() <= 1


def test_sounds_of_spans_that_touch_follow_one_another():
    first, second = np.full(1000, -0.2, np.float32), np.full(500, 0.4, np.float32)
    out = redact.replace_spans(noise(4000), [(1500, 2000), (1000, 1600)], RATE_HZ, [second, first])
    assert len(out) == 4000 - 1000 + 1500
    assert out[1500] < 0 < out[2250]  # in the order of the recording


def test_a_recording_without_anything_else_has_no_level():
    assert redact.measure_level(noise(100), [(0, 100)], RATE_HZ) == 0
    assert not redact.beep_spans(noise(100), [(0, 100)], RATE_HZ).any()
