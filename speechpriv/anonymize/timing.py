"""When things are said: stretches of an utterance made longer or shorter, its pitch and timbre
kept.
"""

from collections.abc import Sequence

import libtsm
import numpy as np
import numpy.typing as npt

from speechpriv.audio import RATE_HZ

WINDOW, HOP, TOLERANCE = 512, 256, 256  # samples at 16 kHz: windows of 32 ms, moved by up to 16 ms to where they fit
PART_S, PART_JITTER = 0.5, 2_000  # parts that get a speed of their own, and by how many samples their edges move
WHOLE, OF_PART = 0.2, 0.25  # natural logarithms of the largest factors

Audio = npt.NDArray[np.float32]


def stretch(samples: Audio, before: Sequence[int], after: Sequence[int]) -> Audio:
    """Move moments of an utterance to where they are wanted, and what lies between them evenly
    along.

    Args:
      samples: shape (N,), float32, 16 kHz.
      before: moments, in samples, strictly rising from 0 to N.
      after: where each of them is to be, strictly rising from 0 to N'; no stretch may grow by `HOP`
        times.

    Returns:
      Shape (N',), float32.

    Source: WSOLA, Verhelst and Roelands 1993, in `libtsm`.
    """
    # libtsm's last anchor is the last sample, ours is the one behind it.
    anchors = np.stack([np.asarray(before, int), np.asarray(after, int)], axis=1)
    padded = np.append(samples, np.float32(0)).astype(float)
    return libtsm.wsola_tsm(padded, anchors, HOP, WINDOW, 2, TOLERANCE)[:-1, 0].astype(np.float32)


def draw_timing(samples: Audio, rng: np.random.Generator) -> Audio:
    """Draw a speed that changes all the time: faster or slower as a whole, and again every half
    second or so.

    How long words, syllables and pauses take is a habit of a speaker. Pitch and timbre stay.

    Args:
      samples: shape (N,), float32, 16 kHz, N >= 1.
      rng: seeded with a secret.

    Returns:
      Shape (N',), float32; N' is between 0.63 and 1.6 times N.
    """
    if len(samples) < 2:
        return samples
    parts = max(1, round(len(samples) / (PART_S * RATE_HZ)))
    before = np.unique(np.round(np.linspace(0, len(samples), parts + 1)).astype(int))
    inner = before[1:-1] + rng.integers(-PART_JITTER, PART_JITTER + 1, len(before) - 2)
    before = np.concatenate([before[:1], inner, before[-1:]])
    factors = np.exp(rng.uniform(-WHOLE, WHOLE) + rng.uniform(-OF_PART, OF_PART, len(before) - 1))
    lengths = np.maximum(1, np.round(np.diff(before) * factors)).astype(int)
    return stretch(samples, before.tolist(), [0, *np.cumsum(lengths).tolist()])
