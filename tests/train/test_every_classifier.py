"""Models that give labels, of every family that can: behind the verbs of a recogniser, and learned by the same path."""

import math

import numpy as np
import pytest
import torch

from speechpriv.errors import ModelError
from speechpriv.models import asr, classify, trainable
from speechpriv.models.asr import Utterance
from speechpriv.train import clipping

LABELS = ("low", "high")
TIGHT = 0.05  # below every gradient here
FAMILIES = (
    "wav2vec2", "wav2vec2-layer-norm", "hubert", "wavlm", "wav2vec2-conformer", "data2vec-audio", "wav2vec2-bert",
    "whisper", "parakeet",
)  # fmt: skip


@pytest.fixture(scope="module", params=FAMILIES)
def classifier_dir(request, tmp_path_factory, small):
    """Directory of a random classifier on a random recogniser; its output layer is away from zero."""
    torch.manual_seed(0)
    directory = tmp_path_factory.mktemp(request.param)
    (directory / "base").mkdir()
    begun = asr.load_classifier(str(small["save"](request.param, directory / "base")), LABELS)
    for parameter in begun.head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    begun.save(directory / "model")
    return directory / "model"


@pytest.fixture
def fresh(classifier_dir):
    return asr.load(str(classifier_dir))


@pytest.fixture(scope="module")
def units():
    rng = np.random.default_rng(0)
    said = (("low", 0.9), ("high", 1.43), ("low", 1.13), ("high", 1.7), ("low", 1.31))

    def spoken(text, seconds):
        return Utterance(rng.normal(0, 0.1, int(16_000 * seconds)).astype(np.float32), text)

    return [[spoken(*one) for one in said[:3]], [spoken(*said[3])], [spoken(*one) for one in said[3:]]]


@pytest.fixture(scope="module")
def spoken(units):
    return [one for unit in units for one in unit]


def losses(classifier, utterances):
    with torch.inference_mode():
        return classifier.losses(utterances)


def norm(tensors):
    return math.sqrt(sum(float((tensor.double() ** 2).sum()) for tensor in tensors.values()))


def relative(found, expected):
    return norm({name: found[name].double() - expected[name].double() for name in expected}) / norm(expected)


def learn(classifier, which):
    """Choose what learns; adapters are moved off zero, where half of them would have no gradient."""
    names = trainable.choose_trainable(classifier, which, lora_rank=2)
    torch.manual_seed(0)
    for name in names:
        if "lora_B" in name:
            torch.nn.init.normal_(classifier.model.get_parameter(name), std=0.05)
    return names


def naive_sum(classifier, units, clip_norm):
    """Cross-entropy of one recording at a time, nothing padded, in float64 once there is a gradient."""
    parameters = {name: p for name, p in classifier.model.named_parameters() if p.requires_grad}
    total = {name: torch.zeros(p.shape, dtype=torch.float64) for name, p in parameters.items()}
    for unit in units:
        gradient = {name: torch.zeros(p.shape, dtype=torch.float64) for name, p in parameters.items()}
        for samples, label in unit:
            classifier.model.zero_grad()
            log_probs = classifier.log_probs_of(*classifier.features([samples]))
            torch.nn.functional.nll_loss(log_probs, torch.tensor([LABELS.index(label)])).backward()
            for name, parameter in parameters.items():
                if parameter.grad is not None:
                    gradient[name] += parameter.grad.double() / len(unit)
        for name in total:
            total[name] += gradient[name] * min(1.0, clip_norm / norm(gradient))
    return total


def test_it_is_a_classifier_again_when_loaded(fresh, spoken, classifier_dir, tmp_path):
    assert isinstance(fresh, asr.Classifier)
    assert fresh.labels == LABELS
    assert not any(module.training for module in fresh.model.modules())
    fresh.save(tmp_path / "again")
    assert torch.equal(losses(asr.load(str(tmp_path / "again")), spoken), losses(fresh, spoken))
    with pytest.raises(ModelError, match="labels of its own"):
        asr.load_classifier(str(classifier_dir), LABELS)


def test_company_changes_no_loss(fresh, spoken):
    together, alone = losses(fresh, spoken), torch.cat([losses(fresh, [one]) for one in spoken])
    assert torch.isfinite(alone).all()
    assert torch.allclose(together, alone, rtol=1e-4)


def test_the_loss_is_the_labels_cross_entropy(fresh, spoken):
    chances = fresh.probabilities([one.samples for one in spoken])
    assert chances.shape == (len(spoken), 2)
    assert np.allclose(chances.sum(axis=1), 1)
    assert chances.min() > 0
    own = [chances[i, LABELS.index(one.text)] for i, one in enumerate(spoken)]
    assert np.allclose(-np.log(own), losses(fresh, spoken).numpy(), atol=1e-4)
    both = fresh.phrase_losses(spoken[0].samples, [fresh.encode(label) for label in LABELS])
    assert np.allclose(np.exp(-both.numpy()), chances[0], atol=1e-4)


