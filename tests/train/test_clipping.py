import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speechpriv.errors import ConfigError, ModelError
from speechpriv.models import trainable
from speechpriv.models.asr import Utterance
from speechpriv.train import clipping

TIGHT, LOOSE = 0.01, 1e6  # below and above every gradient here


def norm(tensors):
    return math.sqrt(sum(float((tensor.double() ** 2).sum()) for tensor in tensors.values()))


def difference(a, b):
    return norm({name: a[name].double() - b[name].double() for name in a})


def naive_sum(recogniser, units, clip_norm):
    """One utterance at a time, nothing padded, everything in float64 once there is a gradient."""
    names = [name for name, parameter in recogniser.model.named_parameters() if parameter.requires_grad]
    total = dict.fromkeys(names, 0.0)
    for unit in units:
        gradient = dict.fromkeys(names, 0.0)
        for utterance in unit:
            recogniser.model.zero_grad()
            recogniser.losses([utterance])[0].backward()
            for name in names:
                found = recogniser.model.get_parameter(name).grad
                gradient[name] += 0.0 if found is None else found.double().numpy() / len(unit)
        size = math.sqrt(sum(float((np.asarray(g) ** 2).sum()) for g in gradient.values()))
        for name in names:
            total[name] += gradient[name] * min(1.0, clip_norm / size)
    return {name: torch.as_tensor(value) for name, value in total.items()}


@pytest.mark.parametrize("clip_norm", [TIGHT, LOOSE])
def test_equals_the_naive_sum(recogniser, units, clip_norm):
    found = clipping.clipped_sum(recogniser, units[:4], clip_norm)
    expected = naive_sum(recogniser, units[:4], clip_norm)
    assert found.keys() == dict(recogniser.model.named_parameters()).keys()
    assert all(tensor.dtype == torch.float64 for tensor in found.values())
    assert difference(found, expected) <= 1e-5 * norm(expected)


def test_a_unit_adds_exactly_the_clip_norm(recogniser, units):
    norms = []
    for unit in units:
        found = clipping.clipped_sum(recogniser, [unit], TIGHT, observe=norms.append)
        assert TIGHT * (1 - 1e-5) <= norm(found) <= TIGHT
    assert min(norms) > TIGHT


def test_a_gradient_within_the_bound_is_left_alone(recogniser, units):
    norms = []
    found = clipping.clipped_sum(recogniser, units[:1], LOOSE, observe=norms.append)
    assert norm(found) == pytest.approx(norms[0], rel=1e-6)


def test_others_do_not_change_what_a_unit_adds(recogniser, units):
    much_longer = Utterance(np.random.default_rng(0).normal(0, 0.1, 10 * 16_000).astype(np.float32), "good night")
    alone = clipping.clipped_sum(recogniser, units[:1], TIGHT)
    for others in (units[1:3], [[much_longer]]):
        without = clipping.clipped_sum(recogniser, others, TIGHT)
        for joined in ([*others, units[0]], [units[0], *others]):
            together = clipping.clipped_sum(recogniser, joined, TIGHT)
            added = {name: together[name].double() - without[name].double() for name in together}
            assert difference(added, alone) <= 1e-6 * norm(alone)


def test_the_order_of_units_and_of_their_utterances_is_nothing(recogniser, units):
    straight = clipping.clipped_sum(recogniser, units[:3], TIGHT)
    turned = clipping.clipped_sum(recogniser, [unit[::-1] for unit in units[2::-1]], TIGHT)
    assert difference(straight, turned) <= 1e-5 * norm(straight)


def test_the_sum_is_bounded_by_the_number_of_units(recogniser, units):
    assert norm(clipping.clipped_sum(recogniser, units, TIGHT)) <= TIGHT * len(units)


def ruined(kind, utterance):
    samples = utterance.samples.copy()
    if kind == "nan":
        samples[100] = math.nan
    elif kind == "inf":
        samples[100] = math.inf
    elif kind == "too short":
        samples = samples[:100]
    return Utterance(samples, "a b c d e f g h i j k" * 20 if kind == "cannot fit" else utterance.text)


@pytest.mark.parametrize("kind", ["nan", "inf", "too short", "cannot fit"])
def test_an_unusable_unit_adds_nothing_and_is_told(recogniser, units, kind):
    bad = [units[0][0], ruined(kind, units[0][1])]
    norms = []
    found = clipping.clipped_sum(recogniser, [bad, units[1]], TIGHT, observe=norms.append)
    expected = clipping.clipped_sum(recogniser, [units[1]], TIGHT)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert not math.isfinite(norms[0])
    assert math.isfinite(norms[1])


