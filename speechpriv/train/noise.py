"""Gaussian noise from a cryptographic generator, replayable from a secret key.

An ordinary generator (Mersenne Twister, Philox) can be predicted from some of its output, and noise that can be
predicted can be subtracted. Here every value comes from an AES-256 keystream whose key never leaves `private/`.
"""

import hmac
import math
import secrets
from collections.abc import Mapping

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

from speechpriv.errors import ConfigError

_KEY_BYTES = 32
_CHUNK = 1 << 15  # values made at a time: 1 MiB of keystream; another size gives other noise from the same key
_LARGEST_STD = 1e30  # far inside float32, so that no value overflows


def new_key() -> bytes:
    """32 bytes from the operating system's generator."""
    return secrets.token_bytes(_KEY_BYTES)


def gaussian(
    key: bytes, step: int, shapes: Mapping[str, torch.Size | tuple[int, ...]], std: float
) -> dict[str, torch.Tensor]:
    """Draw independent N(0, std^2) values for every parameter.

    Each parameter has its own AES-256-CTR keystream under HMAC-SHA256(key, "noise", step, name); 53-bit uniforms
    in (0, 1] become normals by Box and Muller in float64. No value is beyond 17.2 std; the tail that this cuts off
    has a probability below 2^-50 a value.

    Floating-point measure: a normal computed in floating point takes only some of the float values, and from the
    low bits of value plus noise the value could be told. Every value here is the sum of 4 independent normals
    divided by 2, each from a pair of uniforms of its own, so that undoing it means searching the combinations of
    four draws (Holohan and Braghin 2021, arXiv:2107.10138; Opacus's secure mode does the same). That raises the
    cost of the attack out of reach; it isn't a proof, as a discrete Gaussian would be.

    Args:
      key: 32 secret bytes; the same key, step, name and std give the same values.
      step: number of the step, 0 <= step < 2^64.
      shapes: shape of each parameter by its name.
      std: standard deviation, in [0, 1e30].

    Returns:
      Under each name a float32 tensor of its shape, on the CPU.

    Raises:
      ConfigError: an argument is out of its range.
    """
    if len(key) != _KEY_BYTES:
        raise ConfigError(f"gaussian: key has {len(key)} bytes, expected {_KEY_BYTES}. Use noise.new_key().")
    if not 0 <= step < 1 << 64:
        raise ConfigError(f"gaussian: step = {step}, expected 0 <= step < 2^64.")
    if not 0 <= std <= _LARGEST_STD:
        raise ConfigError(f"gaussian: std = {std}, expected 0 <= std <= {_LARGEST_STD:g}.")
    return {name: _draw(_subkey(key, step, name), tuple(shape), std) for name, shape in shapes.items()}


def _subkey(key: bytes, step: int, name: str) -> bytes:
    """A key of its own for one parameter in one step; the first word keeps it apart from sampling's."""
    return hmac.digest(key, b"noise" + step.to_bytes(8, "big") + name.encode(), "sha256")


def _draw(subkey: bytes, shape: tuple[int, ...], std: float) -> torch.Tensor:
    """One parameter's noise, made in chunks so that memory stays small beside the parameter itself."""
    values = torch.zeros(math.prod(shape), dtype=torch.float32)
    if std > 0:
        # The nonce may be constant: every subkey encrypts one stream.
        stream = Cipher(algorithms.AES256(subkey), modes.CTR(bytes(16))).encryptor()
        for start in range(0, len(values), _CHUNK):
            size = min(_CHUNK, len(values) - start)
            values[start : start + size] = _standard_normals(stream, size) * std
    return values.reshape(shape)


def _standard_normals(stream: CipherContext, size: int) -> torch.Tensor:
    """Shape (size,), float64: each the half of a sum of four normals."""
    half = (size + 1) // 2
    words = np.frombuffer(stream.update(bytes(8 * half * 8)), dtype="<u8").reshape(2, 4, half)
    # The upper 53 bits plus one: a multiple of 2^-53 in (0, 1], so that the logarithm is finite.
    uniforms = torch.from_numpy(((words >> np.uint64(11)) + np.uint64(1)).astype(np.float64))
    uniforms *= 2.0**-53
    radius = uniforms[0].log_().mul_(-2).sqrt_()
    angle = uniforms[1].mul_(2 * math.pi)
    # The first half of the values takes the cosines of four pairs each, the second half their sines: within a
    # value no two terms share a pair.
    sums = torch.cat([(radius * angle.cos()).sum(dim=0), (radius * angle.sin()).sum(dim=0)])
    return sums[:size] / 2
