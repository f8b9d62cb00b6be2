"""Synthetic values: of every kind, in words that can be said, nobody's, and the same for one key and utterance."""

import numpy as np
import pytest

from speechpriv.data import text
from speechpriv.models import asr
from speechpriv.scrub import detect, surrogate

KEY = b"k" * 32
# What is found again where it is said as people say it; a synthetic password or town is only words.
CARRIERS = {
    "NAME": "my name is {}", "PHONE": "my number is {}", "CARD": "my card number is {}", "EMAIL": "my email is {}",
    "ADDRESS": "i live at {}",
}  # fmt: skip


def values(kind, count=40):
    return [surrogate.draw_value(kind, surrogate.make_generator(KEY, f"{kind} {i}")) for i in range(count)]


@pytest.mark.parametrize("kind", [*sorted(surrogate._PATTERNS), "SOMETHING_ELSE"])
def test_values_are_words_that_can_be_said_and_differ(kind):
    found = values(kind)
    assert all(value and asr.normalise(value) == value for value in found)
    assert len(set(found)) > 3


@pytest.mark.parametrize("kind", sorted(CARRIERS))
def test_a_synthetic_value_is_one_of_its_kind(kind):
    """The scrubber finds most again: it stands where the real one stood."""
    found = [detect.find(CARRIERS[kind].format(value)) for value in values(kind)]
    assert sum(any(one.kind == kind for one in findings) for findings in found) >= 0.9 * len(found)


def test_telephone_numbers_are_of_the_range_kept_for_fiction():
    five, five_, one = text.ONES[5], text.ONES[5], text.ONES[0]
    for value in values("PHONE"):
        assert value.split()[3:8] == [five, five_, five, one, text.ONES[1]]


def test_the_draw_is_of_key_and_utterance():
    def drawn(key, utterance):
        rng = surrogate.make_generator(key, utterance)
        return [surrogate.draw_value("PHONE", rng) for _ in range(3)]

    assert drawn(KEY, "a") == drawn(KEY, "a")
    assert drawn(KEY, "a") != drawn(KEY, "b")
    assert drawn(KEY, "a") != drawn(bytes(32), "a")
    assert len(set(drawn(KEY, "a"))) == 3


def test_all_values_of_an_utterance_have_one_voice_and_no_silent_ends():
    first, second = surrogate.speak_values(["five five five", "anna smith"], surrogate.make_generator(KEY, "a"))
    for samples in (first, second):
        assert samples.dtype == np.float32
        assert np.abs(samples[:160]).max() > 1e-4
        assert len(samples) > 4000
