"""Gradients of whole units, clipped and summed: the sensitivity bound that everything else rests
on.
"""

import hashlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from speechpriv.audio import RATE_HZ
from speechpriv.errors import ConfigError, ModelError
from speechpriv.models.asr import EncodedUtterance, Recogniser, Utterance
from speechpriv.models.batching import split_passes
from speechpriv.train import batched

Precision = Literal["fp32", "bf16"]

# Share of the clip norm by which what a unit adds may depend on who shares its passes, times two,
# since a cohort may be larger than expected: all of a cohort may move when one leaves. Measured:
# below 3e-7 (tests/train/test_batched.py), in float32 as it should be, which alone may share
# passes.
ROUNDING = 2.0**-20

_BACKENDS: Any = torch.backends
_OPERATIONS = (
    _BACKENDS.cuda.matmul, _BACKENDS.cudnn.conv, _BACKENDS.cudnn.rnn,
    _BACKENDS.mkldnn.matmul, _BACKENDS.mkldnn.conv, _BACKENDS.mkldnn.rnn,
)  # fmt: skip


def clip_factor(norm: torch.Tensor, max_norm: float) -> torch.Tensor:
    """Return the scale that brings a gradient to at most `max_norm` in L2.

    Args:
      norm: any shape, >= 0; non-finite marks a unit whose gradient is unusable.
      max_norm: > 0.

    Returns:
      The same shape, in [0, 1]; 0 where `norm` is not finite, so that such a unit adds nothing and
      the sensitivity bound still holds.

    Source: Abadi et al. 2016, arXiv:1607.00133, Algorithm 1.
    """
    more = norm * (1 + 1e-6)  # the tiny excess keeps float32 rounding of the product below the bound
    factor = (max_norm / more.clamp(min=torch.finfo(norm.dtype).tiny)).clamp(max=1.0)
    return torch.where(torch.isfinite(norm), factor, torch.zeros_like(factor))


def clipped_sum(
    recogniser: Recogniser,
    units: Iterable[Sequence[Utterance | EncodedUtterance]],
    clip_norm: float,
    *,
    precision: Precision = "fp32",
    seed: bytes = b"",
    batch_s: float = 60.0,
    observe: Callable[[float], None] | None = None,
) -> dict[str, torch.Tensor]:
    """Sum over units of the clipped gradient of the unit's mean loss.

    What a unit adds depends on its own utterances, in whatever order, and on `seed`, on nothing
    else. The reference path looks at each unit alone, so that no layer of any architecture can mix
    two people, and adds what it would if there were nobody else. Where that is cheaper and still
    gives each gradient, units share a pass (`batched`), if it is in float32; then others move what
    a unit adds by its rounding, about 1e-7 of it.

    Parameters with `requires_grad` are trained; the others are left alone. Statistics of batches
    stay frozen; other layers in training mode (dropout, LayerDrop, SpecAugment) draw from `seed`
    and the unit's own content.

    Args:
      recogniser: what learns.
      units: a list of utterances for each unit; an empty list adds nothing. Read as they are
        needed. `EncodedUtterance` ones if nothing below is trained.
      clip_norm: L2 bound on what one unit adds, over all trained parameters together; > 0 and
        finite.
      precision: of the passes; gradients are float32 and sums float64 in either. In fp32 nothing is
        rounded to less, whatever torch was told of TF32.
      seed: of what layers in training mode draw.
      batch_s: seconds of audio in one pass, at most, or one utterance; less memory, the same
        result.
      observe: told each unit's unclipped norm, in their order, for private diagnostics only.

    Returns:
      By parameter name, float64 sums of the parameter's shape, which `noise.add_noise` takes; zeros
      if there is no unit.

    Raises:
      ConfigError: clip_norm is out of range.
      ModelError: a layer keeps state from one unit to the next, which nothing clips.

    Source: user-level DP-SGD, McMahan et al. 2018, arXiv:1710.06963.
    """
    if not 0 < clip_norm < math.inf:
        raise ConfigError(f"clipped_sum: clip_norm = {clip_norm}, expected > 0 and finite.")
    model = recogniser.model
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    total = {name: torch.zeros_like(p, dtype=torch.float64) for name, p in parameters.items()}
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with _frozen_statistics(model), _full_float32():
        for gradients in _by_unit(recogniser, parameters, units, seed, batch_s, precision):
            norms = {name: _lengths(gradient) for name, gradient in gradients.items()}
            whole = _length(norms.values())
            if observe is not None:
                for norm in whole.tolist():
                    observe(norm)
            usable = torch.isfinite(whole).nonzero().flatten().tolist()  # of others all is left out: 0 x inf is NaN
            factors = clip_factor(whole, clip_norm).tolist()
            for name, unit in itertools.product(gradients, usable):
                total[name].add_(gradients[name][unit], alpha=factors[unit])
    if changed := [name for name, buffer in model.named_buffers() if not _same(before.get(name), buffer)]:
        raise ModelError(
            f"clipped_sum: layer {changed[0].rpartition('.')[0]!r} keeps state from one unit to the next "
            f"({changed[0]!r} changed), which clipping does not bound. Replace it by one without state."
        )
    return total


