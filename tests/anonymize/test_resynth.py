import itertools

import numpy as np
import pytest

from speechpriv.anonymize import convert, resynth
from speechpriv.data import voices
from speechpriv.data.voices import SpokenWord, Voice
from speechpriv.errors import ConfigError, DataError
from speechpriv.sections import AnonymizeConfig

KEY = bytes(range(32))
SAID = "please turn on the kitchen lights now"


def rng(seed=0):
    return np.random.default_rng(seed)


def spread(words, length=8_000, pause=0):
    """Words of so many samples each, with pauses of silence between them."""
    starts = [at * (length + pause) for at in range(len(words.split()))]
    return [SpokenWord(word, at, at + length) for word, at in zip(words.split(), starts, strict=True)]


def loud(samples, start, end):
    return np.abs(samples[start:end]).max(initial=0) > 0.01


def heard(samples):
    """Without the silence before and after."""
    sounding = np.flatnonzero(samples)
    return samples[sounding[0] : sounding[-1] + 1]


def test_words_are_said_when_they_were_said():
    words = [SpokenWord("lights", 0, 16_000), SpokenWord("kitchen", 16_000, 48_000), SpokenWord("now", 48_000, 64_000)]
    for seed in range(5):
        out = resynth.disguise(words, "kept", rng(seed))
        assert out.dtype == np.float32
        said = heard(out)
        natural = resynth._trimmed(voices.speak("lights kitchen now", voices.random_voice(rng(seed))))
        first, second, last = (word.end - word.start for word in natural.words)
        kitchen = first  # the first word takes its natural time, and the second begins when it ends
        assert loud(said, kitchen, kitchen + round(1.5 * second))
        assert not said[kitchen + round(1.5 * second) + 10 : kitchen + 31_900].any()  # not two seconds: a pause
        assert loud(said, kitchen + 32_000, kitchen + 32_000 + last)
        assert len(said) == pytest.approx(first + 32_000 + last, abs=100)


def test_silence_before_and_after_is_drawn_and_tells_nothing_of_the_recordings():
    early = spread(SAID)
    late = [SpokenWord(word.text, word.start + 16_000 * (at > 0), word.end + 16_000) for at, word in enumerate(early)]
    late[-1] = SpokenWord(late[-1].text, late[-1].start, late[-1].end + 30_000)
    for seed in range(5):
        first, second = (resynth.disguise(words, "kept", rng(seed)) for words in (early, late))
        np.testing.assert_array_equal(first, second)
    edges = [np.flatnonzero(resynth.disguise(early, "replaced", rng(seed)))[0] for seed in range(20)]
    assert np.ptp(edges) > 2_000
    assert max(edges) < 5_000


def test_a_word_alone_takes_its_natural_time():
    natural = resynth._trimmed(voices.speak("stop", voices.random_voice(rng()))).samples
    said = heard(resynth.disguise([SpokenWord("stop", 0, 64_000)], "kept", rng()))
    assert len(said) == pytest.approx(len(natural), abs=20)


def test_words_without_time_run_late():
    words = [SpokenWord(word, at, at + 10) for at, word in enumerate(SAID.split())]
    out = resynth.disguise(words, "kept", rng())
    natural = resynth._trimmed(voices.speak(SAID, voices.random_voice(rng()))).samples
    assert len(heard(out)) == pytest.approx(len(natural) / 2, rel=0.01)


def test_every_word_takes_half_to_half_again_of_its_natural_length(monkeypatch):
    stretched = []
    real = resynth.timing.stretch
    monkeypatch.setattr(resynth.timing, "stretch", lambda *args: (stretched.append(args[1:]), real(*args))[1])
    resynth.disguise(spread(SAID, 20_000), "kept", rng())
    resynth.disguise(spread(SAID, 500), "kept", rng())
    ratios = [
        (d - c) / (b - a)
        for before, after in stretched
        for (a, b), (c, d) in zip(itertools.pairwise(before), itertools.pairwise(after), strict=True)
    ]
    assert len(ratios) > 8
    assert min(ratios) == pytest.approx(0.5, abs=0.01)
    assert max(ratios) == pytest.approx(1.5, abs=0.01)


def test_nothing_of_the_recording_is_heard():
    """Only its words and when they were said go in: whoever spoke, the sound is the same."""
    words = spread(SAID)
    recordings = [voices.speak(SAID, Voice(variant=variant)).samples[:20_000] for variant in ("m1", "f2")]
    first, second = (convert.disguise(sound, 16_000, "resynth", KEY, "u1", words=words) for sound in recordings)
    np.testing.assert_array_equal(first, second)
    light = [convert.disguise(sound, 16_000, "mcadams", KEY, "u1") for sound in recordings]
    assert np.abs(light[0] - light[1]).max() > 0.01  # negative control


