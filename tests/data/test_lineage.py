import itertools
import json
import multiprocessing
import stat

import numpy as np
import pytest
import soundfile

from speechpriv.data import ingest, lineage, recordings, sources
from speechpriv.data.sources import Rejected, SourceRow
from speechpriv.errors import LedgerError
from speechpriv.sections import DataConfig

KEY = bytes(range(32))


def sound(seed, seconds=0.4):
    return (3000 * np.random.default_rng(seed).standard_normal(int(16_000 * seconds))).astype(np.int16)


def corpus(root, seeds, suffix=".wav", layout="folder"):
    """A folder of short noises, one for each seed, four to a person."""
    root.mkdir(parents=True)
    records = []
    for place, seed in enumerate(seeds):
        soundfile.write(root / f"{place}{suffix}", sound(seed), 16_000, subtype="PCM_16")
        records.append({"file_name": f"{place}{suffix}", "text": "go", "user": f"person {place // 4}"})
    if layout == "nemo":
        records = [
            {"audio_filepath": r["file_name"], "text": r["text"], "speaker": r["user"], "offset": 0.1, "duration": 0.2}
            for r in records
        ]
    name = "manifest.json" if layout == "nemo" else "metadata.jsonl"
    (root / name).write_text("".join(json.dumps(record) + "\n" for record in records))
    return root


def sketch(root, out):
    """What the first stage writes of a corpus."""
    settings = ingest.IngestConfig(data=DataConfig(path=str(root), test_fraction=0.4), seed=3)
    done = ingest.run(settings, sources.list_inputs(settings.data), out, key=KEY)
    return lineage.read(done.directory / lineage.SKETCH)


def heard(*blocks):
    recording = lineage.SketchBuilder()
    for block in blocks:
        recording.update(block)
    return recording


def sketched(*marks):
    return lineage.Sketch(frozenset(marks))


@pytest.fixture
def ledgers(tmp_path):
    folder = tmp_path / "ledgers"
    folder.mkdir()
    return folder


KIN = {
    "moved": (range(40), ".wav", "folder"),
    "a quarter of it": (range(10, 20), ".wav", "folder"),
    "with new people": (range(80), ".wav", "folder"),
    "re-split and in another order": (list(range(40))[::-1], ".wav", "folder"),
    "in another container": (range(40), ".flac", "folder"),
    "cut into other segments": (range(40), ".wav", "nemo"),
    "one recording of it": ([7, *range(500, 539)], ".wav", "folder"),
}


@pytest.mark.parametrize("case", KIN)
def test_a_copy_has_the_ledger_of_its_original(tmp_path, ledgers, case):
    first = lineage.join(ledgers, "a", sketch(corpus(tmp_path / "first", range(40)), tmp_path / "i1"))
    seeds, suffix, layout = KIN[case]
    copy = sketch(corpus(tmp_path / "copy", seeds, suffix, layout), tmp_path / "i2")
    assert lineage.join(ledgers, "b", copy) == first == ledgers / "a.sqlite"
    assert lineage.find(ledgers, "b", sketched()) == first  # known by its name from now on


def test_other_recordings_have_another_ledger(tmp_path, ledgers):
    first = lineage.join(ledgers, "a", sketch(corpus(tmp_path / "first", range(40)), tmp_path / "i1"))
    other = sketch(corpus(tmp_path / "other", range(100, 140)), tmp_path / "i2")
    assert lineage.join(ledgers, "b", other) == ledgers / "b.sqlite" != first


def test_a_ledger_knows_what_its_later_corpora_brought(ledgers):
    lineage.join(ledgers, "a", sketched(1, 2, 3))
    lineage.join(ledgers, "b", sketched(3, 4, 5))
    assert lineage.find(ledgers, "c", sketched(5)) == ledgers / "a.sqlite"


def test_a_corpus_between_two_ledgers_is_refused(ledgers):
    lineage.join(ledgers, "a", sketched(1, 2))
    lineage.join(ledgers, "b", sketched(3, 4))
    with pytest.raises(LedgerError, match=r"in 2 ledgers \(a.sqlite, b.sqlite\).*kept apart"):
        lineage.join(ledgers, "c", sketched(2, 3))


def test_a_fraction_of_a_large_corpus_shares_that_fraction_of_the_sketch():
    rng = np.random.default_rng(0)
    large = [rng.standard_normal(2).astype(np.float32) / 10 for _ in range(20_000)]

    def marks(samples):
        sketcher = lineage.Sketcher()
        for one in samples:
            sketcher.add(heard(one))
        return sketcher.sketch().recordings

    whole = marks(large)
    assert len(whole) == 1024
    for share in (0.5, 0.1, 0.03):
        shared = len(whole & marks(large[: int(share * len(large))]))
        assert abs(shared - 1024 * share) < 4 * np.sqrt(1024 * share)
    assert whole & marks(rng.standard_normal((5000, 2)).astype(np.float32) / 10) == frozenset()


