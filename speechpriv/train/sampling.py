"""Who takes part in which step, and with which utterances: Poisson sampling that can be replayed
from a secret key.

Accounting (train/accounting.py) takes for granted that every record is in every step's cohort
independently with the same probability. Shuffling, fixed cohort sizes and epochs break that, and
with it the stated epsilon (Chua et al. 2024, arXiv:2403.17673). So there is one sampler and no
choice.

User-level sampling: a record is a unit, and `choose_utterances` picks its utterances anew each
step. Example-level sampling: `choose_utterances` picks each unit's utterances once for the run, and
each of these is a record.
"""

import hmac
import math
from collections.abc import Sequence

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from speechpriv.errors import ConfigError

_KEY_BYTES = 32
_WORD_BITS = 64


def draw_cohort(key: bytes, step: int, records: int, rate: float) -> np.ndarray:
    """Draw the cohort of one step: each record independently with probability `rate`.

    Record i is in if word i of a ChaCha20 keystream is below rate * 2^64. The stream's key is
    HMAC-SHA256(key, "cohort" and the step), so that steps are independent of one another and of the
    noise, and nobody without `key` can tell a cohort. Where rate * 2^64 is not whole (rates below
    2^-11) it is rounded down: the true rate is lower by less than 2^-64, which errs on the private
    side. The cohort may be empty.

    Args:
      key: 32 secret bytes.
      step: number of the step, 0 <= step < 2^64.
      records: number of units, or of chosen utterances, >= 0; always in the same order when a step
        is replayed.
      rate: probability, in [0, 1].

    Returns:
      Shape (cohort size,), int64: indices of the records that take part, ascending.

    Raises:
      ConfigError: an argument is out of its range.
    """
    _check(key, step)
    if not records >= 0:
        raise ConfigError(f"sampling: records = {records}, expected >= 0.")
    if not 0 <= rate <= 1:
        raise ConfigError(f"sampling: rate = {rate}, expected 0 <= rate <= 1.")
    # Scaling by a power of two is exact, so this is the floor of the rate as given, not of a
    # rounded one.
    threshold = int(math.ldexp(rate, _WORD_BITS))
    if threshold == 0:
        return np.empty(0, dtype=np.int64)
    words = _words(key, b"cohort" + step.to_bytes(8, "big"), records)
    # `<=` and minus one: the threshold of rate 1 is 2^64, which no 64-bit word can hold.
    return np.flatnonzero(words <= np.uint64(threshold - 1)).astype(np.int64)


def choose_utterances(
    key: bytes, unit: str, seconds: Sequence[float], cap: int, cap_seconds: float = math.inf, step: int | None = None
) -> np.ndarray:
    """Choose the utterances of one unit that may be used: a function of the key and of this unit
    alone.

    They are put in an order that only the key explains and taken until one would pass a cap. The
    first always is, so that no unit is left out for one long recording.

    Args:
      key: 32 secret bytes.
      unit: its id; of other units nothing is needed, so with or without one of them the choice for
        all others stays.
      seconds: shape (utterances,), their lengths, > 0; always in the same order.
      cap: utterances at most, >= 1.
      cap_seconds: seconds at most, all together, > 0.
      step: chosen anew for this step (user-level sampling), or, if None, once for the whole run
        (example-level sampling, whose accounting counts on that: no other utterance of the unit is
        ever used).

    Returns:
      Shape (chosen,), int64: places in `seconds`, ascending; empty only if the unit has no
      utterance.

    Raises:
      ConfigError: an argument is out of its range.
    """
    lengths = np.asarray(seconds, dtype=np.float64)
    _check(key, 0 if step is None else step)
    if not cap >= 1:
        raise ConfigError(f"sampling: cap = {cap} utterances, expected >= 1.")
    if not cap_seconds > 0:
        raise ConfigError(f"sampling: cap = {cap_seconds} seconds, expected > 0.")
    if not (lengths > 0).all():
        raise ConfigError("sampling: an utterance's length is not above 0 seconds. Prepare the corpus again.")
    purpose = b"run" if step is None else b"step" + step.to_bytes(8, "big")
    words = _words(key, b"utterances" + purpose + unit.encode(), len(lengths))
    order = np.argsort(words, kind="stable")[:cap]
    fitting = np.cumsum(lengths[order]) <= cap_seconds
    fitting[:1] = True
    return np.sort(order[fitting])


def _check(key: bytes, step: int) -> None:
    if len(key) != _KEY_BYTES:
        raise ConfigError(f"sampling: key has {len(key)} bytes, expected {_KEY_BYTES}. Use noise.new_key().")
    if not 0 <= step < 1 << _WORD_BITS:
        raise ConfigError(f"sampling: step = {step}, expected 0 <= step < 2^{_WORD_BITS}.")


def _words(key: bytes, purpose: bytes, count: int) -> np.ndarray:
    """Shape (count,), uint64: random to whoever lacks `key`, the same for the same key and purpose."""
    subkey = hmac.digest(key, purpose, "sha256")
    # The nonce may be constant: every subkey encrypts one stream.
    stream = Cipher(algorithms.ChaCha20(subkey, bytes(16)), mode=None).encryptor().update(bytes(count * 8))
    return np.frombuffer(stream, dtype="<u8")
