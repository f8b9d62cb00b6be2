"""Which utterances may share a pass, and what stands for one that cannot be used."""

import itertools
import math
from collections.abc import Iterator, Sequence

import torch


def plan_batches(lengths: Sequence[int], *, pads: bool) -> Iterator[list[int]]:
    """Return indices of utterances to be run together: all of them where padding does no harm, else
    those of one length.
    """
    if pads and lengths:
        yield list(range(len(lengths)))
        return
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    for _, group in itertools.groupby(order, key=lengths.__getitem__):
        yield list(group)


def split_passes(lengths: Sequence[int], most: float, *, stretch: float = math.inf) -> Iterator[list[int]]:
    """Split what is to be run into passes of bounded size.

    Args:
      lengths: shape (B,).
      most: of a pass, with padding; a longer one is a pass by itself.
      stretch: how many times as long as the shortest of its pass something may be; 1 for no
        padding.

    Returns:
      Indices of each pass; over all of them, the shortest comes first.
    """
    part: list[int] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if part and ((len(part) + 1) * lengths[i] > most or lengths[i] > stretch * lengths[part[0]]):
            yield part
            part = []
        part.append(i)
    if part:
        yield part


def make_unusable(model: torch.nn.Module) -> torch.Tensor:
    """Return an infinite loss with gradients that are not finite, so that a unit that holds it is
    left out and counted.
    """
    weight = next((p for p in model.parameters() if p.requires_grad), next(model.parameters()))
    return (weight.float().square().sum() + 1) * torch.inf