@pytest.mark.parametrize("nobody", [[], [[]], [[], []]])
def test_nobody_adds_nothing(recogniser, nobody):
    found = clipping.clipped_sum(recogniser, nobody, TIGHT)
    assert norm(found) == 0
    assert {name: value.shape for name, value in found.items()} == {
        name: parameter.shape for name, parameter in recogniser.model.named_parameters()
    }


@pytest.mark.parametrize("which", ["head", "bias_norm_head"])
def test_only_what_is_trained_counts(recogniser, units, which):
    every = clipping.clipped_sum(recogniser, units[:1], LOOSE)
    names = trainable.choose_trainable(recogniser, which)
    found = clipping.clipped_sum(recogniser, units[:1], LOOSE)
    assert list(found) == names
    assert difference(found, {name: every[name] for name in names}) <= 1e-5 * norm(found)
    assert norm(clipping.clipped_sum(recogniser, units[:1], TIGHT)) == pytest.approx(TIGHT, rel=1e-5)


@pytest.mark.parametrize("which", ["head", "last_layer"])
def test_utterances_that_were_heard_once_count_the_same(recogniser, units, which):
    trainable.choose_trainable(recogniser, which)
    hear = trainable.plan_encoding(recogniser, which)
    heard = [[hear(utterance) for utterance in unit] for unit in units]
    expected = clipping.clipped_sum(recogniser, units, TIGHT)
    assert difference(clipping.clipped_sum(recogniser, heard, TIGHT), expected) <= 1e-5 * norm(expected)


def test_statistics_and_gradients_of_the_model_stay_as_they_are(recogniser, units):
    before = {name: value.clone() for name, value in recogniser.model.state_dict().items()}
    assert any("running_mean" in name for name in before)
    clipping.clipped_sum(recogniser, units[:2], TIGHT)
    after = recogniser.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.grad is None for parameter in recogniser.model.parameters())


def test_batch_statistics_stay_frozen_in_training_mode(recogniser, units):
    expected = clipping.clipped_sum(recogniser, units[:2], TIGHT)
    recogniser.model.train()  # its dropout is 0, so that the statistics are all that could differ
    before = {name: value.clone() for name, value in recogniser.model.state_dict().items()}
    found = clipping.clipped_sum(recogniser, units[:2], TIGHT)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert all(torch.equal(before[name], value) for name, value in recogniser.model.state_dict().items())
    assert all(module.training for module in recogniser.model.modules())


class Counting(torch.nn.Linear):
    """A layer that keeps a running mean of what it sees, as some norms of people's own do."""

    def __init__(self, *size):
        super().__init__(*size)
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, inputs):
        self.mean.mul_(0.9).add_(inputs.detach().mean(), alpha=0.1)
        return super().forward(inputs)


def test_a_layer_that_keeps_state_is_refused_by_name(recogniser, units):
    recogniser.model.encoder.layers[0].feed_forward1.linear1 = Counting(32, 64)
    with pytest.raises(ModelError, match=r"encoder\.layers\.0\.feed_forward1\.linear1.*keeps state"):
        clipping.clipped_sum(recogniser, units[:1], TIGHT)


@pytest.mark.parametrize("clip_norm", [0.0, -1.0, math.nan, math.inf])
def test_clip_norms_are_checked(recogniser, units, clip_norm):
    with pytest.raises(ConfigError, match="clip_norm"):
        clipping.clipped_sum(recogniser, units[:1], clip_norm)


@given(st.floats(0, 1e300) | st.sampled_from([math.inf, math.nan]), st.floats(min_value=1e-6, max_value=1e6))
def test_clip_factor_never_lets_a_norm_out(size, clip_norm):
    factor = float(clipping.clip_factor(torch.tensor(size, dtype=torch.float64), clip_norm))
    assert 0 <= factor <= 1
    if math.isfinite(size):
        assert factor * size <= clip_norm
        assert factor == 1 or factor * size == pytest.approx(clip_norm, rel=1e-5)
    else:
        assert factor == 0


class Echo:
    """A "recogniser" whose gradient for an utterance is the utterance itself."""

    def __init__(self, rows, columns):
        self.model = torch.nn.Linear(columns, rows, bias=False).eval()

    def losses(self, utterances):
        return torch.stack([(self.model.weight * torch.from_numpy(signal)).sum() for signal, _ in utterances])


def test_a_large_gradient_is_clipped_to_the_bound_in_exact_arithmetic():
    gradient = torch.randn(1500, 2000, generator=torch.Generator().manual_seed(0))
    assert norm({"": gradient / torch.linalg.vector_norm(gradient)}) > 1 + 1e-5  # a norm in float32 is too small
    assert 1 - 1e-5 <= norm(clipping.clipped_sum(Echo(1500, 2000), [[Utterance(gradient.numpy(), "")]], 1.0)) <= 1
