"""Every layout of docs/sources.md: rows, people, words, sound and channel are those that its tool wrote."""

import gzip
import io
import json
import tarfile
import unicodedata
from collections import Counter
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from speechpriv import audio
from speechpriv.data import sources
from speechpriv.data.sources import Rejected, SourceRow
from speechpriv.errors import DataError
from speechpriv.sections import DataConfig

DOCS = Path(__file__).parents[2] / "docs" / "sources.md"
PEOPLE = ("anna", "ben", "cy")
SAID = [(unit, f"this is {number}") for unit in PEOPLE for number in ("one", "two")]


def sound(seed, seconds=0.3):
    return (0.1 * np.random.default_rng(seed).standard_normal(int(16_000 * seconds))).astype(np.float32)


def record(path, seed=0, **settings):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound(seed), 16_000, **settings)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def lines(records):
    return "".join(json.dumps(one) + "\n" for one in records)


def rows_of(path, **settings):
    """Rows of a corpus; none may be set aside."""
    found = list(sources.open_source(DataConfig(path=str(path), **settings)))
    assert [row for row in found if isinstance(row, Rejected)] == []
    return found


def samples(row):
    """The part of the recording that a row names, at 16 kHz."""
    data = row.audio if isinstance(row.audio, bytes) else row.audio.read_bytes()
    whole, rate_hz = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    start = round(row.start_s * rate_hz)
    end = None if row.duration_s is None else start + round(row.duration_s * rate_hz)
    return whole[start:end, row.channel or 0]


def check(rows, *, tolerance=1e-3):
    """The rows are `SAID`, each with its own sound: recording i was made from seed i."""
    assert Counter((row.unit, row.text.lower()) for row in rows) == Counter(SAID)
    for row in rows:
        seed = SAID.index((row.unit, row.text.lower()))
        np.testing.assert_allclose(samples(row), sound(seed), atol=tolerance)


def librispeech(root):
    for speaker in PEOPLE:
        chapter = root / "LibriSpeech" / "dev-clean" / speaker / "1"
        own = [(i, text) for i, (unit, text) in enumerate(SAID) if unit == speaker]
        write(chapter / f"{speaker}-1.trans.txt", "".join(f"{speaker}-1-{i:04} {t.upper()}\n" for i, t in own))
        for i, _ in own:
            record(chapter / f"{speaker}-1-{i:04}.{'wav' if i % 2 else 'flac'}", i)


def libritts(root):
    for i, (unit, text) in enumerate(SAID):
        stem = root / "train" / unit / "1" / f"{unit}_1_{i:06}_000000"
        record(stem.with_suffix(".wav"), i)
        write(stem.with_suffix(".normalized.txt"), text)
        write(stem.with_suffix(".original.txt"), text.title())


def mls(root):
    write(root / "train" / "transcripts.txt", "".join(f"{u}_9_{i:06}\t{t}\n" for i, (u, t) in enumerate(SAID)))
    for i, (unit, _) in enumerate(SAID):
        record(root / "train" / "audio" / unit / "9" / f"{unit}_9_{i:06}.flac", i)


def voxforge(root):
    for i, (unit, text) in enumerate(SAID):
        session = root / f"{unit}-20100101-abc{i}"
        write(session / "etc" / "PROMPTS", f"{session.name}/mfc/a{i:04} {text.upper()}\n")
        record(session / ("wav" if i % 2 else "flac") / f"a{i:04}.{'wav' if i % 2 else 'flac'}", i)


def vctk(root):
    for i, (unit, text) in enumerate(SAID):
        write(root / "txt" / unit / f"{unit}_{i:03}.txt", text + "\n")
        record(root / "wav48_silence_trimmed" / unit / f"{unit}_{i:03}_mic1.flac", i)
        record(root / "wav48_silence_trimmed" / unit / f"{unit}_{i:03}_mic2.flac", 90 + i)


def timit(root):
    for i, (unit, text) in enumerate(SAID):
        stem = root / "TRAIN" / "DR1" / unit / f"SX{i}"
        record(stem.with_suffix(".WAV"), i, format="NIST", subtype="PCM_16")
        write(stem.with_suffix(".TXT"), f"0 4800 {text.capitalize()}\n")
        write(stem.with_suffix(".PHN"), "0 4800 h#\n")


def speech_commands(root):
    for i, (unit, text) in enumerate(SAID):
        record(root / text / f"{unit}_nohash_{i}.wav", i)
    record(root / "_background_noise_" / "running_tap.wav", 90)


