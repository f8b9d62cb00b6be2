"""What a recogniser learns from and is asked about."""

from typing import NamedTuple

import numpy as np
import torch


class Utterance(NamedTuple):
    """What one person said once: float32 samples of shape (N,) at 16 kHz, and the words."""

    samples: np.ndarray
    text: str


class EncodedUtterance(NamedTuple):
    """An utterance as the first layer that learns gets it: hidden states of shape (T, H), and the
    words.
    """

    hidden: torch.Tensor
    text: str
    frames: int | None = None  # how many states spell words, if these are from before the encoder's last layer
