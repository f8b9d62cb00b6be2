"""One pass for many units: the same as one pass for each, or it is not taken."""

import inspect
import math
import textwrap
from typing import get_args

import numpy as np
import pytest
import torch

from speechpriv.models import asr, trainable
from speechpriv.models.asr import Utterance
from speechpriv.train import batched, clipping

TIGHT = 0.05  # below every gradient here
SAID = (
    ("stop", 0.9), ("open the door", 1.43), ("stop", 1.43), ("set a timer", 1.13), ("good night", 1.0),
    ("good night", 1.2), ("stop", 1.2), ("open the door", 1.5), ("stop", 0.95), ("stop", 1.2), ("good night", 1.7),
)  # fmt: skip


@pytest.fixture
def fresh(family_dir):
    return asr.load(str(family_dir))


@pytest.fixture(scope="module")
def spoken():
    rng = np.random.default_rng(0)
    return [Utterance(rng.normal(0, 0.1, int(16_000 * seconds)).astype(np.float32), text) for text, seconds in SAID]


@pytest.fixture(scope="module")
def units(spoken):
    """Of 1, 2, 1, no, 5, 1 and 1 utterances, some of equal length."""
    return [spoken[:1], spoken[1:3], spoken[3:4], [], spoken[4:9], spoken[9:10], spoken[10:]]


def norm(tensors):
    return math.sqrt(sum(float((tensor.double() ** 2).sum()) for tensor in tensors.values()))


def relative(found, expected):
    return norm({name: found[name] - expected[name] for name in expected}) / norm(expected)


def learn(recogniser, which):
    """Choose what learns; adapters are moved off zero, where half of them would have no gradient."""
    names = trainable.choose_trainable(recogniser, which, lora_rank=2)
    torch.manual_seed(0)
    for name in names:
        if "lora_B" in name:
            torch.nn.init.normal_(recogniser.model.get_parameter(name), std=0.05)


def sums(recogniser, units, **options):
    """The clipped sum and the norms, batched and by the reference path; and how many passes were batched."""
    batched_norms, norms, taken = [], [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batched, "compute_gradients", counted(batched.compute_gradients, taken))
        found = clipping.clipped_sum(recogniser, units, TIGHT, observe=batched_norms.append, **options)
        patch.setattr(batched, "find_layers", lambda *_: {})
        expected = clipping.clipped_sum(recogniser, units, TIGHT, observe=norms.append, **options)
    return found, expected, batched_norms, norms, sum(taken)


def counted(function, taken):
    def counting(*args, **options):
        found = function(*args, **options)
        taken.append(found is not None)
        return found

    return counting


@pytest.mark.parametrize("which", ["head", "lora"])
def test_it_is_the_reference_gradient_by_gradient(fresh, units, which):
    tied = trainable.head_is_tied(fresh)
    learn(fresh, which)
    found, expected, batched_norms, norms, taken = sums(fresh, units)
    assert taken == (0 if which == "head" and tied else 1)
    assert batched_norms == pytest.approx(norms, rel=1e-6)
    assert relative(found, expected) <= 1e-6
    for name, value in expected.items():
        assert float((found[name] - value).norm()) <= 1e-5 * max(float(value.norm()), 1e-3 * norm(expected)), name


@pytest.mark.parametrize("which", ["all", "bias_norm_head"])
def test_what_it_does_not_know_is_left_to_the_reference(fresh, units, which):
    learn(fresh, which)
    assert not batched.find_layers(fresh, {n: p for n, p in fresh.model.named_parameters() if p.requires_grad})


def test_others_and_the_size_of_passes_change_nothing_about_a_unit(fresh, units, spoken):
    learn(fresh, "lora")
    mine, *others = [[Utterance(said.samples[:14_400], said.text)] for said in spoken[:5]]
    alone = clipping.clipped_sum(fresh, [mine], TIGHT)
    without = clipping.clipped_sum(fresh, others, TIGHT)
    for company in ([mine, *others], [*others, mine]):
        for batch_s in (60.0, 2.0):
            together = clipping.clipped_sum(fresh, company, TIGHT, batch_s=batch_s)
            assert relative({name: together[name] - without[name] for name in together}, alone) <= 1e-6
    # Padded to another length, where the family allows it.
    without = clipping.clipped_sum(fresh, units, TIGHT)
    together = clipping.clipped_sum(fresh, [mine, *units], TIGHT)
    assert relative({name: together[name] - without[name] for name in together}, alone) <= 1e-6


