import numpy as np
import pytest

from speechpriv.data import madeup, text, voices
from speechpriv.models import asr


def test_voices_for_testing_are_not_trained_on():
    held_out, training = set(madeup.held_out_variants()), set(madeup.training_variants())
    assert not held_out & training
    assert held_out | training == set(voices.variants())
    assert len(training) > 10 * len(held_out) > 30


def test_an_utterance_is_sound_and_plain_words():
    rng = np.random.default_rng(0)
    for difficulty in (0.0, 0.5, 1.0):
        samples, words = madeup.utterance(rng, madeup.training_variants(), difficulty)
        assert samples.dtype == np.float32
        assert len(samples) > 1600
        assert np.isfinite(samples).all()
        assert asr.normalise(words) == words != ""


def test_public_speech_is_always_the_same_words_in_the_same_voices_for_testing(monkeypatch):
    spoken = []
    real = voices.speak
    monkeypatch.setattr(voices, "speak", lambda words, voice: (spoken.append((words, voice)), real(words, voice))[1])
    assert len(madeup.public()) == len(madeup.public()) == 30
    assert spoken[:30] == spoken[30:]
    assert {voice.variant for _, voice in spoken} <= set(madeup.held_out_variants())


def test_easy_utterances_are_few_words_in_two_clear_voices(monkeypatch):
    spoken_by = set()
    real = voices.speak
    monkeypatch.setattr(voices, "speak", lambda words, voice: (spoken_by.add(voice), real(words, voice))[1])
    easy = set(text.words()[0][:100])
    rng = np.random.default_rng(0)
    for _ in range(20):
        _, words = madeup.utterance(rng, ["f1"], difficulty=0)
        assert set(words.split()) <= easy
        assert len(words.split()) <= 5
    assert len(spoken_by) == 2


def test_hard_utterances_use_the_voices_given(monkeypatch):
    spoken_by = set()
    real = voices.speak
    monkeypatch.setattr(voices, "speak", lambda words, voice: (spoken_by.add(voice), real(words, voice))[1])
    rng = np.random.default_rng(0)
    said = [madeup.utterance(rng, ["f1", "m2"], difficulty=1)[1] for _ in range(10)]
    assert {voice.variant for voice in spoken_by} == {"f1", "m2"}
    assert len(spoken_by) == 10
    assert len(set(" ".join(said).split()) - set(text.words()[0][:100])) > 5


@pytest.fixture
def made_of_air(monkeypatch):
    """Utterances without a synthesiser: a length, and how difficult it was meant to be."""

    def utterance(rng, _variants, difficulty):
        return np.zeros(int(rng.uniform(0.5, 14) * 16_000), np.float32), f"{difficulty}"

    monkeypatch.setattr(madeup, "utterance", utterance)


@pytest.mark.usefixtures("made_of_air")
def test_batches_are_like_long_bounded_and_never_too_long():
    source = madeup.batches(np.random.default_rng(0), seconds=48, done=1)
    batches = [next(source) for _ in range(60)]
    sizes_s = [len(batch) * max(len(samples) for samples, _ in batch) / 16_000 for batch in batches]
    assert max(sizes_s) <= 48
    assert np.mean(sizes_s) > 20
    assert max(len(samples) for batch in batches for samples, _ in batch) <= 12 * 16_000
    audio = sum(len(samples) for batch in batches for samples, _ in batch) / 16_000
    assert sum(sizes_s) < 1.1 * audio  # little is padding
    lengths = [len(batch[0][0]) for batch in batches]
    assert lengths != sorted(lengths)


@pytest.mark.usefixtures("made_of_air")
@pytest.mark.parametrize(("done", "low", "high"), [(0, 0, 0), (100, 0, 0), (300, 0.3, 0.7), (900, 1, 1)])
def test_difficulty_rises_with_what_was_done(done, low, high):
    batch = next(madeup.batches(np.random.default_rng(0), seconds=48, easy=100, ramp=400, done=done))
    assert low <= float(batch[0][1]) <= high
    size_s = len(batch) * max(len(samples) for samples, _ in batch) / 16_000
    assert size_s <= 48 * (1 + 2 * high) / 3
