import itertools
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from speechpriv.data import voices
from speechpriv.errors import ModelError
from speechpriv.models import asr, ctc, trainable
from speechpriv.models.asr import Utterance


def noise(samples, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Turn ON the lights!", "turn on the lights"),
        ("don\N{RIGHT SINGLE QUOTATION MARK}t, don't", "don't don't"),
        ("call [NAME] at [PHONE_NUMBER]", "call at"),
        ("twenty-one", "twenty one"),
        ("café naïve", "cafe naive"),
        ("407", "four hundred seven"),
        ("  ", ""),
    ],
)
def test_normalise(text, expected):
    assert asr.normalise(text) == expected


@given(st.text())
def test_normalise_is_plain_and_done_once(text):
    once = asr.normalise(text)
    assert set(once) <= set("abcdefghijklmnopqrstuvwxyz' ")
    assert asr.normalise(once) == once == " ".join(once.split())


def test_words_are_spelled_one_by_one(recogniser):
    words = ["turn", "don't", "zebra", "on"]
    assert recogniser.encode(" ".join(words)) == [piece for word in words for piece in recogniser.encode(word)]
    assert recogniser.encode("407 !") == recogniser.encode("four hundred seven") != []
    assert recogniser.encode("[NAME] !") == []
    assert recogniser.decode(recogniser.encode("Turn don't zebra on")) == "turn don't zebra on"


@torch.inference_mode()
def test_parts_of_a_long_recording_lie_where_they_were_said(tiny_en, monkeypatch):
    told = ["turn on the lights in the kitchen", "play some music", "what will the weather be like tomorrow"]
    samples = np.concatenate([voices.speak(text, voices.Voice()).samples for text in told])
    whole = tiny_en.log_probs([samples])[0][0]
    for name, seconds in (("_WHOLE_S", 3), ("_PART_S", 2), ("_CONTEXT_S", 2)):
        monkeypatch.setattr(ctc, name, seconds)
    parts = tiny_en.log_probs([samples])[0][0]
    assert not torch.equal(parts, whole)
    unlike = [(parts.roll(by, dims=0).exp() - whole.exp()).abs().sum(-1).mean() for by in range(-3, 4)]
    assert unlike[3] < 0.2 * min(unlike[:3] + unlike[4:])


@torch.inference_mode()
def test_losses_are_ctc_by_enumeration(recogniser):
    """Every path of three frames that collapses to the target, added up."""
    samples = noise(3 * 1280)
    log_probs, lengths = recogniser.log_probs([samples])
    assert lengths.tolist() == [3]
    target = recogniser.encode("good night")[:2]
    assert target[0] != target[1]
    symbols = [*target, recogniser.blank]
    total = -math.inf
    for path in itertools.product(symbols, repeat=3):
        collapsed = [symbol for symbol, _ in itertools.groupby(path) if symbol != recogniser.blank]
        if collapsed == target:
            total = np.logaddexp(total, sum(float(log_probs[0, t, symbol]) for t, symbol in enumerate(path)))
    found = asr.ctc_losses(log_probs, lengths, [target], recogniser.blank)
    assert float(found[0]) == pytest.approx(-total, rel=1e-4)


def test_padding_changes_nothing(recogniser, units):
    short, long = Utterance(noise(9000), "stop"), Utterance(noise(40_000, 1), "good night")
    with torch.inference_mode():
        together = recogniser.losses([short, long])
        alone = torch.cat([recogniser.losses([short]), recogniser.losses([long])])
    assert torch.allclose(together, alone, rtol=1e-5)
    waveforms = [samples for unit in units[:2] for samples, _ in unit]
    assert recogniser.transcribe(waveforms) == [recogniser.transcribe([one])[0] for one in waveforms]


def test_transcribe_collapses_repeats_and_blanks(recogniser):
    one, other = recogniser.encode("good night")[:2]
    blank = recogniser.blank
    path = torch.tensor([blank, one, one, blank, one, other, blank])
    assert recogniser._collapse(path) == recogniser.decode([one, one, other])


@pytest.mark.parametrize("samples", [0, 100, 1280, 5 * 1280 - 1, 5 * 1280, 16_000])
@pytest.mark.parametrize("text", ["stop", "good night", "a", "bb", "the quick brown fox"])
def test_fits_says_whether_the_loss_is_finite(recogniser, samples, text):
    """At the border too; and never that an utterance fits whose loss is not finite."""
    with torch.inference_mode():
        loss = float(recogniser.losses([Utterance(noise(samples), text)]))
    assert recogniser.fits(samples, text) == math.isfinite(loss)


def test_what_is_saved_is_loaded(recogniser, tmp_path, units):
    recogniser.save(tmp_path / "model")
    again = asr.load(str(tmp_path / "model"))
    with torch.inference_mode():
        assert torch.equal(recogniser.losses(units[0]), again.losses(units[0]))
    assert not any(module.training for module in again.model.modules())


def test_trainable_names(recogniser):
    every = [name for name, _ in recogniser.model.named_parameters()]
    head = trainable.choose_trainable(recogniser, "head")
    some = trainable.choose_trainable(recogniser, "bias_norm_head")
    assert trainable.choose_trainable(recogniser, "all") == every
    assert head == [name for name in every if name.startswith("ctc_head.")] != []
    assert set(head) < set(some) < set(every)
    weights = [name for name in set(every) - set(some) if recogniser.model.get_parameter(name).dim() < 2]
    assert weights == []  # what is left out is matrices and filters


@pytest.fixture
def saved(recogniser, tmp_path):
    recogniser.save(tmp_path / "model")
    return tmp_path / "model"


def test_nothing_there(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="its config cannot be read"):
        asr.load(str(tmp_path / "absent"))


def test_another_family_is_refused_by_name(saved):
    config = (saved / "config.json").read_text()
    (saved / "config.json").write_text(config.replace('"model_type": "parakeet_ctc"', '"model_type": "bert"'))
    with pytest.raises(ModelError, match="'bert' is not supported"):
        asr.load(str(saved))


@pytest.mark.parametrize("damage", ["missing", "cut", "misshapen", "garbage", "pickle"])
def test_weights_that_are_not_whole_are_refused(saved, damage):
    path = saved / "model.safetensors"
    weights = load_file(path)
    if damage == "missing":
        del weights["ctc_head.bias"]
        save_file(weights, path, metadata={"format": "pt"})
    elif damage == "misshapen":
        save_file(weights | {"ctc_head.bias": torch.zeros(3)}, path, metadata={"format": "pt"})
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "garbage":
        path.write_bytes(b"garbage")
    else:
        path.rename(saved / "aside")
        (saved / "pytorch_model.bin").write_bytes(pickle.dumps(weights))
    with pytest.raises(ModelError, match="model"):
        asr.load(str(saved))
