"""Take any one unit away: the rows of all others are the same bytes, whatever names, files and sounds they share."""

import contextlib
import gzip
import io
import json
import tarfile
from dataclasses import dataclass, replace

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv import audio, corpus
from speechpriv.anonymize import stage as anonymize
from speechpriv.audit.canaries import personal
from speechpriv.config import CanaryConfig
from speechpriv.data import ingest, lineage, sources
from speechpriv.data.ingest import IngestConfig, split_of
from speechpriv.data.sources import Rejected
from speechpriv.errors import DataError
from speechpriv.scrub import clean
from speechpriv.sections import AnonymizeConfig, DataConfig, ScrubConfig

KEY = bytes(range(32))
UNITS = ("anna", "ben", "cy", "dora/0")
TEXTS = ("go home", 'a "b" c', '"open', "a, b", "")
SOUNDS = [
    audio.encode_flac((0.1 * np.random.default_rng(seed).standard_normal(12_800)).astype(np.float32))
    for seed in range(3)
]


@dataclass(frozen=True)
class Entry:
    """One line of a corpus. Files 0 and 1 hold the same sound, as do 2 and 3, and 4 and 5."""

    unit: int
    file: int
    text: int = 0
    place: int = 0  # where in the recording, if the layout can say so; also which columns name the rest
    name: int = 0  # of the utterance, if it has one

    @property
    def who(self):
        return UNITS[self.unit]

    @property
    def said(self):
        return TEXTS[self.text]


