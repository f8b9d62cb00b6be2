"""Gradients of whole units, clipped and summed: the sensitivity bound that everything else rests on."""

import math
from collections.abc import Callable, Iterable, Sequence

import torch

from speechpriv.errors import ConfigError, ModelError
from speechpriv.models.asr import Heard, Recogniser, Utterance


def clip_factor(norm: torch.Tensor, max_norm: float) -> torch.Tensor:
    """Scale that brings a unit's gradient to at most `max_norm` in L2.

    Args:
      norm: scalar tensor, >= 0; non-finite marks a unit whose gradient is unusable.
      max_norm: > 0.

    Returns:
      Scalar tensor in [0, 1]; 0 where `norm` is not finite, so that such a unit adds nothing and the
      sensitivity bound still holds.

    Source: Abadi et al. 2016, arXiv:1607.00133, Algorithm 1.
    """
    # The tiny excess keeps float32 rounding of the product below the bound.
    factor = (max_norm / (norm * (1 + 1e-6)).clamp(min=torch.finfo(norm.dtype).tiny)).clamp(max=1.0)
    return torch.where(torch.isfinite(norm), factor, torch.zeros_like(factor))


def clipped_sum(
    recogniser: Recogniser,
    units: Iterable[Sequence[Utterance | Heard]],
    clip_norm: float,
    observe: Callable[[float], None] | None = None,
) -> dict[str, torch.Tensor]:
    """Sum over units of the clipped gradient of the unit's mean loss.

    One backward pass a unit: a unit's utterances are padded with one another only, and no layer of any
    architecture can mix two people. Parameters with `requires_grad` are trained; the others are left alone.

    Args:
      recogniser: in evaluation mode, so that batch statistics are frozen and nothing is dropped.
      units: a list of utterances for each unit; an empty list adds nothing. Read one by one. `Heard` ones if only
        the output layer is trained.
      clip_norm: L2 bound on what one unit adds, over all trained parameters together; > 0 and finite.
      observe: told each unit's unclipped norm, for private diagnostics only.

    Returns:
      By parameter name, sums of the parameter's shape, zeros if there is no unit; float64, because what rounding does
      to a sum widens the bound (see train/noise.py).

    Raises:
      ConfigError: clip_norm is out of range.
      ModelError: a layer is in training mode, where batch statistics would take in what nothing clips.

    Source: user-level DP-SGD, McMahan et al. 2018, arXiv:1710.06963.
    """
    if not 0 < clip_norm < math.inf:
        raise ConfigError(f"clipped_sum: clip_norm = {clip_norm}, expected > 0 and finite.")
    if training := [name for name, module in recogniser.model.named_modules() if module.training]:
        raise ModelError(f"clipped_sum: layer {training[0]!r} is in training mode. Call recogniser.model.eval() first.")
    parameters = {name: p for name, p in recogniser.model.named_parameters() if p.requires_grad}
    total = {name: torch.zeros_like(p, dtype=torch.float64) for name, p in parameters.items()}
    for utterances in units:
        if not utterances:
            continue
        loss = recogniser.losses(utterances).mean()
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True, materialize_grads=True)
        # In float32 the norm of a million entries comes out too small by up to 1e-4, and the bound would not hold.
        norm = torch.linalg.vector_norm(
            torch.stack([torch.linalg.vector_norm(g, dtype=torch.float64) for g in gradients])
        )
        factor = clip_factor(norm, clip_norm)
        if observe is not None:
            observe(float(norm))
        if factor == 0:  # 0 x inf would be NaN
            continue
        for name, gradient in zip(parameters, gradients, strict=True):
            total[name].add_(gradient.float() * factor)
    return total
