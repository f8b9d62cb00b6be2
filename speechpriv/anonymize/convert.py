"""Disguise one utterance with a named method, by one random draw that only the key's owner can repeat."""

import hashlib
import hmac
from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import soxr

from speechpriv.anonymize import mcadams
from speechpriv.errors import ConfigError, DataError

Method = Literal["mcadams", "none"]
Audio = npt.NDArray[np.float32]

RATE_HZ = 16_000
MIN_KEY_BYTES = 16
# Of the McAdams coefficient; the range of the VoicePrivacy 2022 baseline B2.
ALPHA_LOW, ALPHA_HIGH = 0.5, 0.9


def disguise(samples: npt.NDArray[np.floating], rate_hz: float, method: Method, key: bytes, utterance_id: str) -> Audio:
    """Disguise the voice in one utterance.

    What is random depends on the key and the utterance alone, never on the order of calls or the number of workers,
    so the same call gives the same bits again on the same machine. Each utterance gets its own voice: one
    pseudo-voice a person would let an attacker link that person's utterances.

    Args:
      samples: shape (N,), floats, finite, full scale at 1.
      rate_hz: of `samples`; > 0.
      method: `mcadams` (a light disguise: it does not stop an attacker who trains on disguised speech) or
        `none` (converts the rate, hides nothing).
      key: at least 16 random bytes, kept apart from the output: who has it can repeat every draw.
      utterance_id: unique in the corpus.

    Returns:
      Shape (N',), float32, at 16 kHz, N' = N at that rate, no louder at its peak than full scale or the input.

    Raises:
      ConfigError: unknown method, short key, or a rate that is no positive number.
      DataError: `samples` is not as said above, or is empty at 16 kHz.
    """
    if method not in METHODS:
        raise ConfigError(f"anonymize: method = {method!r}: expected one of {', '.join(get_args(Method))}.")
    _check_key(key)
    if not 0 < rate_hz < np.inf:
        raise ConfigError(f"anonymize: rate_hz = {rate_hz}: expected a positive number of samples a second.")
    _check_samples(samples)
    audio = np.asarray(samples, np.float32)
    if rate_hz != RATE_HZ:
        audio = soxr.resample(audio, rate_hz, RATE_HZ)
    if len(audio) == 0:
        raise DataError(
            f"anonymize: {len(samples)} samples at {rate_hz} Hz: shorter than one at {RATE_HZ} Hz. Drop it."
        )
    # A disguised frame keeps its energy, not its peak: on read speech a file's peak grew by up to 2.5. The few samples
    # beyond are clipped, as scaling the whole file down would let one frame decide its loudness.
    ceiling = max(1.0, float(np.abs(samples).max()))
    return np.clip(METHODS[method](audio, key, utterance_id), -ceiling, ceiling)


def draw(key: bytes, utterance_id: str, label: str) -> float:
    """A number in [0, 1), uniform to whoever lacks the key, for one utterance and one use.

    Args:
      key: at least 16 random bytes.
      utterance_id: unique in the corpus.
      label: what the number is for, without a NUL; different labels give independent numbers.

    Returns:
      The first 53 bits of HMAC-SHA256(key, label NUL utterance_id), as a fraction.

    Raises:
      ConfigError: short key.

    Source: RFC 2104 (HMAC); 53 bits are what a double holds.
    """
    _check_key(key)
    digest = hmac.digest(key, f"{label}\0{utterance_id}".encode(), hashlib.sha256)
    return (int.from_bytes(digest[:8]) >> 11) / (1 << 53)


def _mcadams(audio: Audio, key: bytes, utterance_id: str) -> Audio:
    """McAdams with a coefficient drawn for this utterance."""
    alpha = ALPHA_LOW + (ALPHA_HIGH - ALPHA_LOW) * draw(key, utterance_id, "mcadams alpha")
    return mcadams.disguise(audio, RATE_HZ, alpha)


def _none(audio: Audio, _key: bytes, _utterance_id: str) -> Audio:
    """The voice as it is."""
    return audio


# Audio at 16 kHz, key, utterance id -> audio at 16 kHz.
METHODS: dict[Method, Callable[[Audio, bytes, str], Audio]] = {"mcadams": _mcadams, "none": _none}


def _check_key(key: bytes) -> None:
    if not (isinstance(key, bytes) and len(key) >= MIN_KEY_BYTES):
        size = f"{len(key)} bytes" if isinstance(key, bytes) else type(key).__name__
        raise ConfigError(
            f"anonymize: key is {size}: expected at least {MIN_KEY_BYTES} bytes. Use secrets.token_bytes."
        )


def _check_samples(samples: npt.NDArray[np.floating]) -> None:
    if samples.ndim != 1:
        raise DataError(f"anonymize: samples of shape {samples.shape}: expected (N,). Mix down to one channel.")
    if samples.dtype.kind != "f":
        raise DataError(f"anonymize: samples of type {samples.dtype}: expected floats. Divide PCM by its full scale.")
    if len(samples) == 0:
        raise DataError("anonymize: no samples: expected at least one. Drop the utterance.")
    if not np.isfinite(samples).all():
        n_bad = np.count_nonzero(~np.isfinite(samples))
        raise DataError(f"anonymize: {n_bad} of {len(samples)} samples are NaN or infinite. Drop the utterance.")
