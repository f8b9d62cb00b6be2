"""An exported model in the runtime that will use it: first in a child process, then in this one.

sherpa-onnx ends the whole process when a file lacks what it expects, so no file is opened here
before a child has opened it and decoded with it. Started as `python -m speechpriv.export.runtime
DIRECTORY WEIGHTS`, this file is the child; it says which loader it took. A bundle without ONNX
files (`onnx.find_obstacle`) is decoded with torch. Where a bundle holds published phrases,
onnxruntime runs the file and beam search decodes here: sherpa-onnx takes none with CTC.

Audio is handed over as it is. The runtime reads whole output frames (40 or 80 ms) only, but silence
added to a clip's end moves the normalisation of all its features, and costs more words than it
saves (docs/experiments/serving.md#front-end-of-the-runtime).
"""

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import sherpa_onnx

from speechpriv.audio import RATE_HZ
from speechpriv.errors import DataError, ModelError
from speechpriv.export.published import LANGUAGE_MODEL
from speechpriv.models import arpa, beam, frontend
from speechpriv.models.spelling import normalise

MAX_S = 120.0  # of one waveform: attention takes memory with the square of the length

Weights = Literal["model.onnx", "model.int8.onnx"]
LABELS = "labels.txt"  # of a classifier, in the order of its probabilities
_TOKENS, _BLANK = "tokens.txt", "<blk>"
_MIN_SAMPLES = 1200  # in fewer nothing can be said; an output frame is of up to 8 feature frames
_SPECIAL = re.compile(r"<[^<>\s]*>")  # tokens such as <unk>, which the runtime writes out
# What a file's first input is called, and what loads it.
_LOADERS: dict[str, Callable[..., sherpa_onnx.OfflineRecognizer]] = {
    "audio_signal": sherpa_onnx.OfflineRecognizer.from_nemo_ctc,
    "samples": sherpa_onnx.OfflineRecognizer.from_omnilingual_asr_ctc,
}


class Transcriber:
    """An exported model, ready to decode, one waveform at a time."""

    def __init__(self, directory: Path, weights: Weights = "model.onnx", *, threads: int = 1) -> None:
        """Open a bundle; ONNX files are first tried in a child process.

        Args:
          directory: a bundle, or any directory with `weights` and tokens.txt.
          weights: which of its files; a bundle without any is decoded with torch.
          threads: of the runtime.

        Raises:
          ModelError: the runtime cannot use it.
        """
        if weights == "model.onnx" and not (directory / weights).is_file() and (directory / "config.json").is_file():
            self._decode = _with_torch(directory)
        elif (directory / LABELS).is_file():
            self._decode = _with_labels(directory, weights, threads)
        else:
            decoder = _with_phrases if (directory / LANGUAGE_MODEL).is_file() else _with_sherpa
            self._decode = decoder(directory, weights, validate_model(directory, weights), threads)

    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[str]:
        """Return words of each waveform: float32 samples of shape (N,) at 16 kHz, N > 0, at most
        `MAX_S` seconds.

        Raises:
          DataError: a waveform is empty or too long.
          ModelError: the runtime fails at it.
        """
        return [self._words(samples) for samples in waveforms]

    def _words(self, samples: np.ndarray) -> str:
        if not 0 < len(samples) <= MAX_S * RATE_HZ:
            raise DataError(f"{len(samples) / RATE_HZ:.1f} s of audio; expected more than 0 and at most {MAX_S:g} s.")
        return self._decode(samples) if len(samples) >= _MIN_SAMPLES else ""


def decode_with_sherpa(directory: Path, waveforms: Sequence[np.ndarray]) -> list[str]:
    """As `Transcriber(directory).transcribe(waveforms)`."""
    return Transcriber(directory).transcribe(waveforms)


