"""Where each word of a transcript is heard: forced alignment with the recogniser at hand."""

from dataclasses import dataclass

import numpy as np
import torch
import torchaudio.functional

from speechpriv.models.asr import Recogniser

_LEAN = 0.5  # where between two peaks a word boundary lies


@dataclass(frozen=True)
class AlignedWord:
    """Samples [start, end) in which a word is heard, and how sure the recogniser is of its pieces, 0 to 1.

    A word that the recogniser cannot spell (written digits, symbols) has no pieces of its own: it takes all the
    time between the peaks of its neighbours, and its confidence is 1: only theirs can tell.
    """

    start: int
    end: int
    confidence: float


@torch.inference_mode()
def align(recogniser: Recogniser, samples: np.ndarray, text: str) -> list[AlignedWord] | None:
    """Align the white-space separated words of `text` with audio that says them.

    A CTC recogniser marks each piece with a short peak; between the last peak of one word and the first of the
    next the boundary is set at a fixed share of the way (`_LEAN`).

    Args:
      recogniser: any CTC recogniser.
      samples: float32, shape (N,), 16 kHz.
      text: the transcript.

    Returns:
      One entry a word, in order, covering the audio without overlap; None if the words cannot fit the audio.

    Source: torchaudio.functional.forced_align; Graves et al. 2006 for CTC.
    """
    words = text.split()
    pieces = [recogniser.encode(word) for word in words]
    flat = [piece for word in pieces for piece in word]
    if not flat or not recogniser.fits(len(samples), text):
        return None
    log_probs, _ = recogniser.log_probs([samples])
    path, scores = torchaudio.functional.forced_align(
        log_probs.cpu(), torch.tensor([flat], dtype=torch.int32), blank=recogniser.blank
    )
    spans = torchaudio.functional.merge_tokens(path[0], scores[0].exp(), blank=recogniser.blank)
    return _words(pieces, spans, recogniser.samples_per_frame, len(samples))


def _words(
    pieces: list[list[int]], spans: list["torchaudio.functional.TokenSpan"], samples_per_frame: int, samples: int
) -> list[AlignedWord]:
    """Group token spans (in frames) by word and turn them into sample spans."""
    peaks: list[tuple[float, float] | None] = []
    confidences = []
    taken = 0
    for word in pieces:
        own = spans[taken : taken + len(word)]
        taken += len(word)
        peaks.append((own[0].start, own[-1].end) if own else None)
        confidences.append(sum(span.score for span in own) / len(own) if own else 1.0)
    edges = _boundaries(peaks, samples / samples_per_frame)
    at = [min(samples, round(edge * samples_per_frame)) for edge in edges]
    return [AlignedWord(a, b, c) for a, b, c in zip(at, at[1:], confidences, strict=False)]


def _boundaries(peaks: list[tuple[float, float] | None], frames: float) -> list[float]:
    """The len(peaks) + 1 word boundaries, in frames, from the first and last peak of each word that has any."""
    edges = [0.0]
    for index, peak in enumerate(peaks[1:], start=1):
        before = max((j for j in range(index) if peaks[j] is not None), default=None)
        after = min((j for j in range(index, len(peaks)) if peaks[j] is not None), default=None)
        low = peaks[before][1] if before is not None else 0.0
        high = peaks[after][0] if after is not None else frames
        if peaks[index - 1] is not None and peak is not None:
            share = _LEAN
        else:  # words without peaks share the time between their neighbours' peaks evenly
            first = -1 if before is None else before
            unspelled = (len(peaks) if after is None else after) - first - 1
            share = (index - first - 1) / unspelled
        edges.append(low + share * (high - low))
    return [*edges, frames]
