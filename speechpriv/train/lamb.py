"""LAMB: Adam whose step in each layer is as large as the layer's weights."""

from collections.abc import Callable, Iterable
from typing import Any

import torch


class Lamb(torch.optim.Optimizer):
    """Layer-wise adaptive moments for batch training.

    Written here since no light library has it right: `pytorch-optimizer` 4.1 divides the rate by 1
    - beta1^t after the trust ratio has cancelled that factor, so that the first step is ten times
    too long; `timm`'s needs torchvision.

    Args:
      params: parameters, each a layer of its own.
      lr: step length relative to the norm of the weights, > 0.
      betas: decay of the running means of gradient and squared gradient.
      eps: added to the root of the latter.

    Source: You et al. 2019, arXiv:1904.00962, Algorithm 2, without weight decay.
    """

    def __init__(
        self, params: Iterable[torch.Tensor], lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-6
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient; `closure` is not used."""
        del closure
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state |= {"step": 0, "mean": torch.zeros_like(parameter), "square": torch.zeros_like(parameter)}
                state["step"] += 1
                state["mean"].lerp_(parameter.grad, 1 - beta1)
                state["square"].lerp_(parameter.grad.square(), 1 - beta2)
                mean = state["mean"] / (1 - beta1 ** state["step"])
                square = state["square"] / (1 - beta2 ** state["step"])
                update = mean / (square.sqrt() + group["eps"])
                weight, length = parameter.norm(), update.norm()
                # New layers (zero weights) step as Adam does.
                ratio = torch.where((weight > 0) & (length > 0), weight / length, torch.ones_like(weight))
                parameter.sub_(group["lr"] * ratio * update)
