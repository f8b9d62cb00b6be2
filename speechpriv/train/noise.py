"""Gaussian noise from a cryptographic generator, replayable from a secret key, and safe in finite precision.

An ordinary generator (Mersenne Twister, Philox) can be predicted from some of its output, and noise that can be
predicted can be subtracted. Here every value comes from an AES-256 keystream whose key never leaves `private/`.

The proof of the Gaussian mechanism is about real numbers. Added as floats, value and noise betray one another in
their low bits (Mironov 2012; Holohan and Braghin 2021, arXiv:2107.10138), and rounding makes one unit's effect on a
sum larger than it should be (Casacuberta et al. 2022, arXiv:2207.10635). So the sum is rounded to a grid first,
then noise that was rounded to the same grid is added, exactly:

    round(sum) + round(noise) = round(round(sum) + noise),  as round(sum) lies on the grid.

The right side is the Gaussian mechanism in real numbers, rounded after the fact, which costs nothing. Both kinds of
rounding before it are paid for: the noise is scaled to a bound that is larger than the clip norm by `ALLOWANCE`.
"""

import hmac
import math
import secrets
from collections.abc import Mapping

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from speechpriv.errors import ConfigError

_KEY_BYTES = 32
_CHUNK = 1 << 16  # values made at a time, so that memory stays small beside the parameter itself
_GRID_SHARE = 2.0**-8  # of the clip norm: how much further rounding to the grid may move two sums apart
_SUM_SHARE = 2.0**-12  # the same for adding up in float64, n^2 2^-53 for n units: enough for a million in a cohort
ALLOWANCE = 1 + _GRID_SHARE + _SUM_SHARE


def new_key() -> bytes:
    """32 bytes from the operating system's generator."""
    return secrets.token_bytes(_KEY_BYTES)


def noised(
    total: Mapping[str, torch.Tensor], key: bytes, step: int, *, clip_norm: float, noise_multiplier: float
) -> dict[str, torch.Tensor]:
    """Round a sum of clipped gradients to a grid and add Gaussian noise on that grid.

    The grid is the largest power of two with grid * sqrt(d) <= clip_norm / 256, d being the number of entries of all
    parameters together: coarse enough that every point of it is hit by very many of the generator's outputs, fine
    enough that rounding is far below the noise. It depends on public numbers only.

    Args:
      total: by name, float64 sums of any shape that differ by at most `clip_norm` in L2, over all of them together,
        when one unit is added or removed, but for the rounding of at most 2^20 additions in float64.
      key: 32 secret bytes; the same key, step, names and shapes give the same noise.
      step: number of the step, 0 <= step < 2^64. Never noise two different sums with one key and step.
      clip_norm: in [1e-30, 1e30].
      noise_multiplier: standard deviation over sensitivity, in [0, 2^20]; 0 rounds and adds nothing.

    Returns:
      Under each name a float32 tensor of its shape, on its device: the Gaussian mechanism's output with
      standard deviation noise_multiplier * clip_norm * ALLOWANCE, rounded.

    Raises:
      ConfigError: an argument is out of its range, or a sum is not float64.
    """
    if len(key) != _KEY_BYTES:
        raise ConfigError(f"noised: key has {len(key)} bytes, expected {_KEY_BYTES}. Use noise.new_key().")
    if not 0 <= step < 1 << 64:
        raise ConfigError(f"noised: step = {step}, expected 0 <= step < 2^64.")
    if not 1e-30 <= clip_norm <= 1e30:
        raise ConfigError(f"noised: clip_norm = {clip_norm}, expected 1e-30 <= clip_norm <= 1e30.")
    if not 0 <= noise_multiplier <= 1 << 20:
        raise ConfigError(f"noised: noise_multiplier = {noise_multiplier}, expected 0 <= noise_multiplier <= 2^20.")
    if wrong := [name for name, value in total.items() if value.dtype != torch.float64]:
        raise ConfigError(
            f"noised: the sum of {wrong[0]!r} is {total[wrong[0]].dtype}, expected torch.float64. Add up in float64: "
            "what rounding does to a sum in less is not paid for."
        )
    grid = grid_of(clip_norm, sum(value.numel() for value in total.values()))
    std = noise_multiplier * clip_norm * ALLOWANCE / grid
    return {name: _noised(value, _subkey(key, step, name), grid, std) for name, value in total.items()}


def grid_of(clip_norm: float, entries: int) -> float:
    """Spacing of the grid: the largest power of two with spacing * sqrt(entries) <= clip_norm / 256.

    Args:
      clip_norm: > 0.
      entries: of all parameters together, >= 0.

    Returns:
      The spacing, in the gradient's unit.
    """
    return 2.0 ** math.floor(math.log2(_GRID_SHARE * clip_norm) - math.log2(max(1, entries)) / 2)


def _subkey(key: bytes, step: int, name: str) -> bytes:
    """A key of its own for one parameter in one step; the first word keeps it apart from sampling's."""
    return hmac.digest(key, b"noise" + step.to_bytes(8, "big") + name.encode(), "sha256")


def _noised(value: torch.Tensor, subkey: bytes, grid: float, std: float) -> torch.Tensor:
    """One parameter, counted in grid points: whole numbers below 2^53, so that the addition is exact."""
    drawn = torch.empty(value.numel(), dtype=torch.float64)
    # The nonce may be constant: every subkey encrypts one stream.
    stream = Cipher(algorithms.AES256(subkey), modes.CTR(bytes(16))).encryptor()
    for chunk in drawn.split(_CHUNK):
        chunk.copy_(_standard_normals(stream.update(bytes(16 * len(chunk)))))
    noise = drawn.mul_(std).round_().reshape(value.shape).to(value.device)
    return ((value / grid).round_().add_(noise) * grid).float()


def _standard_normals(random: bytes) -> torch.Tensor:
    """One float64 value for each 16 bytes: the inverse of the normal distribution function at a uniform number.

    One bit is the sign, the other 127 are a uniform number below 1/2, so the tail is cut off only at 13.1.
    """
    high, low = np.frombuffer(random, dtype="<u8").reshape(-1, 2).T
    uniform = ((high >> np.uint64(1)) + (low + 0.5) * 2.0**-64) * 2.0**-64
    below = torch.special.ndtri(torch.from_numpy(uniform))
    return torch.where(torch.from_numpy((high & np.uint64(1)).astype(bool)), below, -below)
