"""What holds for recognisers of every family, as `save_pretrained` writes them."""

import numpy as np
import pytest
import torch

from speechpriv.errors import ModelError
from speechpriv.models import asr, ctc, families, trainable
from speechpriv.models.asr import Utterance

SECONDS = (1.03, 1.62, 2.21)
TEXTS = ("stop", "open the door", "good night")


@pytest.fixture(scope="module")
def loaded(family_dir):
    return asr.load(str(family_dir))


@pytest.fixture
def fresh(family_dir):
    return asr.load(str(family_dir))


@pytest.fixture(scope="module")
def spoken():
    rng = np.random.default_rng(0)
    return [
        Utterance(rng.normal(0, 0.1, int(16_000 * seconds)).astype(np.float32), text)
        for seconds, text in zip(SECONDS, TEXTS, strict=True)
    ]


def losses(recogniser, utterances):
    with torch.inference_mode():
        return recogniser.losses(utterances)


def test_nothing_is_dropped_as_loaded(loaded, spoken):
    assert not any(module.training for module in loaded.model.modules())
    assert torch.equal(losses(loaded, spoken), losses(loaded, spoken))


def test_company_changes_no_loss(loaded, spoken):
    together, alone = losses(loaded, spoken), torch.cat([losses(loaded, [one]) for one in spoken])
    assert torch.isfinite(alone).all()
    assert torch.allclose(together, alone, rtol=1e-5)
    assert loaded.transcribe([one.samples for one in spoken]) == [loaded.transcribe([one.samples])[0] for one in spoken]


def test_other_words_have_another_loss(loaded, spoken):
    other = [Utterance(samples, "the lights on turn") for samples, _ in spoken]
    assert not torch.isclose(losses(loaded, spoken), losses(loaded, other), rtol=1e-3).any()


def test_words_are_spelled_and_read(loaded):
    tokens = loaded.encode("Stop the MUSIC, 7!")
    assert tokens == loaded.encode("stop the music seven") != loaded.encode("stop the musical seven")
    read = loaded.tokenizer.decode(tokens, skip_special_tokens=True, **GROUPS.get(type(loaded), {}))
    assert asr.normalise(read) == "stop the music seven"
    assert loaded.encode("[NAME] !") == []


GROUPS = {asr.CtcRecogniser: {"group_tokens": False}}  # a CTC tokenizer takes repeats for one


@pytest.mark.parametrize(
    ("samples", "text"),
    [(0, "stop"), (100, "stop"), (700, "stop"), (16_000, ""), (16_000, "a long story " * 40), (60 * 16_000, "stop")],
)
def test_fits_says_whether_the_loss_is_finite(loaded, samples, text):
    audio = np.random.default_rng(1).normal(0, 0.1, samples).astype(np.float32)
    if text == "" and isinstance(loaded, asr.CtcRecogniser):
        pytest.skip("CTC writes nothing where nothing is said")
    if samples == 60 * 16_000 and not hasattr(loaded.front_end, "n_samples"):
        pytest.skip("of any length, and a minute takes long here")
    assert bool(torch.isfinite(losses(loaded, [Utterance(audio, text)]))) == loaded.fits(samples, text)


def test_too_short_to_be_heard_is_silent(loaded):
    assert loaded.transcribe([np.zeros(100, np.float32)]) == [""]


def test_what_is_saved_is_loaded(loaded, spoken, tmp_path):
    loaded.save(tmp_path / "again")
    assert torch.equal(losses(asr.load(str(tmp_path / "again")), spoken), losses(loaded, spoken))


def test_what_was_heard_has_the_same_loss(loaded, spoken):
    heard = [loaded.hear(one) for one in spoken]
    assert torch.allclose(losses(loaded, heard), losses(loaded, spoken), rtol=1e-5)


def test_frames_are_as_the_model_gives_them(loaded, spoken):
    if not isinstance(loaded, asr.CtcRecogniser):
        pytest.skip("writes tokens, not frames")
    for samples, _ in spoken:
        features, mask = loaded.features([samples])
        assert loaded._frames_of(len(samples)) == int(loaded.family.frames(loaded.model, mask.sum(-1))[0])
        hidden, lengths = loaded._hidden(features, mask)
        assert hidden.shape[1] - 1 <= int(lengths[0]) <= hidden.shape[1]
    assert loaded.samples_per_frame in (320, 640, 1280)


def test_long_recordings_are_heard_in_parts(loaded, monkeypatch):
    if not isinstance(loaded, asr.CtcRecogniser):
        pytest.skip("writes tokens, not frames")
    samples = np.random.default_rng(2).normal(0, 0.1, 5 * 16_000 + 700).astype(np.float32)
    whole = loaded.log_probs([samples])[0].detach()
    monkeypatch.setattr(ctc, "_WHOLE_S", 4)
    monkeypatch.setattr(ctc, "_PART_S", 1)
    assert torch.equal(loaded.log_probs([samples])[0], whole)  # there is a gradient
    with torch.no_grad():
        for context_s in (1, 5):
            monkeypatch.setattr(ctc, "_CONTEXT_S", context_s)
            (both, short), lengths = loaded.log_probs([samples, samples[:16_000]])
            assert both.shape == whole[0].shape
            assert lengths.tolist() == [len(both), loaded._frames_of(16_000)]
            assert torch.allclose(short[: lengths[1]], loaded.log_probs([samples[:16_000]])[0][0], atol=1e-5)
    assert torch.allclose(both, whole[0], atol=1e-4)  # every part has heard all


