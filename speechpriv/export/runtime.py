"""An exported model in the runtime that will use it, sherpa-onnx: first in a child process, then in this one.

sherpa-onnx ends the whole process when a file lacks what it expects, so no file is opened here before a child has
opened it and decoded with it. Started as `python -m speechpriv.export.runtime DIRECTORY`, this file is the child.

Audio is handed over as it is. The runtime reads whole output frames (80 ms) only, but silence added to a clip's end
moves the normalisation of all its features, and costs more words than it saves (LOG.md).
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import sherpa_onnx

from speechpriv.errors import DataError, ModelError

RATE_HZ = 16_000
MAX_S = 120.0  # of one waveform: attention takes memory with the square of the length

_FILES = ("model.onnx", "tokens.txt")
_MIN_SAMPLES = 1200  # fewer give less than the 8 feature frames of one output frame: nothing can be heard in them


class Transcriber:
    """An exported model, ready to decode, one waveform at a time."""

    def __init__(self, directory: Path, *, threads: int = 1) -> None:
        """Validate the files of a bundle in a child process, then open them here.

        Raises:
          ModelError: the runtime cannot use them.
        """
        validate(directory)
        self._recogniser = _open(directory, threads)

    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[str]:
        """Words of each waveform: float32 samples of shape (N,) at 16 kHz, N > 0, at most `MAX_S` seconds.

        Raises:
          DataError: a waveform is empty or too long.
        """
        return [self._words(samples) for samples in waveforms]

    def _words(self, samples: np.ndarray) -> str:
        if not 0 < len(samples) <= MAX_S * RATE_HZ:
            raise DataError(f"{len(samples) / RATE_HZ:.1f} s of audio; expected more than 0 and at most {MAX_S:g} s.")
        if len(samples) < _MIN_SAMPLES:
            return ""
        stream = self._recogniser.create_stream()
        stream.accept_waveform(RATE_HZ, samples)
        self._recogniser.decode_stream(stream)
        return str(stream.result.text).strip()


def decode_with_sherpa(directory: Path, waveforms: Sequence[np.ndarray]) -> list[str]:
    """As `Transcriber(directory).transcribe(waveforms)`."""
    return Transcriber(directory).transcribe(waveforms)


def validate(directory: Path, *, timeout_s: float = 120.0) -> None:
    """Open model.onnx and tokens.txt of `directory` in a child process and decode a second of noise.

    Raises:
      ModelError: a file is missing, the child died, with its exit status and last words, or it did not end in time.
    """
    missing = [name for name in _FILES if not (directory / name).is_file()]
    if missing:
        raise ModelError(f"{directory}: {' and '.join(missing)} missing; expected an exported model.")
    try:
        child = subprocess.run(
            [sys.executable, "-m", __spec__.name, str(directory)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{directory}: sherpa-onnx did not decode one second of noise in {timeout_s:g} s.") from error
    if child.returncode != 0:
        lines = child.stderr.decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no message")
        raise ModelError(
            f"{directory}: sherpa-onnx cannot use this file (exit status {child.returncode}): {last[:300]}"
        )


def _open(directory: Path, threads: int) -> sherpa_onnx.OfflineRecognizer:
    model, tokens = (str(directory / name) for name in _FILES)
    return sherpa_onnx.OfflineRecognizer.from_nemo_ctc(model=model, tokens=tokens, num_threads=threads)


def _child(directory: Path) -> None:
    """Decode a second of quiet noise, and throw the words away."""
    stream = (recogniser := _open(directory, threads=1)).create_stream()
    stream.accept_waveform(RATE_HZ, np.random.default_rng(0).normal(0, 0.01, RATE_HZ).astype(np.float32))
    recogniser.decode_stream(stream)


if __name__ == "__main__":
    _child(Path(sys.argv[1]))