def text_files(root):
    for i, (unit, text) in enumerate(SAID):
        record(root / unit / f"{i}.wav", i)
        write(root / unit / f"{i}.{'lab' if i % 2 else 'txt'}", text)
    write(root / "README.txt", "not a transcript")


def folder_jsonl(root):
    found = []
    for i, (unit, text) in enumerate(SAID):
        record(root / unit / f"{i}.flac", i)
        found.append({"file_name": f"{unit}/{i}.flac", "text": text, "speaker": unit})
    write(root / "metadata.jsonl", lines(found))


def folder_csv(root):
    for i, _ in enumerate(SAID):
        record(root / "clips" / f"{i}.flac", i)
    table = "".join(f'clips\\{i}.flac;"{text}";{unit}\r\n' for i, (unit, text) in enumerate(SAID))
    (root / "metadata.csv").write_bytes(f"file_name;text;user\r\n{table}".encode("utf-16"))


def folder_parquet(root):
    for i, _ in enumerate(SAID):
        record(root / f"{i}.flac", i)
    found = [{"file_name": f"{i}.flac", "text": text, "user": unit} for i, (unit, text) in enumerate(SAID)]
    pq.write_table(pa.Table.from_pylist(found), root / "metadata.parquet")


def common_voice(root):
    language = root / "cv-corpus-21.0" / "en"
    table = "client_id\tpath\tsentence\tage\n"
    for i, (unit, text) in enumerate(SAID):
        record(language / "clips" / f"{i}.mp3", i, format="MP3")
        table += f"{unit}\t{i}.mp3\t{text}\ttwenties\n"
    write(language / "validated.tsv", table)


def spontaneous_speech(root):
    table = "client_id\taudio_id\taudio_file\tduration_ms\tprompt_id\tprompt\ttranscription\n"
    for i, (unit, text) in enumerate(SAID):
        record(root / "audios" / f"{i}.mp3", i, format="MP3")
        table += f"{unit}\t{i}\t{i}.mp3\t300\t7\tWho are\\\t you?\t{text}\n"
    write(root / "ss-corpus-en.tsv", table)


def nemo(root):
    found, at = [], 0.0
    record(root / "0.wav", 0)
    whole = np.concatenate([sound(i) for i in range(1, len(SAID))])
    soundfile.write(root / "long.wav", whole, 16_000)
    for i, (unit, text) in enumerate(SAID):
        part = {} if i == 0 else {"offset": at}
        found.append({"audio_filepath": "long.wav" if i else "0.wav", "duration": 0.3, "text": text, "speaker": unit})
        found[-1] |= part
        at += 0.3 if i else 0.0
    write(root / "test.json", lines(found))


def nemo_tarred(root):
    found = []
    for shard in (0, 1):
        with tarfile.open(root / f"audio_{shard}.tar", "w") as tar:
            for i, (unit, text) in enumerate(SAID):
                if i % 2 == shard:
                    add(tar, f"{i}.flac", audio.encode_flac(sound(i)))
                    found.append({"audio_filepath": f"{i}.flac", "duration": 0.3, "text": text, "speaker": unit})
                    found[-1]["shard_id"] = shard
    write(root / "tarred_audio_manifest.json", lines(found))


