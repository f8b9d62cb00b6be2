"""Where each word of a transcript is heard: forced alignment with the recogniser at hand."""

from dataclasses import dataclass

import numpy as np
import torch
import torchaudio.functional

from speechpriv.audio import RATE_HZ
from speechpriv.models import spelling
from speechpriv.models.asr import CtcRecogniser

# Where between two peaks a word boundary lies: nearest to a synthesiser's true times, and before
# nearly all (docs/experiments/scrub.md#the-cut-begins-earlier).
_LEAN, _EARLIEST = 0.8, 0.4
_LEAST_S = 0.06  # per letter or digit: nobody says a written number faster ("one million" is 0.5 s, in seven digits)


@dataclass(frozen=True)
class AlignedWord:
    """Samples [start, end) in which a word is heard, and how sure the recogniser is of its pieces,
    0 to 1.

    `earliest` is the sample at which it may already begin: what cuts words out cuts from there.

    A word that is not written as it is said ("7:30", "&") is aligned by how it reads, which is a
    guess: "0" may be said "oh". So it takes all the time between the peaks of its neighbours. Where
    nothing of it is said (`[NAME]`, "-"), the same, and its confidence is 1: only theirs can tell.
    """

    start: int
    end: int
    confidence: float
    earliest: int


@torch.inference_mode()
def align_words(
    recogniser: CtcRecogniser, samples: np.ndarray, text: str, log_probs: torch.Tensor | None = None
) -> list[AlignedWord] | None:
    """Align the white-space separated words of `text` with audio that says them.

    A CTC recogniser marks each piece with a short peak; between the last peak of one word and the
    first of the next the boundary is set at a fixed share of the way.

    Args:
      recogniser: any CTC recogniser.
      samples: float32, shape (N,), 16 kHz.
      text: the transcript.
      log_probs: shape (T, V), what the recogniser says of `samples`, if that is known already.

    Returns:
      One entry a word, in order, covering the audio without overlap; None if the words do not fit
      the audio.

    Source: torchaudio.functional.forced_align; Graves et al. 2006 for CTC.
    """
    words, said = text.split(), spelling.spell_words(text)
    pieces = [recogniser.encode(spoken) for spoken in said]
    flat = [piece for word in pieces for piece in word]
    if not flat or not recogniser.fits(len(samples), text):
        return None
    if log_probs is None:
        log_probs = recogniser.log_probs([samples])[0][0]
    path, scores = torchaudio.functional.forced_align(
        log_probs[None].cpu(), torch.tensor([flat], dtype=torch.int32), blank=recogniser.blank
    )
    spans = torchaudio.functional.merge_tokens(path[0], scores[0].exp(), blank=recogniser.blank)
    read = [not own or not _as_written(*both) for own, both in zip(pieces, zip(words, said, strict=True), strict=True)]
    found = _words(pieces, read, spans, recogniser.samples_per_frame, len(samples))
    # Where the recogniser is wrong, the time for a word that is read may be nothing: there would be
    # no cut.
    lengths = [(word, at.end - at.start) for word, guess, at in zip(words, read, found, strict=True) if guess]
    return found if all(_can_be_said(word, length) for word, length in lengths) else None


def _as_written(word: str, said: str) -> bool:
    """Whether a word is said by its own letters: of "22nd" only two are."""
    return sum(map(str.isalnum, word)) == sum(map(str.isalpha, said))


def _can_be_said(word: str, samples: int) -> bool:
    """Whether so many samples are enough for a word with these letters and digits."""
    return samples >= _LEAST_S * RATE_HZ * sum(map(str.isalnum, word))


def _words(
    pieces: list[list[int]],
    read: list[bool],
    spans: list["torchaudio.functional.TokenSpan"],
    samples_per_frame: int,
    samples: int,
) -> list[AlignedWord]:
    """Group token spans (in frames) by word and turn them into sample spans; words that are `read`
    have no peaks.
    """
    peaks: list[tuple[float, float] | None] = []
    confidences = []
    taken = 0
    for word, guess in zip(pieces, read, strict=True):
        own = spans[taken : taken + len(word)]
        taken += len(word)
        # Frame t is centred on sample t x samples_per_frame, and a token span's end is exclusive.
        peaks.append((float(own[0].start), float(own[-1].end - 1)) if own and not guess else None)
        confidences.append(sum(span.score for span in own) / len(own) if own else 1.0)
    frames = samples / samples_per_frame
    likeliest, earliest = (
        [min(samples, round(edge * samples_per_frame)) for edge in _boundaries(peaks, frames, lean)]
        for lean in (_LEAN, _EARLIEST)
    )
    return [AlignedWord(*word) for word in zip(likeliest[:-1], likeliest[1:], confidences, earliest[:-1], strict=True)]


def _boundaries(peaks: list[tuple[float, float] | None], frames: float, lean: float) -> list[float]:
    """The len(peaks) + 1 word boundaries, in frames, from the first and last peak of each word that
    has any.

    Between two words with peaks a boundary lies at the share `lean` of the way from one to the
    other.
    """
    known = [(index, *peak) for index, peak in enumerate(peaks) if peak is not None]
    edges = [0.0]
    for index in range(1, len(peaks)):
        before, _, low = max((found for found in known if found[0] < index), default=(-1, 0.0, 0.0))
        after, high, _ = min((found for found in known if found[0] >= index), default=(len(peaks), frames, frames))
        # Words without peaks share the time between their neighbours' peaks evenly.
        unspelled = after - before - 1
        share = (index - before - 1) / unspelled if unspelled else lean
        edges.append(low + share * (high - low))
    return [*edges, frames]
