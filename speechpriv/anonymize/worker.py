"""What a worker does with one row; it knows no corpus."""

import functools

import torch

from speechpriv import audio
from speechpriv.anonymize import convert, resynth
from speechpriv.audio import RATE_HZ
from speechpriv.models import asr
from speechpriv.models.asr import CtcRecogniser
from speechpriv.sections import AnonymizeConfig


def disguise_to_flac(
    flac: bytes, text: str, row_id: str, config: AnonymizeConfig, key: bytes, device: str
) -> tuple[bytes, int]:
    """Return the canonical FLAC of a recording spoken by somebody else, and its number of samples.

    Raises:
      ConfigError: a part of it is not installed, or the aligner cannot be used.
      DataError: it cannot be disguised; see `convert.disguise` and `resynth.align_words`.
    """
    torch.set_num_threads(1)  # sums depend on how many there are, and the cores are taken
    samples, words = audio.read(flac), None
    if config.method == "resynth":
        words = resynth.align_words(_recogniser(config.aligner, device), samples, text, config.min_confidence)
    samples = convert.disguise(samples, RATE_HZ, config.method, key, row_id, words=words, timing=config.timing)
    return audio.encode_flac(samples), len(samples)


@functools.cache
def _recogniser(name: str, device: str) -> CtcRecogniser:
    return asr.load_ctc(name, device)
