import threading
from dataclasses import replace

import numpy as np
import pytest

from speechpriv import audio
from speechpriv import corpus as corpora
from speechpriv.anonymize import convert, stage
from speechpriv.anonymize import rows as rows_at_once
from speechpriv.errors import DataError, ModelError
from speechpriv.sections import AnonymizeConfig

KEY = bytes(range(32))


@pytest.fixture
def disguise(corpus_dir, tmp_path):
    def run(method="mcadams", key=KEY, name="out", on_row=lambda _: None, workers=1, **settings):
        found = stage.run(
            AnonymizeConfig(method=method, **settings),
            {"corpus": corpus_dir},
            tmp_path / name,
            key=key,
            on_row=on_row,
            workers=workers,
        )
        return found, list(corpora.read(found.directory).rows())

    return run


def test_training_recordings_are_disguised_and_test_recordings_are_not(disguise, corpus_dir):
    told = []
    found, after = disguise(on_row=told.append)
    before = list(corpora.read(corpus_dir).rows())
    assert found.counts == {"rows": 36, "method": "mcadams", "timing": "kept", "dropped": {}}
    assert told == list(range(1, 37))
    for old, new in zip(before, after, strict=True):
        if old.split == "test":
            assert new == old
            continue
        assert (new.id, new.unit, new.split, new.text) == (old.id, old.unit, old.split, old.text)
        expected = convert.disguise(old.samples(), audio.RATE_HZ, "mcadams", KEY, old.id)
        assert new.flac == audio.encode_flac(expected)
        assert new.seconds == pytest.approx(len(new.samples()) / 16_000)
        assert np.abs(new.samples() - old.samples()).max() > 0.01
    assert {row.split for row in before} == {"train", "test"}


def test_the_lineage_stays(disguise, corpus_dir):
    found, _ = disguise()
    assert corpora.read(found.directory).lineage == corpora.read(corpus_dir).lineage


def test_none_changes_nothing(disguise, corpus_dir):
    _, after = disguise("none")
    assert after == list(corpora.read(corpus_dir).rows())


def test_the_same_key_disguises_alike_and_another_does_not(disguise):
    same, again, other = disguise(name="a")[1], disguise(name="b")[1], disguise(key=bytes(32), name="c")[1]
    assert same == again
    assert all((a.flac == b.flac) == (a.split == "test") for a, b in zip(same, other, strict=True))


def test_resynthesis_speaks_the_words_and_drops_what_it_cannot_trust(disguise, corpus_dir, tiny_en):
    told = []
    found, after = disguise("resynth", on_row=told.append)
    assert told == list(range(1, 37))  # progress counts what was looked at
    before = {row.id: row for row in corpora.read(corpus_dir).rows()}
    assert found.counts["rows"] == len(after) > 30
    dropped = sum(found.counts["dropped"].values())
    assert found.counts["rows"] + dropped == len(before)
    for new in after:
        old = before[new.id]
        assert (new.unit, new.split, new.text) == (old.unit, old.split, old.text)
        assert (new.flac == old.flac) == (old.split == "test")
    strict, left = disguise("resynth", name="strict", min_confidence=1)
    assert strict.counts["dropped"]["low_confidence"] > dropped
    assert {row.id for row in left} < {row.id for row in after}
    assert sum(row.split == "test" for row in left) == sum(row.split == "test" for row in before.values())


@pytest.mark.parametrize("method", ["cascade", "resynth"])
def test_the_same_bytes_by_however_many_workers_in_whatever_order(disguise, corpus_dir, tmp_path, method):
    _, one = disguise(method, name="one", timing="randomised")
    _, three = disguise(method, name="three", timing="randomised", workers=3)
    assert one == three
    rows = list(corpora.read(corpus_dir).rows())
    corpora.write(rows[::-1], tmp_path / "reversed", lineage="synthetic")
    inputs = {"corpus": tmp_path / "reversed"}
    config = AnonymizeConfig(method=method, timing="randomised")
    found = stage.run(config, inputs, tmp_path / "backwards", key=KEY, workers=2)
    assert list(corpora.read(found.directory).rows()) == one[::-1]


