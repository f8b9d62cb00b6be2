import dataclasses
import itertools
import json

import numpy as np
import pytest
import torch

from speechpriv import audio, corpus, store
from speechpriv.audit import stage
from speechpriv.audit.canaries import canary, personal, survival
from speechpriv.audit.canaries.survival import Survival, SurvivalConfig
from speechpriv.config import AuditConfig, CanaryConfig
from speechpriv.data import text
from speechpriv.errors import AuditError
from speechpriv.models import asr, new
from speechpriv.models.asr import Utterance
from speechpriv.train.recordings import Recordings

KEY = b"k" * 32
SMALL = CanaryConfig.model_construct(candidates=30, references=6, repeats=(1, 2, 4), words=3)
WHOLE = Survival(whole=12, lost=0, altered=0, left_out=0, unscored=0, strays=0)


def judged(survived):
    """The verdict on a model that learned nothing, beside a baseline that learned everything."""
    rng = np.random.default_rng(0)
    registry = [canary.Canary(f"candidate {i}", 1, planted=i % 2 == 0) for i in range(60)]
    registry += [canary.Canary(f"reference {i}", 0, planted=False) for i in range(1000)]
    scores = rng.normal(size=len(registry))
    baseline = scores - 40 * np.array([one.planted for one in registry])
    return stage.judge(registry, scores, baseline, None, AuditConfig(), survived=survived)


@pytest.fixture(scope="module")
def planted(tmp_path_factory, corpus_dir):
    """Registry, phrases, and the rows of a training corpus with canaries."""
    directory = canary.run(SMALL, {"corpus": corpus_dir}, tmp_path_factory.mktemp("run") / "plant", key=KEY).directory
    registry, said = canary.read(directory)
    return directory, registry, said, list(corpus.read(directory / "corpus").rows())


@pytest.fixture(scope="module")
def base_of(tmp_path_factory):
    """An untrained recogniser that has pieces for what canaries say."""
    torch.manual_seed(0)
    directory = tmp_path_factory.mktemp("base")
    new.make_recogniser(new.train_tokenizer(text.list_words()[0][:3000], 256), hidden=32, layers=1, channels=8).save(
        directory
    )
    return directory


@pytest.fixture
def checked(planted, base_of, tmp_path):
    """The stage on a corpus whose rows went through `change`, which gives the row, another one, or None."""
    directory, *_, rows = planted
    numbers = itertools.count()

    def run(change):
        place = tmp_path / str(next(numbers))
        kept = [one for row in rows for one in change(row)]
        corpus.write(kept, place / "corpus", lineage="synthetic")
        inputs = {"plant": directory, "corpus": place / "corpus"}
        done = survival.run(SurvivalConfig(base=str(base_of)), inputs, place / "survival")
        found = dataclasses.asdict(survival.read(done.directory))
        dropped = {state: found.pop(state) for state in ("lost", "altered", "left_out", "unscored")}
        told = {"dropped": {state: count for state, count in dropped.items() if count}}
        assert done.counts == {"planted": found["whole"] + sum(dropped.values()), **found, **told}
        return survival.read(done.directory)

    return run


@pytest.fixture
def one(planted):
    """A planted canary with two recordings."""
    return next(c for c in planted[1] if c.planted and c.repeats == 2)


def test_all_survive(planted, checked):
    found = checked(lambda row: [row])
    assert found == Survival(sum(c.planted for c in planted[1]), 0, 0, 0, 0, 0)
    assert not found.doubts() + found.failures()


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("lost", "not in the training corpus as often"),
        ("altered", "something masked them"),
        ("left_out", "training leaves them out"),
        ("unscored", "no finite loss"),
    ],
)
def test_one_recording_of_one_canary(planted, checked, one, monkeypatch, field, said):
    """Whatever befalls one of its recordings, its canary is counted, once, and no PASS can be given."""
    silent = audio.encode_flac(np.zeros(1600, np.float32))

    def change(row):
        if row.id != one.rows[1]:
            return [row]
        changed = {
            "lost": [],
            "altered": [dataclasses.replace(row, text=f"[NAME] {row.text.split(' ', 1)[1]}")],
            "left_out": [dataclasses.replace(row, flac=silent, seconds=0.1)],
            "unscored": [dataclasses.replace(row, flac=silent, seconds=0.1)],
        }
        return changed[field]

    if field == "unscored":
        monkeypatch.setattr(asr.CtcRecogniser, "fits", lambda *_: True)
    found = checked(change)
    assert dataclasses.asdict(found) == {**dataclasses.asdict(WHOLE), "whole": found.planted - 1, field: 1}
    assert said in found.doubts()[0]
    assert f"1 of {sum(c.planted for c in planted[1])} " in found.doubts()[0]
    assert judged(found)["verdict"] == "INCONCLUSIVE"


def test_twice_is_lost(checked, one):
    assert checked(lambda row: [row, row] if row.id == one.rows[0] else [row]).lost == 1


