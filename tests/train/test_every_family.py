"""The contract of private training, for a recogniser of every family.

A unit adds its clipped gradient, as a naive loop over single utterances computes it, and others change nothing.
"""

import contextlib
import math

import numpy as np
import pytest
import torch

from speechpriv.errors import ModelError
from speechpriv.models import asr, trainable
from speechpriv.models.asr import Utterance
from speechpriv.train import clipping

TIGHT = 0.05  # below every gradient here


@pytest.fixture
def fresh(family_dir):
    return asr.load(str(family_dir))


@pytest.fixture(scope="module")
def units():
    rng = np.random.default_rng(0)
    said = (("stop", 0.9), ("open the door", 1.43), ("good night", 1.13), ("stop", 1.7), ("set a timer", 1.31))

    def spoken(text, seconds):
        return Utterance(rng.normal(0, 0.1, int(16_000 * seconds)).astype(np.float32), text)

    return [[spoken(*one) for one in said[:3]], [spoken(*said[3])], [spoken(*one) for one in said[3:]]]


def norm(tensors):
    return math.sqrt(sum(float((tensor.double() ** 2).sum()) for tensor in tensors.values()))


def relative(found, expected):
    return norm({name: found[name].double() - expected[name].double() for name in expected}) / norm(expected)


def learn(recogniser, which):
    """Choose what learns; adapters are moved off zero, where half of them would have no gradient."""
    names = trainable.choose_trainable(recogniser, which, lora_rank=2)
    torch.manual_seed(0)
    for name in names:
        if "lora_B" in name:
            torch.nn.init.normal_(recogniser.model.get_parameter(name), std=0.05)


def naive_sum(recogniser, units, clip_norm):
    """One utterance at a time, nothing padded, in float64 once there is a gradient."""
    parameters = {name: p for name, p in recogniser.model.named_parameters() if p.requires_grad}
    total = {name: torch.zeros(p.shape, dtype=torch.float64) for name, p in parameters.items()}
    for unit in units:
        gradient = {name: torch.zeros(p.shape, dtype=torch.float64) for name, p in parameters.items()}
        for utterance in unit:
            recogniser.model.zero_grad()
            recogniser.losses([utterance])[0].backward()
            for name, parameter in parameters.items():
                if parameter.grad is not None:
                    gradient[name] += parameter.grad.double() / len(unit)
        for name in total:
            total[name] += gradient[name] * min(1.0, clip_norm / norm(gradient))
    return total


@pytest.mark.parametrize("which", ["all", "lora", "bias_norm_head", "last_layer", "head"])
def test_the_sum_equals_the_naive_one(fresh, units, which):
    learn(fresh, which)
    found = clipping.clipped_sum(fresh, units, TIGHT)
    assert relative(found, naive_sum(fresh, units, TIGHT)) <= 1e-4


def test_nothing_about_others_changes_what_a_unit_adds(fresh, units):
    learn(fresh, "all")
    alone = clipping.clipped_sum(fresh, [units[0]], TIGHT)
    assert 0.99 * TIGHT < norm(alone) <= TIGHT
    without = clipping.clipped_sum(fresh, units[1:], TIGHT)
    together = clipping.clipped_sum(fresh, [units[1], units[0], units[2]], TIGHT)
    assert relative({name: together[name] - without[name] for name in together}, alone) <= 1e-6
    assert relative(clipping.clipped_sum(fresh, [units[0][::-1]], TIGHT), alone) <= 1e-6
    assert relative(clipping.clipped_sum(fresh, [units[0]], TIGHT, batch_s=1.0), alone) <= 1e-5


def test_with_dropout_and_masks_as_the_family_has_them(fresh, units):
    """Random for each unit and seed, the same whoever comes along, and bounded as ever."""
    learn(fresh, "all")
    still = clipping.clipped_sum(fresh, [units[0]], TIGHT)
    fresh.model.train()
    alone = clipping.clipped_sum(fresh, [units[0]], TIGHT, seed=b"1")
    assert 0.9 * TIGHT < norm(alone) <= TIGHT
    assert relative(alone, still) > 1e-3
    assert relative(clipping.clipped_sum(fresh, [units[0]], TIGHT, seed=b"2"), alone) > 1e-3
    torch.rand(5)  # wherever the global generators stand
    np.random.rand(5)  # noqa: NPY002
    assert relative(clipping.clipped_sum(fresh, [units[0][::-1]], TIGHT, seed=b"1"), alone) <= 1e-6
    without = clipping.clipped_sum(fresh, units[1:], TIGHT, seed=b"1")
    together = clipping.clipped_sum(fresh, [units[2], units[1], units[0]], TIGHT, seed=b"1")
    assert relative({name: together[name] - without[name] for name in together}, alone) <= 1e-6
    assert all(module.training for module in fresh.model.modules())


