"""An endless stream of made-up speech for pre-training: from a hundred words in two clear voices to a wide
vocabulary, every voice, rooms, microphones and noise.
"""

import functools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from speechpriv.data import augment, text, voices

_POOL = 128
_PUBLIC_SEED = 30
_MAX_S = 12.0
_EASY_VOICES = (voices.Voice("en-us", "m1"), voices.Voice("en-us", "f2"))
_EASY_WORDS = 100

Spoken = tuple[np.ndarray, str]


def held_out_variants() -> tuple[str, ...]:
    """Timbre variants kept for testing: every thirteenth."""
    return voices.variants()[::13]


def training_variants() -> tuple[str, ...]:
    """All other timbre variants."""
    return tuple(sorted(set(voices.variants()) - set(held_out_variants())))


def public() -> list[Spoken]:
    """Thirty utterances in voices that no training hears, always the same words and voices; see `utterance`."""
    rng = np.random.default_rng(_PUBLIC_SEED)
    return [utterance(rng, held_out_variants()) for _ in range(30)]


def utterance(rng: np.random.Generator, variants: Sequence[str], difficulty: float = 1.0) -> Spoken:
    """One made-up utterance: float32 samples of shape (N,) at 16 kHz, and its words.

    Args:
      rng: seeded.
      variants: timbres to draw from.
      difficulty: in [0, 1], the chance that each of words, voice and recording is of the hard kind.
    """
    hard_words, hard_voice, hard_recording = rng.random(3) < difficulty
    if hard_words:
        words = text.sentence(rng)
    else:
        words = " ".join(rng.choice(text.words()[0][:_EASY_WORDS], size=rng.integers(1, 6)))
    voice = voices.random_voice(rng, variants) if hard_voice else _EASY_VOICES[rng.integers(len(_EASY_VOICES))]
    samples = voices.speak(words, voice).samples
    return (augment.distort(samples, rng) if hard_recording else samples), words


def batches(
    rng: np.random.Generator, *, seconds: float, easy: int = 0, ramp: int = 1, done: int = 0
) -> Iterator[list[Spoken]]:
    """Batches of like-long utterances, so that little is padded, growing harder and larger.

    A recogniser trained with CTC on everything at once stays at the frequencies of the word pieces for thousands of
    steps; on few words and clear voices it finds the alignment within hundreds, and keeps it (LOG.md).

    Args:
      rng: seeded.
      seconds: audio in a full batch; a third of it at the start.
      easy: batches of difficulty 0.
      ramp: batches over which difficulty then rises to 1.
      done: batches that were made before, when a training is taken up again.
    """
    variants = training_variants()
    while True:
        difficulty = float(np.clip((done - easy) / ramp, 0, 1))
        limit_s = seconds * (1 + 2 * difficulty) / 3
        found = groups(functools.partial(utterance, rng, variants, difficulty), rng, limit_s)
        yield from found
        done += len(found)


def groups(draw: Callable[[], Spoken], rng: np.random.Generator, seconds: float) -> list[list[Spoken]]:
    """One pool of utterances in batches of like-long ones, up to so many seconds each, in random order."""
    pool = (draw() for _ in range(_POOL))
    fitting = sorted((u for u in pool if len(u[0]) <= _MAX_S * voices.RATE_HZ), key=lambda u: len(u[0]))
    found: list[list[Spoken]] = [[]]
    for item in fitting:
        if found[-1] and (len(found[-1]) + 1) * len(item[0]) > seconds * voices.RATE_HZ:
            found.append([])
        found[-1].append(item)
    return [found[index] for index in rng.permutation(len(found))]
