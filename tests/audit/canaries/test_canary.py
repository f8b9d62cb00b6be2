import dataclasses
import json
from collections import Counter
from itertools import islice
from typing import get_args

import numpy as np
import pytest
import scipy.stats

from speechpriv import audio, corpus, store
from speechpriv.audit.canaries import canary, personal, phrases
from speechpriv.audit.canaries.canary import Canary
from speechpriv.config import CanaryConfig, Placed
from speechpriv.data import text, voices
from speechpriv.errors import AuditError
from speechpriv.models import new

KEY = b"k" * 32
# Fewer references than a config may ask for: what is spoken costs time.
SMALL = CanaryConfig.model_construct(candidates=30, references=6, repeats=(1, 2, 4), words=4)


@pytest.fixture(scope="module")
def planted(tmp_path_factory, corpus_dir):
    """A plant stage over the corpus of synthetic people."""
    return canary.run(SMALL, {"corpus": corpus_dir}, tmp_path_factory.mktemp("run") / "plant", key=KEY)


@pytest.fixture
def drawn(tmp_path):
    """A registry with phrases of silence, not yet altered."""
    registry = [Canary(f"id{i}", i % 3, planted=i % 3 == 1) for i in range(6)]
    canary.write(registry, _silence(registry), tmp_path)
    return registry, tmp_path


def _silence(registry):
    flac = audio.encode_flac(np.zeros(1600, np.float32))
    return (corpus.Row(c.id, c.id, "test", flac, "made up words", 0.1) for c in registry)


def registry_of(key, **changed):
    return canary.make(CanaryConfig(**changed), key)[0]


def test_the_key_decides_everything():
    first, spoken = canary.make(CanaryConfig(), KEY)
    again, spoken_again = canary.make(CanaryConfig(), KEY)
    assert first == again
    rows, rows_again = list(islice(spoken, 5)), list(islice(spoken_again, 5))
    assert rows == rows_again
    other, spoken_other = canary.make(CanaryConfig(), b"other" * 7)
    assert not {c.id for c in first} & {c.id for c in other}
    assert [c.planted for c in first] != [c.planted for c in other]
    assert next(spoken_other).text != rows[0].text


def test_as_many_as_asked_for_of_each_tier():
    registry = registry_of(KEY, candidates=50, references=1200)
    assert Counter(c.repeats for c in registry) == {0: 1200, 1: 10, 2: 10, 4: 10, 8: 10, 16: 10}
    assert len({c.id for c in registry}) == 1250
    assert not any(c.planted for c in registry if c.repeats == 0)


def test_coins_are_fair_whatever_the_tier_and_the_place():
    registry = registry_of(KEY, candidates=5000)[:5000]
    for tier in (1, 2, 4, 8, 16):
        heads = sum(c.planted for c in registry if c.repeats == tier)
        assert scipy.stats.binomtest(heads, 1000).pvalue > 1e-3
    coins = np.array([c.planted for c in registry])
    assert scipy.stats.binomtest(int((coins[1:] == coins[:-1]).sum()), 4999).pvalue > 1e-3


@pytest.fixture(scope="module")
def coarse():
    """80 ms a frame and 256 pieces, as tiny-en."""
    return new.make_recogniser(new.train_tokenizer(text.list_words()[0][:3000], 256), hidden=32, layers=1, channels=8)


