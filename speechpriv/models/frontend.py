"""Log-mel features as sherpa-onnx computes them for NeMo models, so that a model hears the same in both.

Three things differ from `ParakeetFeatureExtractor`, and with them the words of a quarter of all utterances: windows are
centred half a hop later, the signal is mirrored at its ends, and the Hann window is periodic.
"""

from collections.abc import Sequence

import numpy as np
import torch

HOP = 160  # samples: 10 ms
WINDOW = 400
_FFT = 512
_PREEMPHASIS = 0.97
_FLOOR = 2.0**-24  # added to the power, as NeMo does
_EPSILON = 1e-5
_LEAD = WINDOW // 2 - HOP // 2  # of the first window before the first sample


def frames(samples: int) -> int:
    """How many feature frames so many samples give."""
    return (samples + HOP // 2) // HOP


def log_mel(waveforms: Sequence[np.ndarray], filters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Features, normalised per utterance and band, and their mask.

    Args:
      waveforms: samples of shape (N,) at 16 kHz each.
      filters: mel filter bank, shape (F, 257).

    Returns:
      Features (B, T, F), 0 beyond the end of an utterance, and a mask (B, T), True where real.
    """
    rows = [_one(np.asarray(samples, dtype=np.float32), filters) for samples in waveforms]
    lengths = torch.tensor([len(row) for row in rows])
    # One frame at least, masked, so that a model can be run on a batch of nothing.
    features = torch.nn.utils.rnn.pad_sequence([*rows, rows[0].new_zeros(1, len(filters))], batch_first=True)[:-1]
    return features, torch.arange(features.shape[1]) < lengths[:, None]


def _one(samples: np.ndarray, filters: torch.Tensor) -> torch.Tensor:
    """Features (T, F) of one waveform (N,)."""
    count = frames(len(samples))
    if count == 0:
        return filters.new_zeros(0, len(filters))
    # Mirrored at both ends, the end samples twice: -1 is 0.
    mirrored = np.pad(samples, (_LEAD, WINDOW // 2), mode="symmetric")
    windows = torch.from_numpy(mirrored).unfold(0, WINDOW, HOP)[:count]
    before = torch.cat([windows[:, :1], windows[:, :-1]], dim=1)
    shaped = (windows - _PREEMPHASIS * before) * torch.hann_window(WINDOW)
    power = torch.fft.rfft(shaped, n=_FFT).abs().square()
    bands = torch.log(power @ filters.T + _FLOOR)
    deviation = bands.std(dim=0, correction=0)
    return (bands - bands.mean(dim=0)) / (deviation + _EPSILON)
