"""Pitch and formants moved, by Praat: the fundamental to another median and range, the formants by
one factor.

Overlap-add of the recording's own pitch periods, so what is breathy, hoarse or voiceless stays so
(the aperiodicity is kept). It is a light disguise, as every method of few parameters: an attacker
who trains on disguised speech undoes it.

Praat (GPL-3) comes with the package `praat-parselmouth`, the extra `voices`; imported only when it
is used.
"""

import warnings

import numpy as np
import numpy.typing as npt

from speechpriv.errors import ConfigError

FLOOR_HZ, CEILING_HZ = 75.0, 600.0  # of the fundamental, where it is looked for
_FLAT = 1e-6  # a range of 0, which Praat refuses
_LEAST_S = 0.1  # the analysis needs a few periods at the floor; shorter recordings are padded for it

Audio = npt.NDArray[np.float32]


def disguise(samples: Audio, rate_hz: int, formants: float, pitch_hz: float, pitch_range: float) -> Audio:
    """Disguise a voice by three numbers; the same call gives the same bits.

    Args:
      samples: shape (N,), finite.
      rate_hz: of `samples`.
      formants: factor on the frequency of every formant, > 0.
      pitch_hz: the median fundamental afterwards, > 0.
      pitch_range: factor on the fundamental's distance from its median, >= 0; less where the lowest
        fundamental would come to less than half of where it would be without.

    Returns:
      Shape (N,), float32. Voiceless recordings keep no pitch to move: their spectrum alone is
      moved.

    Raises:
      ConfigError: Praat is not installed, or a number is out of range.

    Source: Praat's "Change gender" (PSOLA, Moulines and Charpentier 1990); Jadoul et al. 2018 for
    parselmouth.
    """
    try:
        from parselmouth import Sound, praat  # noqa: PLC0415  GPL-3 and optional
    except ImportError as error:
        raise ConfigError(
            "the disguise `formant` needs the extra `voices`, which is not installed. Run: pip install "
            "'speechpriv[voices]'"
        ) from error
    if not (0 < formants < np.inf and 0 < pitch_hz < np.inf and 0 <= pitch_range < np.inf):
        raise ConfigError(
            f"formant: formants = {formants}, pitch_hz = {pitch_hz}, pitch_range = {pitch_range}: expected finite "
            "numbers, the first two positive and the last not negative."
        )
    if not samples.any():
        return np.zeros(len(samples), np.float32)
    padded = np.pad(np.asarray(samples, float), (0, max(0, round(_LEAST_S * rate_hz) - len(samples))))
    sound = Sound(padded, rate_hz)
    pitch = sound.to_pitch(0.8 / FLOOR_HZ, FLOOR_HZ, CEILING_HZ)
    # Praat draws its pulses in voiceless parts at random; seeded, they are always the same.
    praat.run("random_initializeWithSeedUnsafelyButPredictably (1)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that nothing is voiced is no mistake
        spread = min(max(pitch_range, _FLAT), _widest(pitch.selected_array["frequency"]))
        moved = praat.call([sound, pitch], "Change gender", formants, pitch_hz, spread, 1.0)
    return np.resize(np.append(moved.values[0], np.zeros(len(samples))), len(samples)).astype(np.float32)


def _widest(pitch_hz: npt.NDArray[np.float64]) -> float:
    """The largest factor on the pitch range; beyond, Praat takes creaky moments below zero, and
    fails or never ends.
    """
    voiced = pitch_hz[pitch_hz > 0]
    if not len(voiced) or voiced.min() >= np.median(voiced):
        return np.inf
    lowest = voiced.min() / np.median(voiced)
    return float((1 - lowest / 2) / (1 - lowest))
