"""A cascade of small distortions, each by its own random amount: none is large, and together they overlap.

    speed        resampled: fundamental and formants move together
    rate         stretched back, or to another length (timing.py): the pitch stays where the speed put it
    vocal tract  pole angles through an all-pass warp, as if the throat were longer or shorter: undoes or adds to the
                 speed's move of the formants, so that they and the pitch are drawn apart
    McAdams      pole angles to a power, which bends the warp
    smoothing    pole radii shrink: broader, flatter formants
    noise        of a random colour, not loud

An attacker who trains on disguised speech has more to learn than from one distortion, and still learns most of it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speechpriv.anonymize import mcadams, timing
from speechpriv.data import augment

RATE_HZ = 16_000

Audio = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Draw:
    """What is drawn for an utterance."""

    pitch: float  # factor on the fundamental
    formants: float  # factor on the formants, at low frequencies
    alpha: float  # of McAdams, around 1: below it low formants rise, above it they fall
    rate: float  # factor on the length
    radius: float  # factor on pole radii
    snr_db: float


def drawn(rng: np.random.Generator) -> Draw:
    """A disguise at random."""
    return Draw(
        pitch=float(np.exp(rng.uniform(-0.35, 0.35))),
        formants=float(np.exp(rng.uniform(-0.22, 0.22))),
        alpha=float(rng.uniform(0.8, 1.2)),
        rate=float(np.exp(rng.uniform(-0.2, 0.2))),
        radius=float(rng.uniform(0.94, 1.0)),
        snr_db=float(rng.uniform(15, 30)),
    )


def disguise(samples: Audio, draw: Draw, rng: np.random.Generator) -> Audio:
    """Disguise a voice.

    Args:
      samples: shape (N,), float32, 16 kHz, finite; N >= 1.
      draw: how.
      rng: seeded with a secret: of the noise.

    Returns:
      Shape (N',), float32, N' = N times `draw.rate`. Silence stays silent.

    Source: resampling and warping as for vocal tract length perturbation, Jaitly and Hinton 2013; McAdams, see
    `mcadams`; WSOLA, see `timing`. The cascade is as in Kai et al. 2022 (lightweight voice anonymization).
    """
    wanted = max(1, round(len(samples) * draw.rate))
    moved = augment.speed(samples, draw.pitch)
    if len(moved) > 0:
        moved = timing.stretch(moved, [0, len(moved)], [0, wanted])
    else:
        moved = np.zeros(wanted, np.float32)
    warp = draw.formants / draw.pitch
    shift = (warp - 1) / (warp + 1)

    def move(angle: Floats, radius: Floats) -> tuple[Floats, Floats]:
        warped = angle + 2 * np.arctan(shift * np.sin(angle) / (1 - shift * np.cos(angle)))
        return np.pi * (warped / np.pi) ** draw.alpha, radius * draw.radius

    shaped = mcadams.reshaped(moved, RATE_HZ, move)
    return augment.add_noise(shaped, rng, draw.snr_db) if shaped.any() else shaped
