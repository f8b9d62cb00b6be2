"""Cutting words out of audio, so that nothing of them is left and the cut makes no click.

Four ways, all of them one: spans leave, other sound comes in. Inside a span nothing of the
recording is left; the raised-cosine fades lie outside it, on the neighbours' edges, so that no
sample of the span is heard, not even faintly. What comes in rises from nothing and falls back to
it. So there is no step anywhere, and no overlap to listen through.
"""

from collections.abc import Callable, Sequence

import numpy as np

from speechpriv.errors import DataError

Span = tuple[int, int]
Fill = Callable[[int, Sequence[int]], np.ndarray]  # what stands in for so many samples, where these spans were

FADE_S = 0.005  # too short to hear as a change and long enough not to click
GAP_S = 0.1  # of silence for every cut, so that its length tells nothing
_BEEP_HZ = 1000
_FRAME_S = 0.02


def silence_spans(samples: np.ndarray, spans: Sequence[Span], rate_hz: int, fade_s: float = FADE_S) -> np.ndarray:
    """Replace spans of a recording by silence: exactly 0, and as long as what was said.

    Args:
      samples: shape (N,), float32, finite; not modified.
      spans: (start, end) in samples with `end` exclusive, in any order; they may overlap and are
        clipped to [0, N).
      rate_hz: sampling rate, > 0.
      fade_s: length of each fade, >= 0. Where two spans are closer than two fades, both fades
        apply.

    Returns:
      Shape (N,), float32.

    Raises:
      DataError: a span is not two integers with start <= end, or another argument is out of range.
    """
    return _spliced(samples, spans, rate_hz, lambda length, _: np.zeros(length, np.float32), fade_s)


def beep_spans(samples: np.ndarray, spans: Sequence[Span], rate_hz: int) -> np.ndarray:
    """As `silence_spans`, with a tone of 1 kHz as loud as the speech that is left."""
    peak = np.sqrt(2) * measure_level(samples, spans, rate_hz)

    def tone(length: int, _: Sequence[int]) -> np.ndarray:
        return (peak * np.sin(2 * np.pi * _BEEP_HZ / rate_hz * np.arange(length))).astype(np.float32)

    return _spliced(samples, spans, rate_hz, tone)


def cut_spans(samples: np.ndarray, spans: Sequence[Span], rate_hz: int) -> np.ndarray:
    """As `silence_spans`, with `GAP_S` for each stretch however long it was; the result is of
    another length.
    """
    gap = np.zeros(round(GAP_S * rate_hz), np.float32)
    return _spliced(samples, spans, rate_hz, lambda *_: gap)


def replace_spans(samples: np.ndarray, spans: Sequence[Span], rate_hz: int, sounds: Sequence[np.ndarray]) -> np.ndarray:
    """As `silence_spans`, with other sounds, one a span, made as loud as the speech that is left.

    Sounds of spans that overlap or touch follow one another. The result is of another length.
    """
    wanted = measure_level(samples, spans, rate_hz)
    scaled = [_scaled(sound, wanted, rate_hz) for sound in sounds]
    return _spliced(samples, spans, rate_hz, lambda _, which: np.concatenate([scaled[index] for index in which]))


WAYS = {"silence": silence_spans, "beep": beep_spans, "cut": cut_spans}  # those that need nothing but the recording


def measure_level(samples: np.ndarray, spans: Sequence[Span], rate_hz: int) -> float:
    """Measure the root mean square of the louder half of what is outside `spans`, frame by frame:
    the speech without its pauses.

    0 where nothing is outside them: how loud the removed words were is theirs.
    """
    outside = np.ones(len(samples), dtype=bool)
    for start, end, _ in _merged(spans, len(samples)):
        outside[start:end] = False
    kept, frame = samples[outside], max(1, round(_FRAME_S * rate_hz))
    power = np.sort([np.mean(kept[at : at + frame] ** 2, dtype=float) for at in range(0, len(kept), frame)])
    return float(np.sqrt(power[len(power) // 2 :].mean())) if len(power) else 0.0


def _scaled(sound: np.ndarray, wanted: float, rate_hz: int) -> np.ndarray:
    """`sound` at the level that is wanted, as far as full scale allows."""
    own, peak = measure_level(sound, (), rate_hz), float(np.abs(sound).max(initial=0.0))
    return sound * np.float32(min(wanted / own, 1 / peak) if own else 0.0)


def _spliced(
    samples: np.ndarray, spans: Sequence[Span], rate_hz: int, fill: Fill, fade_s: float = FADE_S
) -> np.ndarray:
    """`samples` without `spans`, and what `fill` gives in place of each stretch of them, with fades
    on both.
    """
    if samples.ndim != 1 or samples.dtype != np.float32:
        raise DataError(f"redact: samples have shape {samples.shape} and type {samples.dtype}: expected (N,) float32.")
    if not (rate_hz > 0 and 0 <= fade_s < float("inf")):
        raise DataError(
            f"redact: rate_hz = {rate_hz}, fade_s = {fade_s}: expected rate_hz > 0 and a finite fade_s >= 0."
        )
    length = min(round(fade_s * rate_hz), len(samples))
    # Strictly between 0 and 1, falling towards the span: sin^2 is the raised cosine.
    fall = (np.cos(np.pi / 2 * np.arange(1, length + 1) / (length + 1)) ** 2).astype(np.float32)
    gain = np.ones(len(samples), dtype=np.float32)
    stretches = _merged(spans, len(samples))
    for start, end, _ in stretches:
        left, right = max(0, start - length), min(len(samples), end + length)
        gain[left:start] *= fall[length - (start - left) :]
        gain[end:right] *= fall[::-1][: right - end]
    faded = samples * gain
    pieces, at = [], 0
    for start, end, which in stretches:
        pieces += [faded[at:start], _edged(fill(end - start, which), fall)]
        at = end
    return np.concatenate([*pieces, faded[at:]])


def _edged(sound: np.ndarray, fall: np.ndarray) -> np.ndarray:
    """`sound` with fades at both of its ends."""
    short = min(len(fall), len(sound))
    gain = np.ones(len(sound), dtype=np.float32)
    gain[:short] *= fall[::-1][:short]
    gain[len(sound) - short :] *= fall[len(fall) - short :]
    return sound * gain


def _merged(spans: Sequence[Span], length: int) -> list[tuple[int, int, list[int]]]:
    """Sorted and disjoint, clipped to the signal, each with the indices of the spans that it is
    made of.

    Touching spans are one, so that no fade falls between them.
    """
    for index, (start, end) in enumerate(spans):
        if not all(isinstance(edge, int | np.integer) for edge in (start, end)) or not start <= end:
            raise DataError(f"redact: span {index} is ({start}, {end}): expected integer samples with start <= end.")
    clipped = sorted((max(0, int(start)), min(length, int(end)), index) for index, (start, end) in enumerate(spans))
    merged: list[tuple[int, int, list[int]]] = []
    for start, end, index in clipped:
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]), [*merged[-1][2], index])
        else:
            merged.append((start, end, [index]))
    return merged
