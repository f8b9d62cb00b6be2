"""Cutting words out of audio, so that nothing of them is left and the cut makes no click."""

from collections.abc import Sequence

import numpy as np

from speechpriv.errors import DataError


def silence(samples: np.ndarray, spans: Sequence[tuple[int, int]], rate_hz: int, fade_s: float = 0.005) -> np.ndarray:
    """Replace spans of a recording by silence.

    Inside a span every sample is exactly 0. The raised-cosine fades lie outside it, on the neighbours' edges, so that
    no sample of the span is heard, not even faintly. Where two spans are closer than two fades, both fades apply.

    Args:
      samples: shape (N,), float32, finite; not modified.
      spans: (start, end) in samples with `end` exclusive, in any order; they may overlap and are clipped to [0, N).
      rate_hz: sampling rate, > 0.
      fade_s: length of each fade, >= 0; 5 ms is too short to hear as a change and long enough not to click.

    Returns:
      Shape (N,), float32.

    Raises:
      DataError: a span is not two integers with start <= end, or another argument is out of range.
    """
    if samples.ndim != 1 or samples.dtype != np.float32:
        raise DataError(f"redact: samples have shape {samples.shape} and type {samples.dtype}: expected (N,) float32.")
    if not (rate_hz > 0 and 0 <= fade_s < float("inf")):
        raise DataError(
            f"redact: rate_hz = {rate_hz}, fade_s = {fade_s}: expected rate_hz > 0 and a finite fade_s >= 0."
        )
    gain = np.ones(len(samples), dtype=np.float32)
    length = min(round(fade_s * rate_hz), len(samples))
    # Strictly between 0 and 1, falling towards the span: sin^2 is the raised cosine.
    fall = (np.cos(np.pi / 2 * np.arange(1, length + 1) / (length + 1)) ** 2).astype(np.float32)
    for start, end in _merged(spans, len(samples)):
        left, right = max(0, start - length), min(len(samples), end + length)
        gain[left:start] *= fall[length - (start - left) :]
        gain[start:end] = 0.0
        gain[end:right] *= fall[::-1][: right - end]
    # A product with 0 would let a NaN through; `where` does not.
    return np.where(gain == 0.0, np.float32(0.0), samples * gain)


def _merged(spans: Sequence[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    """Sorted and disjoint, clipped to the signal; touching spans are one, so that no fade falls between them."""
    merged: list[tuple[int, int]] = []
    for index, (start, end) in enumerate(spans):
        if not all(isinstance(edge, int | np.integer) for edge in (start, end)) or not start <= end:
            raise DataError(f"redact: span {index} is ({start}, {end}): expected integer samples with start <= end.")
    for start, end in sorted((max(0, int(start)), min(length, int(end))) for start, end in spans):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
