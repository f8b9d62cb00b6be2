"""Resynthesis: the words, spoken again by a synthetic voice, when they were said. Of the sound
itself nothing is left.

What remains of the speaker is which words were said and, unless timing is replaced, when and for
how long.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from speechpriv.anonymize import timing
from speechpriv.audio import RATE_HZ
from speechpriv.data import voices
from speechpriv.data.voices import Speech, SpokenWord
from speechpriv.errors import DataError
from speechpriv.models import align, asr
from speechpriv.models.asr import CtcRecogniser
from speechpriv.models.spelling import normalise
from speechpriv.sections import Timing

GRID_S = 0.1  # of quantised timing
EDGE_S = 0.3  # of silence before and after, at most
SHORTEST, LONGEST = 0.5, 1.5  # times as long as the voice would take for a word; what is left over is a pause
_FADE_S = 0.005
_AUDIBLE = 1e-3  # of the peak

Audio = npt.NDArray[np.float32]


def align_words(
    recogniser: CtcRecogniser, samples: Audio, text: str | None = None, min_confidence: float = 0.0
) -> list[SpokenWord]:
    """Return when each word is said.

    Args:
      recogniser: a CTC recogniser.
      samples: shape (N,), float32, 16 kHz.
      text: what is said; None: what the recogniser hears.
      min_confidence: how probable the words must be beside what the recogniser finds likeliest, by
        the geometric mean over word pieces, 0 to 1.

    Returns:
      The words of `text` as they are said ("7:30" is two), in order, covering the audio without
      overlap: the time of what was cut out of it (`[NAME]`) falls to its neighbours.

    Raises:
      DataError: the words do not fit the audio, or the recogniser is not sure enough that they are
        said there.
    """
    words = recogniser.transcribe([samples])[0] if text is None else text
    said = normalise(words)
    if words.strip() and not said:
        raise DataError(f"nothing_to_say: none of {len(words.split())} words has a sound. Drop the utterance.")
    with torch.inference_mode():
        log_probs = recogniser.log_probs([samples])[0][0]
    found = align.align_words(recogniser, samples, said, log_probs)
    if not found:
        raise DataError(f"not_alignable: {len(said.split())} words and {len(samples)} samples. Drop the utterance.")
    confidence = _confidence(recogniser, log_probs, said)
    if not confidence >= min_confidence:
        raise DataError(f"low_confidence: {confidence:.2g}, expected at least {min_confidence}. Drop the utterance.")
    return [SpokenWord(word, at.start, at.end) for word, at in zip(said.split(), found, strict=True)]


def hear_words(samples: Audio) -> list[SpokenWord]:
    """Return the words that `tiny-en` hears, and when; see `align_words`."""
    return align_words(_tiny_en(), samples)


def disguise(words: Sequence[SpokenWord], kept: Timing, rng: np.random.Generator) -> Audio:
    """Speak words in a synthetic voice of any accent, timbre, pitch and rate.

    Args:
      words: in order, each where it is said, in samples at 16 kHz; what stands for scrubbed words
        (`[NAME]`) is silent.
      kept: `kept`: each word begins as long after the one before as it did, and takes as long,
        within half and half as long again as the voice would take: the rest is a silent pause. The
        first and the last word, whose outer edges are the recording's, take no longer than the
        voice would. `quantised`: the same, with the words' edges moved to a grid of 0.1 s first.
        `replaced`: as the voice speaks. `randomised` is `kept` here, see `convert`.
      rng: seeded with a secret; the same gives the same again.

    Returns:
      Shape (N',), float32: up to 0.3 s of silence, drawn, before and after what is said; how long
      the recording's was tells who makes recordings so.

    Raises:
      ConfigError: the synthesiser is not installed.
      DataError: there is nothing to say.
    """
    sounding = [spoken for word in words for spoken in _spoken(word)]
    if not sounding:
        raise DataError(f"nothing_to_say: none of {len(words)} words has a sound. Drop the utterance.")
    speech = _trimmed(voices.speak(" ".join(word.text for word in sounding), voices.random_voice(rng)))
    said = speech.samples
    if kept != "replaced":
        grid = round(GRID_S * RATE_HZ) if kept == "quantised" else 1
        said = _placed(speech, [(round(word.start / grid) * grid, round(word.end / grid) * grid) for word in sounding])
    return np.pad(said, rng.integers(0, round(EDGE_S * RATE_HZ), 2))


def _confidence(recogniser: CtcRecogniser, log_probs: torch.Tensor, text: str) -> float:
    """Probability of `text` over that of the likeliest path, a piece: what an accent or noise costs
    falls on both.
    """
    pieces = recogniser.encode(text)
    loss = float(asr.ctc_phrase_losses(log_probs, [pieces], recogniser.blank)[0])
    return math.exp(min(0.0, -loss - float(log_probs.double().amax(-1).sum())) / len(pieces))


def _spoken(word: SpokenWord) -> list[SpokenWord]:
    """A word as it is said, in words that share its time evenly; none for a slot or a sign that
    nobody says.
    """
    said = normalise(word.text).split()
    edges = [word.start + (word.end - word.start) * part // max(1, len(said)) for part in range(len(said) + 1)]
    return [SpokenWord(*part) for part in zip(said, edges[:-1], edges[1:], strict=True)]


def _trimmed(speech: Speech) -> Speech:
    """Without the synthesiser's silence before and after."""
    loud = np.flatnonzero(np.abs(speech.samples) > _AUDIBLE * np.abs(speech.samples).max(initial=0.0))
    first, last = (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, len(speech.samples))
    words = [
        SpokenWord(word.text, *(int(np.clip(edge, first, last)) - first for edge in (word.start, word.end)))
        for word in speech.words
    ]
    return Speech(speech.samples[first:last], tuple(words))


def _placed(speech: Speech, wanted: Sequence[tuple[int, int]]) -> Audio:
    """The speech with its words where they are wanted: those that touch are stretched together, the
    rest is silence.
    """
    parts = _parts(speech, wanted)
    spans: list[tuple[int, int]] = []
    for number, (start, end, first, last) in enumerate(parts):
        natural = end - start
        longest = LONGEST if 0 < number < len(parts) - 1 else 1
        length = max(1, round(float(np.clip(last - first, SHORTEST * natural, longest * natural))))
        begin = max(first, spans[-1][1]) if spans else last - length  # a pause is before the first word, after others
        spans.append((begin, begin + length))
    origin = spans[0][0]
    out = np.zeros(spans[-1][1] - origin, np.float32)
    run = [0]
    for number in range(1, len(parts) + 1):
        if number < len(parts) and spans[number][0] == spans[number - 1][1]:
            run.append(number)
            continue
        begin, at = parts[run[0]][0], spans[run[0]][0]
        before, after = [0], [0]
        for part in run:
            before.append(parts[part][1] - begin)
            after.append(spans[part][1] - at)
        sound = timing.stretch(speech.samples[begin : begin + before[-1]], before, after)
        out[at - origin : at - origin + after[-1]] = _faded(sound)
        run = [number]
    return out


def _parts(speech: Speech, wanted: Sequence[tuple[int, int]]) -> list[tuple[int, int, int, int]]:
    """(start, end) in the speech and (start, end) where it is wanted, of each word or of words
    spoken as one.
    """
    parts = [(0, 0, *wanted[0])]
    for word, (first, last) in zip(speech.words, wanted, strict=True):
        start, end, begin, _ = parts[-1]
        if end and word.end > end:
            parts.append((end, word.end, first, last))
        else:  # the synthesiser joined it to the one before
            parts[-1] = (start, max(end, word.end), begin, last)
    return parts


def _faded(samples: Audio) -> Audio:
    """Without a click at either end."""
    length = min(round(_FADE_S * RATE_HZ), len(samples) // 2)
    rise = np.linspace(0, 1, length, dtype=np.float32)
    samples[:length] *= rise
    samples[len(samples) - length :] *= rise[::-1]
    return samples


@functools.cache
def _tiny_en() -> CtcRecogniser:
    return asr.load_ctc("tiny-en", "cpu")