def test_a_grid_hides_small_differences_of_timing_and_the_voices_own_timing_all():
    words = spread(SAID, 8_000)
    moved = [SpokenWord(word.text, word.start + 300, word.end - 300) for word in words]
    slow = spread(SAID, 20_000)

    def same(timing, other):
        first = resynth.disguise(words, timing, rng())
        return np.array_equal(first, resynth.disguise(other, timing, rng()))

    assert not same("kept", moved)
    assert same("quantised", moved)
    assert not same("quantised", slow)
    assert same("replaced", slow)


def test_quantised_words_begin_on_the_grid(monkeypatch):
    begun = []
    real = resynth._parts
    monkeypatch.setattr(resynth, "_parts", lambda speech, wanted: (begun.extend(wanted), real(speech, wanted))[1])
    words = [SpokenWord(word.text, word.start + 311, word.end + 311) for word in spread(SAID, 7_777)]
    resynth.disguise(words, "quantised", rng())
    assert all(edge % 1_600 == 0 for span in begun for edge in span)


@pytest.mark.parametrize("slot", ["[NAME]", "[NAME],", "[WARD_2]", "-", "?"])
def test_slots_and_signs_are_silent(slot):
    words = spread(f"call {slot} now")
    out = resynth.disguise(words, "kept", rng())
    expected = resynth.disguise([words[0], words[2]], "kept", rng())
    np.testing.assert_array_equal(out, expected)


def test_punctuation_makes_no_pause_and_numbers_are_said():
    plain, marked = spread("call me 42 now"), spread("call, (me) 42? now.")
    np.testing.assert_array_equal(
        resynth.disguise(plain, "replaced", rng()), resynth.disguise(marked, "replaced", rng())
    )
    without = resynth.disguise(spread("call me now"), "replaced", rng())
    assert len(without) < len(resynth.disguise(plain, "replaced", rng()))


def test_a_number_is_said_as_its_label_is_spelled():
    """Two words share the time of one that was written."""
    written = [SpokenWord("at", 0, 8_000), SpokenWord("7:30", 8_000, 24_000), SpokenWord("now", 24_000, 32_000)]
    for timing in ("kept", "quantised", "replaced"):
        expected = resynth.disguise(spread("at seven thirty now"), timing, rng())
        np.testing.assert_array_equal(resynth.disguise(written, timing, rng()), expected)


def test_words_that_the_synthesiser_joins_share_their_time():
    joined = spread("one of the first of the two of the third")
    out = resynth.disguise(joined, "kept", rng())
    assert np.isfinite(out).all()
    assert len(heard(out)) > 60_000


@pytest.mark.parametrize("words", [[], spread("[NAME]"), spread("- ? [CITY]")], ids=["none", "slot", "signs"])
def test_nothing_to_say_is_an_error(words):
    with pytest.raises(DataError, match="nothing_to_say"):
        resynth.disguise(words, "kept", rng())


def test_each_utterance_has_its_own_voice_and_the_key_decides(monkeypatch):
    spoken = []
    real = voices.speak
    monkeypatch.setattr(voices, "speak", lambda text, voice: (spoken.append(voice), real(text, voice))[1])
    for name in ("a", "b", "a", "c"):
        convert.disguise(np.zeros(20_000, np.float32), 16_000, "resynth", KEY, name, words=spread("stop now"))
    convert.disguise(np.zeros(20_000, np.float32), 16_000, "resynth", bytes(32), "a", words=spread("stop now"))
    assert spoken[0] == spoken[2]
    assert len(set(spoken)) == 4


def test_what_is_heard_is_said_where_no_words_are_given(tiny_en):
    speech = voices.speak("turn on the lights in the kitchen", Voice())
    words = resynth.hear_words(speech.samples)
    text = tiny_en.transcribe([speech.samples])[0]
    assert [word.text for word in words] == text.split()
    expected = convert.disguise(speech.samples, 16_000, "resynth", KEY, "u1", words=words)
    np.testing.assert_array_equal(convert.disguise(speech.samples, 16_000, "resynth", KEY, "u1"), expected)
    with pytest.raises(DataError, match="not_alignable"):
        convert.disguise(np.zeros(16_000, np.float32), 16_000, "resynth", KEY, "u1")


def test_words_that_are_not_there_are_not_trusted(tiny_en):
    def trusted(text):
        try:
            return bool(resynth.align_words(tiny_en, samples, text, AnonymizeConfig().min_confidence))
        except DataError:
            return False

    told = ["turn on the lights in the kitchen", "why were you late today", "stop the music", "read me the news please"]
    right, wrong = [], []
    for seed in range(40):
        said, other = told[seed % 4], told[(seed + 1) % 4]
        samples = voices.speak(said, voices.random_voice(rng(seed))).samples
        right.append(trusted(said))
        wrong.append(trusted(other))
    assert np.mean(right) > 0.9
    assert np.mean(wrong) < 0.2
    with pytest.raises(DataError, match="low_confidence") as caught:
        resynth.align_words(tiny_en, samples, "why were you late today", 1.0)
    assert "late" not in str(caught.value)