def _by_unit(
    recogniser: Recogniser,
    parameters: Mapping[str, torch.Tensor],
    units: Iterable[Sequence[Utterance | EncodedUtterance]],
    seed: bytes,
    batch_s: float,
    precision: Precision,
) -> Iterator[dict[str, torch.Tensor]]:
    """Gradients of units' mean losses, by parameter: shape (U, ...), of one unit or of a few units
    together.
    """
    random = any(module.training for module in recogniser.model.modules())
    layers = {} if random or precision != "fp32" else batched.find_layers(recogniser, parameters)
    for few in batched.group_units(recogniser, units, batch_s if layers else 0):
        if layers and len(few) > 1:
            found = batched.compute_gradients(recogniser, parameters, layers, few, batch_s=batch_s)
            if found is not None:
                yield found
                continue
            layers = {}
        for unit in few:
            utterances, digest = _in_order(unit)
            with _randomness(seed + digest if random else None, recogniser.model):
                alone = _gradients(recogniser, parameters, utterances, batch_s, precision)
            yield {name: gradient[None] for name, gradient in alone.items()}


def _gradients(
    recogniser: Recogniser,
    parameters: Mapping[str, torch.Tensor],
    utterances: Sequence[Utterance | EncodedUtterance],
    batch_s: float,
    precision: Precision,
) -> dict[str, torch.Tensor]:
    """Gradient of a unit's mean loss, by parameter, from passes of its own: the reference path."""
    weights = list(parameters.values())
    total: list[torch.Tensor] = []
    for part in split_passes([batched.padded_length(recogniser, said) for said in utterances], batch_s * RATE_HZ):
        with torch.autocast(weights[0].device.type, torch.bfloat16, enabled=precision == "bf16"):
            loss = recogniser.losses([utterances[i] for i in part]).sum() / len(utterances)
        found = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
        total = [a + b for a, b in zip(total, found, strict=True)] if total else list(found)
    return dict(zip(parameters, total, strict=True))


def _in_order(unit: Sequence[Utterance | EncodedUtterance]) -> tuple[list[Utterance | EncodedUtterance], bytes]:
    """A unit's utterances by their own content, shortest first, and a digest of all."""
    keyed = []
    for utterance in unit:
        signal, text, *_ = utterance
        values = signal.cpu().numpy() if isinstance(signal, torch.Tensor) else signal
        digest = hashlib.blake2b(values.tobytes() + text.encode(), digest_size=16).digest()
        keyed.append((len(signal), digest, utterance))
    keyed.sort(key=lambda entry: entry[:2])
    digests = b"".join(digest for _, digest, _ in keyed)
    return [utterance for _, _, utterance in keyed], hashlib.blake2b(digests, digest_size=16).digest()


def _lengths(gradients: torch.Tensor) -> torch.Tensor:
    """Norms (U,) of gradients (U, ...). In float64: in float32, that of a million entries is too
    small by 1e-4.
    """
    return torch.linalg.vector_norm(gradients.reshape(len(gradients), -1), dim=1, dtype=torch.float64)


def _length(norms: Iterable[torch.Tensor]) -> torch.Tensor:
    """Norms (U,) of what has these norms (U,) in its parts."""
    return torch.linalg.vector_norm(torch.stack(list(norms)), dim=0)


def _same(before: torch.Tensor | None, after: torch.Tensor) -> bool:
    """Whether a buffer holds what it held; a table of positions may have been cast to another
    precision.
    """
    return before is not None and torch.equal(before.to(after.dtype), after)


@contextmanager
def _frozen_statistics(model: torch.nn.Module) -> Iterator[None]:
    """Batch norms use the statistics they have, instead of the unit's, and do not learn from it."""
    training = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.training]
    for module in training:
        module.eval()
    try:
        yield
    finally:
        for module in training:
            module.train()


@contextmanager
def _full_float32() -> Iterator[None]:
    """No TF32 and the like for a while, which keep 10 bits of float32's 23 and would let others
    move a unit by more.
    """
    was = [operation.fp32_precision for operation in _OPERATIONS]
    matmul = "medium" if was[3] == "bf16" else "high" if was[0] == "tf32" else "highest"
    _set_precisions("highest", allow_tf32=False, precisions=["ieee"] * len(was))
    try:
        yield
    finally:
        _set_precisions(matmul, allow_tf32=was[1] == "tf32", precisions=was)


def _set_precisions(matmul: str, *, allow_tf32: bool, precisions: Sequence[str]) -> None:
    """Torch has two ways to say it, and code that asks in one way fails where the other says
    something else.
    """
    torch.set_float32_matmul_precision(matmul)
    torch.backends.cudnn.allow_tf32 = allow_tf32
    for operation, precision in zip(_OPERATIONS, precisions, strict=True):
        operation.fp32_precision = precision


@contextmanager
def _randomness(seed: bytes | None, model: torch.nn.Module) -> Iterator[None]:
    """Torch's and numpy's global generators, which layers draw from, seeded for a while and then
    put back.
    """
    if seed is None:
        yield
        return
    drawn = hashlib.blake2b(seed, digest_size=8).digest()
    devices = [parameter.device for parameter in model.parameters() if parameter.device.type == "cuda"][:1]
    known = np.random.get_state()  # noqa: NPY002  transformers masks spectra with it
    try:
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(int.from_bytes(drawn, "little"))
            np.random.seed(np.frombuffer(drawn, dtype="<u4"))  # noqa: NPY002
            yield
    finally:
        np.random.set_state(known)  # noqa: NPY002
