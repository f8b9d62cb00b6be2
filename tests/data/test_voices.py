import multiprocessing
import os
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv.data import text, voices
from speechpriv.data.voices import RATE_HZ, Speech, SpokenWord, Voice
from speechpriv.errors import ConfigError, DataError

pytest.importorskip("espeakng_loader")

SENTENCE = "turn on the zentro lamp in the living room"
WORDS = ("call", "the", "of", "a", "seven", "zentro", "don't", "thermostat", "i", "to", "o'clock", "on")


def loudness(samples):
    return float(np.sqrt(np.mean(samples**2)))


def test_speech_is_float32_below_full_scale():
    speech = voices.speak(SENTENCE, Voice())
    assert isinstance(speech, Speech)
    assert speech.samples.dtype == np.float32
    assert speech.samples.ndim == 1
    assert 0.05 < np.abs(speech.samples).max() < 1
    assert 1 < len(speech.samples) / RATE_HZ < 5


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=8), st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_word_spans_cover_the_text_in_order(words, seed):
    text = " ".join(words)
    speech = voices.speak(text, voices.random_voice(np.random.default_rng(seed)))
    spans = speech.words
    assert [word.text for word in spans] == words
    assert all(0 <= word.start < word.end <= len(speech.samples) for word in spans)
    assert spans[-1].end == len(speech.samples)
    for before, after in pairwise(spans):
        # One after the other without a gap, or joined by the synthesiser into one span.
        assert before.end == after.start or (before.start, before.end) == (after.start, after.end)


def test_a_word_is_heard_inside_its_span():
    """Cutting the span of a long word out of the sentence leaves what is said without it."""
    speech = voices.speak("please thermostat please", Voice(variant="m1"))
    spans = speech.words
    lengths = [word.end - word.start for word in spans]
    assert lengths[1] > 1.3 * lengths[0]  # three syllables against one
    for word in spans:
        assert loudness(speech.samples[word.start : word.end]) > 0.02


def test_each_word_takes_longer_when_it_is_said_slower():
    fast, slow = (voices.speak(SENTENCE, Voice(rate_wpm=rate)) for rate in (220, 120))
    assert len(slow.samples) > 1.4 * len(fast.samples)
    longer = [s.end - s.start > f.end - f.start for s, f in zip(slow.words, fast.words, strict=True)]
    assert np.mean(longer) > 0.8


