"""Gradients of many units from one pass, where that gives what a pass for each gives, and costs
less.

In one pass over utterances of many units, a linear layer's weights get the sum of all gradients,
and clipping needs each. So for the time of the pass every utterance has weights of its own: the
same values, but what flows back to them is the gradient of this utterance. Added up by unit, that
is what the reference path computes.

It is done only where utterances cannot hear one another (evaluation mode, and batches that are
padded only where the family masks padding), and only if each trained weight belongs to one linear
layer: the output layer, and adapters. A layer that does not get one row for each utterance, or
whose weights are read past it, is noticed, and the reference path takes over. What one unit adds
then depends on others by the rounding of float32 in the passes, about 1e-7 of it; that of bfloat16
would be ten thousand times as much, so such passes are never shared.

Opacus has hooks for more kinds of layers, and costs more than one pass for each unit where it
trains all weights (benchmarks/training.py).

Source: gradients of linear layers by example, Goodfellow 2015, arXiv:1510.01799.
"""

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch

from speechpriv.audio import RATE_HZ
from speechpriv.models.asr import CtcRecogniser, EncodedUtterance, Recogniser, Seq2SeqRecogniser, Utterance
from speechpriv.models.batching import split_passes

Unit: TypeAlias = Sequence[Utterance | EncodedUtterance]
Layers: TypeAlias = Mapping[str, torch.nn.Module]
Parameters: TypeAlias = Mapping[str, torch.Tensor]

_STATE_SAMPLES = RATE_HZ // 25  # that one of an encoder's states stands for, more or less
_STRETCH = 1.5  # of utterances that are padded to one length, where that does no harm


def find_layers(recogniser: Recogniser, parameters: Parameters) -> Layers:
    """Find the linear layers that hold all trained weights, by name; none if that is not how it is.

    Args:
      recogniser: what learns, in evaluation mode.
      parameters: what is trained, by name.
    """
    # Of recognisers made elsewhere nobody knows whether their `losses` keep utterances apart.
    if not isinstance(recogniser, CtcRecogniser | Seq2SeqRecogniser):
        return {}
    model = recogniser.model
    uses = Counter(id(p) for _, p in model.named_parameters(remove_duplicate=False))
    found = {}
    for name, parameter in parameters.items():
        layer = model.get_submodule(place := name.rpartition(".")[0])
        # In every family the output layer is linear, if only as a convolution over single frames.
        if uses[id(parameter)] > 1 or not (type(layer) is torch.nn.Linear or layer is recogniser.head):
            return {}
        found[place] = layer
    return found


def group_units(recogniser: Recogniser, units: Iterable[Unit], batch_s: float) -> Iterator[list[Unit]]:
    """Return units in their order, so many at a time that they hold at most `batch_s` seconds, or
    one; empty ones are gone.
    """
    found: list[Unit] = []
    left = most = batch_s * RATE_HZ
    for unit in filter(None, units):
        size = sum(padded_length(recogniser, utterance) for utterance in unit)
        if found and size > left:
            yield found
            found, left = [], most
        found.append(unit)
        left -= size
    if found:
        yield found


def padded_length(recogniser: Recogniser, utterance: Utterance | EncodedUtterance) -> int:
    """Return samples that an utterance takes up in a pass."""
    if isinstance(utterance, EncodedUtterance):
        return len(utterance.hidden) * _STATE_SAMPLES
    filled = getattr(getattr(recogniser, "front_end", None), "n_samples", 0)  # Whisper's fills half a minute
    return max(len(utterance.samples), filled)


