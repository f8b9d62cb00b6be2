"""When things are said: stretches of an utterance made longer or shorter, its pitch and timbre kept."""

from collections.abc import Sequence

import libtsm
import numpy as np
import numpy.typing as npt

WINDOW, HOP, TOLERANCE = 512, 256, 256  # samples at 16 kHz: windows of 32 ms, moved by up to 16 ms to where they fit

Audio = npt.NDArray[np.float32]


def stretch(samples: Audio, before: Sequence[int], after: Sequence[int]) -> Audio:
    """Move moments of an utterance to where they are wanted, and what lies between them evenly along.

    Args:
      samples: shape (N,), float32, 16 kHz.
      before: moments, in samples, strictly rising from 0 to N.
      after: where each of them is to be, strictly rising from 0 to N'; no stretch may grow by `HOP` times.

    Returns:
      Shape (N',), float32.

    Source: WSOLA, Verhelst and Roelands 1993, in `libtsm`.
    """
    # libtsm's last anchor is the last sample, ours is the one behind it.
    anchors = np.stack([np.asarray(before, int), np.asarray(after, int)], axis=1)
    padded = np.append(samples, np.float32(0)).astype(float)
    return libtsm.wsola_tsm(padded, anchors, HOP, WINDOW, 2, TOLERANCE)[:-1, 0].astype(np.float32)