def test_the_likeliest_label_is_what_is_heard(fresh, spoken):
    waveforms = [one.samples for one in spoken]
    likeliest = [LABELS[i] for i in fresh.probabilities(waveforms).argmax(axis=1)]
    assert fresh.transcribe(waveforms) == likeliest
    assert [fresh.n_best(samples, 2)[0] for samples in waveforms] == likeliest
    assert set(fresh.n_best(waveforms[0], 2)) == set(LABELS)
    assert fresh.confidence(waveforms) == pytest.approx(np.log(fresh.probabilities(waveforms).max(axis=1)), abs=1e-4)
    assert fresh.transcribe([]) == []


def test_what_was_heard_has_the_same_loss(fresh, spoken):
    heard = [fresh.hear(one) for one in spoken]
    assert torch.allclose(losses(fresh, heard), losses(fresh, spoken), rtol=1e-4)


@pytest.mark.parametrize(
    ("samples", "text"), [(0, "low"), (100, "low"), (16_000, "medium"), (16_000, ""), (8_000, "low")]
)
def test_fits_says_whether_the_loss_is_finite(fresh, samples, text):
    audio = np.random.default_rng(1).normal(0, 0.1, samples).astype(np.float32)
    assert bool(torch.isfinite(losses(fresh, [Utterance(audio, text)]))) == fresh.fits(samples, text)
    assert fresh.fits(samples, text) == (samples == 8_000)


@pytest.mark.parametrize("which", ["all", "lora", "bias_norm_head", "last_layer", "head"])
def test_the_clipped_sum_equals_the_naive_one(fresh, units, which):
    learn(fresh, which)
    found = clipping.clipped_sum(fresh, units, TIGHT)
    assert relative(found, naive_sum(fresh, units, TIGHT)) <= 1e-4


@pytest.mark.parametrize("which", ["all", "head"])
def test_all_that_learns_matters(fresh, units, which):
    """A weight without effect would take in nothing but noise."""
    names = learn(fresh, which)
    assert {id(p) for p in fresh.head.parameters()} <= {id(fresh.model.get_parameter(name)) for name in names}
    fresh.losses(units[0]).sum().backward()
    idle = {name for name in names if fresh.model.get_parameter(name).grad is None}
    assert {
        name for name in idle if "masked_spec_embed" not in name and "conformer.encoder.pos_conv" not in name
    } == set()


def test_nothing_about_others_changes_what_a_patient_adds(fresh, units):
    learn(fresh, "all")
    alone = clipping.clipped_sum(fresh, [units[0]], TIGHT)
    assert 0.99 * TIGHT < norm(alone) <= TIGHT
    without = clipping.clipped_sum(fresh, units[1:], TIGHT)
    together = clipping.clipped_sum(fresh, [units[1], units[0], units[2]], TIGHT)
    assert relative({name: together[name] - without[name] for name in together}, alone) <= 1e-6


def test_what_was_heard_once_learns_the_same(fresh, units):
    """The output layer alone, as it is trained by default: from what the encoder gave, kept."""
    learn(fresh, "head")
    assert trainable.plan_encoding(fresh, "head") == fresh.hear
    heard = [[fresh.hear(one) for one in unit] for unit in units]
    assert relative(clipping.clipped_sum(fresh, heard, TIGHT), clipping.clipped_sum(fresh, units, TIGHT)) <= 1e-4


@pytest.mark.parametrize("bad", ["nan", "too short", "no label"])
def test_an_unusable_patient_adds_nothing(fresh, units, bad):
    learn(fresh, "head")
    samples, text = units[0][0]
    ruined = {
        "nan": Utterance(np.full_like(samples, np.nan), text),
        "too short": Utterance(samples[:200], text),
        "no label": Utterance(samples, "medium"),
    }[bad]
    norms = []
    found = clipping.clipped_sum(fresh, [[units[0][1], ruined], units[1]], TIGHT, observe=norms.append)
    assert relative(found, clipping.clipped_sum(fresh, [units[1]], TIGHT)) <= 1e-6
    assert [math.isfinite(value) for value in norms] == [False, True]


def test_a_wrong_label_pulls_the_other_way(fresh, units):
    """What mislabelled canaries rest on: the same recording with the other label is another gradient."""
    learn(fresh, "head")
    one = units[1][0]
    other = Utterance(one.samples, LABELS[1 - LABELS.index(one.text)])
    right, wrong = (clipping.clipped_sum(fresh, [[said]], 1e6) for said in (one, other))
    product = sum(float((right[name] * wrong[name]).sum()) for name in right)
    assert product / (norm(right) * norm(wrong)) < -0.99


def test_tiny_en_starts_undecided(tiny_en, spoken):
    begun = asr.load_classifier("tiny-en", LABELS)
    assert np.allclose(begun.probabilities([one.samples for one in spoken]), 0.5)
    assert classify.is_classifier(begun.model.config)
    assert not classify.is_classifier(tiny_en.model.config)
    before = tiny_en.model.encoder.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in begun.model.encoder.state_dict().items())


@pytest.mark.parametrize("family", ["lasr", "moonshine", "speech2text"])
def test_a_family_without_classifier_is_refused(family, small, tmp_path):
    with pytest.raises(ModelError, match=r"no classifier|classifier can be made"):
        asr.load_classifier(str(small["save"](family, tmp_path)), LABELS)


@pytest.mark.parametrize("labels", [(), ("low",), ("low", "LOW"), ("low", "!")])
def test_labels_must_differ(labels, base):
    with pytest.raises(ModelError, match="expected two at least"):
        asr.load_classifier(str(base), labels)
