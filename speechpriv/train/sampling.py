"""Which units take part in which step: Poisson sampling that can be replayed from a secret key.

Accounting (train/accounting.py) takes for granted that every unit is in every step's cohort independently with
the same probability. Shuffling, fixed cohort sizes and epochs break that, and with it the stated epsilon
(Chua et al. 2024, arXiv:2403.17673). So there is one sampler and no choice.
"""

import hmac
import math

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from speechpriv.errors import ConfigError

_KEY_BYTES = 32
_WORD_BITS = 64


def cohort(key: bytes, step: int, units: int, rate: float) -> np.ndarray:
    """Draw the cohort of one step: each unit independently with probability `rate`.

    Unit i is in if word i of a ChaCha20 keystream is below rate * 2^64. The stream's key is
    HMAC-SHA256(key, "cohort" and the step), so that steps are independent of one another and of the noise, and
    nobody without `key` can tell a cohort. Where rate * 2^64 is not whole (rates below 2^-11) it is rounded down:
    the true rate is lower by less than 2^-64, which errs on the private side. The cohort may be empty.

    Args:
      key: 32 secret bytes.
      step: number of the step, 0 <= step < 2^64.
      units: number of units, >= 0; they must be in the same order whenever a step is replayed.
      rate: probability, in [0, 1].

    Returns:
      Shape (cohort size,), int64: indices of the units that take part, ascending.

    Raises:
      ConfigError: an argument is out of its range.
    """
    if len(key) != _KEY_BYTES:
        raise ConfigError(f"cohort: key has {len(key)} bytes, expected {_KEY_BYTES}. Use noise.new_key().")
    if not 0 <= step < 1 << _WORD_BITS:
        raise ConfigError(f"cohort: step = {step}, expected 0 <= step < 2^{_WORD_BITS}.")
    if not units >= 0:
        raise ConfigError(f"cohort: units = {units}, expected >= 0.")
    if not 0 <= rate <= 1:
        raise ConfigError(f"cohort: sampling rate = {rate}, expected 0 <= rate <= 1.")
    # Scaling by a power of two is exact, so this is the floor of the rate as given, not of a rounded one.
    threshold = int(math.ldexp(rate, _WORD_BITS))
    if threshold == 0:
        return np.empty(0, dtype=np.int64)
    words = np.frombuffer(_keystream(key, step, units * 8), dtype="<u8")
    # `<=` and minus one: the threshold of rate 1 is 2^64, which no 64-bit word can hold.
    return np.flatnonzero(words <= np.uint64(threshold - 1)).astype(np.int64)


def _keystream(key: bytes, step: int, size: int) -> bytes:
    """`size` bytes that are random to whoever lacks `key`, the same for the same key and step."""
    subkey = hmac.digest(key, b"cohort" + step.to_bytes(8, "big"), "sha256")
    # The nonce may be constant: every subkey encrypts one stream.
    return Cipher(algorithms.ChaCha20(subkey, bytes(16)), mode=None).encryptor().update(bytes(size))
