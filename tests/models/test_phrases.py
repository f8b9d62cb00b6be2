"""Many phrases against one recording: the same numbers as one at a time, for every family."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv import audio
from speechpriv.models import asr
from speechpriv.models.asr import Utterance
from speechpriv.models.ctc import ctc_losses, ctc_phrase_losses

PHRASES = ["stop", "good night", "turn on the lights", "aaa bbb", "set a timer for ten", "stop"]


def noise(seconds=2.0, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * audio.RATE_HZ)).astype(np.float32)


@pytest.fixture(scope="module")
def loaded(family_dir):
    return asr.load(str(family_dir))


def test_as_one_at_a_time(loaded):
    samples = noise()
    found = loaded.phrase_losses(samples, [loaded.encode(phrase) for phrase in PHRASES])
    with torch.inference_mode():
        alone = torch.stack([loaded.losses([Utterance(samples, phrase)])[0] for phrase in PHRASES])
    assert found.shape == (len(PHRASES),)
    assert torch.allclose(found.float(), alone, rtol=1e-5)
    assert len(set(found.tolist())) > 1


def test_passes_are_of_bounded_size(loaded, monkeypatch):
    """Split as far as can be, it is the same."""
    samples, tokens = noise(1.0), [loaded.encode(phrase) for phrase in PHRASES]
    found = loaded.phrase_losses(samples, tokens)
    if isinstance(loaded, asr.Seq2SeqRecogniser):
        monkeypatch.setattr("speechpriv.models.seq2seq._PASS", 1)
    else:
        monkeypatch.setattr("speechpriv.models.ctc._SAFE", 1.0)  # all through the logarithms
        monkeypatch.setattr("speechpriv.models.ctc._PASS", 1)
    assert torch.allclose(loaded.phrase_losses(samples, tokens), found, rtol=1e-5)


def test_what_does_not_fit_is_infinite(loaded):
    for samples in (noise(0), noise(0.005), noise(1.0)):
        tokens = [loaded.encode(phrase) for phrase in ("stop", "a long story " * 40)]
        fits = [loaded.fits(len(samples), phrase) for phrase in ("stop", "a long story " * 40)]
        assert torch.isfinite(loaded.phrase_losses(samples, tokens)).tolist() == fits
    assert loaded.phrase_losses(noise(1.0), []).shape == (0,)


def test_broken_weights_give_no_number(family_dir):
    broken = asr.load(str(family_dir))
    with torch.no_grad():
        for parameter in broken.model.parameters():
            parameter.fill_(torch.nan)
    assert torch.isnan(broken.phrase_losses(noise(1.0), [broken.encode("stop")])).all()


def test_n_best_are_likeliest_first(loaded):
    samples = noise(1.0)
    found = loaded.n_best(samples, 4)
    assert 1 <= len(found) <= 4
    assert all(text == asr.normalise(text) for text in found)
    assert loaded.n_best(noise(0), 4) == [""]


def test_confidence_is_a_mean_log_probability(loaded):
    waveforms = [noise(1.0), noise(0), noise(0.6)]
    found = loaded.confidence(waveforms)
    assert np.isnan(found).tolist() == [False, True, False]
    assert ((-math.log(loaded.model.config.vocab_size) <= found[::2]) & (found[::2] <= 0)).all()
    assert found[::2] == pytest.approx([float(loaded.confidence([samples])[0]) for samples in waveforms[::2]], rel=1e-4)


def test_confidence_of_frames_by_hand(recogniser):
    with torch.inference_mode():
        log_probs, _ = recogniser.log_probs([noise(1.0)])
    assert recogniser.confidence([noise(1.0)])[0] == pytest.approx(float(log_probs[0].max(-1).values.mean()))


def random_log_probs(seed, frames, symbols, sharpness):
    generator = torch.Generator().manual_seed(seed)
    return torch.log_softmax(sharpness * torch.randn(frames, symbols, generator=generator), -1)


@given(
    st.integers(0, 1000),
    st.integers(1, 12),
    st.sampled_from([0.1, 1.0, 10.0, 100.0]),
    st.lists(st.lists(st.integers(1, 3), max_size=8), min_size=1, max_size=6),
)
@settings(max_examples=100, deadline=None)
def test_the_recursion_is_torchs(seed, frames, sharpness, targets):
    """Repeats, empty lists, lists that do not fit, and probabilities that underflow."""
    log_probs = random_log_probs(seed, frames, 4, sharpness)
    together = log_probs.expand(len(targets), -1, -1)
    truth = ctc_losses(together.double(), torch.full((len(targets),), frames), targets, 0)
    found = ctc_phrase_losses(log_probs, targets, 0)
    np.testing.assert_allclose(found.numpy(), truth.numpy(), rtol=1e-9, atol=1e-9)


def test_beyond_what_float64_holds():
    """A thousand nats, of which the probability would be 0."""
    log_probs = random_log_probs(0, 400, 4, 10.0)
    targets = [[1, 2, 3] * 100, [1]]
    found = ctc_phrase_losses(log_probs, targets, 0)
    truth = ctc_losses(log_probs.double().expand(2, -1, -1), torch.tensor([400, 400]), targets, 0)
    assert (truth > 1000).all()
    np.testing.assert_allclose(found.numpy(), truth.numpy(), rtol=1e-12)