def test_statistics_and_generators_are_left_as_they_were(fresh, units):
    fresh.model.train()
    buffers = {name: value.clone() for name, value in fresh.model.named_buffers()}
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    expected = torch.rand(3), np.random.rand(3)  # noqa: NPY002
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    clipping.clipped_sum(fresh, units[:1], TIGHT, seed=b"1")
    assert all(torch.equal(value, buffers[name]) for name, value in fresh.model.named_buffers())
    assert torch.equal(torch.rand(3), expected[0])
    assert np.array_equal(np.random.rand(3), expected[1])  # noqa: NPY002


def test_the_bound_is_kept(fresh, units):
    learn(fresh, "all")
    for clip_norm in (TIGHT, 1e6):
        assert norm(clipping.clipped_sum(fresh, [units[0]], clip_norm)) <= clip_norm


def test_bf16_is_near(fresh, units):
    learn(fresh, "all")
    exact = clipping.clipped_sum(fresh, units[:1], TIGHT)
    rough = clipping.clipped_sum(fresh, units[:1], TIGHT, precision="bf16")
    assert all(value.dtype == torch.float64 for value in rough.values())
    assert 1e-5 < relative(rough, exact) < 0.2
    assert norm(rough) <= TIGHT


@pytest.mark.parametrize("bad", ["nan", "too short", "too many words"])
def test_an_unusable_unit_adds_nothing(fresh, units, bad):
    learn(fresh, "bias_norm_head")
    samples, text = units[0][0]
    ruined = {
        "nan": Utterance(np.full_like(samples, np.nan), text),
        "too short": Utterance(samples[:200], text),
        "too many words": Utterance(samples, "a very long story " * 60),
    }[bad]
    norms = []
    found = clipping.clipped_sum(fresh, [[units[0][1], ruined], units[1]], TIGHT, observe=norms.append)
    assert relative(found, clipping.clipped_sum(fresh, [units[1]], TIGHT)) <= 1e-6
    assert [math.isfinite(value) for value in norms] == [False, True]


def test_padding_units_together_would_move_their_gradients(fresh, units, monkeypatch):
    """Sabotage: one pass for two people, where the family hears padding. Where it hears none, none is heard."""
    learn(fresh, "all")
    parameters = {name: p for name, p in fresh.model.named_parameters() if p.requires_grad}
    short, long = units[0][0], units[1][0]

    def gradient(*company):
        found = torch.autograd.grad(
            fresh.losses([short, *company])[0], list(parameters.values()), allow_unused=True, materialize_grads=True
        )
        return dict(zip(parameters, found, strict=True))

    alone, together = gradient(), gradient(long)
    assert relative(together, alone) <= 5e-5
    allowed = fresh.family.pads(fresh.model.config)
    monkeypatch.setattr(type(fresh), "pads", True)
    moved = relative(gradient(long), alone)
    assert moved <= 5e-5 if allowed else moved > 1e-4


def test_thawed_batch_statistics_would_be_noticed(fresh, units, monkeypatch):
    """Sabotage: batch norms that learn from each unit; they hold what nothing clips."""
    if not any(isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in fresh.model.modules()):
        pytest.skip("has no batch norm")
    monkeypatch.setattr(clipping, "_frozen_statistics", lambda _: contextlib.nullcontext())
    fresh.model.train()
    with pytest.raises(ModelError, match="keeps state"):
        clipping.clipped_sum(fresh, units[:1], TIGHT)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator here")
def test_an_accelerator_adds_up_to_the_same(family_dir, units):
    found = {}
    for device in ("cpu", "cuda"):
        recogniser = asr.load(str(family_dir), device)
        learn(recogniser, "all")
        found[device] = {name: s.cpu() for name, s in clipping.clipped_sum(recogniser, units, TIGHT).items()}
    assert relative(found["cuda"], found["cpu"]) <= 1e-3
