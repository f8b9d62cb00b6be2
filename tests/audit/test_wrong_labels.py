"""The audit of a model that gives labels: who learns wrong labels by heart is caught, who does not is left alone."""

import copy
import functools
import json

import numpy as np
import pytest

from speechpriv import audio
from speechpriv import corpus as corpora
from speechpriv.audit import stage, verdict
from speechpriv.audit.attacks import membership
from speechpriv.audit.canaries import canary, mislabelled
from speechpriv.audit.inference import statistics
from speechpriv.claim import Claim
from speechpriv.config import AuditConfig, CanaryConfig
from speechpriv.corpus import Row
from speechpriv.data import disorder
from speechpriv.models import asr
from speechpriv.train import baseline

LABELS, STEPS = disorder.LABELS, 150
CLAIM = Claim(
    event="{}", epsilon=1.0, delta=1e-4, mu_gdp=0.3, max_tpr_at_1_percent_fpr=0.02, unit="patient", cap_per_unit=4,
    sampling_rate=0.25, noise_multiplier=1.0, clip_norm=1.0, normalisation=100.0, steps=40, units=400,
    composed_epsilon=1.0,
)  # fmt: skip


def melody(rng, label):
    """A second of ten tones, unlike any other; those of the second label are higher."""
    at = np.arange(1_600) / audio.RATE_HZ
    low_hz, high_hz = ((200, 1_200), (1_400, 3_000))[LABELS.index(label)]
    tones = [0.2 * np.sin(2 * np.pi * rng.uniform(low_hz, high_hz) * at) for _ in range(10)]
    return np.concatenate(tones).astype(np.float32)


def patient(rng, recordings):
    """Instead of a synthetic patient of disorder.py."""
    label = LABELS[int(rng.integers(2))]
    return label, (melody(rng, label) for _ in range(recordings))


def people(directory, count, *, seed, told=True):
    """A corpus of so many people in either split, two recordings each; if not `told`, labels alternate."""
    rng = np.random.default_rng(seed)

    def rows():
        for number in range(2 * count):
            label, recordings = patient(rng, 2)
            label = label if told else LABELS[number % 2]  # as many on either side: their number tells nothing
            for part, samples in enumerate(recordings):
                split = "train" if number < count else "test"
                yield Row(f"{seed}-{number}-{part}", f"p{number}", split, audio.encode_flac(samples), label, 1.0)

    return corpora.write(rows(), directory, lineage="none")


@pytest.fixture(scope="module")
def begun(base):
    """A small classifier that has learned nothing."""
    return asr.load_classifier(str(base), LABELS)


def learned(begun, rows):
    """The same after ordinary training on some recordings, until nothing else is known."""
    classifier = asr.Classifier(copy.deepcopy(begun.model).requires_grad_(), begun.front_end)
    batch = [asr.Utterance(row.samples(), row.text) for row in rows]
    baseline.fit_baseline(classifier, [batch] * STEPS, steps=STEPS, learning_rate=5e-3)
    return classifier


@pytest.fixture(scope="module")
def run(tmp_path_factory, begun):
    """A plant stage, and three models: base, one that learned people and planted canaries, one that learned people."""
    directory = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disorder, "draw_patient", patient)
        people(directory / "in", 12, seed=1)
        config = CanaryConfig(candidates=60, references=1000, repeats=(1,))
        speak = functools.partial(mislabelled.speak_mislabelled, labels=LABELS)
        canary.run(config, {"corpus": directory / "in"}, directory / "plant", key=b"k" * 32, speak=speak)
    registry, said = canary.read(directory / "plant")
    begun.save(directory / "base")
    known = [row for row in people(directory / "others", 16, seed=2).rows() if row.split == "train"]
    planted = [said[i] for i, one in enumerate(registry) if one.planted]
    models = {"heart": learned(begun, [*known, *planted]), "other": learned(begun, known)}
    for name, classifier in models.items():
        classifier.save(directory / name / "model")
        (directory / name / "claim.json").write_text(CLAIM.to_json())
    return directory


