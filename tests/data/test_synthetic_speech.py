import itertools

import numpy as np

from speechpriv.data import augment, synthetic_speech, text, voices
from speechpriv.models import asr


def test_voices_for_testing_are_not_trained_on():
    held_out, training = set(synthetic_speech.held_out_variants()), set(synthetic_speech.training_variants())
    assert not held_out & training
    assert held_out | training == set(voices.list_variants())
    assert len(training) > 10 * len(held_out) > 30


def test_an_utterance_is_sound_and_plain_words():
    rng = np.random.default_rng(0)
    for _ in range(5):
        said = synthetic_speech.generate_utterance(rng, synthetic_speech.training_variants())
        assert said.samples.dtype == np.float32
        assert len(said.samples) > 1600
        assert np.isfinite(said.samples).all()
        assert asr.normalise(said.words) == said.words != ""


def test_phonemes_are_where_the_sound_is(monkeypatch):
    """Also after speed and silence: without noise, what is told as a pause is quieter than what is told as a sound."""
    monkeypatch.setattr(augment, "rerecord", lambda samples, _: samples)
    rng = np.random.default_rng(0)
    sounds, pauses = [], []
    for _ in range(20):
        said = synthetic_speech.generate_utterance(rng, ["m1", "f2"])
        starts = [0, *(start for _, start in said.phonemes), len(said.samples)]
        assert starts == sorted(starts)
        symbols = ["", *(symbol for symbol, _ in said.phonemes)]
        for symbol, (start, end) in zip(symbols, itertools.pairwise(starts), strict=True):
            if end - start > 800:
                (sounds if symbol else pauses).append(np.abs(said.samples[start + 160 : end]).mean())
    assert len(pauses) > 10
    assert np.quantile(pauses, 0.9) < 0.1 * np.quantile(sounds, 0.5)


def test_public_speech_is_always_the_same_words_in_the_same_voices_for_testing(monkeypatch):
    spoken = []
    real = voices.speak
    monkeypatch.setattr(voices, "speak", lambda words, voice: (spoken.append((words, voice)), real(words, voice))[1])
    assert len(synthetic_speech.generate_public()) == len(synthetic_speech.generate_public()) == 30
    assert spoken[:30] == spoken[30:]
    assert {voice.variant for _, voice in spoken} <= set(synthetic_speech.held_out_variants())


def test_utterances_use_the_voices_given_and_many_words(monkeypatch):
    spoken_by = set()
    real = voices.speak
    monkeypatch.setattr(voices, "speak", lambda words, voice: (spoken_by.add(voice), real(words, voice))[1])
    rng = np.random.default_rng(0)
    said = [synthetic_speech.generate_utterance(rng, ["f1", "m2"]).words for _ in range(10)]
    assert {voice.variant for voice in spoken_by} == {"f1", "m2"}
    assert len(spoken_by) == 10
    assert len(set(" ".join(said).split()) - set(text.list_words()[0][:100])) > 5


def test_batches_are_like_long_bounded_and_never_too_long(monkeypatch):
    def of_air(rng, _variants):
        return synthetic_speech.Spoken(np.zeros(int(rng.uniform(0.5, 14) * 16_000), np.float32), "air")

    monkeypatch.setattr(synthetic_speech, "generate_utterance", of_air)
    source = synthetic_speech.generate_batches(np.random.default_rng(0), 48)
    batches = [next(source) for _ in range(60)]
    sizes_s = [len(batch) * max(len(said.samples) for said in batch) / 16_000 for batch in batches]
    assert max(sizes_s) <= 48
    assert np.mean(sizes_s) > 20
    assert max(len(said.samples) for batch in batches for said in batch) <= 12 * 16_000
    audio = sum(len(said.samples) for batch in batches for said in batch) / 16_000
    assert sum(sizes_s) < 1.1 * audio  # little is padding
    lengths = [len(batch[0].samples) for batch in batches]
    assert lengths != sorted(lengths)


def test_now_and_then_nobody_speaks():
    source = synthetic_speech.generate_batches(np.random.default_rng(0), 48)
    said = [one for _ in range(60) for one in next(source)]
    silent = [one for one in said if not one.words]
    assert 0.005 < len(silent) / len(said) < 0.05
    drawn = [synthetic_speech.generate_silence(np.random.default_rng(seed)) for seed in range(200)]
    assert 0.15 < np.mean([not one.samples.any() for one in drawn]) < 0.35
    for one in drawn:
        assert one.samples.dtype == np.float32
        assert np.isfinite(one.samples).all()
        assert (one.words, one.phonemes) == ("", ())
        assert 4_800 <= len(one.samples) <= 96_000