@pytest.mark.parametrize("words", [3, 6, 12])
def test_phrases_fit_the_frames_of_a_coarse_model(coarse, words):
    """One that does not fit can be neither learned nor scored."""
    rows = list(islice(canary.make(CanaryConfig(words=words), KEY)[1], 60))
    assert all(coarse.fits(len(row.samples()), row.text) for row in rows)
    assert {len(row.text.split()) for row in rows} == {words}
    assert len({row.text for row in rows}) == 60
    # Negative control: spoken twice as fast, some would not fit.
    assert not all(coarse.fits(len(row.samples()) // 2, row.text) for row in rows)


def test_a_quick_voice_is_slowed_down(coarse):
    """One of 5,000 that were drawn did not fit at its own pace."""
    phrase, voice = "open determined employee", voices.Voice("en-gb-scotland", "robosoft3", rate_wpm=146)
    assert not coarse.fits(len(voices.speak(phrase, voice).samples), phrase)
    assert coarse.fits(len(phrases._slowly(phrase, voice)), phrase)


def test_candidates_and_references_are_spoken_alike():
    """Else the tests would find the difference and call it leakage."""
    rows = list(islice(canary.make(SMALL.model_copy(update={"references": 60}), KEY)[1], 90))
    seconds = np.array([row.seconds for row in rows])
    assert scipy.stats.mannwhitneyu(seconds[:30], seconds[30:]).pvalue > 1e-3


def test_kind_and_speed_know_nothing_of_coin_and_tier():
    """Else those that stayed out would not be exchangeable with the references."""
    registry = registry_of(KEY, candidates=3000, references=3000, kinds=("words", "digits"), speeds=(1.0, 2.0, 4.0))
    for names in (("kind", "planted"), ("speed", "planted"), ("kind", "repeats"), ("speed", "repeats")):
        counts = Counter(tuple(getattr(c, name) for name in names) for c in registry)
        rows, columns = ({key[at] for key in counts} for at in range(2))
        table = [[counts[row, column] for column in columns] for row in rows]
        assert scipy.stats.chi2_contingency(table).pvalue > 1e-3
    # Negative control: coin and tier do know of one another, since references are never planted.
    table = [[sum(c.planted == p and bool(c.repeats) == r for c in registry) for p in (0, 1)] for r in (0, 1)]
    assert scipy.stats.chi2_contingency(table).pvalue < 1e-3


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A corpus of forty people with two recordings each, half a second of silence."""
    flac = audio.encode_flac(np.zeros(8000, np.float32))
    directory = tmp_path_factory.mktemp("people")
    names = [(f"row-{i}-{j}", f"unit-{i}", "test" if i < 5 else "train") for i in range(45) for j in range(2)]
    rows = (corpus.Row(*name, flac, "people say words", 0.5) for name in names)
    corpus.write(rows, directory, lineage="synthetic")
    return directory


def without(corpus_dir, unit, directory):
    """A copy of a corpus from which one unit is taken away."""
    kept = corpus.read(corpus_dir)
    corpus.write((row for row in kept.rows() if row.unit != unit), directory, lineage=kept.lineage)
    return directory


@pytest.mark.parametrize("placed", get_args(Placed))
def test_one_unit_less_changes_no_other_units_rows(corpus_dir, tmp_path, placed):
    """What the adjacency of the claim is about: the planted corpus, and the one with personal phrases."""
    config = SMALL.model_copy(update={"placed": placed, "personal": 1, "candidates": 6, "references": 2})

    def planted(people, place):
        probed = personal.run(config, {"corpus": people}, place / "personal", key=KEY).directory
        inputs = {"corpus": probed / "corpus", "personal": probed}
        found = canary.run(config, inputs, place / "plant", key=KEY).directory
        return [list(corpus.read(where / "corpus").rows()) for where in (probed, found)]

    everybody = planted(corpus_dir, tmp_path / "all")
    for unit in {row.unit for row in corpus.read(corpus_dir).rows()}:
        fewer = planted(without(corpus_dir, unit, tmp_path / unit / "people"), tmp_path / unit)
        for after, before in zip(fewer, everybody, strict=True):
            assert after == [row for row in before if row.unit != unit]


@pytest.mark.parametrize("placed", get_args(Placed))
def test_placed(people, tmp_path, placed):
    config = SMALL.model_copy(update={"placed": placed})
    done = canary.run(config, {"corpus": people}, tmp_path / "plant", key=KEY)
    registry, training = canary.read(done.directory)[0], corpus.read(done.directory / "corpus")
    assert {c.placed for c in registry} == {placed}
    canary.check_planted(registry, training)
    units_of = {row.id: row.unit for row in training.rows("train")}
    real = set(corpus.read(people).units("train"))
    hosts = []
    for c in registry:
        found = {units_of[name] for name in c.rows if name in units_of}
        assert len(found) == (0 if not c.planted else c.repeats if placed == "spread" else 1)
        assert not found & real
        assert c.adds_one_unit == (placed == "own_unit" or (placed == "spread" and c.repeats <= 1))
        hosts += found
    assert len(hosts) == len(set(hosts))  # nobody has two
    assert done.counts["units"] == len(real | set(hosts))
    with pytest.raises(AuditError, match="planted twice"):
        canary.run(config, {"corpus": done.directory / "corpus"}, tmp_path / "again", key=KEY)


def test_the_commitment_binds_words_and_sound_and_coins(drawn):
    registry, directory = drawn
    before = canary.compute_commitment(directory)
    assert canary.compute_commitment(directory) == before
    found = {before}
    rows = list(_silence(registry))
    louder = audio.encode_flac(np.full(1600, 0.1, np.float32))
    for changed in ({"text": "other words"}, {"flac": louder}):
        altered = [dataclasses.replace(rows[0], **changed), *rows[1:]]
        canary.write(registry, iter(altered), directory)
        found.add(canary.compute_commitment(directory))
    canary.write([*registry[:-1], dataclasses.replace(registry[-1], planted=False, repeats=9)], iter(rows), directory)
    found.add(canary.compute_commitment(directory))
    assert len(found) == 4
    canary.write(registry, iter(rows), directory)
    assert canary.compute_commitment(directory) == before


def test_a_registry_of_before_kinds_and_speeds(tmp_path):
    (tmp_path / canary.REGISTRY).write_text('{"id": "a", "repeats": 2, "planted": true}\n')
    assert canary.read_registry(tmp_path) == [Canary("a", 2, planted=True, kind="words", speed=1.0, placed="own_unit")]


def test_planted_as_the_registry_says(planted, corpus_dir):
    registry, phrases = canary.read(planted.directory)
    training, before = corpus.read(planted.directory / "corpus"), corpus.read(corpus_dir)
    rows = {name: len(rows) for name, rows in training.units("train").items()}
    assert {c.id: rows.get(c.id, 0) for c in registry} == {c.id: c.repeats if c.planted else 0 for c in registry}
    assert training.lineage == before.lineage
    assert training.units("test").keys() == before.units("test").keys()
    assert {row.id for row in before.rows()} <= {row.id for row in training.rows()}
    assert len({row.id for row in training.rows()}) == len(training)
    assert planted.counts == {
        "candidates": 30, "planted": sum(c.planted for c in registry), "references": 6, "rows": len(training),
        "rows_removed": 0, "rows_planted": len(training) - len(before), "units": len(rows),
    }  # fmt: skip
    said = {row.unit: row for row in phrases.rows()}
    for row in training.rows("train"):
        if row.unit in said:
            assert (row.text, row.flac) == (said[row.unit].text, said[row.unit].flac)


def test_the_hash_of_the_drawing_is_kept(planted):
    manifest = store.require_stage(planted.directory)
    assert manifest["files"][canary.REGISTRY] == store.sha256(planted.directory / canary.REGISTRY)
    assert KEY.hex() not in json.dumps(manifest)


def test_a_registry_altered_after_the_drawing(planted, tmp_path):
    text = (planted.directory / canary.REGISTRY).read_text()
    (tmp_path / store.MANIFEST).write_text((planted.directory / store.MANIFEST).read_text())
    (tmp_path / canary.REGISTRY).write_text(text)
    assert canary.read_registry(tmp_path) == canary.read_registry(planted.directory)
    (tmp_path / canary.REGISTRY).write_text(text.replace("true", "false", 1))
    with pytest.raises(AuditError, match="altered since the canaries were drawn"):
        canary.read_registry(tmp_path)


def test_planted_twice(planted, tmp_path):
    with pytest.raises(AuditError, match="planted twice"):
        canary.run(SMALL, {"corpus": planted.directory / "corpus"}, tmp_path / "plant", key=KEY)


@pytest.mark.parametrize("change", ["one missing", "one too many", "one that stays out", "another drawing"])
def test_a_corpus_that_the_registry_does_not_match(planted, change):
    registry = canary.read_registry(planted.directory)
    training = corpus.read(planted.directory / "corpus")
    canary.check_planted(registry, training)
    chosen = next(i for i, c in enumerate(registry) if c.planted and c.repeats == 2)
    registry[chosen] = dataclasses.replace(registry[chosen], **{
        "one missing": {"repeats": 3}, "one too many": {"repeats": 1}, "one that stays out": {"planted": False},
        "another drawing": {"id": "0" * 16},
    }[change])  # fmt: skip
    with pytest.raises(AuditError, match=f"1 of {len(registry)} canaries"):
        canary.check_planted(registry, training)


def test_what_is_written_is_read(drawn):
    registry, directory = drawn
    found, phrases = canary.read(directory)
    assert found == registry
    assert [row.id for row in phrases.rows()] == [c.id for c in registry]


@pytest.mark.parametrize("order", [[1, 0, 2, 3, 4, 5], [0, 1, 2, 3, 4]], ids=["another order", "one missing"])
def test_phrases_of_another_registry(drawn, order):
    registry, directory = drawn
    canary.write([registry[i] for i in order], _silence(registry), directory)
    with pytest.raises(AuditError, match="must come from one drawing"):
        canary.read(directory)


@pytest.mark.parametrize(
    "line",
    [
        "", "{}", "[]", "3", "not json", '{"id": "a", "repeats": 1}',
        '{"id": "a", "repeats": 1, "planted": true, "more": 0}',
        '{"id": "a", "repeats": "1", "planted": true}', '{"id": "a", "repeats": 1, "planted": 1}',
        '{"id": "a", "repeats": 0, "planted": true}', '{"id": "a", "repeats": -1, "planted": false}',
        '{"id": 1, "repeats": 1, "planted": true}', '{"id": "a", "repeats": true, "planted": true}',
        '{"id": "id0", "repeats": 1, "planted": true}',
        '{"id": "a", "repeats": 1, "planted": true, "kind": "songs"}',
        '{"id": "a", "repeats": 1, "planted": true, "speed": 5}',
        '{"id": "a", "repeats": 1, "planted": true, "speed": NaN}',
        '{"id": "a", "repeats": 1, "planted": true, "speed": true}',
        '{"id": "a", "repeats": 1, "planted": true, "placed": "anywhere"}',
        '{"id": "a", "repeats": 1, "planted": true, "placed": "real_unit"}',
    ],
)  # fmt: skip
def test_a_damaged_registry(drawn, line):
    _, directory = drawn
    path = directory / canary.REGISTRY
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(AuditError):
        canary.read_registry(directory)


def test_no_registry(tmp_path):
    with pytest.raises(AuditError, match="not a canary registry"):
        canary.read_registry(tmp_path)
