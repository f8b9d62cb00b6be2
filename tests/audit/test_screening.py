"""How well labels are given, and canaries with the wrong one."""

import functools
import json

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from speechpriv import audio
from speechpriv import corpus as corpora
from speechpriv.audit import screening
from speechpriv.audit.canaries import canary, mislabelled
from speechpriv.config import CanaryConfig
from speechpriv.corpus import Row
from speechpriv.data import disorder
from speechpriv.errors import AuditError, DataError
from speechpriv.models import asr

SPEAK = functools.partial(mislabelled.speak_mislabelled, labels=("well", "ill"))


def pairs(chances, there):
    return {str(i): (float(c), float(t)) for i, (c, t) in enumerate(zip(chances, there, strict=True))}


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(0)
    chances = np.round(rng.uniform(size=300), 2)  # with ties
    return chances, (rng.uniform(size=300) < chances).astype(float)


def test_the_area_is_that_of_others(drawn):
    chances, there = drawn
    found = screening.summarise(pairs(chances, there))
    assert found["auroc"] == pytest.approx(roc_auc_score(there, chances))
    assert screening.compute_auroc(np.stack(drawn, axis=1)) == pytest.approx(found["auroc"])
    assert found["auroc_low"] < found["auroc"] < found["auroc_high"]
    assert found["speakers"] == 300


def test_chances_that_are_true_are_calibrated(drawn):
    chances, there = drawn
    assert screening.summarise(pairs(chances, there))["calibration_error"] < 0.1
    boasted = screening.summarise(pairs(np.where(chances > 0.5, 0.99, 0.01), there))
    assert boasted["calibration_error"] > 0.15
    calibration = screening.summarise(pairs(chances, there))["calibration"]
    assert sum(people for *_, people in calibration) == 300
    assert [mean for mean, *_ in calibration] == sorted(mean for mean, *_ in calibration)


def test_perfect_and_useless_models():
    there = np.repeat([0.0, 1.0], 20)
    assert screening.summarise(pairs(there, there))["auroc"] == 1
    assert screening.summarise(pairs(1 - there, there))["auroc"] == 0
    useless = screening.summarise(pairs(np.full(40, 0.5), there))
    assert (useless["auroc_low"], useless["auroc"], useless["auroc_high"]) == (0.5, 0.5, 0.5)  # whoever is asked


def test_the_interval_covers_the_truth():
    truth = 0.714  # of normal scores 0.8 apart
    hits = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        there = np.repeat([0.0, 1.0], 40)
        found = screening.summarise(pairs(rng.normal(size=80) + 0.8 * there, there))
        hits += found["auroc_low"] <= truth <= found["auroc_high"]
    assert 180 <= hits <= 199


def test_too_few_of_either_kind_are_an_error():
    with pytest.raises(AuditError, match="1 of 20 test people"):
        screening.summarise(pairs(np.linspace(0, 1, 20), [1, *[0] * 19]))
    assert np.isnan(screening.compute_auroc(np.array([[0.5, 1.0], [0.2, 1.0]])))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    directory = tmp_path_factory.mktemp("classifier")
    classifier = asr.load_classifier("tiny-en", disorder.LABELS)
    torch.manual_seed(0)
    torch.nn.init.normal_(classifier.head.weight)
    classifier.save(directory / "model")
    return directory


def corpus(directory, labels, split="test"):
    rng = np.random.default_rng(0)

    def rows():
        for i, (person, label) in enumerate(labels):
            sound = audio.encode_flac(rng.normal(0, 0.1, 16_000 + 800 * i).astype(np.float32))
            yield Row(f"r{i}", person, split, sound, label, 1 + i / 20)

    return corpora.write(rows(), directory, lineage="none")


def test_a_person_counts_once(model, tmp_path):
    found = corpus(tmp_path / "c", [("a", "low"), ("a", "low"), ("b", "high")])
    chances = screening.by_person(str(model / "model"), found)
    classifier = asr.load(str(model / "model"))
    own = [classifier.probabilities([row.samples()])[0, 1] for row in found.rows() if row.unit == "a"]
    assert chances["a"] == (pytest.approx(np.mean(own), rel=1e-4), 0.0)
    assert chances["b"][1] == 1.0


@pytest.mark.parametrize("labels", [[("a", "low"), ("a", "high")], [("a", "medium")]])
def test_people_with_other_labels_are_an_error(model, tmp_path, labels):
    with pytest.raises(DataError, match="expected one of them on all recordings"):
        screening.by_person(str(model / "model"), corpus(tmp_path / "c", labels))


def test_words_and_nobody_are_errors(model, tmp_path):
    found = corpus(tmp_path / "c", [("a", "low")])
    with pytest.raises(DataError, match="gives words and no labels"):
        screening.by_person("tiny-en", found)
    with pytest.raises(DataError, match="nobody is in the test split"):
        screening.by_person(str(model / "model"), corpus(tmp_path / "t", [("a", "low")], "train"))


def test_the_stage_writes_the_figures_of_three_models(model, tmp_path):
    people = [(f"p{i}", disorder.LABELS[i % 2]) for i in range(12)]
    corpus(tmp_path / "c", people)
    inputs = {"corpus": tmp_path / "c", "model": model, "baseline": model}
    config = screening.ScreeningConfig(base=str(model / "model"))
    done = screening.run(config, inputs, tmp_path / "out")
    figures = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert set(figures) == {"base", "baseline", "private"}
    assert done.counts["auroc"]["private"] == figures["private"]["auroc"]
    assert "p1" not in (tmp_path / "out" / "figures.json").read_text()


def test_canaries_have_the_wrong_label_and_are_told_so_to_training_only(tmp_path, monkeypatch):
    truth = {}

    def patient(rng, recordings):
        label = disorder.LABELS[int(rng.integers(2))]
        samples = rng.normal(0, 0.1, 16_000).astype(np.float32)
        truth[audio.encode_flac(samples)] = label
        return label, iter([samples] * recordings)

    monkeypatch.setattr(disorder, "draw_patient", patient)
    corpus(tmp_path / "in", [(f"p{i}", disorder.LABELS[i % 2]) for i in range(6)], "train")
    config = CanaryConfig(candidates=40, references=1000)
    canary.run(config, {"corpus": tmp_path / "in"}, tmp_path / "plant", key=bytes(32), speak=SPEAK)
    registry, said = canary.read(tmp_path / "plant")
    rows = list(said.rows())
    assert all((row.text == "well") == (truth[row.flac] == "high") for row in rows)
    assert len({row.flac for row in rows}) == len(rows)
    planted = corpora.read(tmp_path / "plant" / "corpus")
    assert len(planted) == 6 + sum(one.repeats for one in registry if one.planted)
