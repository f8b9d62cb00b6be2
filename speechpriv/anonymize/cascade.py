"""A cascade of distortions, each by its own random amount: none is large, and together they
overlap.

    speed        resampled: the fundamental comes to a drawn median, the formants move along
    rate         stretched back, or to another length (timing.py): the pitch stays where the speed put it
    vocal tract  pole angles through an all-pass warp, as if the throat were longer or shorter: the formants end where
                 they were drawn to be
    McAdams      pole angles to a power, which bends the warp
    smoothing    pole radii shrink: broader, flatter formants
    equaliser    the long-term spectrum, smoothed, becomes a drawn one
    noise        of a random colour, not loud
    level        becomes a drawn one

Where a feature is brought to a drawn value instead of moved by a drawn amount (median pitch,
spectrum, level), many utterances tell no more of it than one. The rest an attacker who trains on
disguised speech still learns.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal

from speechpriv.anonymize import mcadams, pitch, timing
from speechpriv.audio import RATE_HZ
from speechpriv.data import augment

LOWEST, HIGHEST = 0.55, 1.8  # factors on the fundamental
_FOLLOWS = 0.35  # the power of the pitch's factor by which formants follow it, as from a child to a man
_FLOOR_HZ, _CEILING_HZ = 70, 400
_FRAME = 1024
_CEPSTRUM = 14  # coefficients of the long-term spectrum that count: its slope and broad hills, no harmonics
_LOUDNESS = 1 / 3  # power of the power: between its mean (vowels alone decide) and its logarithm's (pauses do)
_POINTS = 8  # of the equaliser's curve
_TAPS = 257
_DEEPEST = 10**-3.5  # of the spectrum's peak: what lies 35 dB below may be nothing, and is not raised
_TINY = 1e-30
_FAINT = 1e-5  # root mean square below which nobody speaks: it is not made as loud as speech

Audio = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Draw:
    """What is drawn for an utterance."""

    pitch_hz: float  # median fundamental afterwards, as far as `LOWEST` and `HIGHEST` let it
    formants: float  # factor on the formants at low frequencies, beside what follows the pitch
    alpha: float  # of McAdams, around 1: below it formants rise, above it they fall
    rate: float  # factor on the length
    radius: float  # factor on pole radii
    curve_db: tuple[float, ...]  # of the long-term spectrum, beside the slope of speech, from 0 to 8 kHz
    snr_db: float
    level_db: float  # root mean square, full scale at 0


def draw_parameters(rng: np.random.Generator) -> Draw:
    """Draw a disguise at random."""
    return Draw(
        pitch_hz=float(np.exp(rng.uniform(np.log(100), np.log(220)))),
        formants=float(np.exp(rng.uniform(-0.3, 0.3))),
        alpha=float(rng.uniform(0.8, 1.2)),
        rate=float(np.exp(rng.uniform(-0.2, 0.2))),
        radius=float(rng.uniform(0.94, 1.0)),
        curve_db=tuple(rng.normal(0, 3, _POINTS).tolist()),
        snr_db=float(rng.uniform(15, 30)),
        level_db=float(rng.uniform(-30, -20)),
    )


def disguise(samples: Audio, draw: Draw, rng: np.random.Generator) -> Audio:
    """Disguise a voice.

    Args:
      samples: shape (N,), float32, 16 kHz, finite; N >= 1.
      draw: how.
      rng: seeded with a secret: of the noise.

    Returns:
      Shape (N',), float32, N' = N times `draw.rate`. Silence stays silent.

    Source: resampling and warping as for vocal tract length perturbation, Jaitly and Hinton 2013;
    McAdams, see `mcadams`; WSOLA, see `timing`; a cascade of such modifications, Kai et al. 2022,
    "Lightweight and irreversible speech pseudonymization based on data-driven optimization of
    cascaded voice modification modules".
    """
    wanted = max(1, round(len(samples) * draw.rate))
    samples = samples - samples.mean(dtype=float).astype(np.float32)  # a constant would count as loudness
    if not samples.any():
        return np.zeros(wanted, np.float32)
    higher = float(np.clip(draw.pitch_hz / _median_pitch_hz(samples), LOWEST, HIGHEST))
    warp = draw.formants * higher**_FOLLOWS / higher
    shift = (warp - 1) / (warp + 1)

    def move(angle: Floats, radius: Floats) -> tuple[Floats, Floats]:
        warped = angle + 2 * np.arctan(shift * np.sin(angle) / (1 - shift * np.cos(angle)))
        return np.pi * (warped / np.pi) ** draw.alpha, radius * draw.radius

    faster = augment.change_speed(np.pad(samples, (0, 2)), higher)  # never empty
    shaped = mcadams.move_poles(timing.stretch(faster, [0, len(faster)], [0, wanted]), RATE_HZ, move)
    coloured = augment.add_noise(_equalised(shaped, draw.curve_db), rng, draw.snr_db)
    loudness = np.sqrt(np.mean(coloured.astype(float) ** 2))
    return (coloured * (10 ** (draw.level_db / 20) / max(_FAINT, loudness))).astype(np.float32)


def _median_pitch_hz(samples: Audio) -> float:
    """Median fundamental of the louder half of the frames, by YIN."""
    padded = np.pad(samples, (0, max(0, 2 * _FRAME - len(samples))))
    cut = pitch.cut_frames(padded, _FRAME, _FRAME // 2)
    power = np.mean(cut**2, axis=1)
    return float(np.median(pitch.estimate_pitch_hz(cut, RATE_HZ, _FLOOR_HZ, _CEILING_HZ)[power >= np.median(power)]))


def _equalised(samples: Audio, curve_db: tuple[float, ...]) -> Audio:
    """With a long-term spectrum of the louder half of the frames that falls as speech does, plus
    the curve.
    """
    size = 2 * (_TAPS - 1)
    padded = np.pad(samples, (0, max(0, size - len(samples))))
    power = np.abs(scipy.signal.stft(padded, RATE_HZ, nperseg=size, noverlap=size // 2)[2]) ** 2
    power = power[:, power.sum(axis=0) >= np.median(power.sum(axis=0))]
    loudness = np.mean(power**_LOUDNESS, axis=1) ** (1 / _LOUDNESS)
    cepstrum = scipy.fft.dct(np.log(loudness + _DEEPEST * loudness.max() + _TINY), type=1)
    cepstrum[0] = 0
    cepstrum[_CEPSTRUM:] = 0
    found = scipy.fft.idct(cepstrum, type=1)
    bins = np.arange(_TAPS)
    curve = np.log(10) / 10 * np.interp(bins, np.linspace(0, _TAPS - 1, len(curve_db)), curve_db)
    slope = -2 * np.log1p(bins * RATE_HZ / size / 500)  # falls by 6 dB an octave from 500 Hz
    gain = np.exp((slope + curve - found) / 2)
    taps = scipy.signal.firwin2(_TAPS, bins / (_TAPS - 1), gain / gain.max())
    return scipy.signal.fftconvolve(samples, taps, mode="same").astype(np.float32)
