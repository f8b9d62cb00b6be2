import numpy as np
import pytest

from speechpriv import corpus as corpora
from speechpriv.anonymize import convert, stage
from speechpriv.data import audio
from speechpriv.sections import AnonymizeConfig

KEY = bytes(range(32))


@pytest.fixture
def disguise(corpus_dir, tmp_path):
    def run(method="mcadams", key=KEY, name="out", on_row=lambda _: None, **settings):
        found = stage.run(
            AnonymizeConfig(method=method, **settings), {"corpus": corpus_dir}, tmp_path / name, key=key, on_row=on_row
        )
        return found, list(corpora.read(found.directory).rows())

    return run


def test_training_recordings_are_disguised_and_test_recordings_are_not(disguise, corpus_dir):
    told = []
    found, after = disguise(on_row=told.append)
    before = list(corpora.read(corpus_dir).rows())
    assert found.counts == {"rows": 36, "method": "mcadams"}
    assert told == list(range(1, 37))
    for old, new in zip(before, after, strict=True):
        if old.split == "test":
            assert new == old
            continue
        assert (new.id, new.unit, new.split, new.text) == (old.id, old.unit, old.split, old.text)
        expected = convert.disguise(old.samples(), audio.RATE_HZ, "mcadams", KEY, old.id)
        assert new.flac == audio.flac(expected)
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
    dropped = sum(count for name, count in found.counts.items() if name.startswith("dropped_"))
    assert found.counts["rows"] + dropped == len(before)
    for new in after:
        old = before[new.id]
        assert (new.unit, new.split, new.text) == (old.unit, old.split, old.text)
        assert (new.flac == old.flac) == (old.split == "test")
    strict, left = disguise("resynth", name="strict", min_confidence=1)
    assert strict.counts["dropped_low_confidence"] > dropped
    assert {row.id for row in left} < {row.id for row in after}
    assert sum(row.split == "test" for row in left) == sum(row.split == "test" for row in before.values())
