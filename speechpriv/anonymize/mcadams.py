"""McAdams disguise: the formants are shifted by bending the angles of the LPC poles; everything
else stays.

The residual is untouched, so pitch, prosody and the recording channel remain: an attacker who
trains on disguised speech recognises most speakers (VoicePrivacy 2024, B2). This is a light
disguise, not a guarantee.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from scipy.signal import get_window

from speechpriv.errors import ConfigError

HOP_S = 0.010  # the window is two hops: 20 ms
LPC_ORDER = 20
MIN_RATE_HZ = 8_000
# Frames in flight: 5 s of audio, some 8 MB of work space whatever the length of the file, and the
# fastest size tried.
BLOCK_FRAMES = 500
# Added to the zero lag, at -90 dB: keeps the normal equations solvable for a pure tone or a
# constant.
WHITE_NOISE = 1e-9

Floats = npt.NDArray[np.float64]
Poles = npt.NDArray[np.complex128]
Move = Callable[[Floats, Floats], tuple[Floats, Floats]]  # angles and radii to angles and radii


def disguise(samples: npt.NDArray[np.floating], rate_hz: int, alpha: float) -> npt.NDArray[np.float32]:
    """Disguise a voice with one McAdams coefficient.

    Frames of 20 ms every 10 ms under a square-root Hann window; in each, LPC of order 20, complex
    poles moved from angle phi to phi ** alpha (radius kept, real poles kept), residual filtered
    through the moved poles, energy matched to the input frame, overlap-add. Energy is matched frame
    by frame because a single resonant frame would otherwise decide how loud the whole file can be.

    Args:
      samples: shape (N,), finite, any N: the signal is taken as silent before its start and after
        its end, so the first and last frames count in full, and an input shorter than a frame is
        disguised as two or three padded ones.
      rate_hz: at least 8,000.
      alpha: in (0, 1]; 1 changes nothing, lower moves more. Phi is in radians, so angles below 1
        rise, others fall.

    Returns:
      Shape (N,). The level follows the input's; single samples may pass its peak, so the caller
      decides on clipping.

    Raises:
      ConfigError: rate or coefficient out of range.

    Source: McAdams 1984 (PhD thesis, Stanford); Patino et al. 2021, arXiv:2011.01130; window, hop
    and order are those of the VoicePrivacy baseline B2. Matching the energy frame by frame is ours.
    """
    if not 0 < alpha <= 1:
        raise ConfigError(f"mcadams: alpha = {alpha}: expected a number in (0, 1].")
    return move_poles(samples, rate_hz, lambda angle, radius: (angle**alpha, radius))


def move_poles(samples: npt.NDArray[np.floating], rate_hz: int, move: Move) -> npt.NDArray[np.float32]:
    """As `disguise`, with any rule by which poles move.

    Args:
      samples: see `disguise`.
      rate_hz: see `disguise`.
      move: angles in (0, pi), in radians, and radii in (0, 1) of poles, of any shape, to where they
        go; both stay in their ranges. Conjugates follow.
    """
    if not rate_hz >= MIN_RATE_HZ:
        raise ConfigError(f"mcadams: rate_hz = {rate_hz}: expected at least {MIN_RATE_HZ}. Resample first.")
    hop = round(HOP_S * rate_hz)
    window = np.sqrt(get_window("hann", 2 * hop))  # squared, it adds up to 1 at this hop
    # Row i of `hops` holds hop i; frame i is rows i and i + 1. One silent row before, at least one
    # after.
    n_hops = -(-len(samples) // hop)
    hops = np.zeros((n_hops + 2, hop), np.float32)
    hops.reshape(-1)[hop : hop + len(samples)] = samples
    disguised = np.zeros_like(hops)
    for start in range(0, n_hops + 1, BLOCK_FRAMES):
        stop = min(start + BLOCK_FRAMES, n_hops + 1)
        frames = np.concatenate([hops[start:stop], hops[start + 1 : stop + 1]], axis=1) * window
        moved = _disguise_frames(frames, window, move)
        disguised[start:stop] += moved[:, :hop]
        disguised[start + 1 : stop + 1] += moved[:, hop:]
    return disguised.reshape(-1)[hop : hop + len(samples)]


def _disguise_frames(frames: Floats, window: Floats, move: Move) -> Floats:
    """Analysis-windowed frames (T, W) to frames ready to be added up, of the same energy each."""
    whitening = _lpc(frames)
    shaping = _polynomials(_moved(_poles(whitening), move))
    before = frames * window
    after = _filter(frames, whitening, shaping) * window
    energy_before, energy_after = (np.einsum("tn,tn->t", x, x) for x in (before, after))
    audible = energy_after > 0
    gain = np.sqrt(np.divide(energy_before, energy_after, out=np.zeros_like(energy_after), where=audible))
    return after * gain[:, None]


def _lpc(frames: Floats) -> Floats:
    """Prediction-error filters (T, 1 + order), leading 1, by the autocorrelation method, so minimum
    phase.
    """
    n_samples = frames.shape[1]
    # Summed directly: an FFT leaves rounding noise in a click's zero lags, and roots of z^20 +
    # noise are far from 0.
    pairs = [(frames[:, lag:], frames[:, : n_samples - lag]) for lag in range(LPC_ORDER + 1)]
    lags = np.stack([np.einsum("tn,tn->t", later, earlier) for later, earlier in pairs], axis=1)
    power = lags[:, :1]
    lags = np.divide(lags, power, out=np.zeros_like(lags), where=power > 0)  # a silent frame predicts nothing
    lags[:, 0] = 1 + WHITE_NOISE
    order = np.arange(LPC_ORDER)
    toeplitz = lags[:, np.abs(order[:, None] - order)]
    taps = np.linalg.solve(toeplitz, -lags[:, 1:, None])[..., 0]
    return np.concatenate([np.ones_like(power), taps], axis=1)


def _poles(filters: Floats) -> Poles:
    """Roots (T, order) of z^order + a_1 z^(order-1) + ..., as eigenvalues of companion matrices."""
    companion = np.zeros((len(filters), LPC_ORDER, LPC_ORDER))
    companion[:, 0] = -filters[:, 1:]
    companion[:, np.arange(1, LPC_ORDER), np.arange(LPC_ORDER - 1)] = 1
    # Two thirds of all the work. torch comes with a LAPACK that needs 40 us a frame where numpy's
    # needs 50.
    return torch.linalg.eigvals(torch.from_numpy(companion)).numpy()


def _moved(poles: Poles, move: Move) -> Poles:
    """Each pole by its own angle, so that conjugates stay conjugates in whatever order they come;
    real ones stay.
    """
    angle, radius = move(np.abs(np.angle(poles)), np.abs(poles))
    return np.where(poles.imag == 0, poles, radius * np.exp(1j * np.sign(poles.imag) * angle))


def _polynomials(poles: Poles) -> Floats:
    """Monic real polynomials (T, 1 + order) with these roots."""
    coefficients = np.zeros((len(poles), LPC_ORDER + 1), np.complex128)
    coefficients[:, 0] = 1
    for i in range(LPC_ORDER):
        coefficients[:, 1 : i + 2] -= poles[:, i, None] * coefficients[:, : i + 1]
    return coefficients.real


def _filter(frames: Floats, zeros: Floats, poles: Floats) -> Floats:
    """Filter frame t by zeros[t] / poles[t] from rest, looping over samples so that a step serves
    all frames.
    """
    n_frames, n_samples = frames.shape
    # Input and output lie side by side, so that one product a step takes both; y[now] is 0 when it
    # is multiplied.
    x, y = signal = np.zeros((2, LPC_ORDER + n_samples, n_frames))
    x[LPC_ORDER:] = frames.T
    taps = np.ascontiguousarray(np.stack([zeros, -poles])[:, :, ::-1].transpose(0, 2, 1))
    for n in range(n_samples):
        y[n + LPC_ORDER] = np.einsum("ckt,ckt->t", taps, signal[:, n : n + LPC_ORDER + 1])
    return y[LPC_ORDER:].T