def test_a_row_that_takes_too_long_is_dropped_and_counted(corpus_dir, tmp_path, monkeypatch):
    rows = list(corpora.read(corpus_dir).rows())
    slow = next(row for row in rows if row.split == "train")
    minutes = audio.encode_flac(0.1 * np.random.default_rng(0).standard_normal(300 * 16_000))
    corpora.write(
        [replace(row, flac=minutes) if row == slow else row for row in rows], tmp_path / "slow", lineage="synthetic"
    )
    real = rows_at_once.parallel.map_in_order

    def hurried(function, calls, *rest, **more):
        return real(function, ((row, args, 0.1 if row.id == slow.id else 60) for row, args, _ in calls), *rest, **more)

    monkeypatch.setattr(rows_at_once.parallel, "map_in_order", hurried)
    found = stage.run(AnonymizeConfig(method="cascade"), {"corpus": tmp_path / "slow"}, tmp_path / "out", key=KEY)
    assert found.counts == {"rows": 35, "method": "cascade", "timing": "kept", "dropped": {"too_slow": 1}}
    assert slow.id not in {row.id for row in corpora.read(found.directory).rows()}


def test_one_bad_row_is_dropped_and_counted(disguise, corpus_dir, tmp_path):
    rows = list(corpora.read(corpus_dir).rows())
    bad = next(row for row in rows if row.split == "train")
    spoiled = [replace(row, flac=b"no audio") if row == bad else row for row in rows]
    corpora.write(spoiled, tmp_path / "spoiled", lineage="synthetic")
    found = stage.run(AnonymizeConfig(), {"corpus": tmp_path / "spoiled"}, tmp_path / "out", key=KEY)
    assert found.counts["dropped"] == {"failed": 1}
    assert [row.id for row in corpora.read(found.directory).rows()] == [row.id for row in rows if row != bad]


def test_a_stage_that_drops_all_fails(corpus_dir, tmp_path):
    silent = [replace(row, text="[NAME]") for row in corpora.read(corpus_dir).rows()]
    corpora.write(silent, tmp_path / "silent", lineage="synthetic")
    with pytest.raises(DataError, match=r"none of 27 training recordings could be disguised \(27 nothing_to_say\)"):
        stage.run(AnonymizeConfig(method="resynth"), {"corpus": tmp_path / "silent"}, tmp_path / "out", key=KEY)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("most", "bad", "told"), [(0.01, 2, "more than 1 "), (0.1, 3, "more than 2 "), (0, 1, "more than 0 ")]
)
def test_more_that_fail_than_the_limit_end_the_stage(corpus_dir, tmp_path, most, bad, told):
    rows = list(corpora.read(corpus_dir).rows())
    spoiled = set([row.id for row in rows if row.split == "train"][:bad])
    corpora.write(
        [replace(row, flac=b"no audio") if row.id in spoiled else row for row in rows], tmp_path / "in", lineage="x"
    )
    inputs = {"corpus": tmp_path / "in"}
    with pytest.raises(
        DataError, match=rf"anonymize: {bad} failed of 27 recordings, which is {told}.*DataError"
    ) as found:
        stage.run(AnonymizeConfig(max_failed=most), inputs, tmp_path / "out", key=KEY)
    assert "raise anonymize.max_failed" in str(found.value)
    assert not any(row.text in str(found.value) for row in rows)
    assert not (tmp_path / "out").exists()
    more = AnonymizeConfig(max_failed=0.2)
    assert stage.run(more, inputs, tmp_path / "out", key=KEY).counts["dropped"] == {"failed": bad}


def test_what_is_no_rows_fault_ends_the_stage(disguise, tmp_path):
    before = threading.active_count()
    with pytest.raises(ModelError, match="nowhere"):
        disguise("resynth", name="nobody", aligner=str(tmp_path / "nowhere"))
    assert threading.active_count() <= before  # those that led the worker processes