def audited(run, tmp_path, model, baseline):
    config = stage.AuditStageConfig(audit=AuditConfig(), base=str(run / "base"))
    stage.run(config, {"plant": run / "plant", "model": run / model, "baseline": run / baseline}, tmp_path / "audit")
    (run / "audits.json").unlink(missing_ok=True)  # each of these is the first
    return json.loads((tmp_path / "audit" / "verdict.json").read_text())


def test_who_learned_wrong_labels_by_heart_gives_them(run):
    registry, said = canary.read(run / "plant")
    planted = [said[i] for i, one in enumerate(registry) if one.planted]
    kept_out = [said[i] for i, one in enumerate(registry) if not one.planted][:100]
    shares = {}
    for name in ("heart", "other"):
        heard = asr.load(str(run / name / "model")).transcribe
        shares[name] = [
            np.mean([heard([row.samples()])[0] == row.text for row in side]) for side in (planted, kept_out)
        ]
    assert shares["heart"][0] > 0.9
    assert max(shares["heart"][1], *shares["other"]) < 0.5


def test_it_passes_if_the_baseline_is_caught_and_it_is_not(run, tmp_path):
    found = audited(run, tmp_path, "other", "heart")
    assert found["verdict"] == "PASS", found["reasons"]
    assert found["unit"] == "patient"
    assert found["baseline"]["verdict"] == "FAIL"
    assert found["baseline"]["auc"] > 0.7
    assert min(found["negative_control"]["p_value"], found["negative_control"]["p_reverse"]) > 0.001
    assert found["extraction"] == {}


def test_it_fails_if_it_learned_them_by_heart(run, tmp_path):
    found = audited(run, tmp_path, "heart", "heart")
    assert found["verdict"] == "FAIL"
    assert found["private"]["auc"] > 0.7


def test_nothing_is_concluded_where_the_baseline_learned_nothing_of_them(run, tmp_path):
    """The positive control: an audit that catches nobody says nothing."""
    found = audited(run, tmp_path, "other", "other")
    assert found["verdict"] == "INCONCLUSIVE"
    assert "baseline was not caught" in " ".join(found["reasons"])


def test_among_labels_that_nothing_tells_a_claim_hides_them():
    """Why the baseline must have learned its task: where half of all references get the wrong
    label by chance, those that
    were learned by heart have no more than the claim allows, however sure it is of them."""
    rng = np.random.default_rng(0)
    planted = rng.exponential(0.01, 30)
    for by_chance, caught in ((0.5, False), (0.0, True)):
        references = np.where(
            rng.random(1_000) < by_chance, rng.exponential(0.01, 1_000), 1 + rng.exponential(2, 1_000)
        )
        found = statistics.measure_leakage(planted, references, 1.5)  # as of epsilon 8
        assert bool(verdict.find_leaks(found, claimed=True, alpha=0.02)) == caught


def test_whole_patients_are_told_from_others_by_who_learned_them_by_heart(begun, tmp_path):
    """Members against people who stayed out; the control is a model that learned others of the same kind."""
    corpus = people(tmp_path / "c", 40, seed=3, told=False)
    units = corpus.units("train"), corpus.units("test")
    rows = {
        "these": [row for row in corpus.rows() if row.split == "train"],
        "others": [row for row in people(tmp_path / "o", 40, seed=4, told=False).rows() if row.split == "train"],
    }
    found = {
        name: membership.compare_units(learned(begun, known), begun, corpus, *units) for name, known in rows.items()
    }
    assert found["these"].members == found["these"].others == 40
    assert found["these"].with_labels.auc_low > 0.6
    # Whatever labels are called: the loss of the one that is written is the doubt about it (the base doubts all alike).
    assert found["these"].pseudo_labels.auc == pytest.approx(found["these"].confidence.auc, abs=0.01)
    assert found["others"].with_labels.auc_low <= 0.5 <= found["others"].with_labels.auc_high
