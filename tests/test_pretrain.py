"""The recipe that pre-trains a base: what the middle of the encoder is asked."""

import numpy as np
import pytest
import torch

from speechpriv import config, packaged
from speechpriv.data import madeup
from speechpriv.models import new

PRETRAIN = packaged.functions(packaged.named("pretrain.py"), "Stream", "MiddleEar", "learning_rate")
SYMBOLS = ["", "a", "t"]


@pytest.fixture(scope="module")
def recogniser():
    torch.manual_seed(0)
    pieces = new.tokenizer(["at a tea"] * 50, 40)
    return new.recogniser(pieces, hidden=16, layers=2, channels=4, subsampling=4)


def test_each_frame_is_told_the_phoneme_in_its_middle(recogniser):
    stream = PRETRAIN["Stream"](recogniser, SYMBOLS, config.PretrainConfig(), 0)
    said = madeup.Spoken(
        np.zeros(6_400, np.float32), "at", (("a", 1_200), ("unheard of", 2_700), ("t", 3_000), ("", 5_000))
    )
    # Ten frames of 640 samples; the middle of frame t is at sample 640 t + 80.
    assert stream.phonemes(said).tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 0, 0]
    assert len(stream.phonemes(said)) == recogniser.log_probs([said.samples])[1].item()
    late = madeup.Spoken(said.samples, "at", (("a", 0), ("unheard of", 640), ("t", 1_280)))
    assert stream.phonemes(late).tolist() == [1, -100, *[2] * 8]


def test_the_middle_layer_and_what_is_below_learns_to_tell_phonemes(recogniser):
    torch.manual_seed(0)
    ear = PRETRAIN["MiddleEar"](recogniser.model.encoder, len(SYMBOLS))
    features, mask = recogniser.features([np.random.default_rng(0).standard_normal(6_400).astype(np.float32)])
    recogniser.log_probs_of(features, mask)
    assert ear.loss(torch.full((1, 10), 1)) > 0
    ear.loss(torch.tensor([[1, 1, 1, -100, 2, 2, 2, 0, 0, 0]])).backward()
    below, above = recogniser.model.encoder.layers
    assert below.feed_forward1.linear1.weight.grad.abs().sum() > 0
    assert above.feed_forward1.linear1.weight.grad is None


def test_the_rate_rises_stays_and_falls_to_nothing():
    settings = config.PretrainConfig(steps=1000, warmup=100, peak_learning_rate=1e-3)
    rates = [PRETRAIN["learning_rate"](step, settings) for step in range(1000)]
    assert rates[0] == pytest.approx(1e-5)
    assert rates[100:800] == pytest.approx([1e-3] * 700)
    assert rates[900] == pytest.approx(5e-4)
    assert 0 < rates[999] < 1e-5
