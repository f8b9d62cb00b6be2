import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv import audio, store
from speechpriv.data import sources
from speechpriv.data.sources import Rejected, SourceRow
from speechpriv.errors import DataError
from speechpriv.sections import DataConfig


def flac(seed=0, seconds=0.3):
    return audio.encode_flac(
        (0.1 * np.random.default_rng(seed).standard_normal(int(16_000 * seconds))).astype(np.float32)
    )


def lay(root, files):
    """Write files, text or bytes, under `root`."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def lines(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


def read(path, **settings):
    found = list(sources.open_source(DataConfig(path=str(path), **settings)))
    good = [row for row in found if isinstance(row, SourceRow)]
    return good, [row for row in found if isinstance(row, Rejected)]


def said(rows):
    return [(row.source_id, row.unit, row.text) for row in rows]


def test_folder_with_json_lines(tmp_path):
    records = [
        {"file_name": "a/1.flac", "text": "go", "user": "anna"},
        {"file_name": "2.flac", "text": "on", "user": 7},
    ]
    lay(tmp_path, {"a/1.flac": flac(1), "2.flac": flac(2), "metadata.jsonl": lines(*records)})
    good, bad = read(tmp_path)
    assert said(good) == [("a/1.flac", "anna", "go"), ("2.flac", "7", "on")]
    assert [row.audio.read_bytes() for row in good] == [flac(1), flac(2)]
    assert bad == []
    assert read(tmp_path, source="folder") == read(tmp_path / "metadata.jsonl") == (good, bad)


def test_folder_with_csv_and_nested_metadata(tmp_path):
    csv = '\ufefffile_name,transcription,speaker_id\r\n1.flac,"stop, ""now""",s1\r\n'
    nested = "file_name,transcription,speaker_id\n1.flac,left,s2\n"
    lay(tmp_path, {"metadata.csv": csv, "1.flac": flac(1), "test/metadata.csv": nested, "test/1.flac": flac(2)})
    good, bad = read(tmp_path)
    assert said(good) == [("1.flac", "s1", 'stop, "now"'), ("test/1.flac", "s2", "left")]
    assert bad == []


def test_only_nested_metadata_is_still_a_folder(tmp_path):
    lay(tmp_path, {"x/metadata.jsonl": lines({"file_name": "1.flac", "text": "a", "user": "u"}), "x/1.flac": flac()})
    assert said(read(tmp_path)[0]) == [("x/1.flac", "u", "a")]


def test_damaged_rows_are_rejected_with_their_line_and_the_rest_go_on(tmp_path):
    good_line = lines({"file_name": "1.flac", "text": "go", "user": "u"}).encode()
    damaged = b'{"file_name": \n["1.flac"]\n\n' + b"[" * 100_000 + b'\n{"text": "x", "user": "u"}\n{"file_name": 3.5}\n'
    lay(tmp_path, {"1.flac": flac(), "metadata.jsonl": damaged + good_line + b'{"file_name": "gone.flac"}'})
    good, bad = read(tmp_path)
    assert said(good) == [("1.flac", "u", "go")]
    assert [row.source_id.removeprefix("metadata.jsonl, line ") for row in bad[:-1]] == ["1", "2", "4", "5", "6"]
    assert [row.reason.partition(":")[0] for row in bad] == ["bad line"] * 3 + ["no audio"] * 2 + ["no such file"]


def test_a_csv_row_with_too_few_or_many_fields_is_rejected(tmp_path):
    table = "file_name,text,user\n1.flac,go\n1.flac,go,u,x\n1.flac,go,u\n"
    lay(tmp_path, {"1.flac": flac(), "metadata.csv": table})
    good, bad = read(tmp_path)
    assert len(good) == 1
    assert [row.source_id for row in bad] == ["metadata.csv, line 2", "metadata.csv, line 3"]