@pytest.mark.parametrize("which", ["head", "lora", "heard"])
def test_every_kind_of_layer_on_speech(recogniser, corpus_dir, units, which):
    learn(recogniser, "head" if which == "heard" else which)
    if which == "heard":
        units = [[recogniser.hear(utterance) for utterance in unit] for unit in units]
    found, expected, batched_norms, norms, taken = sums(recogniser, units)
    assert taken == 1
    assert batched_norms == pytest.approx(norms, rel=1e-6)
    assert relative(found, expected) <= 1e-6


def ruined(kind, utterance):
    samples = utterance.samples.copy()
    if kind == "nan":
        samples[100] = math.nan
    return Utterance(samples[:200] if kind == "too short" else samples, "a" * 600 if kind == "too many" else "stop")


@pytest.mark.parametrize("kind", ["nan", "too short", "too many"])
def test_unusable_units_add_nothing_and_are_told_in_their_order(fresh, units, kind):
    learn(fresh, "lora")
    bad = [units[1][0], ruined(kind, units[1][1])]
    found, expected, batched_norms, norms, taken = sums(fresh, [units[0], bad, units[2], [bad[1]], units[6]])
    assert taken == 1
    assert [math.isfinite(value) for value in batched_norms] == [True, False, True, False, True]
    assert [math.isfinite(value) for value in norms] == [True, False, True, False, True]
    assert relative(found, expected) <= 1e-6


def moved(recogniser, units, **options):
    """How much further than by a unit's own gradient sums are moved when it leaves, at most, in clip norms a unit."""

    def summed(units):
        return clipping.clipped_sum(recogniser, units, TIGHT, **options)

    everybody, found = summed(units), []
    for left, unit in enumerate(units):
        rest, alone = summed(units[:left] + units[left + 1 :]), summed([unit])
        found.append(norm({name: everybody[name] - rest[name] - alone[name] for name in alone}))
    return max(found) / TIGHT / len(units)


@pytest.mark.parametrize("precision", get_args(clipping.Precision))
def test_what_company_moves_is_paid_for_in_every_precision(fresh, units, precision):
    learn(fresh, "lora")
    found = moved(fresh, list(filter(None, units)), precision=precision)
    assert found <= (clipping.ROUNDING / 2 if precision == "fp32" else 1e-15)


@pytest.mark.parametrize("precision", set(get_args(clipping.Precision)) - {"fp32"})
def test_less_precise_passes_are_each_units_own(recogniser, units, spoken, precision, monkeypatch):
    """The same bits whoever else is there; and shared, they would move far more than is paid for."""
    learn(recogniser, "lora")

    def gradient_bits(units):
        """The bits of each unit's gradient, before it is clipped."""
        parameters = {name: p for name, p in recogniser.model.named_parameters() if p.requires_grad}
        found = clipping._by_unit(recogniser, parameters, units, b"", 60.0, precision)
        return [[gradient[0].numpy().tobytes() for gradient in one.values()] for one in found]

    mine, others = units[1], [*units[2:], spoken[:1]]
    (alone,) = gradient_bits([mine])
    assert gradient_bits([mine, *others])[0] == gradient_bits([*others, mine])[-1] == alone
    assert sums(recogniser, units, precision=precision)[-1] == 0
    losses = type(recogniser).losses

    def imprecise(self, utterances):
        with torch.autocast("cpu", torch.bfloat16):
            return losses(self, utterances)

    monkeypatch.setattr(type(recogniser), "losses", imprecise)
    assert moved(recogniser, list(filter(None, units))) > 20 * clipping.ROUNDING


def precisions():
    """What torch may round factors to, by kind of device and operation; and what older code asks instead."""
    backends = torch.backends
    operations = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn)
    operations += (backends.mkldnn.matmul, backends.mkldnn.conv, backends.mkldnn.rnn)
    asked = (backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32, torch.get_float32_matmul_precision())
    return [operation.fp32_precision for operation in operations], asked


