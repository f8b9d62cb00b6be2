"""Disguise one utterance with a named method, by one random draw that only the key's owner can
repeat.
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import get_args

import numpy as np
import numpy.typing as npt
import soxr

from speechpriv.anonymize import cascade, formant, mcadams, resynth
from speechpriv.anonymize import timing as speeds
from speechpriv.audio import RATE_HZ
from speechpriv.data.voices import SpokenWord
from speechpriv.errors import ConfigError, DataError
from speechpriv.sections import Method, Timing

Audio = npt.NDArray[np.float32]

MIN_KEY_BYTES = 16
# Of the McAdams coefficient; the range of the VoicePrivacy 2022 baseline B2.
ALPHA_LOW, ALPHA_HIGH = 0.5, 0.9
# Of `formant`: factors as between the throats of children and men, medians from a low man to a high
# woman.
LOG_FORMANTS, LOG_PITCH_HZ, PITCH_RANGE = (-0.2, 0.2), (np.log(90), np.log(250)), (0.6, 1.4)


def disguise(
    samples: npt.NDArray[np.floating],
    rate_hz: float,
    method: Method,
    key: bytes,
    utterance_id: str,
    *,
    words: Sequence[SpokenWord] | None = None,
    timing: Timing | None = None,
) -> Audio:
    """Disguise the voice in one utterance.

    What is random depends on the key and the utterance alone, never on the order of calls or the
    number of workers, so the same call gives the same bits again on the same machine (another
    processor's arithmetic rounds otherwise). Each utterance gets its own voice: one pseudo-voice a
    person would let an attacker link that person's utterances.

    Args:
      samples: shape (N,), floats, finite, full scale at 1.
      rate_hz: of `samples`; > 0.
      method: `mcadams` or `formant` (light disguises: they do not stop an attacker who trains on
        disguised speech), `cascade` (many distortions at once, less light), `resynth` (the words,
        spoken by a synthetic voice) or `none` (converts the rate, hides nothing).
      key: at least 16 random bytes, kept apart from the output: who has it can repeat every draw.
      utterance_id: unique in the corpus.
      words: for `resynth`: what is said, and when, in samples at 16 kHz; None: what `tiny-en`
        hears.
      timing: `kept`; `randomised`, at a changing speed (timing.py); for `resynth` also `quantised`
        or `replaced`, see there. None: `usual_timing`.

    Returns:
      Shape (N',), float32, at 16 kHz, no louder at its peak than full scale or the input. N' = N at
      that rate, but for `cascade`, `resynth` and randomised timing.

    Raises:
      ConfigError: unknown method or timing, short key, or a rate that is no positive number.
      DataError: `samples` is not as said above, is empty at 16 kHz, or nothing is said that
        `resynth` could say.
    """
    timing = timing or usual_timing(method)
    _check_choices(method, timing)
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
    audio = _otherwise_spoken(audio, method, key, utterance_id, words, timing)
    if timing == "randomised":
        audio = speeds.draw_timing(audio, make_generator(key, utterance_id, "timing"))
    # A disguised frame keeps its energy, not its peak: on read speech a file's peak grew by up to
    # 2.5. The few samples beyond are clipped, as scaling the whole file down would let one frame
    # decide its loudness.
    ceiling = max(1.0, float(np.abs(samples).max()))
    return np.clip(audio, -ceiling, ceiling)


def _otherwise_spoken(
    audio: Audio, method: Method, key: bytes, utterance_id: str, words: Sequence[SpokenWord] | None, timing: Timing
) -> Audio:
    """Audio (N,) at 16 kHz by one of the methods, each with numbers drawn for this utterance."""
    if method == "mcadams":
        alpha = ALPHA_LOW + (ALPHA_HIGH - ALPHA_LOW) * draw_uniform(key, utterance_id, "mcadams alpha")
        return mcadams.disguise(audio, RATE_HZ, alpha)
    if method == "formant":
        rng = make_generator(key, utterance_id, "formant")
        factor, spread = np.exp(rng.uniform(*LOG_FORMANTS)), rng.uniform(*PITCH_RANGE)
        return formant.disguise(audio, RATE_HZ, factor, np.exp(rng.uniform(*LOG_PITCH_HZ)), spread)
    if method == "cascade":
        rng = make_generator(key, utterance_id, "cascade")
        return cascade.disguise(audio, cascade.draw_parameters(rng), rng)
    if method == "resynth":
        said = resynth.hear_words(audio) if words is None else words
        return resynth.disguise(said, timing, make_generator(key, utterance_id, "resynth"))
    return audio


def usual_timing(method: Method) -> Timing:
    """Return what is done with timing unless something else is asked for: resynthesis that kept it
    would tell on habits.
    """
    return "replaced" if method == "resynth" else "kept"


def draw_uniform(key: bytes, utterance_id: str, label: str) -> float:
    """Draw a number in [0, 1), uniform to whoever lacks the key, for one utterance and one use.

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


def make_generator(key: bytes, utterance_id: str, label: str) -> np.random.Generator:
    """As `draw_uniform`, for as many numbers as are needed: PCG64 seeded with HMAC-SHA256(key,
    label NUL utterance_id).
    """
    _check_key(key)
    digest = hmac.digest(key, f"{label}\0{utterance_id}".encode(), hashlib.sha256)
    return np.random.default_rng(np.frombuffer(digest, np.uint32))


def _check_choices(method: Method, timing: Timing) -> None:
    if method not in get_args(Method):
        raise ConfigError(f"anonymize: method = {method!r}: expected one of {', '.join(get_args(Method))}.")
    if timing not in get_args(Timing) or (timing in ("quantised", "replaced") and method != "resynth"):
        raise ConfigError(
            f"anonymize: timing = {timing!r}: expected kept or randomised, or, for resynth, quantised or replaced."
        )


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
