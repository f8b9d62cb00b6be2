"""Classifiers of every family that has one, made of small random recognisers, and learned privately."""

import numpy as np
import pytest
import torch

from speechpriv.errors import ModelError
from speechpriv.models import asr, trainable
from speechpriv.models.asr import Classifier, Utterance
from speechpriv.train import clipping

LABELS = ("low", "high")
WITHOUT = {"lasr", "speech2text", "moonshine"}  # transformers has no classifier of these


@pytest.fixture(scope="module")
def base(family_dir):
    if any(family_dir.name.startswith(name) for name in WITHOUT):
        pytest.skip("transformers has no classifier of this family")
    return family_dir


@pytest.fixture
def classifier(base):
    found = asr.load_classifier(str(base), LABELS)
    torch.manual_seed(0)
    torch.nn.init.normal_(found.head.weight)  # one that starts at zero tells nothing apart
    return found


@pytest.fixture(scope="module")
def spoken():
    """Noise, and, with the other label, a tone."""
    rng = np.random.default_rng(0)

    def samples(seconds, tone):
        time_s = np.arange(int(16_000 * seconds)) / 16_000
        return (rng.normal(0, 0.1, len(time_s)) + tone * np.sin(2 * np.pi * 440 * time_s)).astype(np.float32)

    parts = ((1.03, "low", 0.0), (1.62, "high", 0.8), (2.21, "low", 0.0))
    return [Utterance(samples(seconds, tone), label) for seconds, label, tone in parts]


def losses(classifier, utterances):
    with torch.inference_mode():
        return classifier.losses(utterances)


def test_labels_are_the_only_words(classifier):
    assert classifier.labels == LABELS
    assert [classifier.encode(text) for text in ("low", "HIGH", "hi", "", "low high")] == [[0], [1], [], [], []]
    assert not classifier.fits(16_000, "medium")
    assert not classifier.fits(100, "low")


def test_company_changes_nothing(classifier, spoken):
    together, alone = losses(classifier, spoken), torch.cat([losses(classifier, [one]) for one in spoken])
    assert torch.isfinite(alone).all()
    assert torch.allclose(together, alone, rtol=1e-4)


def test_losses_are_of_probabilities_that_add_up(classifier, spoken):
    chances = classifier.probabilities([one.samples for one in spoken])
    assert np.allclose(chances.sum(1), 1)
    wanted = [-np.log(row[LABELS.index(one.text)]) for row, one in zip(chances, spoken, strict=True)]
    assert np.allclose(losses(classifier, spoken), wanted, rtol=1e-4)
    of_both = classifier.phrase_losses(spoken[0].samples, [[0], [1], []])
    assert np.allclose(of_both[:2], -np.log(chances[0]), rtol=1e-4)
    assert torch.isinf(of_both[2])
    likeliest = [LABELS[int(row.argmax())] for row in chances]
    assert classifier.transcribe([one.samples for one in spoken]) == likeliest
    assert [classifier.n_best(one.samples, 2)[0] for one in spoken] == likeliest
    assert np.allclose(classifier.confidence([one.samples for one in spoken]), np.log(chances.max(-1)), rtol=1e-4)


def test_what_the_head_hears_is_enough(classifier, spoken):
    heard = [classifier.hear(one) for one in spoken]
    assert torch.allclose(losses(classifier, heard), losses(classifier, spoken), rtol=1e-4)


def test_what_is_no_label_is_unusable(classifier, spoken):
    found = losses(classifier, [Utterance(spoken[0].samples, "medium"), spoken[1]])
    assert torch.isinf(found[0])
    assert torch.isfinite(found[1])


def test_what_is_saved_is_loaded(classifier, spoken, tmp_path):
    classifier.save(tmp_path)
    again = asr.load(str(tmp_path))
    assert isinstance(again, Classifier)
    assert again.labels == LABELS
    assert torch.allclose(losses(again, spoken), losses(classifier, spoken), rtol=1e-5)


@pytest.mark.parametrize("which", ["head", "all"])
def test_a_units_gradient_is_clipped_as_a_recognisers(classifier, spoken, which):
    names = trainable.choose_trainable(classifier, which)
    hear = trainable.plan_encoding(classifier, which)
    assert (hear is None) == (which == "all")
    units = [[one if hear is None else hear(one) for one in part] for part in (spoken[:2], spoken[2:])]
    whole = clipping.clipped_sum(classifier, units, 1e-3)
    alone = [clipping.clipped_sum(classifier, [unit], 1e-3) for unit in units]
    assert set(whole) == set(names)
    for name in names:
        assert torch.allclose(whole[name], alone[0][name] + alone[1][name], atol=1e-9)
    norms = [torch.sqrt(sum(part[name].square().sum() for name in names)) for part in alone]
    assert all(0 < norm <= 1e-3 * (1 + 1e-6) for norm in norms)


def test_it_can_learn_its_labels(classifier, spoken):
    trainable.choose_trainable(classifier, "head")
    optimiser = torch.optim.Adam(classifier.head.parameters(), lr=0.3)
    heard = [classifier.hear(one) for one in spoken]
    for _ in range(1000):
        optimiser.zero_grad()
        classifier.losses(heard).mean().backward()
        optimiser.step()
    assert classifier.transcribe([one.samples for one in spoken]) == [one.text for one in spoken]


def test_a_family_without_classifiers_is_an_error(family_dir):
    if not any(family_dir.name.startswith(name) for name in WITHOUT):
        pytest.skip("has one")
    with pytest.raises(ModelError, match="no classifier can be made of this family"):
        asr.load_classifier(str(family_dir), LABELS)


@pytest.mark.parametrize("labels", [("low",), ("low", "Low"), ("low", "..."), ()])
def test_labels_that_are_none_are_an_error(labels):
    with pytest.raises(ModelError, match=r"^labels: .*: expected two at least"):
        asr.load_classifier("tiny-en", labels)


def test_a_classifier_gets_no_other_labels(tmp_path):
    asr.load_classifier("tiny-en", LABELS).save(tmp_path)
    with pytest.raises(ModelError, match="has labels of its own"):
        asr.load_classifier(str(tmp_path), ("yes", "no"))