@pytest.mark.parametrize("which", ["all", "lora", "bias_norm_head", "last_layer", "head"])
def test_all_that_learns_matters(fresh, spoken, which):
    """A weight without effect would take in nothing but noise."""
    names = trainable.choose_trainable(fresh, which)
    assert names == [name for name, parameter in fresh.model.named_parameters() if parameter.requires_grad] != []
    for name in names:
        if "lora_B" in name:  # as it comes it is zero, and hides what lies before it
            torch.nn.init.normal_(fresh.model.get_parameter(name), std=0.1)
    fresh.losses(spoken).sum().backward()
    idle = {name for name in names if fresh.model.get_parameter(name).grad is None}
    # SpecAugment alone uses the one, and nothing the other, where positions are relative.
    assert {
        name for name in idle if "masked_spec_embed" not in name and "conformer.encoder.pos_conv" not in name
    } == set()


def test_sizes_of_what_learns(fresh):
    names = {
        which: trainable.choose_trainable(fresh, which) for which in ("head", "last_layer", "bias_norm_head", "all")
    }
    (stack,) = {
        name.partition(".layers.1.")[0] for name in set(names["last_layer"]) - set(names["head"])
    }  # of two layers
    assert stack.endswith("decoder" if any("decoder" in name for name in names["all"]) else "encoder")
    assert set(names["head"]) < set(names["bias_norm_head"]) < set(names["all"])
    left = set(names["all"]) - set(names["bias_norm_head"]) - {"masked_spec_embed"}
    assert all(fresh.model.get_parameter(name).dim() > 1 for name in left if "masked_spec" not in name)


def test_adapters_start_as_nothing_and_are_merged(fresh, spoken, tmp_path):
    before = losses(fresh, spoken)
    plain = [name for name, _ in fresh.model.named_parameters()]
    names = trainable.choose_trainable(fresh, "lora", lora_rank=4, seed=3)
    assert torch.equal(losses(fresh, spoken), before)
    with torch.no_grad():
        for name in names:
            fresh.model.get_parameter(name).add_(0.05)
    adapted = losses(fresh, spoken)
    assert not torch.allclose(adapted, before, rtol=2e-6)
    trainable.merge_adapters(fresh)
    assert [name for name, _ in fresh.model.named_parameters()] == plain
    assert torch.allclose(losses(fresh, spoken), adapted, rtol=1e-6)
    fresh.save(tmp_path / "merged")
    assert torch.equal(losses(asr.load(str(tmp_path / "merged")), spoken), losses(fresh, spoken))


def test_the_seed_fixes_the_adapters(family_dir):
    def adapters(seed):
        recogniser = asr.load(str(family_dir))
        names = trainable.choose_trainable(recogniser, "lora", seed=seed)
        return torch.cat([recogniser.model.get_parameter(name).flatten() for name in names if "lora_A" in name])

    assert torch.equal(adapters(1), adapters(1))
    assert not torch.equal(adapters(1), adapters(2))


def test_padding_would_be_heard_where_it_is_ruled_out(fresh, spoken, monkeypatch):
    """And is not where it is allowed: the flag is right both ways."""
    family = families.FAMILIES[fresh.model.config.model_type]
    allowed = family.pads(fresh.model.config)
    monkeypatch.setattr(type(fresh), "pads", True)
    padded, alone = losses(fresh, spoken), torch.cat([losses(fresh, [one]) for one in spoken])
    moved = float(((padded - alone) / alone).abs().max())
    assert moved < 1e-5 if allowed else moved > 3e-7


def test_the_table_names_twelve_families(loaded):
    assert loaded.model.config.model_type in families.FAMILIES
    assert len(families.FAMILIES) == 11  # wav2vec 2.0 stands for two: group and layer norm


def test_times_are_for_ctc_only(family_dir, loaded):
    if isinstance(loaded, asr.CtcRecogniser):
        assert isinstance(asr.load_ctc(str(family_dir)), asr.CtcRecogniser)
    else:
        with pytest.raises(ModelError, match="expected a CTC recogniser"):
            asr.load_ctc(str(family_dir))


def test_what_never_learns_is_run_once_where_that_gives_the_same(fresh, spoken):
    found = {which: trainable.plan_encoding(fresh, which) for which in ("head", "last_layer", "bias_norm_head", "all")}
    assert found["all"] is found["bias_norm_head"] is None
    assert (found["head"] is None) == trainable.head_is_tied(fresh)
    for hear in filter(None, found.values()):
        heard = fresh.losses([hear(utterance) for utterance in spoken])
        torch.testing.assert_close(heard, losses(fresh, spoken), rtol=1e-5, atol=1e-5)


def test_who_cannot_go_on_from_before_the_last_layer_says_so(fresh, spoken):
    if trainable.plan_encoding(fresh, "last_layer") is not None or not isinstance(fresh, asr.CtcRecogniser):
        pytest.skip("can, or has no such choice")
    with pytest.raises(ModelError, match="cannot go on"):
        fresh.losses([fresh.hear(spoken[0], all_layers=False)])