def test_silence_is_no_kinship():
    sketcher = lineage.Sketcher()
    sketcher.add(heard(np.zeros(16_000, np.float32)))
    sketcher.add(heard(np.zeros(0, np.float32)))
    sketcher.add(heard(np.full(100, 3e-5, np.float32)))
    assert sketcher.sketch() == lineage.Sketch()


def test_listening_is_what_the_first_stage_hears(tmp_path):
    root = corpus(tmp_path / "first", range(12))
    rows = list(sources.open_source(DataConfig(path=str(root))))
    broken = [Rejected("x", "no audio"), SourceRow("y", "u", "t", b"no sound"), SourceRow("z", "u", "t", root / "none")]
    assert recordings.sketch_corpus([*broken, *rows], DataConfig(path=str(root))) == sketch(root, tmp_path / "i")


def test_only_the_owner_may_read_and_no_name_is_written(tmp_path, ledgers):
    marks = sketch(corpus(tmp_path / "jane-doe", range(12)), tmp_path / "i")
    lineage.join(ledgers, "0123456789abcdef", marks)
    for path in (ledgers / "0123456789abcdef.json", tmp_path / "i" / lineage.SKETCH):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert "jane" not in path.read_text()
        assert "person" not in path.read_text()


def test_a_damaged_sketch_stops_the_search(ledgers):
    lineage.join(ledgers, "a", sketched(1))
    (ledgers / "a.json").write_text("{")
    with pytest.raises(LedgerError, match=r"a\.json: not what is kept beside a ledger"):
        lineage.find(ledgers, "b", sketched(1))


RECORDINGS = itertools.count()


def met(*names, key=KEY):
    """The sketch of a corpus in which these people speak, and whose recordings are nobody else's."""
    sketcher = lineage.Sketcher(key)
    for name in names:
        sketcher.add_person(name)
    return lineage.Sketch(frozenset({next(RECORDINGS)}), sketcher.sketch().people)


def people(first, last):
    return [f"person {number}" for number in range(first, last)]


def test_the_same_people_in_other_recordings_share_a_ledger_and_it_is_said(tmp_path, ledgers):
    told = []
    lineage.join(ledgers, "january", met(*people(0, 40)), tell=told.append)
    assert told == []
    assert lineage.join(ledgers, "february", met(*people(30, 60)), tell=told.append) == ledgers / "january.sqlite"
    assert "10 of 30 names of people here are also in january.sqlite" in told[0]
    assert lineage.join(ledgers, "march", met(*people(50, 70)), tell=told.append) == ledgers / "january.sqlite"
    assert lineage.join(ledgers, "february", met(*people(30, 60)), tell=told.append) == ledgers / "january.sqlite"
    assert len(told) == 2  # known by its own name from then on


STRANGERS = {
    "other names": people(40, 80),
    "one name in common": ["person 7", *people(40, 43)],  # such as `unknown`
    "fewer than a tenth": [*people(0, 3), *people(100, 137)],
    "nobody": [],
}


@pytest.mark.parametrize("case", STRANGERS)
def test_a_few_names_in_common_are_no_kinship(ledgers, case):
    lineage.join(ledgers, "a", met(*people(0, 40)))
    assert lineage.join(ledgers, "b", met(*STRANGERS[case])) == ledgers / "b.sqlite"


@pytest.mark.parametrize("size", [40, 900, 5000])
@pytest.mark.parametrize(("share", "kin"), [(0.15, True), (0.06, False)])
def test_a_tenth_of_the_names_is_what_counts_whatever_the_size(ledgers, size, share, kin):
    lineage.join(ledgers, "a", met(*people(0, size)))
    known = round(share * size)
    found = lineage.join(ledgers, "b", met(*people(0, known), *people(size, 2 * size - known)))
    assert (found.name == "a.sqlite") == kin


def test_names_are_compared_under_one_key_and_none_is_written(ledgers):
    lineage.join(ledgers, "a", met(*people(0, 40)))
    assert lineage.join(ledgers, "b", met(*people(0, 40), key=bytes(32))) == ledgers / "b.sqlite"
    assert met(" person \t7 ").people == met("person 7").people
    assert lineage.Sketcher().sketch() == lineage.Sketch()
    assert not any("person" in path.read_text() for path in ledgers.glob("*.json"))


def test_the_first_stage_takes_in_the_names_that_the_corpus_gives(tmp_path):
    data, found = DataConfig(path=str(corpus(tmp_path / "c", range(12))), test_fraction=0.4), []
    for key in (KEY, bytes(32)):
        settings, out = ingest.IngestConfig(data=data, seed=3), tmp_path / key.hex()
        ingest.run(settings, sources.list_inputs(data), out, key=key, people_key=KEY)
        found.append(lineage.read(out / lineage.SKETCH))
    assert found[0] == found[1]
    assert found[0].people == met(*people(0, 3)).people