def test_a_csv_field_without_end_does_not_end_the_run(tmp_path):
    table = f'file_name,text,user\n1.flac,"{"x" * 200_000}\n1.flac,go,u\n'
    lay(tmp_path, {"1.flac": flac(), "metadata.csv": table})
    good, bad = read(tmp_path)
    assert bad
    assert all(row.text == "go" for row in good)


OUTSIDE, NOWHERE = "outside the corpus folder", "no such file"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../secret.flac", OUTSIDE), ("a/../../secret.flac", OUTSIDE), ("link.flac", OUTSIDE),
        ("folder/secret.flac", OUTSIDE), ("\0", NOWHERE), ("x" * 5_000, NOWHERE), (".", NOWHERE),
    ],
)  # fmt: skip
def test_no_path_leaves_the_corpus_folder(tmp_path, name, reason):
    corpus = tmp_path / "corpus"
    lay(
        tmp_path, {"secret.flac": flac(), "corpus/metadata.jsonl": lines({"file_name": name, "text": "a", "user": "u"})}
    )
    (corpus / "link.flac").symlink_to(tmp_path / "secret.flac")
    (corpus / "folder").symlink_to(tmp_path)
    good, bad = read(corpus)
    assert good == []
    assert bad[0].reason.startswith(f"{reason}: {name}")


def test_absolute_paths_are_read_inside_the_folder_only(tmp_path):
    lay(tmp_path, {"out.flac": flac(1), "corpus/in.flac": flac(2)})
    records = [{"file_name": str(tmp_path / name), "text": "a", "user": "u"} for name in ("out.flac", "corpus/in.flac")]
    lay(tmp_path, {"corpus/metadata.jsonl": lines(*records)})
    good, bad = read(tmp_path / "corpus")
    assert [row.source_id for row in good] == ["in.flac"]
    assert len(bad) == 1


def test_links_within_the_folder_are_followed_to_one_name(tmp_path):
    (tmp_path / "link.flac").symlink_to(tmp_path / "1.flac")
    lay(tmp_path, {"1.flac": flac(), "metadata.jsonl": lines({"file_name": "link.flac", "text": "a", "user": "u"})})
    assert read(tmp_path)[0][0].source_id == "1.flac"


def test_metadata_linked_from_outside_is_not_read(tmp_path):
    lay(tmp_path, {"out.jsonl": lines({"file_name": "1.flac", "text": "a", "user": "u"}), "corpus/1.flac": flac()})
    (tmp_path / "corpus" / "metadata.jsonl").symlink_to(tmp_path / "out.jsonl")
    with pytest.raises(DataError, match=r"holds no \*\*/metadata.jsonl"):
        read(tmp_path / "corpus")


def test_columns_that_the_config_names_win(tmp_path):
    record = {"file_name": "1.flac", "text": "wrong", "user": "wrong", "words": "right", "patient": "p1"}
    lay(tmp_path, {"1.flac": flac(), "metadata.jsonl": lines(record)})
    good, _ = read(tmp_path, text_column="words", unit_column="patient", audio_column="file_name")
    assert said(good) == [("1.flac", "p1", "right")]


def test_missing_columns_are_all_named_with_what_to_set(tmp_path):
    lay(tmp_path, {"1.flac": flac(), "metadata.jsonl": lines({"file_name": "1.flac", "words": "secret", "age": 3})})
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    message = str(caught.value)
    assert "columns are file_name, words, age" in message
    assert "data.text_column" in message
    assert "data.unit_column" in message
    assert "data.audio_column" not in message
    assert "secret" not in message
    with pytest.raises(DataError, match="tried patient"):
        read(tmp_path, unit_column="patient")


def test_a_first_row_without_the_columns_does_not_end_the_run(tmp_path):
    records = [{"note": "hello"}, {"file_name": "1.flac", "text": "go", "user": "u"}]
    lay(tmp_path, {"1.flac": flac(), "metadata.jsonl": lines(*records)})
    good, bad = read(tmp_path)
    assert (len(good), len(bad)) == (1, 1)


