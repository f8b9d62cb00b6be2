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
    done = ingest.run(settings, sources.inputs(settings.data), out, key=KEY)
    return lineage.read(done.directory / lineage.SKETCH)


def heard(*blocks):
    recording = lineage.Heard()
    for block in blocks:
        recording.update(block)
    return recording


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
    assert lineage.find(ledgers, "b", frozenset()) == first  # known by its name from now on


def test_other_recordings_have_another_ledger(tmp_path, ledgers):
    first = lineage.join(ledgers, "a", sketch(corpus(tmp_path / "first", range(40)), tmp_path / "i1"))
    other = sketch(corpus(tmp_path / "other", range(100, 140)), tmp_path / "i2")
    assert lineage.join(ledgers, "b", other) == ledgers / "b.sqlite" != first


def test_a_ledger_knows_what_its_later_corpora_brought(ledgers):
    lineage.join(ledgers, "a", frozenset({1, 2, 3}))
    lineage.join(ledgers, "b", frozenset({3, 4, 5}))
    assert lineage.find(ledgers, "c", frozenset({5})) == ledgers / "a.sqlite"


def test_a_corpus_between_two_ledgers_is_refused(ledgers):
    lineage.join(ledgers, "a", frozenset({1, 2}))
    lineage.join(ledgers, "b", frozenset({3, 4}))
    with pytest.raises(LedgerError, match=r"in 2 ledgers \(a.sqlite, b.sqlite\).*privacy.ledger"):
        lineage.join(ledgers, "c", frozenset({2, 3}))


def test_a_fraction_of_a_large_corpus_shares_that_fraction_of_the_sketch():
    rng = np.random.default_rng(0)
    large = [rng.standard_normal(2).astype(np.float32) / 10 for _ in range(20_000)]

    def marks(samples):
        sketcher = lineage.Sketcher()
        for one in samples:
            sketcher.add(heard(one))
        return sketcher.marks()

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
    assert sketcher.marks() == frozenset()


def test_listening_is_what_the_first_stage_hears(tmp_path):
    root = corpus(tmp_path / "first", range(12))
    rows = list(sources.open_source(DataConfig(path=str(root))))
    broken = [Rejected("x", "no audio"), SourceRow("y", "u", "t", b"no sound"), SourceRow("z", "u", "t", root / "none")]
    assert recordings.listen([*broken, *rows], DataConfig(path=str(root))) == sketch(root, tmp_path / "i")


def test_only_the_owner_may_read_and_no_name_is_written(tmp_path, ledgers):
    marks = sketch(corpus(tmp_path / "jane-doe", range(12)), tmp_path / "i")
    lineage.join(ledgers, "0123456789abcdef", marks)
    for path in (ledgers / "0123456789abcdef.json", tmp_path / "i" / lineage.SKETCH):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert "jane" not in path.read_text()
        assert "person" not in path.read_text()


def test_a_damaged_sketch_stops_the_search(ledgers):
    lineage.join(ledgers, "a", frozenset({1}))
    (ledgers / "a.json").write_text("{")
    with pytest.raises(LedgerError, match=r"a\.json: not what was written"):
        lineage.find(ledgers, "b", frozenset({1}))


def _join(folder, number):
    lineage.join(folder, f"corpus-{number}", frozenset({number, 10**6}))


def test_processes_that_join_at_once_share_one_ledger(ledgers):
    with multiprocessing.get_context("fork").Pool(8) as pool:
        pool.starmap(_join, [(ledgers, number) for number in range(24)])
    (only,) = ledgers.glob("*.json")
    assert len(json.loads(only.read_text())["names"]) == 24


def test_a_ledger_from_before_there_were_sketches_keeps_its_corpus(ledgers):
    (ledgers / "a.sqlite").touch()
    assert lineage.join(ledgers, "a", frozenset({1, 2})) == ledgers / "a.sqlite"
    assert lineage.find(ledgers, "b", frozenset({2})) == ledgers / "a.sqlite"