def test_scrubbed_words_leave_the_others_where_they_are(tiny_en):
    """A slot has no time of its own: what was cut for it may be shorter than any word."""
    speech = voices.speak("please call my doctor now", Voice())
    name = speech.words[3]
    cut = np.concatenate([speech.samples[: name.start], np.zeros(1_600, np.float32), speech.samples[name.end :]])
    words = resynth.align_words(tiny_en, cut, "please call my [FIRST_NAME] now", AnonymizeConfig().min_confidence)
    assert [word.text for word in words] == ["please", "call", "my", "now"]
    assert (words[0].start, words[-1].end) == (0, len(cut))
    assert words[1].start == pytest.approx(speech.words[1].start, abs=2_400)
    with pytest.raises(DataError, match="nothing_to_say"):
        resynth.align_words(tiny_en, cut, "[FIRST_NAME] [CITY]", 0)


def test_the_voices_own_timing_is_usual():
    """What is kept of timing tells on people (docs/experiments/disguise.md#other-voices): whoever wants it says so."""
    words, sound = spread(SAID, 12_000), np.zeros(84_000, np.float32)
    usual = convert.disguise(sound, 16_000, "resynth", KEY, "u1", words=words)
    asked, kept = (
        convert.disguise(sound, 16_000, "resynth", KEY, "u1", words=words, timing=timing)
        for timing in ("replaced", "kept")
    )
    np.testing.assert_array_equal(usual, asked)
    assert len(usual) != len(kept)
    assert {convert.usual_timing(method) for method in ("mcadams", "formant", "cascade", "none")} == {"kept"}


def test_timing_that_a_method_cannot_change_is_refused():
    sound = np.ones(100, np.float32)
    with pytest.raises(ConfigError, match="timing"):
        convert.disguise(sound, 16_000, "mcadams", KEY, "u1", timing="replaced")
    with pytest.raises(ConfigError, match="timing"):
        convert.disguise(sound, 16_000, "resynth", KEY, "u1", timing="odd")


def test_randomised_timing_is_of_the_synthetic_speech():
    words = spread(SAID)
    sound = np.zeros(56_000, np.float32)
    kept, moved = (
        convert.disguise(sound, 16_000, "resynth", KEY, "u1", words=words, timing=kept)
        for kept in ("kept", "randomised")
    )
    assert len(kept) != len(moved)
    assert np.std(moved) == pytest.approx(np.std(kept), rel=0.3)


@pytest.mark.slow
def test_ten_minutes_are_aligned_and_said_again(tiny_en):
    sentences = ["turn on the lights in the kitchen", "what will the weather be like tomorrow", "play some music"]
    parts, text = [], []
    while sum(map(len, parts)) < 600 * 16_000:
        said = sentences[len(parts) % 3]
        parts.append(voices.speak(said, voices.random_voice(rng(len(parts)))).samples)
        text.append(said)
    samples = np.concatenate(parts)
    words = resynth.align_words(tiny_en, samples, " ".join(text), AnonymizeConfig().min_confidence)
    out = convert.disguise(samples, 16_000, "resynth", KEY, "u1", words=words, timing="kept")
    assert len(words) == len(" ".join(text).split())
    assert len(out) == pytest.approx(len(samples), rel=0.1)
    assert np.isfinite(out).all()


@pytest.mark.parametrize("name", ["silence", "constant", "short"])
def test_what_says_nothing_is_dropped_rather_than_passed_on(tiny_en, name):
    samples = {"silence": np.zeros(16_000), "constant": np.full(16_000, 0.5), "short": 0.1 * rng().standard_normal(800)}
    with pytest.raises(DataError, match=r"^(not_alignable|low_confidence)"):
        resynth.align_words(
            tiny_en, samples[name].astype(np.float32), "turn on the lights", AnonymizeConfig().min_confidence
        )


def test_clipping_and_an_offset_do_not_keep_words_from_being_found(tiny_en):
    speech = voices.speak("turn on the lights in the kitchen", Voice()).samples
    for samples in (np.clip(4 * speech, -1, 1), speech + np.float32(0.2)):
        words = resynth.align_words(
            tiny_en, samples, "turn on the lights in the kitchen", AnonymizeConfig().min_confidence
        )
        out = convert.disguise(samples, 16_000, "resynth", KEY, "u1", words=words)
        assert 0.01 < np.abs(out).max() <= 1