def test_people_between_two_ledgers_are_refused_until_somebody_says_who_they_are(ledgers):
    lineage.join(ledgers, "a", met("1", "2", "3"))
    one = lineage.join(ledgers, "b", met("x", "y"))
    both = met("1", "2", "x", "y")
    with pytest.raises(LedgerError, match=r"2 ledgers \(a\.sqlite, b\.sqlite\).*privacy\.ledger=.*c\.sqlite"):
        lineage.join(ledgers, "c", both)
    third = lineage.join(ledgers, "c", both, named=ledgers / "c.sqlite")
    assert lineage.stated_apart(third) == 2
    assert lineage.stated_apart(one) == 0
    assert lineage.join(ledgers, "c", both) == third  # it was said once


def test_who_names_a_ledger_says_that_people_of_the_same_names_are_others(ledgers):
    told = []
    first = lineage.join(ledgers, "a", met("1", "2", "3"), tell=told.append)
    other = met("1", "2", "3", "4")
    second = lineage.join(ledgers, "b", other, named=ledgers / "b.sqlite", tell=told.append)
    assert "same names as people in a.sqlite" in told.pop()
    assert lineage.stated_apart(second) == 1
    assert lineage.join(ledgers, "b", other, tell=told.append) == second
    assert lineage.join(ledgers, "a", met("1", "2", "3"), tell=told.append) == first
    assert told == []


def test_known_recordings_are_refused_to_any_other_ledger(tmp_path, ledgers):
    lineage.join(ledgers, "a", sketched(1, 2))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name, named in (("b", ledgers / "fresh.sqlite"), ("b", elsewhere / "x.sqlite"), ("a", elsewhere / "x.sqlite")):
        with pytest.raises(LedgerError, match=r"privacy\.ledger = .*are known to a\.sqlite.*name that ledger, or none"):
            lineage.join(ledgers, name, sketched(2, 3), named=named)
    assert lineage.join(ledgers, "b", sketched(2, 3), named=ledgers / "a.sqlite") == ledgers / "a.sqlite"
    (ledgers / "old.sqlite").touch()  # of an older version, without a sketch
    with pytest.raises(LedgerError, match=r"known to old\.sqlite"):
        lineage.join(ledgers, "old", sketched(9), named=elsewhere / "x.sqlite")


def test_what_lies_beside_the_ledger_that_is_named_counts_too(tmp_path, ledgers):
    """Another folder of runs, whose ledgers lie in the same place."""
    shared, here = tmp_path / "shared", tmp_path / "here"
    shared.mkdir()
    here.mkdir()
    assert lineage.join(ledgers, "a", sketched(1, 2), named=shared / "one.db") == shared / "one.db"
    lineage.join(ledgers, "b", sketched(5, 6), named=shared / "two.sqlite")
    (shared / "two.sqlite").touch()
    with pytest.raises(LedgerError, match=r"known to two\.sqlite"):
        lineage.join(here, "c", sketched(6, 7), named=shared / "three.sqlite")
    assert lineage.join(here, "d", sketched(2, 3), named=shared / "one.db") == shared / "one.db"
    # And both folders know of it, by whatever was brought from either.
    assert lineage.find(ledgers, "e", sketched(3)) == (shared / "one.db").resolve()
    assert lineage.find(here, "e", sketched(1)) == (shared / "one.db").resolve()


def test_files_of_others_beside_a_named_ledger_are_left_alone(tmp_path, ledgers):
    (tmp_path / "notes.json").write_text("[1")
    (tmp_path / "mine.json").write_text('{"mine": 1}')
    with pytest.raises(LedgerError, match=r"mine\.json: not what is kept beside a ledger.*folder of their own"):
        lineage.join(ledgers, "a", sketched(1), named=tmp_path / "mine.sqlite")
    assert (tmp_path / "mine.json").read_text() == '{"mine": 1}'
    lineage.join(ledgers, "a", sketched(1), named=tmp_path / "other.sqlite")
    with pytest.raises(LedgerError, match="no such folder"):
        lineage.join(ledgers, "a", sketched(1), named=tmp_path / "missing" / "other.sqlite")


def _join(folder, number):
    lineage.join(folder, f"corpus-{number}", sketched(number, 10**6))


def test_processes_that_join_at_once_share_one_ledger(ledgers):
    with multiprocessing.get_context("fork").Pool(8) as pool:
        pool.starmap(_join, [(ledgers, number) for number in range(24)])
    (only,) = ledgers.glob("*.json")
    assert len(json.loads(only.read_text())["names"]) == 24


def test_a_ledger_from_before_there_were_sketches_keeps_its_corpus(ledgers):
    (ledgers / "a.sqlite").touch()
    assert lineage.join(ledgers, "a", sketched(1, 2)) == ledgers / "a.sqlite"
    assert lineage.find(ledgers, "b", sketched(2)) == ledgers / "a.sqlite"
