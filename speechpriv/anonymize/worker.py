"""What a worker of the stage does with one row, and what an attacker may do with any; they know no corpus."""

import functools
from collections.abc import Callable
from typing import get_args

import torch

from speechpriv.anonymize import convert, resynth
from speechpriv.corpus import Row
from speechpriv.data import audio
from speechpriv.models import asr
from speechpriv.models.asr import CtcRecogniser
from speechpriv.sections import AnonymizeConfig, Method

_ANYBODYS_KEY = b"An attacker's own, as good as any other."


def disguised(
    flac: bytes, text: str, row_id: str, config: AnonymizeConfig, key: bytes, device: str
) -> tuple[bytes, int]:
    """Canonical FLAC of a recording spoken by somebody else, and its number of samples.

    Raises:
      ConfigError: a part of it is not installed, or the aligner cannot be used.
      DataError: it cannot be disguised; see `convert.disguise` and `resynth.aligned`.
    """
    torch.set_num_threads(1)  # sums depend on how many there are, and the cores are taken
    samples, words = audio.read(flac), None
    if config.method == "resynth":
        words = resynth.aligned(_recogniser(config.aligner, device), samples, text, config.min_confidence)
    samples = convert.disguise(samples, audio.RATE_HZ, config.method, key, row_id, words=words, timing=config.timing)
    return audio.flac(samples), len(samples)


def imitation(config: AnonymizeConfig, device: str = "cpu") -> Callable[[Row], bytes]:
    """What anyone may do who knows the method and its settings: disguise a recording, with another key; as FLAC."""
    return lambda row: disguised(row.flac, row.text, row.id, config, _ANYBODYS_KEY, device)[0]


def imitations() -> dict[str, Callable[[Row], bytes]]:
    """Every method but `none`, with its usual settings, for comparison."""
    return {method: imitation(AnonymizeConfig(method=method)) for method in get_args(Method) if method != "none"}


@functools.cache
def _recogniser(name: str, device: str) -> CtcRecogniser:
    return asr.load_ctc(name, device)
