"""Which weights learn: all, low-rank adapters, biases with norms and output layer, or the last
layers alone.
"""

import functools
import re
from collections.abc import Callable
from typing import Any, Literal

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer

from speechpriv.models import families
from speechpriv.models.asr import CtcRecogniser, EncodedUtterance, Recogniser, Utterance

Trainable = Literal["all", "lora", "bias_norm_head", "last_layer", "head"]


def choose_trainable(recogniser: Recogniser, which: Trainable, *, lora_rank: int = 8, seed: int = 0) -> list[str]:
    """Freeze all weights but those that `which` trains.

    Args:
      recogniser: changed in place; with `lora`, adapters are put into its linear layers (see
        `merge_adapters`).
      which: `all`; `lora`: adapters (Hu et al. 2021, arXiv:2106.09685) and the output layer, unless
        that is tied to the embeddings; `bias_norm_head`: biases, norms and the output layer (bias
        terms: Ben Zaken et al. 2021, arXiv:2106.10199); `last_layer`: the last layer of encoder or
        decoder, and the output layer; `head`: the output layer.
      lora_rank: of each adapter; alpha is twice that.
      seed: of the adapters' first matrices.

    Returns:
      Names of the parameters that learn, in the model's order.
    """
    model = recogniser.model
    model.requires_grad_(requires_grad=False)
    if which == "lora":
        _inject(recogniser, lora_rank, seed)
    head = {id(parameter) for parameter in recogniser.head.parameters()}
    last = {id(parameter) for parameter in families.last_layer(model).parameters()}
    norms = {id(p) for module in model.modules() if "Norm" in type(module).__name__ for p in module.parameters(False)}

    def learns(name: str, parameter: torch.Tensor) -> bool:
        if which == "all":
            return True
        if which == "lora":
            return "lora_" in name or (id(parameter) in head and not head_is_tied(recogniser))
        own = {"bias_norm_head": id(parameter) in norms or name.endswith("bias"), "last_layer": id(parameter) in last}
        return own.get(which, False) or id(parameter) in head

    chosen = [name for name, parameter in model.named_parameters() if learns(name, parameter)]
    for name in chosen:
        model.get_parameter(name).requires_grad_()
    return chosen


def merge_adapters(recogniser: Recogniser) -> None:
    """Add what adapters learned to the weights they adapt, and take them out; the model is an
    ordinary one again.
    """
    for name, layer in list(recogniser.model.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            layer.merge()
            parent, _, attribute = name.rpartition(".")
            setattr(recogniser.model.get_submodule(parent), attribute, layer.get_base_layer())


def plan_encoding(recogniser: Recogniser, which: Trainable) -> Callable[[Utterance], EncodedUtterance] | None:
    """Return how to run once for each utterance what never learns; None where the utterance itself
    is needed each time.
    """
    if which == "head" and not head_is_tied(recogniser):
        return recogniser.hear
    if which == "last_layer" and isinstance(recogniser, CtcRecogniser) and recogniser.family.last_layer is not None:
        return functools.partial(recogniser.hear, all_layers=False)
    return None


def head_is_tied(recogniser: Recogniser) -> bool:
    """Return whether a weight of the output layer is used elsewhere too, as Whisper's is by the
    decoder's embeddings.
    """
    head = {id(parameter) for parameter in recogniser.head.parameters()}
    users = sum(
        any(id(parameter) in head for parameter in module.parameters(recurse=False))
        for module in recogniser.model.modules()
    )
    return users > 1


def _inject(recogniser: Recogniser, rank: int, seed: int) -> None:
    """Put adapters into every linear layer below the output layer."""
    model: Any = recogniser.model
    skips = families.FAMILIES[model.config.model_type].lora_skips
    inside = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not recogniser.head and not name.endswith(skips or "\0")
    ]
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="|".join(map(re.escape, inside)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, model)
    model.train(model.training)  # new layers start in training mode
