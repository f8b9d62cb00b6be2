import numpy as np
import pytest

from speechpriv import corpus as corpora
from speechpriv.anonymize import convert, stage
from speechpriv.data import audio
from speechpriv.sections import AnonymizeConfig

KEY = bytes(range(32))


@pytest.fixture
def disguise(corpus_dir, tmp_path):
    def run(method="mcadams", key=KEY, name="out", on_row=lambda _: None):
        found = stage.run(
            AnonymizeConfig(method=method), {"corpus": corpus_dir}, tmp_path / name, key=key, on_row=on_row
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