COMMON_VOICE = 'client_id\tpath\tsentence\tage\nc1\t1.flac\tShe said "no\tteens\nc2\tgone.mp3\tYes.\t\n'


def test_common_voice_folder_and_tsv(tmp_path):
    lay(tmp_path, {"clips/1.flac": flac(1), "validated.tsv": COMMON_VOICE, "train.tsv": "client_id\tpath\tsentence\n"})
    lay(tmp_path, {"dev.tsv": COMMON_VOICE.replace("c1", "c9")})
    good, bad = read(tmp_path)
    assert said(good) == [("clips/1.flac", "c1", 'She said "no')]
    assert len(bad) == 1
    assert said(read(tmp_path / "dev.tsv")[0]) == [("clips/1.flac", "c9", 'She said "no')]
    (tmp_path / "validated.tsv").unlink()
    assert read(tmp_path) == ([], [])  # train.tsv is what is left


def test_librispeech(tmp_path):
    chapter = "LibriSpeech/dev-clean/84/121123"
    lay(tmp_path, {f"{chapter}/84-121123.trans.txt": "84-121123-0000 GO HOME\n84-121123-0001 STAY\n\n"})
    lay(tmp_path, {f"{chapter}/84-121123-0000.flac": flac(1)})
    good, bad = read(tmp_path)
    assert said(good) == [(f"{chapter}/84-121123-0000.flac", "84", "GO HOME")]
    assert len(bad) == 1
    assert said(read(tmp_path / "LibriSpeech/dev-clean/84")[0])[0][1:] == ("84", "GO HOME")


def test_nemo_manifest_with_segments(tmp_path):
    whole = {"audio_filepath": "wav/1.flac", "text": "go", "duration": 0.3, "speaker": "s"}
    records = [whole, whole | {"offset": 0.1, "duration": 0.2}, whole | {"offset": "x"}, whole | {"offset": -1}]
    absolute = whole | {"audio_filepath": str(tmp_path / "wav/1.flac"), "offset": None}
    lay(tmp_path, {"wav/1.flac": flac(), "train_manifest.json": lines(*records, absolute)})
    good, bad = read(tmp_path)
    assert [(row.source_id, row.start_s, row.duration_s) for row in good] == [
        ("wav/1.flac#0.0", 0.0, 0.3),
        ("wav/1.flac#0.1", 0.1, 0.2),
        ("wav/1.flac#0.0", 0.0, 0.3),
    ]
    assert {row.unit for row in good} == {"s"}
    assert [row.reason.partition(":")[0] for row in bad] == ["bad segment"] * 2
    assert read(tmp_path / "train_manifest.json") == (good, bad)


KALDI = {
    "wav.scp": "a wav/1.flac\nb cat /etc/passwd |\nc ../out.flac\nd wav/1.flac\n",
    "text": "a go home\nb no\nc no\n",
    "utt2spk": "a\tanna\nb ben\nc cy\nd dora\n",
}


def test_kaldi_and_its_commands_are_not_run(tmp_path):
    trap = tmp_path / "trap"
    lay(
        tmp_path,
        KALDI | {"wav.scp": KALDI["wav.scp"].replace("cat /etc/passwd", f"touch {trap}"), "wav/1.flac": flac()},
    )
    lay(tmp_path.parent, {"out.flac": flac()})
    good, bad = read(tmp_path)
    assert said(good) == [("a", "anna", "go home"), ("d", "dora", "")]
    assert [(row.source_id, row.reason.partition(":")[0]) for row in bad] == [("b", "a command"), ("c", OUTSIDE)]
    assert not trap.exists()