@pytest.mark.parametrize("wanted", ["highest", "high", "medium"])
def test_float32_is_float32_in_every_pass_and_as_it_was_afterwards(recogniser, units, monkeypatch, wanted):
    """TF32 keeps 10 bits: what company moves would be a thousand times what is paid for."""
    learn(recogniser, "head")
    seen, losses = [], type(recogniser).losses

    def watched(self, utterances):
        seen.append(precisions())
        return losses(self, utterances)

    monkeypatch.setattr(type(recogniser), "losses", watched)
    torch.set_float32_matmul_precision(wanted)
    try:
        before = precisions()
        clipping.clipped_sum(recogniser, units, TIGHT)
        assert precisions() == before
        monkeypatch.setattr(type(recogniser), "losses", lambda *_: pytest.fail("as if a pass failed"))
        with pytest.raises(pytest.fail.Exception):
            clipping.clipped_sum(recogniser, units, TIGHT)
        assert precisions() == before
    finally:
        torch.set_float32_matmul_precision("highest")
    assert seen
    assert all(found == (["ieee"] * 6, (False, False, "highest")) for found in seen)


def test_passes_are_bounded(recogniser, units, monkeypatch):
    learn(recogniser, "head")
    seen = []
    losses = type(recogniser).losses

    def watched(self, utterances):
        seen.append(len(utterances) * max(len(samples) for samples, _ in utterances) / 16_000)
        return losses(self, utterances)

    monkeypatch.setattr(type(recogniser), "losses", watched)
    clipping.clipped_sum(recogniser, units, TIGHT, batch_s=4.0)
    assert len(seen) > 3
    assert max(seen) <= 4.0


def test_weights_that_are_read_past_their_layer_are_noticed(recogniser, units, monkeypatch):
    learn(recogniser, "head")
    below, weight = type(recogniser)._hidden, recogniser.head.weight

    def reading(self, features, mask):
        hidden, lengths = below(self, features, mask)
        return hidden + weight.sum((0, 2)), lengths

    monkeypatch.setattr(type(recogniser), "_hidden", reading)
    found, expected, *_, taken = sums(recogniser, units)
    assert taken == 0
    assert relative(found, expected) == 0
    monkeypatch.setattr(
        batched, "compute_gradients", mutated(batched.compute_gradients, "if any(gradient", "if False and any(gradient")
    )
    assert relative(sums(recogniser, units)[0], expected) > 1e-3


def test_a_layer_that_gets_no_row_for_each_utterance_is_noticed(recogniser, units):
    learn(recogniser, "lora")
    layer = recogniser.model.encoder.layers[0].feed_forward1.linear1.lora_A.default
    layer.register_forward_pre_hook(lambda _, inputs: inputs[0].transpose(0, 1))  # time first
    layer.register_forward_hook(lambda _, __, output: output.transpose(0, 1))
    found, expected, *_, taken = sums(recogniser, units)
    assert taken == 0
    assert relative(found, expected) == 0


def mutated(function, old, new):
    """`function` with one piece of its source replaced."""
    source = textwrap.dedent(inspect.getsource(function))
    assert old in source, "the source has moved on: adapt the mutant"
    names = dict(vars(inspect.getmodule(function)))
    exec(source.replace(old, new), names)
    return names[function.__name__]


MUTANTS = {
    "a unit split into its utterances": ("group_units", "found.append(unit)", "found.extend([said] for said in unit)"),
    "sum over a unit instead of mean": ("compute_gradients", "1 / len(units[owner])", "1.0"),
    "somebody else's gradient": ("compute_gradients", "[rows[i][0] for i in part]", "sorted(rows[i][0] for i in part)"),
    "a unit without its last pass": ("compute_gradients", "index_add_", "index_copy_"),
    "the unusable count": ("compute_gradients", "= torch.nan", "+= 0"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_not_the_reference(recogniser, units, monkeypatch, name):
    function, old, new = MUTANTS[name]
    learn(recogniser, "lora")
    units = [[units[0][0], ruined("too many", units[1][0])], *units]
    monkeypatch.setattr(batched, function, mutated(getattr(batched, function), old, new))
    found, expected, batched_norms, norms, _ = sums(recogniser, units, batch_s=15.0)
    assert relative(found, expected) > 1e-3 or batched_norms != pytest.approx(norms, rel=1e-3)


def test_padding_where_the_family_hears_it_would_not_be_the_reference(fresh, units, monkeypatch):
    learn(fresh, "lora")
    if fresh.pads:
        pytest.skip("hears no padding")
    expected = sums(fresh, units)[1]
    monkeypatch.setattr(type(fresh), "pads", True)
    assert relative(sums(fresh, units)[0], expected) > 1e-4