def validate_model(directory: Path, weights: Weights = "model.onnx", *, timeout_s: float = 120.0) -> str:
    """Open a model and tokens.txt of `directory` in a child process and decode a second of noise.

    Returns:
      The name of the model's first input, which tells its loader.

    Raises:
      ModelError: a file is missing, the child died, with its exit status and last words, or it did
        not end in time.
    """
    missing = [name for name in (weights, _TOKENS) if not (directory / name).is_file()]
    if missing:
        raise ModelError(f"{directory}: {' and '.join(missing)} missing; expected an exported model.")
    try:
        child = subprocess.run(
            [sys.executable, "-m", __spec__.name, str(directory), weights],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{directory}: sherpa-onnx did not decode one second of noise in {timeout_s:g} s.") from error
    said = child.stdout.decode(errors="replace").split()
    if child.returncode != 0 or not said or said[-1] not in _LOADERS:
        # The last words quote the file, and what a stranger wrote into it is not for a terminal to
        # obey.
        said_last = "".join(c if c.isprintable() or c == "\n" else "?" for c in child.stderr.decode(errors="replace"))
        lines = said_last.split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no message")
        raise ModelError(
            f"{directory}: sherpa-onnx cannot use {weights} (exit status {child.returncode}): {last[:300]}"
        )
    return said[-1]


def _with_sherpa(directory: Path, weights: str, first_input: str, threads: int) -> Callable[[np.ndarray], str]:
    recogniser = _LOADERS[first_input](
        model=str(directory / weights), tokens=str(directory / _TOKENS), num_threads=threads
    )

    def decode(samples: np.ndarray) -> str:
        stream = recogniser.create_stream()
        stream.accept_waveform(RATE_HZ, samples)
        try:
            recogniser.decode_stream(stream)
            text = str(stream.result.text)
        except (IndexError, RuntimeError, ValueError) as error:  # an output that has no token, a token that is no text
            raise ModelError(f"{directory}: {weights} and {_TOKENS} do not fit ({type(error).__name__}).") from error
        return normalise(_SPECIAL.sub("", text))

    return decode


def _with_phrases(directory: Path, weights: str, first_input: str, threads: int) -> Callable[[np.ndarray], str]:
    """Beam search with the language model of what was published."""
    session = _session(directory, weights, threads)
    language = arpa.read(directory / LANGUAGE_MODEL)
    tokens = [line.split(" ")[0] for line in (directory / _TOKENS).read_text(encoding="utf-8").splitlines()]
    pieces = ["" if _SPECIAL.fullmatch(token) else token for token in tokens]
    filters = frontend.mel_filters(80)

    def decode(samples: np.ndarray) -> str:
        try:
            log_probs = session.run(None, _inputs(samples, first_input, filters))[0][0]
            return normalise(beam.search_words(log_probs, tokens.index(_BLANK), pieces, language))
        except Exception as error:  # onnxruntime's errors have no class in common
            raise ModelError(f"{directory}: {weights} and {_TOKENS} do not fit ({type(error).__name__}).") from error

    return decode


def _with_labels(directory: Path, weights: str, threads: int) -> Callable[[np.ndarray], str]:
    """The likeliest label of a classifier."""
    session = _session(directory, weights, threads)
    labels = (directory / LABELS).read_text(encoding="utf-8").splitlines()
    filters, first_input = frontend.mel_filters(80), session.get_inputs()[0].name

    def decode(samples: np.ndarray) -> str:
        try:
            return labels[int(session.run(None, _inputs(samples, first_input, filters))[0][0].argmax())]
        except Exception as error:  # onnxruntime's errors have no class in common
            raise ModelError(f"{directory}: {weights} and {LABELS} do not fit ({type(error).__name__}).") from error

    return decode


def _session(directory: Path, weights: str, threads: int) -> Any:
    import onnxruntime  # noqa: PLC0415  not needed where sherpa-onnx decodes

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(directory / weights, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no class in common
        raise ModelError(f"{directory}: onnxruntime cannot use {weights} ({type(error).__name__}).") from error


def _inputs(samples: np.ndarray, first_input: str, filters: np.ndarray) -> dict[str, np.ndarray]:
    """What a file is fed with whose first input is called so."""
    if first_input == "samples":
        return {first_input: samples[None].astype(np.float32)}
    features = frontend.log_mel(samples, filters).T[None]
    return {first_input: features, "length": np.array([features.shape[2]])}


def _with_torch(directory: Path) -> Callable[[np.ndarray], str]:
    from speechpriv.models import asr  # noqa: PLC0415  only here is torch needed

    recogniser = asr.load(str(directory))
    if isinstance(recogniser, asr.CtcRecogniser) and (directory / LANGUAGE_MODEL).is_file():
        recogniser = replace(recogniser, language=arpa.read(directory / LANGUAGE_MODEL))
    return lambda samples: recogniser.transcribe([samples])[0]


def _child(directory: Path, weights: str) -> None:
    """Say which loader the file is for, and decode a second of quiet noise with it."""
    import onnx  # noqa: PLC0415  only the child needs it

    # The graph alone is read for this; a file that names other files is not followed.
    first_input = onnx.load(directory / weights, load_external_data=False).graph.input[0].name
    decode = _with_sherpa(directory, weights, first_input, threads=1)
    decode(np.random.default_rng(0).normal(0, 0.01, RATE_HZ).astype(np.float32))
    print(first_input)


if __name__ == "__main__":
    _child(Path(sys.argv[1]), sys.argv[2])