def test_in_the_test_part_is_lost(checked, one):
    found = checked(lambda row: [dataclasses.replace(row, split="test") if row.id in one.rows else row])
    assert found.lost == 1


def test_left_out_is_what_training_leaves_out(planted, checked, one, base_of, tmp_path):
    """The check asks as training does."""
    silent = audio.encode_flac(np.zeros(1600, np.float32))

    def change(row):
        return [dataclasses.replace(row, flac=silent, seconds=0.1) if row.id in one.rows else row]

    assert checked(change).left_out == 1
    rows = [changed for row in planted[3] for changed in change(row)]
    recordings = Recordings(corpus.write(rows, tmp_path / "c", lineage="synthetic"), asr.load(str(base_of)), hear=False)
    units = recordings.units()
    assert [len(units[c.id]) for c in planted[1] if c.planted] == [
        0 if c == one else c.repeats for c in planted[1] if c.planted
    ]


def test_a_phrase_that_was_to_stay_out(planted, checked):
    index = next(i for i, c in enumerate(planted[1]) if not c.planted)
    said = planted[2][index].text
    found = checked(lambda row: [dataclasses.replace(row, text=said.upper()) if row.unit == "unit-5" else row])
    assert found.strays == 1
    assert "phrases that were to stay out" in found.doubts()[0]
    assert "1" not in found.doubts()[0]  # it is released, and the number is of people's own words
    of_test_part = checked(lambda row: [dataclasses.replace(row, text=said) if row.split == "test" else row])
    assert of_test_part.strays == 0


def test_a_loss_that_is_not_a_number(planted, recogniser, monkeypatch):
    """A base model with broken weights learns nothing."""
    _, registry, said, rows = planted
    found = {row.id: [Utterance(row.samples(), row.text)] for row in rows}
    with torch.no_grad():
        recogniser.head.bias.fill_(torch.nan)
    monkeypatch.setattr(asr.CtcRecogniser, "fits", lambda *_: True)
    counted = survival.check(registry, said, found, [], recogniser)
    assert counted.unscored == counted.planted > 0


def test_the_scrubber_is_checked_too(planted, base_of, corpus_dir, tmp_path):
    probed = personal.run(CanaryConfig(personal=1), {"corpus": corpus_dir}, tmp_path / "personal", key=KEY).directory
    inputs = {
        "plant": planted[0], "corpus": planted[0] / "corpus", "personal": probed, "scrubbed": probed / "corpus",
    }  # fmt: skip
    done = survival.run(SurvivalConfig(base=str(base_of)), inputs, tmp_path / "survival")
    found = survival.read(done.directory)
    assert found.personal == found.missed == dict.fromkeys(("name", "phone", "card", "email", "address"), 1)
    said = judged(found)
    assert said["verdict"] == "FAIL"
    assert said["reasons"] == found.failures()
    assert "1 of 1 synthetic phrases of the kind phone" in said["reasons"][1]
    # Nothing that was said, and nobody, is in what may be shown.
    told = (
        json.dumps(said)
        + (done.directory / survival.FILE).read_text()
        + json.dumps(store.require_stage(done.directory))
    )
    assert not [p for p in personal.read(probed) if p.secret in told or p.id in told]


def test_too_many_canaries_that_cannot_be_learned_end_the_run(planted, base_of, tmp_path, monkeypatch):
    inputs = {"plant": planted[0], "corpus": planted[0] / "corpus"}
    monkeypatch.setattr(asr.CtcRecogniser, "fits", lambda *_: False)
    with pytest.raises(AuditError, match=r"do not fit their audio.*nothing spent"):
        survival.run(SurvivalConfig(base=str(base_of)), inputs, tmp_path / "survival")
    monkeypatch.undo()
    assert survival.run(SurvivalConfig(base=str(base_of)), inputs, tmp_path / "survival").counts["dropped"] == {}


@pytest.mark.parametrize(
    ("changed", "word", "why"),
    [
        ({}, "PASS", None),
        ({"lost": 1}, "INCONCLUSIVE", Survival.doubts),
        ({"missed": {"phone": 1}}, "FAIL", Survival.failures),
        ({"lost": 1, "missed": {"phone": 1}}, "FAIL", Survival.failures),
        ({"missed": {"phone": 0}}, "PASS", None),
    ],
)
def test_what_it_does_to_a_verdict(changed, word, why):
    survived = dataclasses.replace(WHOLE, personal={"phone": 3}, **changed)
    said = judged(survived)
    assert said["verdict"] == word
    assert why is None or said["reasons"] == why(survived)
    assert said["survival"] == dataclasses.asdict(survived)
    assert said["baseline"]["verdict"] == "FAIL"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"whole": 1}'])
def test_a_damaged_check(tmp_path, content):
    (tmp_path / survival.FILE).write_text(content)
    with pytest.raises(AuditError, match="not a survival check"):
        survival.read(tmp_path)