def test_kaldi_segments(tmp_path):
    segments = "a r1 0.05 0.25\nb r1 0.2 0.1\nc r1 nan 1\nd r9 0 1\ne r1\n"
    texts = "".join(f"{name} hello\n" for name in "abcde")
    lay(tmp_path, {"wav.scp": "r1 1.flac\n", "text": texts, "utt2spk": texts, "segments": segments, "1.flac": flac()})
    good, bad = read(tmp_path)
    assert [(row.source_id, row.start_s, row.duration_s) for row in good] == [("a", 0.05, pytest.approx(0.2))]
    assert sorted(row.source_id for row in bad) == list("bcde")


def test_kaldi_segments_of_one_file_come_together_and_name_its_channels(tmp_path):
    files = {
        "wav.scp": "r1-A 1.flac\nr2-A 2.flac\nr1-B 1.flac\n",
        "segments": "u1 r1-A 0 0.2\nu2 r2-A 0 0.2\nu3 r1-B 0 0.2\n",
        "text": "u1 a\nu2 b\nu3 c\n",
        "utt2spk": "u1 s\nu2 s\nu3 t\n",
        "1.flac": flac(1),
        "2.flac": flac(2),
    }
    for sides in (("A", "A", "B"), ("1", "1", "2")):
        named = zip(("r1-A", "r2-A", "r1-B"), ("r1", "r2", "r1"), sides, strict=True)
        lay(tmp_path, files | {"reco2file_and_channel": "".join(f"{a} {b} {c}\n" for a, b, c in named)})
        good, bad = read(tmp_path)
        assert [(row.source_id, row.channel) for row in good] == [("u1", 0), ("u3", 1), ("u2", 0)]
        assert bad == []
    lay(tmp_path, {"reco2file_and_channel": "r1-A r1 0\nr2-A r2 0\nr1-B r1 1\n"})
    with pytest.raises(DataError, match="numbers from 1"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv", "train_manifest.json"])
def test_a_column_names_the_channel(tmp_path, name):
    audio = "audio_filepath" if name.endswith(".json") else "file_name"
    records = [{audio: "1.flac", "text": "a", "speaker": "u", "channel": side} for side in (0, "1", "B", "telephone")]
    if name.endswith(".csv"):
        header = ",".join(records[0])
        content = "".join(line + "\n" for line in [header, *(",".join(map(str, row.values())) for row in records)])
    else:
        content = lines(*records)
    lay(tmp_path, {"1.flac": flac(), name: content})
    good, _ = read(tmp_path)
    assert [row.channel for row in good] == [0, 1, 1, None]
    assert len({row.source_id for row in good[:2]}) == 2  # two people of one file are no duplicates


@pytest.mark.parametrize("missing", ["text", "utt2spk"])
def test_kaldi_without_its_files(tmp_path, missing):
    lay(tmp_path, KALDI)
    (tmp_path / missing).unlink()
    with pytest.raises(DataError, match=f"holds no {missing}"):
        read(tmp_path)


FEATURES = datasets.Features(
    {
        "file": datasets.Value("string"),
        "audio": datasets.Audio(),
        "label": datasets.ClassLabel(names=["yes", "no"]),
        "speaker_id": datasets.Value("string"),
    }
)


def parquet(path, features=FEATURES):
    """Three utterances as the hub stores them: one whole, one without a label, one that is only a path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"file": "1.wav", "audio": {"bytes": flac(1), "path": "1.wav"}, "label": 1, "speaker_id": "s1"},
        {"file": "2.wav", "audio": {"bytes": flac(2), "path": None}, "label": None, "speaker_id": None},
        {"file": "3.wav", "audio": {"bytes": None, "path": "/etc/passwd"}, "label": 0, "speaker_id": "s3"},
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=features.arrow_schema if features else None), path)


def test_hub_data_set_in_a_local_folder(tmp_path):
    parquet(tmp_path / "train.parquet")
    good, bad = read(tmp_path)
    assert said(good) == [("train/s1/0", "s1", "no"), ("train//0", "", "")]
    assert [row.audio for row in good] == [flac(1), flac(2)]
    assert [row.source_id for row in bad] == ["train/s3/0"]  # a path in a table could name any file of this machine
    assert read(tmp_path, source="hub") == (good, bad)


def test_parquet_without_feature_types(tmp_path):
    parquet(tmp_path / "train.parquet", features=None)
    good, _ = read(tmp_path)
    assert said(good)[0] == ("train/s1/0", "s1", "1")
    assert good[0].audio == flac(1)


def test_a_split_is_told_by_the_names_of_files(tmp_path):
    for name in ("data/train-00000-of-00002", "data/train-00001-of-00002", "data/test-0", "v2/test/0"):
        parquet(tmp_path / f"{name}.parquet")
    assert len(read(tmp_path)[0]) == 4
    assert len(read(tmp_path, hub_split="test")[0]) == 4
    assert len(read(tmp_path, hub_config="v2", hub_split="test")[0]) == 2


def test_runs_beside_tables_are_not_read(tmp_path):
    """`datasets` took the JSON of a run for the split."""
    parquet(tmp_path / "words.parquet")
    before = read(tmp_path)
    lay(tmp_path, {"runs/commands-0/private/train/history.json": "[]", "ledgers/1.json": "{}"})
    parquet(tmp_path / "runs/commands-0/private/ingest/train.parquet")
    assert read(tmp_path) == before
    assert len(before[0]) == 2


def test_a_split_that_is_not_there_says_so(tmp_path):
    parquet(tmp_path / "train.parquet")
    with pytest.raises(DataError, match=r"hub_split") as caught:
        read(tmp_path, source="hub", hub_split="nowhere")
    assert "nowhere" in str(caught.value)


def test_a_data_set_that_is_a_program_is_read_from_the_hubs_copy(tmp_path, monkeypatch):
    parquet(tmp_path / "v1/train/0000.parquet")
    parquet(tmp_path / "v2/train/0000.parquet")
    real, calls = datasets.load_dataset, []

    def load_dataset(path, *args, revision=None, **settings):
        calls.append((path, revision))
        if revision != "refs/convert/parquet":
            raise RuntimeError("Dataset scripts are no longer supported, but found words.py")
        return real(str(tmp_path), *args, **settings)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    good, _ = read("somebody/words", source="hub", hub_config="v2")
    assert len(good) == 2  # one configuration, not both
    assert calls == [("somebody/words", None), ("somebody/words", "refs/convert/parquet")]


def test_a_stream_that_breaks_off_says_so_without_its_words(monkeypatch):
    class Broken:
        def __init__(self):
            self.features = {"audio": datasets.Audio(decode=False), "text": datasets.Value("string"), "user": None}

        def cast_column(self, *_):
            return self

        def __iter__(self):
            yield {"audio": {"bytes": b"x"}, "text": "hello", "user": "u"}
            raise ValueError("could not parse 'my secret'")

    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: Broken())
    found = sources.open_source(DataConfig(source="hub", path="somebody/words"))
    assert next(found).text == "hello"
    with pytest.raises(DataError, match="broke off") as caught:
        next(found)
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


OFFLINE = """
from speechpriv.sections import DataConfig
from speechpriv.data import sources
list(sources.open_source(DataConfig(source="hub", path="somebody/words")))
"""


def test_the_hub_out_of_reach_says_what_to_do():
    env = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", OFFLINE], env=env, capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("speechpriv.errors.DataError: data.path = somebody/words")
    assert "hub_split" in last
    assert "the connection" in last


@pytest.mark.parametrize("name", ["nowhere", "a/b", "a/b/c", "/nowhere/words", "../a"])
def test_what_is_nowhere_is_not_asked_for_at_the_hub(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"no such file or directory here.*librispeech") as caught:
        sources.locate_corpus(DataConfig(path=name))
    assert ("data.source=hub" in str(caught.value)) == (name == "a/b")
    if name != "a/b":
        with pytest.raises(DataError, match="no such file or directory here"):
            sources.locate_corpus(DataConfig(path=name, source="hub"))


def test_an_unknown_layout_lists_those_known(tmp_path):
    lay(tmp_path, {"notes.txt": "hello"})
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(DataError, match=r"not a layout that is known.*kaldi"):
            sources.locate_corpus(DataConfig(path=str(path)))
    with pytest.raises(DataError, match=r"holds no corpus of the layout librispeech"):
        read(tmp_path, source="librispeech")


def test_paths_are_relative_to_the_current_directory(tmp_path, monkeypatch):
    lay(
        tmp_path / "a/b", {"1.flac": flac(), "metadata.jsonl": lines({"file_name": "1.flac", "text": "a", "user": "u"})}
    )
    monkeypatch.chdir(tmp_path)
    located = sources.locate_corpus(DataConfig(path="a/b"))  # has the form of a hub id, but is a folder here
    assert located == ("folder", tmp_path.resolve() / "a/b")
    assert len(read("a/b")[0]) == 1
    assert sources.locate_corpus(DataConfig(path="a/c", source="hub")) == ("hub", None)
    assert (
        sources.locate_corpus(DataConfig(path="a/b", source="hub")) == located
    )  # another path beside a config's hub id
    parquet(tmp_path / "a/b/train.parquet")
    assert sources.locate_corpus(DataConfig(path="a/b", source="hub")).layout == "parquet"
    assert sources.locate_corpus(DataConfig(path="a/b")) == located


def test_inputs_are_what_is_here_or_nothing(tmp_path):
    lay(tmp_path, {"dev.tsv": COMMON_VOICE})
    asked = DataConfig(path=str(tmp_path / "dev.tsv"))
    assert sources.list_inputs(asked) == {"source": sources.Listed(asked, tmp_path.resolve())}
    assert sources.list_inputs(DataConfig(source="hub", path="somebody/words")) == {}
    assert sources.list_inputs(DataConfig(source="demo")) == {}


SEGMENT = {"audio_filepath": "1.flac", "text": "go", "speaker": "u", "offset": 0, "duration": 1}
LISTED = {
    "folder": {"metadata.jsonl": lines({"file_name": "1.flac", "text": "go", "user": "u"}), "1.flac": "sound"},
    "common_voice": {"validated.tsv": "path\tsentence\tclient_id\n1.flac\tgo\tu\n", "clips/1.flac": "sound"},
    "librispeech": {"1/2/1-2.trans.txt": "1-2-0 go\n", "1/2/1-2-0.flac": "sound"},
    "nemo": {"a_manifest.json": lines(SEGMENT), "1.flac": "sound"},
    "kaldi": {"wav.scp": "a 1.flac\n", "text": "a go\n", "utt2spk": "a u\n", "1.flac": "sound"},
}
UNLISTED = {"runs/a/private/ingest/table/1.arrow": "x", "ledgers/a.sqlite": "x", "clips/new.flac": "x", "notes": "x"}


@pytest.mark.parametrize("layout", LISTED)
def test_a_corpus_is_known_by_what_it_lists(tmp_path, monkeypatch, layout):
    def known(path=tmp_path):
        return store.fingerprint(sources.list_inputs(DataConfig(path=str(path)))["source"])

    files = LISTED[layout]
    (recording,) = (name for name in files if name.endswith(".flac"))
    lay(tmp_path, files)
    os.utime(tmp_path / recording, (1, 1))
    before = known()
    for name in files.keys() - {recording}:
        os.utime(tmp_path / name, (2, 2))
    lay(tmp_path, UNLISTED)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.flac")).write_text("x")
    monkeypatch.chdir(tmp_path)
    assert before == known() == known(".")

    seen = {before}
    for name, content in files.items() - {(recording, "sound")}:
        if "go" in content:
            lay(tmp_path, {name: content.replace("go", "stop")})
            seen.add(known())
        lay(tmp_path, {name: content})
    assert known() == before
    os.utime(tmp_path / recording, (3, 3))
    seen.add(known())
    lay(tmp_path, {recording: "another sound"})
    os.utime(tmp_path / recording, (1, 1))
    seen.add(known())
    (tmp_path / recording).unlink()
    seen.add(known())
    assert len(seen) == 5


def test_a_table_is_known_by_what_it_holds(tmp_path):
    def known():
        return store.fingerprint(sources.list_inputs(DataConfig(path=str(tmp_path)))["source"])

    parquet(tmp_path / "train.parquet")
    before = known()
    os.utime(tmp_path / "train.parquet", (1, 1))
    lay(tmp_path, {"notes.txt": "x"})
    assert known() == before
    records = pq.read_table(tmp_path / "train.parquet").to_pylist()
    records[0]["audio"]["bytes"] = flac(7)
    pq.write_table(pa.Table.from_pylist(records, schema=FEATURES.arrow_schema), tmp_path / "train.parquet")
    assert known() != before


def test_a_recording_named_in_another_code_is_known_too(tmp_path):
    name = os.fsdecode(b"caf\xe9.flac")
    lay(tmp_path, {"1/2/1-2.trans.txt": "1-2-0 go\n", name: "x"})
    (tmp_path / "1/2/1-2-0.flac").symlink_to(tmp_path / name)
    (good, _), source = read(tmp_path), sources.list_inputs(DataConfig(path=str(tmp_path)))["source"]
    assert [row.audio.name for row in good] == [name]
    before = store.fingerprint(source)
    os.utime(tmp_path / name, (2, 2))
    assert store.fingerprint(source) != before


def test_a_recording_that_vanishes_meanwhile_is_known_by_its_name(tmp_path, monkeypatch):
    lay(tmp_path, LISTED["folder"])
    source = sources.list_inputs(DataConfig(path=str(tmp_path)))["source"]
    found = list(sources.open_source(source.config))
    (tmp_path / "1.flac").unlink()
    monkeypatch.setattr(sources, "open_source", lambda _: iter(found))
    assert len(store.fingerprint(source)) == 64


def test_lineage_names_the_recordings_not_the_way_they_are_read(tmp_path, monkeypatch):
    lay(tmp_path, {"validated.tsv": COMMON_VOICE, "dev.tsv": COMMON_VOICE, "other/metadata.jsonl": "{}"})
    monkeypatch.chdir(tmp_path)

    def lineage(seed=1, **settings):
        return sources.name_lineage(DataConfig(**settings), seed)

    one = lineage(path=".")
    assert len(one) == 16
    assert one == lineage(path=str(tmp_path), max_seconds=3, seed=2) == lineage(path="dev.tsv")
    hub = {"source": "hub", "path": "a/b"}
    names = [one, lineage(path="other"), lineage(**hub), lineage(**hub, hub_config="en")]
    names += [lineage(source="demo"), lineage(source="demo", seed=2), lineage(source="demo", demo={"units": 3})]
    assert len(set(names)) == len(names)


@given(st.binary(max_size=300), st.sampled_from(["metadata.jsonl", "metadata.csv", "validated.tsv", "wav.scp"]))
@settings(max_examples=60, deadline=None)
def test_no_file_of_bytes_makes_an_adapter_fail_otherwise_than_by_a_data_error(tmp_path_factory, content, name):
    root = tmp_path_factory.mktemp("fuzz")
    lay(root, {name: content, "text": content, "utt2spk": content})
    try:
        good, _ = read(root)
    except DataError:
        return
    assert all(row.audio.is_relative_to(root.resolve()) for row in good)


def test_nothing_is_asked_of_the_network_for_a_folder(tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    parquet(tmp_path / "train.parquet")
    assert len(read(tmp_path)[0]) == 2
