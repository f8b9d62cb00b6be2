"""The McAdams disguise as a textbook has it, frame after frame: the oracle of the tests and the benchmark."""

import numpy as np
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

ORDER = 20


def naive_disguise(samples, rate_hz, alpha, *, match_energy=True):
    hop = round(0.010 * rate_hz)
    size = 2 * hop
    window = np.sin(np.pi * np.arange(size) / size)
    padded = np.concatenate([np.zeros(hop), samples, np.zeros(size)])
    out = np.zeros(len(padded))
    for start in range(0, len(samples) + hop, hop):
        frame = padded[start : start + size] * window
        moved = naive_frame(frame, alpha) * window
        if match_energy and np.any(moved):
            moved *= np.linalg.norm(frame * window) / np.linalg.norm(moved)
        out[start : start + size] += moved
    return out[hop : hop + len(samples)]


def naive_frame(frame, alpha):
    if not np.any(frame):
        return np.zeros(len(frame))
    lags = np.correlate(frame, frame, "full")[len(frame) - 1 :][: ORDER + 1]
    lags[0] *= 1 + 1e-9
    whitening = np.concatenate([[1], solve_toeplitz(lags[:-1], -lags[1:])])
    moved = []
    for pole in np.roots(whitening):
        if np.isreal(pole):
            moved.append(pole)
        elif pole.imag > 0:
            moved.append(abs(pole) * np.exp(1j * np.angle(pole) ** alpha))
        else:
            moved.append(abs(pole) * np.exp(-1j * np.angle(pole.conjugate()) ** alpha))
    residual = lfilter(whitening, [1], frame)
    return lfilter([1], np.poly(moved).real, residual)
