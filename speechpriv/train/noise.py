"""Gaussian noise from a cryptographic generator, replayable from a secret key, and safe in finite
precision.

An ordinary generator (Mersenne Twister, Philox) can be predicted from some of its output, and noise
that can be predicted can be subtracted. Here every value comes from an AES-256 keystream whose key
never leaves `private/`.

The proof of the Gaussian mechanism is about real numbers. Added as floats, value and noise betray
one another in their low bits (Mironov 2012; Holohan and Braghin 2021, arXiv:2107.10138), and
rounding makes one unit's effect on a sum larger than it should be (Casacuberta et al. 2022,
arXiv:2207.10635). So the sum is rounded to a grid first, then noise that was rounded to the same
grid is added, exactly:

    round(sum) + round(noise) = round(round(sum) + noise),  as round(sum) lies on the grid.

The right side is the Gaussian mechanism in real numbers, rounded after the fact, which costs
nothing. Both kinds of rounding before it are paid for: the noise is scaled to a bound that is
larger than the clip norm by `rounding_allowance`.
"""

import hmac
import math
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from speechpriv.errors import ConfigError

_KEY_BYTES = 32
_CHUNK = 1 << 15  # values made at a time, in the processor's cache; another size gives other noise from the same key
_LOW_63_BITS = (1 << 63) - 1
_GRID_SHARE = 2.0**-8  # of the clip norm: how much further rounding to the grid may move two sums apart
_SUM_SHARE = 2.0**-12  # the same for adding up in float64, n^2 2^-53 for n units: enough for a million in a cohort


def new_key() -> bytes:
    """Return 32 bytes from the operating system's generator."""
    return secrets.token_bytes(_KEY_BYTES)


def add_noise(
    total: Mapping[str, torch.Tensor],
    key: bytes,
    step: int,
    *,
    clip_norm: float,
    noise_multiplier: float,
    rounding: float,
) -> dict[str, torch.Tensor]:
    """Round a sum of clipped gradients to a grid and add Gaussian noise on that grid.

    The grid is the largest power of two with grid * sqrt(d) <= clip_norm / 256, d being the number
    of entries of all parameters together: coarse enough that every point of it is hit by very many
    of the generator's outputs, fine enough that rounding is far below the noise. It depends on
    public numbers only.

    Args:
      total: by name, float64 sums of any shape, at least one and all on one device. Over all of
        them together they differ by at most `clip_norm` in L2 when one unit is added or removed,
        but for the rounding of at most 2^20 additions in float64.
      key: 32 secret bytes; the same key, step and shapes, in the same order, give the same noise.
      step: number of the step, 0 <= step < 2^64. Never noise two different sums with one key and
        step.
      clip_norm: in [1e-30, 1e30].
      noise_multiplier: standard deviation over sensitivity, in [0, 2^20]; 0 rounds and adds
        nothing.
      rounding: share of the clip norm by which neighbouring sums may be further apart, since units
        were not computed quite alone; >= 0.

    Returns:
      Under each name a float32 tensor of its shape, on its device: the Gaussian mechanism's output
      with standard deviation noise_multiplier * clip_norm * allowance(rounding), rounded.

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
    if not 0 <= rounding < math.inf:
        raise ConfigError(f"noised: rounding = {rounding}, expected >= 0 and finite.")
    if wrong := [name for name, value in total.items() if value.dtype != torch.float64]:
        raise ConfigError(
            f"noised: the sum of {wrong[0]!r} is {total[wrong[0]].dtype}, expected torch.float64. Add up in float64: "
            "what rounding does to a sum in less is not paid for."
        )
    grid = grid_of(clip_norm, sum(value.numel() for value in total.values()))
    std = noise_multiplier * clip_norm * rounding_allowance(rounding) / grid
    subkey = hmac.digest(key, b"noise" + step.to_bytes(8, "big"), "sha256")  # the first word keeps it from sampling's
    flat = torch.cat([value.reshape(-1) for value in total.values()])
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:  # what a chunk needs leaves the interpreter's lock
        list(pool.map(lambda start: _add(flat, start, subkey, grid, std), range(0, len(flat), _CHUNK)))
    parts = flat.split([value.numel() for value in total.values()])
    return {name: part.reshape(total[name].shape).float() for name, part in zip(total, parts, strict=True)}


def rounding_allowance(rounding: float) -> float:
    """Return what neighbouring sums may differ by in L2 once they are rounded to the grid, in clip
    norms; see `add_noise`.
    """
    return 1 + _GRID_SHARE + _SUM_SHARE + rounding


def grid_of(clip_norm: float, entries: int) -> float:
    """Return spacing of the grid: the largest power of two with spacing * sqrt(entries) <=
    clip_norm / 256.

    Args:
      clip_norm: > 0.
      entries: of all parameters together, >= 0.

    Returns:
      The spacing, in the gradient's unit.
    """
    return 2.0 ** math.floor(math.log2(_GRID_SHARE * clip_norm) - math.log2(max(1, entries)) / 2)


def _add(flat: torch.Tensor, start: int, subkey: bytes, grid: float, std: float) -> None:
    """Round and noise one chunk in place, counted in grid points: below 2^53, so that the addition
    is exact.
    """
    chunk = flat[start : start + _CHUNK]
    # A value takes one block of the cipher, so the place of its first value is a counter that no
    # other chunk reaches.
    stream = Cipher(algorithms.AES256(subkey), modes.CTR(start.to_bytes(16, "big"))).encryptor()
    noise = _standard_normals(stream.update(bytes(16 * len(chunk)))).mul_(std).round_()
    chunk.div_(grid).round_().add_(noise.to(chunk.device)).mul_(grid)


def _standard_normals(random: bytes) -> torch.Tensor:
    """One float64 value for each 16 bytes: the inverse of the normal distribution function at a
    uniform number.

    Words of the first half give the sign and 63 bits of a number below 1/2, those of the second
    half 63 more, so that the tail is cut off only at 13.
    """
    high, low = np.split(np.frombuffer(random, dtype="<i8"), 2)
    uniform = (low & _LOW_63_BITS).astype(np.float64)
    uniform += 0.5
    uniform *= 2.0**-63
    uniform += high & _LOW_63_BITS
    uniform *= 2.0**-64
    tail = torch.from_numpy(uniform)
    return torch.special.ndtri(tail, out=tail).copysign_(torch.from_numpy(high.astype(np.float64)))