def compute_gradients(
    recogniser: Recogniser,
    parameters: Parameters,
    trained: Layers,
    units: Sequence[Unit],
    *,
    batch_s: float,
) -> dict[str, torch.Tensor] | None:
    """Compute gradient of each unit's mean loss.

    Args:
      recogniser: what learns, in evaluation mode.
      parameters: what is trained, by name.
      trained: the `find_layers` that hold them, at least one.
      units: U of them, none empty.
      batch_s: seconds of audio in one pass, at most.

    Returns:
      By parameter name, shape (U, ...), float32; not finite for a unit that cannot be used. None if
      a layer does not keep utterances apart.
    """
    rows = [(i, utterance) for i, unit in enumerate(units) for utterance in unit]
    heard = isinstance(rows[0][1], EncodedUtterance)
    misfits = {i for i, said in rows if isinstance(said, Utterance) and not recogniser.fits(len(said[0]), said[1])}
    rows = [(i, utterance) for i, utterance in rows if i not in misfits]
    total = {name: p.new_zeros(len(units), *p.shape) for name, p in parameters.items()}
    stretch = torch.inf if heard else _STRETCH if recogniser.pads else 1.0
    for part in split_passes([padded_length(recogniser, row[1]) for row in rows], batch_s * RATE_HZ, stretch=stretch):
        owners = [rows[i][0] for i in part]
        device = recogniser.model.device
        shares = torch.tensor([1 / len(units[owner]) for owner in owners], device=device)
        try:
            with _own_weights(trained, len(part)) as own:
                losses = recogniser.losses([rows[i][1] for i in part])
                wanted = [*own.values(), *parameters.values()]
                found = torch.autograd.grad((losses * shares).sum(), wanted, allow_unused=True)
        except _NoRowsError:
            return None
        if any(gradient is not None for gradient in found[len(own) :]):  # read past the layer
            return None
        for name, gradient in zip(own, found, strict=False):
            if gradient is not None:
                total[name].index_add_(0, torch.tensor(owners, device=device), gradient)
    for gradient in total.values():
        gradient[sorted(misfits)] = torch.nan
    return total


class _NoRowsError(Exception):
    """A layer got something else than a row for each utterance."""


@contextmanager
def _own_weights(trained: Layers, rows: int) -> Iterator[dict[str, torch.Tensor]]:
    """Give each of so many rows its own copy, in no memory, of the layers' weights: shape (rows,
    ...), by name.
    """
    own: dict[str, torch.Tensor] = {}
    handles = []
    for name, layer in trained.items():
        mine = {
            key: p.detach().expand(rows, *p.shape).requires_grad_()
            for key, p in layer.named_parameters(recurse=False)
            if p.requires_grad
        }
        own |= {f"{name}.{key}": copies for key, copies in mine.items()}
        handles.append(layer.register_forward_hook(functools.partial(_answer, mine, rows)))
    try:
        yield own
    finally:
        for handle in handles:
            handle.remove()


def _answer(
    own: Mapping[str, torch.Tensor], rows: int, layer: torch.nn.Module, inputs: tuple[Any, ...], output: torch.Tensor
) -> torch.Tensor:
    """The output of a linear layer (rows, ..., out), as if each row had gone through its own
    weights.
    """
    if not inputs or len(inputs[0]) != rows or inputs[0].shape[:-1] != output.shape[:-1]:
        raise _NoRowsError
    weight = layer.get_parameter("weight").detach().flatten(1)
    answer: torch.Tensor = _RowByRow.apply(inputs[0], weight, output.detach(), own.get("weight"), own.get("bias"))
    return answer


class _RowByRow(torch.autograd.Function):
    """A linear layer on (rows, ..., in), of whose weights and biases there is one set for each row."""

    @staticmethod
    def forward(
        ctx: Any, inputs: torch.Tensor, weight: torch.Tensor, output: torch.Tensor,
        weights: torch.Tensor | None, biases: torch.Tensor | None,
    ) -> torch.Tensor:  # fmt: skip
        ctx.save_for_backward(inputs, weight)
        ctx.shape = None if weights is None else weights.shape
        ctx.has_biases = biases is not None
        return output.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        inputs, weight = (saved.to(gradient.dtype) for saved in ctx.saved_tensors)
        rows, (n_out, n_in) = len(gradient), weight.shape
        back = gradient.reshape(rows, -1, n_out)
        to_inputs = gradient @ weight if ctx.needs_input_grad[0] else None
        to_weights = (back.mT @ inputs.reshape(rows, -1, n_in)).view(ctx.shape) if ctx.shape else None
        return to_inputs, None, None, to_weights, back.sum(1) if ctx.has_biases else None
