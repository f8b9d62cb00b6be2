"""Which utterances may share a pass, and what stands for one that cannot be used."""

import itertools
from collections.abc import Iterator, Sequence

import torch


def batches(lengths: Sequence[int], *, pads: bool) -> Iterator[list[int]]:
    """Indices of utterances to be run together: all of them where padding does no harm, else those of one length."""
    if pads and lengths:
        yield list(range(len(lengths)))
        return
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    for _, group in itertools.groupby(order, key=lengths.__getitem__):
        yield list(group)


def unusable(model: torch.nn.Module) -> torch.Tensor:
    """An infinite loss with gradients that are not finite, so that a unit that holds it is left out and counted."""
    weight = next((p for p in model.parameters() if p.requires_grad), next(model.parameters()))
    return (weight.float().square().sum() + 1) * torch.inf
