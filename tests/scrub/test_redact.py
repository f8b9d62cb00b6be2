import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv.errors import DataError
from speechpriv.scrub.redact import silence

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
    out = silence(samples, spans, RATE_HZ, fade_s)
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
    out = silence(tone, [(800, 1200)], RATE_HZ)
    steps = np.diff(out)
    assert np.all(steps[:1000] <= 0)
    assert np.all(steps[1000:] >= 0)
    assert np.abs(steps).max() < 0.8 * np.pi / 2 / 80  # the steepest a raised cosine of 80 samples gets
    assert np.abs(np.diff(silence(tone, [(800, 1200)], RATE_HZ, 0.0))).max() > 0.7  # without fades it would click


def test_overlapping_spans_equal_their_union():
    samples = noise(1000)
    np.testing.assert_array_equal(
        silence(samples, [(300, 500), (100, 200), (450, 600), (600, 650)], RATE_HZ),
        silence(samples, [(100, 200), (300, 650)], RATE_HZ),
    )


def test_what_was_inside_cannot_change_the_output():
    samples, other = noise(1000), noise(1000)
    other[400:600] = np.nan
    samples[400:600] = -samples[400:600]
    other[:400], other[600:] = samples[:400], samples[600:]
    np.testing.assert_array_equal(silence(samples, [(400, 600)], RATE_HZ), silence(other, [(400, 600)], RATE_HZ))


@pytest.mark.parametrize("span", [(5, 4), (float("nan"), 4), (1, float("nan")), (1.5, 2.5), (None, 2)])
def test_bad_span_is_refused(span):
    with pytest.raises(DataError, match="span 1"):
        silence(noise(10), [(0, 1), span], RATE_HZ)


@pytest.mark.parametrize(
    ("rate_hz", "fade_s"), [(0, 0.005), (float("nan"), 0.005), (16000, -1.0), (16000, float("nan"))]
)
def test_bad_rate_or_fade_is_refused(rate_hz, fade_s):
    with pytest.raises(DataError, match="rate_hz"):
        silence(noise(10), [(0, 1)], rate_hz, fade_s)


@pytest.mark.parametrize("samples", [np.zeros((2, 5), np.float32), np.zeros(5)])
def test_bad_samples_are_refused(samples):
    with pytest.raises(DataError, match="float32"):
        silence(samples, [(0, 1)], RATE_HZ)
