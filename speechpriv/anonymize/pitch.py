"""The fundamental frequency by YIN, in numpy alone: nothing is compiled, so no cache is shared
between processes.

Source: de Cheveigné and Kawahara 2002, "YIN, a fundamental frequency estimator for speech and
music".
"""

import numpy as np
import numpy.typing as npt
import scipy.fft

_THRESHOLD = 0.1  # on the normalised difference: the first lag with a minimum below it is the period


def cut_frames(samples: npt.NDArray[np.float32], length: int, hop: int) -> npt.NDArray[np.float32]:
    """Cut overlapping frames, each centred on a multiple of `hop`; beyond the ends is silence.

    Args:
      samples: shape (N,), N >= 1.
      length: of a frame, in samples, even.
      hop: between frames, in samples.

    Returns:
      Shape (1 + N // hop, length); a view, not to be written to.
    """
    padded = np.pad(samples, length // 2)
    return np.lib.stride_tricks.sliding_window_view(padded, length)[::hop]


def estimate_pitch_hz(
    cut: npt.NDArray[np.float32], rate_hz: int, floor_hz: float, ceiling_hz: float
) -> npt.NDArray[np.floating]:
    """Estimate the fundamental of each frame, voiced or not.

    Args:
      cut: shape (T, L), see `cut_frames`; L > `rate_hz / floor_hz`.
      rate_hz: of the samples.
      floor_hz: the lowest fundamental that is looked for.
      ceiling_hz: the highest.

    Returns:
      Shape (T,), in Hz.
    """
    shortest, longest = int(rate_hz / ceiling_hz), int(np.ceil(rate_hz / floor_hz))
    normalised = _normalised_difference(cut, longest)[:, shortest - 1 :]
    here = normalised[:, 1:-1]
    dips = np.zeros(normalised.shape, bool)
    dips[:, 1:-1] = (here < normalised[:, :-2]) & (here <= normalised[:, 2:])
    dips[:, 0] = normalised[:, 0] < normalised[:, 1]
    dips[:, -1] = normalised[:, -1] < normalised[:, -2]
    dips &= normalised < _THRESHOLD
    place = np.where(dips.any(axis=1), dips.argmax(axis=1), normalised.argmin(axis=1))
    return rate_hz / (shortest + place + _vertex(normalised, place))


def _normalised_difference(cut: npt.NDArray[np.float32], longest: int) -> npt.NDArray[np.floating]:
    """Equation 8 of the source for lags 1 to `longest`, shape (T, longest); what follows a frame
    counts as silence.
    """
    size = scipy.fft.next_fast_len(cut.shape[1] + longest, real=True)  # so long that no lag wraps around
    spectrum = scipy.fft.rfft(cut, size)
    correlation = scipy.fft.irfft(spectrum.real**2 + spectrum.imag**2, size)
    energy = np.cumsum(cut[:, :longest] ** 2, axis=1)
    difference = 2 * (correlation[:, :1] - correlation[:, 1 : longest + 1]) - energy
    mean = np.cumsum(difference, axis=1) / np.arange(1, longest + 1)
    return difference / (mean + np.finfo(mean.dtype).tiny)


def _vertex(values: npt.NDArray[np.floating], place: npt.NDArray[np.intp]) -> npt.NDArray[np.floating]:
    """How far the vertex of the parabola through `place` and its neighbours lies from it, within
    (-1, 1); else 0.
    """
    rows, inner = np.arange(len(values)), np.clip(place, 1, values.shape[1] - 2)
    before, here, after = (values[rows, inner + step] for step in (-1, 0, 1))
    bend, slope = after + before - 2 * here, (after - before) / 2
    inside = (np.abs(slope) < np.abs(bend)) & (inner == place)
    return np.where(inside, -slope / np.where(inside, bend, 1), 0)