def fundamental_hz(samples):
    """Median pitch by autocorrelation of 64 ms frames, voiced ones only."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, 1_024)[::256]
    found = []
    for frame in frames:
        centred = frame - frame.mean()
        correlation = np.correlate(centred, centred, "full")[1_023:]
        lag = 40 + int(np.argmax(correlation[40:400]))  # 400 to 40 Hz
        if correlation[0] > 1 and correlation[lag] > 0.6 * correlation[0]:
            found.append(RATE_HZ / lag)
    return float(np.median(found))


def test_pitch_is_what_was_asked_for():
    low, high = (fundamental_hz(voices.speak(SENTENCE, Voice(pitch=pitch)).samples) for pitch in (20, 80))
    assert high > 1.3 * low


def test_accents_and_variants_sound_different():
    plain = voices.speak(SENTENCE, Voice()).samples
    for voice in (Voice(accent="en-gb-scotland"), Voice(variant="f2")):
        other = voices.speak(SENTENCE, voice).samples
        assert len(other) != len(plain) or not np.allclose(other, plain, atol=1e-3)


@pytest.mark.parametrize("variant", ["m1", "f3", "whisper", "croak"])  # with flutter and breath: noise of the library
def test_a_voice_is_the_same_to_the_bit_after_another_spoke(variant):
    first = voices.speak(SENTENCE, Voice(variant=variant))
    voices.speak("something else", Voice(accent="en-029", variant="f3", rate_wpm=220, pitch=80))
    again = voices.speak(SENTENCE, Voice(variant=variant))
    assert again.words == first.words
    np.testing.assert_array_equal(again.samples, first.samples)


def test_a_voice_is_the_same_to_the_bit_whenever_the_synthesiser_was_started():
    def breathy():
        return [voices.speak(SENTENCE, Voice(variant=variant)).samples for variant in ("f2", "victor", "whisper")]

    first = breathy()
    voices._synthesiser(os.getpid()).close()
    voices._synthesiser.cache_clear()
    time.sleep(1.1)  # its random numbers would start with the second
    for before, after in zip(first, breathy(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_every_accent_speaks():
    for accent in voices.ACCENTS:
        assert len(voices.speak("hello there", Voice(accent=accent)).samples) > RATE_HZ / 4


def test_every_variant_speaks():
    quiet = [
        v for v in voices.list_variants() if loudness(voices.speak("hello there", Voice(variant=v)).samples) < 1e-3
    ]
    assert quiet == []
    assert len(voices.list_variants()) == len(set(voices.list_variants())) > 90
    assert list(voices.list_variants()) == sorted(voices.list_variants())


def test_random_voices_follow_the_seed_and_stay_in_range():
    drawn = [voices.random_voice(np.random.default_rng(seed)) for seed in range(300)]
    assert drawn == [voices.random_voice(np.random.default_rng(seed)) for seed in range(300)]
    assert {voice.accent for voice in drawn} == set(voices.ACCENTS)
    assert {voice.variant for voice in drawn} <= set(voices.list_variants())
    assert all(120 <= v.rate_wpm < 230 and 15 <= v.pitch <= 85 and 20 <= v.pitch_range <= 80 for v in drawn)
    assert {voices.random_voice(np.random.default_rng(s), ["m1", "f1"]).variant for s in range(20)} == {"m1", "f1"}


def test_spans_by_hand():
    """Events at characters 0 and 7: the synthesiser joined "the" to "of", which then share a span."""
    spans = voices._words("of the lamp", [(0, 100), (7, 900)], 2_000)
    assert spans == (SpokenWord("of", 100, 900), SpokenWord("the", 100, 900), SpokenWord("lamp", 900, 2_000))


def test_phonemes_tell_sounds_and_not_spellings():
    two, too, tea = voices.list_phonemes(["two", "too", "tea"])
    assert two == too != tea
    together, good, night = voices.list_phonemes(["good night", "good", "night"])
    assert together.split() == [good, night]
    clauses, stop, now = voices.list_phonemes(["stop, now", "stop", "now"])
    assert clauses.split() == [stop, now]
    assert voices.list_phonemes(["bath"], "en") != voices.list_phonemes(["bath"], "en-us")
    assert voices.list_phonemes([]) == []
    with pytest.raises(ConfigError, match="en-gb-scotland"):
        voices.list_phonemes(["hello"], "xx-none")


def test_phonemes_of_many_words_are_those_of_each_alone():
    words = text.list_words()[0][:300]
    assert voices.list_phonemes(words) == [voices.list_phonemes([word])[0] for word in words]


def test_a_word_that_is_the_synthesisers_death_leaves_the_others_pronounced(monkeypatch):
    ask = voices._ask
    monkeypatch.setattr(voices, "_ask", lambda do, **asked: None if "boom" in asked["texts"] else ask(do, **asked))
    assert voices.list_phonemes(["two", "boom", "tea"]) == [
        *voices.list_phonemes(["two"]),
        "",
        *voices.list_phonemes(["tea"]),
    ]


@pytest.mark.parametrize("text", ["", "  \n"])
def test_nothing_to_say(text):
    with pytest.raises(DataError, match="empty text"):
        voices.speak(text, Voice())


@pytest.mark.parametrize("voice", [Voice(accent="xx-none")])
def test_an_unknown_accent_lists_those_known(voice):
    with pytest.raises(ConfigError, match="en-gb-scotland"):
        voices.speak("hello", voice)


def test_without_the_extra_it_says_what_to_install():
    script = (
        "import sys; sys.modules['espeakng_loader'] = None\n"
        "from speechpriv.data import voices\n"
        "try:\n    voices.speak('hello', voices.Voice())\n"
        "except voices.ConfigError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "pip install 'speechpriv[voices]'" in done.stdout


def test_importing_loads_no_synthesiser():
    script = "import sys, speechpriv.data.voices; print('espeakng_loader' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_what_the_synthesiser_crashes_on_is_said_another_way_and_it_goes_on():
    """Found by a run: the C library reads memory it has freed, at this word in this voice, always."""
    asked = Voice("en-gb-x-gbclan", "Demonic", rate_wpm=132, pitch=27, pitch_range=79)
    before = voices._synthesiser(os.getpid())
    speech = voices.speak("internet could secretary", asked)
    assert voices._synthesiser(os.getpid()) is not before
    assert [word.text for word in speech.words] == ["internet", "could", "secretary"]
    assert loudness(speech.samples) > 0.01
    assert loudness(voices.speak(SENTENCE, Voice()).samples) > 0.01


def test_a_forked_process_has_a_synthesiser_of_its_own():
    mine = voices.speak(SENTENCE, Voice()).samples
    with multiprocessing.get_context("fork").Pool(1) as pool:
        theirs = pool.apply(_spoken_samples)
    assert [theirs, _spoken_samples()] == [len(mine)] * 2


def _spoken_samples():
    return len(voices.speak(SENTENCE, Voice()).samples)
