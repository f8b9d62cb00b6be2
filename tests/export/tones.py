"""A language of five words, each a tone, and a recogniser that learns it in seconds: real decoding, no big model."""

import numpy as np
import torch

from speechpriv.audio import RATE_HZ
from speechpriv.models import new
from speechpriv.models.asr import Recogniser, Utterance

WORDS = ("light", "lamp", "door", "fan", "now")
_MAX_STEPS = 400
_LEARNED_NATS = 0.02


def say(words: str, rng: np.random.Generator) -> np.ndarray:
    """Each word a tone of 0.2 to 0.3 s with gaps between and around, in a little noise."""
    parts = [np.zeros(rng.integers(800, 3200))]
    for word in words.split():
        time_s = np.arange(rng.integers(3200, 4800)) / RATE_HZ
        tone = np.sin(2 * np.pi * 400 * 1.7 ** WORDS.index(word) * time_s + rng.uniform(0, 6))
        parts += [0.2 * tone * np.hanning(len(tone)), np.zeros(rng.integers(1200, 2400))]
    samples = np.concatenate(parts)
    return (samples + 0.003 * rng.standard_normal(len(samples))).astype(np.float32)


def sentence(rng: np.random.Generator) -> str:
    """One to three words."""
    return " ".join(rng.choice(WORDS, rng.integers(1, 4)))


def untrained() -> Recogniser:
    """A tiny recogniser of the same family as the embedded base model, one piece a word."""
    torch.manual_seed(1)
    return new.make_recogniser(new.train_tokenizer([" ".join(WORDS)] * 50, 60), hidden=16, layers=2, channels=8)


def trained() -> Recogniser:
    """The same after some seconds of training."""
    rng = np.random.default_rng(1)
    recogniser = untrained()
    optimizer = torch.optim.Adam(recogniser.model.parameters(), lr=8e-3)
    for _ in range(_MAX_STEPS):
        texts = [sentence(rng) for _ in range(8)]
        loss = recogniser.losses([Utterance(say(text, rng), text) for text in texts]).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(recogniser.model.parameters(), 1.0)
        optimizer.step()
        if loss < _LEARNED_NATS:
            return recogniser
    raise RuntimeError(f"not learned in {_MAX_STEPS} steps")
