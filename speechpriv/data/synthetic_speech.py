"""An endless stream of synthetic speech for pre-training: many words, every voice, rooms,
microphones and noise.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from speechpriv.audio import RATE_HZ
from speechpriv.data import augment, text, voices

_POOL = 128
_PUBLIC_SEED = 30
_MAX_S = 12.0
_SILENT = 0.02  # of the utterances of a training: who never heard nothing writes words for it


class Spoken(NamedTuple):
    """An utterance: float32 samples of shape (N,) at 16 kHz, its words, and its phonemes in time."""

    samples: np.ndarray
    words: str
    phonemes: tuple[voices.Phoneme, ...] = ()


def held_out_variants() -> tuple[str, ...]:
    """Return timbre variants kept for testing: every thirteenth."""
    return voices.list_variants()[::13]


def training_variants() -> tuple[str, ...]:
    """Return all other timbre variants."""
    return tuple(sorted(set(voices.list_variants()) - set(held_out_variants())))


def generate_public() -> list[tuple[np.ndarray, str]]:
    """Generate thirty utterances in voices that no training hears, always the same words and
    voices; see `generate_utterance`.
    """
    rng = np.random.default_rng(_PUBLIC_SEED)
    return [generate_utterance(rng, held_out_variants())[:2] for _ in range(30)]


def generate_utterance(rng: np.random.Generator, variants: Sequence[str]) -> Spoken:
    """Generate one synthetic utterance of a wide vocabulary, in a room, through a microphone, in
    noise.

    Args:
      rng: seeded.
      variants: timbres to draw from.
    """
    words = text.draw_sentence(rng)
    speech = voices.speak(words, voices.random_voice(rng, variants))
    samples, factor, lead = augment.retime(speech.samples, rng)
    phonemes = tuple((symbol, lead + int(start / factor)) for symbol, start in speech.phonemes)
    return Spoken(augment.rerecord(samples, rng), words, phonemes)


def generate_silence(rng: np.random.Generator) -> Spoken:
    """Generate up to six seconds in which nobody speaks: noise through a microphone, or every
    fourth time digital zero.
    """
    samples = 1e-3 * rng.standard_normal(int(rng.uniform(0.3, 6.0) * RATE_HZ), dtype=np.float32)
    return Spoken(np.zeros_like(samples) if rng.random() < 0.25 else augment.rerecord(samples, rng), "")


def generate_batches(rng: np.random.Generator, seconds: float) -> Iterator[list[Spoken]]:
    """Generate batches without end of like-long utterances, up to so many seconds each, so that
    little is padded.
    """
    variants = training_variants()

    def draw() -> Spoken:
        return generate_silence(rng) if rng.random() < _SILENT else generate_utterance(rng, variants)

    while True:
        yield from group_by_length(draw, rng, seconds)


def group_by_length(draw: Callable[[], Spoken], rng: np.random.Generator, seconds: float) -> list[list[Spoken]]:
    """Return one pool of utterances in batches of like-long ones, up to so many seconds each, in
    random order.
    """
    pool = (draw() for _ in range(_POOL))
    fitting = sorted((u for u in pool if len(u.samples) <= _MAX_S * RATE_HZ), key=lambda u: len(u.samples))
    found: list[list[Spoken]] = [[]]
    for item in fitting:
        if found[-1] and (len(found[-1]) + 1) * len(item.samples) > seconds * RATE_HZ:
            found.append([])
        found[-1].append(item)
    return [found[index] for index in rng.permutation(len(found))]
