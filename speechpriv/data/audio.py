"""The only file that opens or writes audio. Inside, audio is float32 samples at 16 kHz, mono, in [-1, 1]."""

import io
from pathlib import Path

import numpy as np
import soundfile
import soxr

from speechpriv.errors import DataError

RATE_HZ = 16_000
_MAX_CHANNELS = 8


def duration_s(source: Path | bytes) -> float:
    """Length in seconds from the header alone.

    Raises:
      DataError: not an audio file that libsndfile reads.
    """
    with _open(source) as file:
        return float(file.frames / file.samplerate)


def read(source: Path | bytes) -> np.ndarray:
    """Decode any file libsndfile reads (WAV, FLAC, Ogg, MP3, NIST) to float32 samples (N,) at 16 kHz, mono.

    Raises:
      DataError: unreadable, no samples, more than 8 channels, or samples that are not finite.
    """
    with _open(source) as file:
        if not 1 <= file.channels <= _MAX_CHANNELS:
            raise DataError(f"{file.channels} channels; expected 1 to {_MAX_CHANNELS}")
        rate_hz = file.samplerate
        try:
            samples = file.read(dtype="float32", always_2d=True).mean(axis=1)
        except soundfile.LibsndfileError as error:
            raise DataError(f"unreadable audio ({error.error_string})") from error
    if len(samples) == 0:
        raise DataError("no samples")
    if not np.isfinite(samples).all():
        raise DataError("samples that are not finite")
    return resample(samples, rate_hz)


def resample(samples: np.ndarray, rate_hz: float) -> np.ndarray:
    """Samples (N,) at `rate_hz` to 16 kHz."""
    if rate_hz == RATE_HZ:
        return samples
    return soxr.resample(samples, rate_hz, RATE_HZ).astype(np.float32)


def flac(samples: np.ndarray) -> bytes:
    """Canonical FLAC: 16 kHz, mono, 16-bit, no tags, no picture, no time; the same samples give the same bytes."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1, 1), RATE_HZ, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def _open(source: Path | bytes) -> soundfile.SoundFile:
    if isinstance(source, Path) and not source.is_file():
        raise DataError("a folder" if source.is_dir() else "no such file")
    try:
        return soundfile.SoundFile(io.BytesIO(source) if isinstance(source, bytes) else source)
    except (soundfile.LibsndfileError, OSError, TypeError) as error:
        reason = error.error_string if isinstance(error, soundfile.LibsndfileError) else type(error).__name__
        raise DataError(f"unreadable audio ({reason})") from error
