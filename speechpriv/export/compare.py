"""How the exported files hear the test part, against torch and against what was said."""

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass

import jiwer

from speechpriv.corpus import Corpus
from speechpriv.errors import DataError
from speechpriv.export.runtime import Transcriber
from speechpriv.models.asr import Recogniser
from speechpriv.models.spelling import normalise

_COMPARED = 200  # utterances, at most: 99 % of 200 leaves room for two that differ


@dataclass(frozen=True)
class Hearing:
    """What one file hears.

    Attributes:
      parity: share of utterances with the same words as from torch, in [0, 1].
      wer: word errors for each word that was said.
      wer_increase: over torch's; below 0 where the file happens to hear better.
      times_real_time: seconds of audio decoded in a second, one after another, on the machine that
        exported it.
    """

    parity: float
    wer: float
    wer_increase: float
    times_real_time: float


@dataclass(frozen=True)
class Comparison:
    """What all files of a bundle hear, by name, on so many utterances; and torch's word error rate
    on them.
    """

    compared: int
    torch_wer: float
    files: Mapping[str, Hearing]


def compare_with_torch(recogniser: Recogniser, files: Mapping[str, Transcriber], recordings: Corpus) -> Comparison:
    """Decode the first 200 test utterances, which are in random order, with torch and with each
    file.

    Raises:
      DataError: nobody is in the test part.
    """
    rows = list(itertools.islice(recordings.rows("test"), _COMPARED))
    if not rows:
        raise DataError("No row is in the test part; expected some, to compare the exported file with torch.")
    truth = [normalise(row.text) for row in rows]
    waveforms = [row.samples() for row in rows]
    seconds = sum(row.seconds for row in rows)
    expected = [recogniser.transcribe([samples])[0] for samples in waveforms]
    torch_wer = float(jiwer.wer(truth, expected))

    def hearing(file: Transcriber) -> Hearing:
        started = time.perf_counter()
        heard = file.transcribe(waveforms)
        speed = seconds / (time.perf_counter() - started)
        same = sum(a == b for a, b in zip(heard, expected, strict=True))
        wer = float(jiwer.wer(truth, heard))
        return Hearing(same / len(rows), round(wer, 4), round(wer - torch_wer, 4), round(speed, 1))

    return Comparison(len(rows), round(torch_wer, 4), {name: hearing(file) for name, file in files.items()})