def lay(root, entries):
    """The recordings that the entries name."""
    root.mkdir(parents=True, exist_ok=True)
    for file in {entry.file for entry in entries}:
        (root / f"{file}.flac").write_bytes(SOUNDS[file // 2])


def lines(records):
    return "".join(json.dumps(record) + "\n" for record in records)


def record(entry):
    """An entry under columns of its own choice, and sometimes without one."""
    audio_name = ("file_name", "audio", "file_name", "path")[entry.place]
    text_name = ("text", "sentence", "transcript", "label")[entry.place]
    unit_name = ("user", "speaker", "unit", "age")[entry.place]
    return {audio_name: f"{entry.file}.flac", text_name: entry.said, unit_name: entry.who}


def folder(root, entries):
    lay(root, entries)
    (root / "metadata.jsonl").write_text(lines(map(record, entries)))


def table(separator):
    header, row = separator.join(("path", "client_id", "sentence")) + "\n", "{}.flac" + separator + "{}" + separator
    return lambda entries: header + "".join(row.format(e.file, e.who) + f"{e.said}\n" for e in entries)


def csv(root, entries):
    lay(root, entries)
    (root / "metadata.csv").write_text(table(",")(entries))


def nested(root, entries):
    """A folder for each unit, as each made it."""
    root.mkdir(parents=True)
    (root / "metadata.jsonl").write_text("")
    for unit in {entry.unit for entry in entries}:
        own = [entry for entry in entries if entry.unit == unit]
        (folder if unit % 2 else csv)(root / f"of {unit}", own)


def common_voice(root, entries):
    lay(root / "clips", entries)
    (root / "validated.tsv").write_text(table("\t")(entries))


def by_folder(audio_at, text_at, line="{said}", mark=None):
    """A layout whose names of files say who speaks: {u} is the unit and {n} the utterance."""

    def write(root, entries):
        for entry in entries:
            names = {"u": entry.unit, "n": entry.name, "p": entry.place, "said": entry.said}
            for name in filter(None, (audio_at, text_at, mark)):
                (root / name.format(**names)).parent.mkdir(parents=True, exist_ok=True)
            (root / audio_at.format(**names)).write_bytes(SOUNDS[(entry.unit + entry.name) % 3])
            if text_at:
                with (root / text_at.format(**names)).open("a") as file:
                    file.write(line.format(**names) + "\n")
            if mark:
                (root / mark.format(**names)).touch()

    return write


librispeech = by_folder("1/{p}/{u}-{n}.flac", "1/{p}/{p}.trans.txt", "{u}-{n} {said}")
libritts = by_folder("a/{u}/1/{u}_1_{n}.flac", "a/{u}/1/{u}_1_{n}.normalized.txt")
mls = by_folder("a/audio/{u}/9/{u}_9_{n}.flac", "a/transcripts.txt", "{u}_9_{n}\t{said}")
voxforge = by_folder("{u}-1-{p}/flac/{n}.flac", "{u}-1-{p}/etc/PROMPTS", "x/mfc/{n} {said}")
vctk = by_folder("wav48/{u}/{u}_{n}.flac", "txt/{u}/{u}_{n}.txt")
timit = by_folder("TRAIN/{p}/{u}/{n}.flac", "TRAIN/{p}/{u}/{n}.txt", "0 1 {said}", "TRAIN/{p}/{u}/{n}.phn")
speech_commands = by_folder("go/{u}_nohash_{n}.wav", None)
text_files = by_folder("{u}/{n}.flac", "{u}/{n}.txt")
BY_FOLDER = [librispeech, libritts, mls, voxforge, vctk, timit, speech_commands, text_files]


def nemo(root, entries):
    lay(root, entries)
    records = [record(entry) | {"audio_filepath": f"{entry.file}.flac", "speaker": entry.who} for entry in entries]
    parts = [{}, {"offset": 0.0, "duration": 0.3}, {"offset": 0, "duration": 0.2}, {"offset": 0.1, "duration": 0.2}]
    found = [record | parts[entry.place] for record, entry in zip(records, entries, strict=True)]
    (root / "train_manifest.json").write_text(lines(found))


def kaldi(root, entries):
    """An utterance that several units have is listed for each of them."""
    lay(root, entries)
    for name, rest in (("wav.scp", "{}.flac"), ("text", "{}"), ("utt2spk", "{}")):
        column = {"wav.scp": "file", "text": "said", "utt2spk": "who"}[name]
        found = [f"u{entry.name} {rest.format(getattr(entry, column))}\n" for entry in entries]
        (root / name).write_text("".join(found))


def kaldi_segments(root, entries):
    kaldi(root, entries)
    files = sorted({entry.file for entry in entries})
    (root / "wav.scp").write_text("".join(f"r{file} {file}.flac\n" for file in files))
    part = ("0 0.4", "0 0.35", "0.1 0.4", "0.1 0.1")
    (root / "segments").write_text("".join(f"u{e.name} r{e.file} {part[e.place]}\n" for e in entries))


def kaldi_by_speaker(root, entries):
    """With spk2utt; who share an utterance share its sound and its words."""
    kaldi(root, [replace(entry, text=0, file=entry.name) for entry in entries])
    (root / "utt2spk").unlink()
    speakers = dict.fromkeys(entry.who for entry in entries)
    own = {who: [f"u{entry.name}" for entry in entries if entry.who == who] for who in speakers}
    (root / "spk2utt").write_text("".join(f"{who} {' '.join(names)}\n" for who, names in own.items()))


def tar(path, members):
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def nemo_tarred(root, entries):
    nemo(root, entries)
    tar(root / "0.tar", [(f"{file}.flac", SOUNDS[file // 2]) for file in sorted({entry.file for entry in entries})])
    for file in root.glob("*.flac"):
        file.unlink()


def webdataset(root, entries):
    root.mkdir(parents=True)
    facts = [json.dumps({"speaker": entry.who, "text": entry.said}).encode() for entry in entries]
    parts = [
        part
        for entry, fact in zip(entries, facts, strict=True)
        for part in ((f"{entry.name}.flac", SOUNDS[entry.file // 2]), (f"{entry.name}.json", fact))
    ]
    tar(root / "0.tar", parts)


def lhotse(root, entries):
    pytest.importorskip("lhotse")
    lay(root, entries)
    found = sorted({entry.file for entry in entries})
    sources_of = [[{"type": "file", "channels": [0], "source": f"{file}.flac"}] for file in found]
    length = {"sampling_rate": 16_000, "num_samples": 12_800, "duration": 0.8}
    with gzip.open(root / "recordings.jsonl.gz", "wt") as file:
        file.write(lines({"id": f"r{n}", "sources": one, **length} for n, one in zip(found, sources_of, strict=True)))
    with gzip.open(root / "supervisions.jsonl.gz", "wt") as file:
        file.write(lines(
            {"id": f"u{e.name}", "recording_id": f"r{e.file}", "start": 0.1 * e.place, "duration": 0.4, "channel": 0,
             "text": e.said, "speaker": e.who}
            for e in entries
        ))  # fmt: skip


FEATURES = datasets.Features(
    {"audio": datasets.Audio(), "text": datasets.Value("string"), "speaker_id": datasets.Value("string")}
)


def _as_table(entries):
    sounds = [SOUNDS[entry.file // 2] if entry.place else b"no sound" for entry in entries]
    found = [
        {"audio": {"bytes": sound, "path": None}, "text": entry.said, "speaker_id": entry.who}
        for sound, entry in zip(sounds, entries, strict=True)
    ]
    return pa.Table.from_pylist(found, schema=FEATURES.arrow_schema)


def parquet(root, entries):
    root.mkdir(parents=True)
    pq.write_table(_as_table(entries), root / "train.parquet")


def saved(root, entries):
    datasets.Dataset(_as_table(entries)).save_to_disk(root)


KALDI = [kaldi, kaldi_segments]
LAYOUTS = [folder, csv, nested, common_voice, nemo, *KALDI, kaldi_by_speaker, nemo_tarred, webdataset, lhotse]
LAYOUTS += [parquet, saved, *BY_FOLDER]


def _even(seed):
    """Whether two units fall to either part, by their names and by their numbers."""
    return all(sum(split_of(unit, seed, 0.5) == "test" for unit in units) == 2 for units in (UNITS, "0123"))


SEED = next(filter(_even, range(1_000)))


def config(root):
    return IngestConfig(data=DataConfig(path=str(root), max_quarantined=1, test_fraction=0.5), seed=SEED)


def taken_in(layout, root, entries):
    """The rows that are kept, in the order found; none where no row has all columns."""
    layout(root, entries)
    settings = config(root)
    found = ingest.check_rows(sources.open_source(settings.data), settings, KEY, lineage.Sketcher())
    kept = []
    with contextlib.suppress(DataError):  # at the end
        kept.extend(row for row in found if not isinstance(row, Rejected))
    return kept


def of_others(rows, unit):
    """All rows but those of a unit, by the number that its name is in LibriSpeech."""
    names = [ingest._pseudonym(KEY, "unit", name) for name in (UNITS[unit], str(unit))]
    return [row for row in rows if row.unit not in names]


numbers = st.integers(0, 3)
entries = st.builds(Entry, unit=numbers, file=st.integers(0, 5), text=st.integers(0, 4), place=numbers, name=numbers)


@pytest.mark.parametrize(
    "layout", [pytest.param(layout, id=f"{n}-{layout.__name__}") for n, layout in enumerate(LAYOUTS)]
)
@given(st.lists(entries, min_size=1, max_size=12), numbers)
@settings(max_examples=25, deadline=None)
def test_taking_one_unit_away_changes_no_other_row(tmp_path_factory, layout, found, unit):
    root = tmp_path_factory.mktemp("corpus")
    whole = taken_in(layout, root / "whole", found)
    if left := [entry for entry in found if entry.unit != unit]:
        assert taken_in(layout, root / "left", left) == of_others(whole, unit)


# Two units name one file, one utterance and one place in it; others share the sound under another name.
SHARED = [Entry(0, 0, 0, 1), Entry(1, 0, 1, 1), Entry(2, 1, 0, 1, 1), Entry(3, 2, 0, 1, 1), Entry(3, 4, 1, 1, 2)]


NAMED = (*KALDI, webdataset, lhotse)  # two units name two utterances alike


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout is not kaldi_by_speaker])
def test_what_units_share_stays_in_each_and_is_counted(tmp_path, layout):
    def run(name, entries):
        layout(tmp_path / name, entries)
        settings = config(tmp_path / name)
        return ingest.run(settings, sources.list_inputs(settings.data), tmp_path / f"{name} in", key=KEY)

    done = run("whole", SHARED)
    assert done.counts["rows_kept"] == 5
    shared = [warning for warning in done.counts["warnings"] if "a recording that another unit has" in warning]
    assert [warning.split()[0] for warning in shared] == ["3" if layout in NAMED else "2"]
    rows = list(corpus.read(done.directory).rows())
    for unit in range(4):
        again = run(f"without {unit}", [entry for entry in SHARED if entry.unit != unit])
        assert list(corpus.read(again.directory).rows()) == of_others(rows, unit)


def prepared(root, entries, scrubbing, disguise):
    """The rows after each stage that prepares them."""
    folder(root / "found", entries)
    taking_in, cleaning = config(root / "found"), clean.CleanConfig(scrub=scrubbing)
    inputs, stages = sources.list_inputs(taking_in.data), {}
    for stage, asked in (
        (ingest, taking_in), (personal, CanaryConfig(personal=1)), (clean, cleaning), (anonymize, disguise),
    ):  # fmt: skip
        done = stage.run(asked, inputs, root / stage.__name__, key=KEY)
        inputs = {"corpus": done.directory / "corpus" if stage is personal else done.directory}
        stages[stage.__name__] = list(corpus.read(inputs["corpus"]).rows())
    return stages


def test_no_stage_that_prepares_lets_one_unit_change_anothers_rows(tmp_path, monkeypatch, base):
    pytest.importorskip("espeakng_loader")
    said = ("call anna", "my name is ben", "i am cy", "anna and ben", "go home")
    monkeypatch.setitem(globals(), "TEXTS", said)
    scrubbing = ScrubConfig(aligner=str(base), min_word_confidence=0, redaction="cut")
    found = [Entry(unit, file, (unit + file) % 5, 0) for unit in range(4) for file in (unit, (unit + 2) % 4)]
    disguise = AnonymizeConfig(method="mcadams")
    whole = prepared(tmp_path / "whole", found, scrubbing, disguise)
    assert [len(rows) for rows in whole.values()][:2] == [8, 13]  # with five synthetic phrases
    assert len(whole[anonymize.__name__]) >= 9
    for unit in (0, 2):
        left = [entry for entry in found if entry.unit != unit]
        alone = prepared(tmp_path / f"without {unit}", left, scrubbing, disguise)
        for name, rows in whole.items():
            assert alone[name] == of_others(rows, unit), name
