"""What a recogniser learns from and is asked about."""

import re
import unicodedata
from typing import NamedTuple

import numpy as np
import torch

RATE_HZ = 16_000

_SLOT = re.compile(r"(\[[A-Z_]+\])")
_NOT_SPOKEN = re.compile(r"[^a-z' ]+")


class Utterance(NamedTuple):
    """What one person said once: float32 samples of shape (N,) at 16 kHz, and the words."""

    samples: np.ndarray
    text: str


class Heard(NamedTuple):
    """An utterance as the first layer that learns gets it: hidden states of shape (T, H), and the words."""

    hidden: torch.Tensor
    text: str
    frames: int | None = None  # how many states spell words, if these are from before the encoder's last layer


def normalise(text: str) -> str:
    """The words as a recogniser learns them: lower-case a-z and apostrophes; scrubbed slots (`[NAME]`) are gone."""
    spelled = unicodedata.normalize("NFKD", _SLOT.sub(" ", text).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    plain = "".join(letter for letter in spelled if not unicodedata.combining(letter))  # "café" is "cafe"
    return " ".join(_NOT_SPOKEN.sub(" ", plain.lower()).split())


def words_and_slots(text: str) -> list[str]:
    """The words as `normalise` has them, with scrubbed slots (`[NAME]`) where they are."""
    parts = _SLOT.split(text)
    return [word for part in parts for word in ([part] if _SLOT.fullmatch(part) else normalise(part).split())]