def add(tar, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def kaldi(root):
    """An archive, a gzipped file, a segment to the end, and spk2utt instead of utt2spk."""
    buffers = []
    for i in range(len(SAID)):
        buffer = io.BytesIO()
        soundfile.write(buffer, sound(i), 16_000, format="WAV")
        buffers.append(buffer.getvalue())
    write(root / "wav.scp", "")
    archive, entries = b"", []
    for i, content in enumerate(buffers):
        if i % 2:
            (root / f"{i}.wav.gz").write_bytes(gzip.compress(content))
            entries.append(f"r{i} {i}.wav.gz\n")
        else:
            archive += f"r{i} ".encode()
            entries.append(f"r{i} wav.ark:{len(archive)}\n")
            archive += content
    (root / "wav.ark").write_bytes(archive)
    write(root / "wav.scp", "".join(entries))
    write(root / "segments", "".join(f"u{i} r{i} 0.0 {-1 if i % 3 else 0.3}\n" for i in range(len(SAID))))
    write(root / "text", "".join(f"u{i} {text}\n" for i, (_, text) in enumerate(SAID)))
    own = {unit: [f"u{i}" for i, (one, _) in enumerate(SAID) if one == unit] for unit in PEOPLE}
    write(root / "spk2utt", "".join(f"{unit} {' '.join(names)}\n" for unit, names in own.items()))


def kaldi_two_sides(root):
    """Calls of two people, a side each."""
    written = dict.fromkeys(("wav.scp", "text", "utt2spk", "reco2file_and_channel"), "")
    for i, (unit, text) in enumerate(SAID):
        call, side = divmod(i, 2)
        if side == 0:
            soundfile.write(root / f"{call}.wav", np.stack([sound(i), sound(i + 1)], axis=1), 16_000)
        name = f"{call}-{'AB'[side]}"
        written["wav.scp"] += f"{name} {call}.wav\n"
        written["text"] += f"{name} {text}\n"
        written["utt2spk"] += f"{name} {unit}\n"
        written["reco2file_and_channel"] += f"{name} {call} {'AB'[side]}\n"
    for name, text in written.items():
        write(root / name, text)


def _cuts(root):
    lhotse = pytest.importorskip("lhotse")
    recordings, supervisions = [], []
    for i in range(0, len(SAID), 2):  # two supervisions a recording
        soundfile.write(root / f"{i}.wav", np.concatenate([sound(i), sound(i + 1)]), 16_000)
        source = lhotse.audio.AudioSource("file", [0], str(root / f"{i}.wav"))
        recordings.append(lhotse.Recording(f"r{i}", [source], 16_000, 9600, 0.6, [0]))
        for k in (0, 1):
            unit, text = SAID[i + k]
            supervisions.append(
                lhotse.SupervisionSegment(f"s{i + k}", f"r{i}", 0.3 * k, 0.3, 0, text=text, speaker=unit)
            )
    found = [lhotse.RecordingSet.from_recordings(recordings), lhotse.SupervisionSet.from_segments(supervisions)]
    return found, lhotse.CutSet.from_manifests(recordings=found[0], supervisions=found[1])


def lhotse_cuts(root):
    _cuts(root)[1].to_file(root / "cuts.jsonl.gz")


def lhotse_manifests(root):
    recordings, supervisions = _cuts(root)[0]
    recordings.to_file(root / "data_recordings_train.jsonl.gz")
    supervisions.to_file(root / "data_supervisions_train.jsonl.gz")


def lhotse_shar(root):
    shards = root / "shards"
    shards.mkdir()
    _cuts(root)[1].to_shar(str(shards), fields={"recording": "flac"}, shard_size=2)
    for file in root.glob("*.wav"):
        file.unlink()
    for file in shards.iterdir():
        file.rename(root / file.name)
    shards.rmdir()


def webdataset(root):
    with tarfile.open(root / "shard-0.tar", "w") as tar:
        for i, (unit, text) in enumerate(SAID):
            add(tar, f"./{i:03}.flac", audio.encode_flac(sound(i)))
            if i % 2:
                add(tar, f"./{i:03}.json", json.dumps({"text": text, "speaker": unit}).encode())
            else:
                add(tar, f"./{i:03}.json", json.dumps({"speaker": unit}).encode())
                add(tar, f"./{i:03}.txt", text.encode())


def _dataset():
    found = [
        {"audio": {"bytes": audio.encode_flac(sound(i)), "path": None}, "text": text, "speaker": unit}
        for i, (unit, text) in enumerate(SAID)
    ]
    features = {"audio": datasets.Audio(), "text": datasets.Value("string"), "speaker": datasets.Value("string")}
    table = pa.Table.from_pylist(found, schema=datasets.Features(features).arrow_schema)
    return datasets.Dataset(table)


def datasets_saved(root):
    _dataset().save_to_disk(root)


def datasets_splits(root):
    datasets.DatasetDict({"train": _dataset()}).save_to_disk(root)


def parquet(root):
    pq.write_table(_dataset().data.table, root / "train-00000-of-00001.parquet")


def arrays(root):
    found = [
        {"audio": {"array": sound(i).tolist(), "sampling_rate": 16_000}, "text": text, "speaker": unit}
        for i, (unit, text) in enumerate(SAID)
    ]
    pq.write_table(pa.Table.from_pylist(found), root / "train.parquet")


LAYOUTS = {
    "folder": (folder_jsonl, folder_csv),
    "common_voice": (common_voice, spontaneous_speech),
    "librispeech": (librispeech,),
    "libritts": (libritts,),
    "mls": (mls,),
    "voxforge": (voxforge,),
    "vctk": (vctk,),
    "timit": (timit,),
    "speech_commands": (speech_commands,),
    "text_files": (text_files,),
    "nemo": (nemo, nemo_tarred),
    "kaldi": (kaldi, kaldi_two_sides),
    "lhotse": (lhotse_cuts, lhotse_manifests, lhotse_shar),
    "webdataset": (webdataset,),
    "datasets": (datasets_saved, datasets_splits),
    "parquet": (parquet, arrays, folder_parquet),
}
MAKERS = [pytest.param(layout, make, id=make.__name__) for layout, makers in LAYOUTS.items() for make in makers]
LOSSY = (common_voice, spontaneous_speech)


# lhotse leaves the archives open that it reads.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("layout", "make"), MAKERS)
def test_a_layout_is_known_and_read_whole(tmp_path, layout, make):
    make(tmp_path)
    assert sources.locate_corpus(DataConfig(path=str(tmp_path))) == (layout, tmp_path.resolve())
    rows = rows_of(tmp_path)
    if make in LOSSY:
        assert Counter((row.unit, row.text) for row in rows) == Counter(SAID)
        assert all(isinstance(row.audio, Path) for row in rows)
    else:
        check(rows)
    assert rows == rows_of(tmp_path, source=layout)
    assert len({(row.unit, row.source_id) for row in rows}) == len(rows)


def test_ljspeech_is_one_persons(tmp_path):
    write(tmp_path / "metadata.csv", "LJ001-0001|It cost $2|It cost two dollars\nLJ001-0002|Yes|Yes\n")
    for i in (1, 2):
        record(tmp_path / "wavs" / f"LJ001-000{i}.wav", i)
    assert sources.locate_corpus(DataConfig(path=str(tmp_path))).layout == "ljspeech"
    rows = rows_of(tmp_path)
    assert [(row.unit, row.text) for row in rows] == [(tmp_path.name, "It cost two dollars"), (tmp_path.name, "Yes")]


def test_every_layout_is_tested_and_in_the_docs():
    tested = {*LAYOUTS, "ljspeech", "hub"}  # the hub: tests/data/test_sources.py
    assert tested == set(sources.get_args(sources.Layout))
    text = DOCS.read_text()
    assert [layout for layout in sorted(tested) if f"`{layout}`" not in text] == []


def test_a_single_parquet_file_is_read(tmp_path):
    parquet(tmp_path)
    (file,) = tmp_path.glob("*.parquet")
    check(rows_of(file))


def test_recordings_elsewhere_are_read_where_that_is_said(tmp_path):
    """NeMo's manifests name absolute paths; a folder that is not named is never read."""
    corpus, elsewhere = tmp_path / "corpus", tmp_path / "elsewhere"
    found = []
    for i, (unit, text) in enumerate(SAID):
        record(elsewhere / f"{i}.wav", i)
        name = f"{i}.wav" if i % 2 else str(elsewhere / f"{i}.wav")
        found.append({"audio_filepath": name, "text": text, "speaker": unit})
    write(corpus / "train_manifest.json", lines(found))
    check(rows_of(corpus, audio_root=str(elsewhere)))
    refused = list(sources.open_source(DataConfig(path=str(corpus))))
    kinds = Counter(row.reason.partition(":")[0] for row in refused)
    assert kinds == {"outside the corpus folder": 3, "no such file": 3}
    assert all("data.audio_root" in row.reason for row in refused[::2])
    assert all(str(corpus) in row.reason for row in refused[1::2])
    with pytest.raises(DataError, match="no such folder"):
        sources.open_source(DataConfig(path=str(corpus), audio_root=str(tmp_path / "nowhere")))


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_are_found_in_the_other_form_of_unicode(tmp_path, form):
    composed, decomposed = (unicodedata.normalize(one, "zoë.wav") for one in ("NFC", "NFD"))
    on_disk, listed = (composed, decomposed) if form == "NFC" else (decomposed, composed)
    record(tmp_path / on_disk, 0)
    write(tmp_path / "metadata.jsonl", lines([{"file_name": listed, "text": SAID[0][1], "user": SAID[0][0]}]))
    (row,) = rows_of(tmp_path)
    np.testing.assert_allclose(samples(row), sound(0), atol=1e-3)


def test_an_unclosed_quote_costs_its_own_line(tmp_path):
    """It swallowed 3,999 of 5,000 rows: a field went on until the next quotation mark."""
    record(tmp_path / "1.wav")
    table = [f"1.wav,word {i},u{i}" for i in range(5_000)]
    table[3] = '1.wav,"word 3,u3'
    write(tmp_path / "metadata.csv", "file_name,text,user\n" + "\n".join(table) + "\n")
    found = list(sources.open_source(DataConfig(path=str(tmp_path))))
    assert [row.source_id for row in found if isinstance(row, Rejected)] == ["metadata.csv, line 5"]
    assert [row.text for row in found if isinstance(row, SourceRow)][3:5] == ["word 4", "word 5"]
    assert len(found) == 5_000


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.tsv", "metadata.jsonl"])
def test_every_line_is_a_row_or_set_aside(tmp_path, name):
    record(tmp_path / "1.wav")
    good = {"csv": "1.wav,a,u", "tsv": "1.wav\ta\tu", "jsonl": '{"file_name": "1.wav", "text": "a", "user": "u"}'}
    kind = name.partition(".")[2]
    bad = ['"', "x", "1.wav", '1.wav,a,u,"', "{", "[]", "\x00", "1.wav\ta\tu\tmore"]
    written = [line for pair in zip([good[kind]] * len(bad), bad, strict=True) for line in pair]
    header = {"csv": "file_name,text,user\n", "tsv": "file_name\ttext\tuser\n", "jsonl": ""}[kind]
    write(tmp_path / name, header + "\n".join(written) + "\n")
    found = list(sources.open_source(DataConfig(path=str(tmp_path))))
    assert len(found) == len(written)
    assert sum(isinstance(row, SourceRow) for row in found) == len(bad)


def test_a_table_without_a_header_tells_nothing_of_its_first_row(tmp_path):
    write(tmp_path / "metadata.csv", "1.wav,call doctor marisol,marisol\n2.wav,yes,ben\n")
    with pytest.raises(DataError, match="no line of column names") as caught:
        rows_of(tmp_path)
    assert "marisol" not in str(caught.value)


def test_columns_are_each_rows_own(tmp_path):
    """The first row's names decided for all: to take that person away changed the others' rows."""
    for i in (1, 2, 3):
        record(tmp_path / f"{i}.wav", i)
    found = [
        {"file_name": "1.wav", "text": "go", "user": "anna"},
        {"audio_filepath": "2.wav", "sentence": "stay", "speaker": "ben"},
        {"file_name": "3.wav", "text": "come", "speaker": "cy"},
    ]
    for kept in (found, found[1:], found[::-1]):
        write(tmp_path / "metadata.jsonl", lines(kept))
        expected = {"anna": "go", "ben": "stay", "cy": "come"}
        rows = rows_of(tmp_path)
        assert {row.unit: row.text for row in rows} == {
            u: t for u, t in expected.items() if len(rows) == 3 or u != "anna"
        }


def test_commands_and_archives_that_lead_elsewhere_are_set_aside(tmp_path):
    write(tmp_path / "wav.scp", "a ../x.ark:5\nb features.ark:3\nc gone.ark:3\nd sph2pipe -f wav x.sph |\ne no.gz\n")
    (tmp_path / "features.ark").write_bytes(b"xy BFM junk")
    (tmp_path / "no.gz").write_bytes(b"not gzip")
    (tmp_path.parent / "x.ark").write_bytes(b"RIFF")
    write(tmp_path / "text", "".join(f"{name} hello\n" for name in "abcde"))
    write(tmp_path / "utt2spk", "".join(f"{name} {name}\n" for name in "abcde"))
    found = {row.source_id: row.reason.partition(":")[0] for row in sources.open_source(DataConfig(path=str(tmp_path)))}
    assert found == {
        "a": "outside the corpus folder", "b": "unreadable", "c": "no such file", "d": "a command", "e": "unreadable",
    }  # fmt: skip


def test_a_manifest_of_archives_says_which_recordings_are_in_none(tmp_path):
    nemo_tarred(tmp_path)
    with (tmp_path / "tarred_audio_manifest.json").open("a") as file:
        file.write('{"audio_filepath": "gone.flac", "duration": 0.3, "text": "a", "speaker": "u"}\n')
    found = list(sources.open_source(DataConfig(path=str(tmp_path))))
    assert [(row.source_id, row.reason.partition(":")[0]) for row in found if isinstance(row, Rejected)] == [
        ("gone.flac", "no such file")
    ]
    check([row for row in found if isinstance(row, SourceRow)])


def test_a_damaged_archive_is_an_error(tmp_path):
    webdataset(tmp_path)
    whole = (tmp_path / "shard-0.tar").read_bytes()
    (tmp_path / "shard-0.tar").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"an archive .* cannot be read to its end"):
        list(sources.open_source(DataConfig(path=str(tmp_path))))


def test_cuts_that_change_or_mix_the_sound_are_set_aside(tmp_path):
    pytest.importorskip("lhotse")
    (recordings, _), cuts = _cuts(tmp_path)
    cuts.perturb_speed(1.1).to_file(tmp_path / "cuts.jsonl")
    found = list(sources.open_source(DataConfig(path=str(tmp_path))))
    assert {row.reason.partition(" (")[0] for row in found} == {"no audio: the manifest changes the sound"}
    assert len(found) == len(SAID)
    assert len(recordings) == len(SAID) // 2
