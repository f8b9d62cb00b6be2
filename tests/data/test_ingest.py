import hashlib
import hmac
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from speechpriv import audio, corpus, store
from speechpriv.data import ingest, lineage, sources
from speechpriv.data.ingest import IngestConfig, check_rows, split_of
from speechpriv.data.sources import Rejected, SourceRow
from speechpriv.errors import ConfigError, DataError, StageError
from speechpriv.sections import DataConfig

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
REAL = Path(__file__).parents[2].parent / "shared" / "data" / "commands"


def noise(seed, seconds=0.5):
    return (0.1 * np.random.default_rng(seed).standard_normal(int(16_000 * seconds))).astype(np.float32)


def wav(samples, rate_hz=16_000):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def mp3(samples):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 16_000, format="MP3")
    return buffer.getvalue()


def config(seed=1, **data):
    return IngestConfig(data=DataConfig(**{"path": "unused/unused"} | data), seed=seed)


def check(*rows, **data):
    return list(check_rows(rows, config(**data), KEY, lineage.Sketcher()))


def utterance(seed=0, *, source_id="r", unit="u", text="go", sound=None, **segment):
    return SourceRow(source_id, unit, text, wav(noise(seed)) if sound is None else sound, **segment)


def folder(root, n_units=12, per_unit=2, extra=()):
    """A corpus folder of short noises; `extra` are more metadata lines."""
    records = list(extra)
    for unit in range(n_units):
        for number in range(per_unit):
            name = f"{unit}-{number}.wav"
            (root / name).write_bytes(wav(noise(100 * unit + number)))
            records.append({"file_name": name, "text": f"  Go\thome {unit}. ", "user": f"person {unit}"})
    (root / "metadata.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return root


def run(root, out, key=KEY, seed=1, **data):
    settings = config(seed=seed, path=str(root), **data)
    return ingest.run(settings, sources.list_inputs(settings.data), out, key=key)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A corpus folder and the finished stage that read it."""
    root, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("run") / "ingest"
    folder(root, extra=[{"file_name": "gone.wav", "text": "a secret", "user": "person 0"}])
    return root, run(root, out)


def test_counts_and_rows(made):
    _, summary = made
    assert summary.counts == {
        "rows_read": 25,
        "rows_kept": 24,
        "clipped": 0,
        "quarantined": {"no such file": 1},
        "units_train": 12 - summary.counts["units_test"],
        "units_test": summary.counts["units_test"],
        "hours": round(24 * 0.5 / 3600, 3),
        "warnings": [],
    }
    written = corpus.read(summary.directory)
    assert len(written) == 24
    assert {row.text for row in written.rows()} == {f"Go home {unit}." for unit in range(12)}
    assert {round(row.seconds, 6) for row in written.rows()} == {0.5}
    assert store.verify(summary.directory) == []


def test_quarantine_is_kept_beside_the_corpus(made):
    lines = (made[1].directory / "quarantine.jsonl").read_text().splitlines()
    assert [json.loads(line)["reason"].partition(":")[0] for line in lines] == ["no such file"]


def test_ids_units_and_order_are_keyed(made):
    rows = list(corpus.read(made[1].directory).rows())
    names = [(f"{unit}-{number}.wav", f"person {unit}") for unit in range(12) for number in range(2)]

    def expected(kind, name):
        return hmac.new(KEY, f"{kind}\0{name}".encode(), hashlib.sha256).hexdigest()[:16]

    def scoped(name, unit):
        return expected(f"id\0{expected('unit', unit)}", name), expected("unit", unit)

    assert {(row.id, row.unit) for row in rows} == {scoped(*pair) for pair in names}
    order = [hmac.digest(KEY, row.id.encode(), "sha256") for row in rows]
    assert order == sorted(order)
    assert [row.id for row in rows] != [scoped(*pair)[0] for pair in names]


def test_another_key_changes_every_name_and_no_split(made, tmp_path):
    root, first = made
    second = run(root, tmp_path / "ingest", key=OTHER_KEY)
    ours, theirs = (list(corpus.read(made.directory).rows()) for made in (first, second))
    assert not {row.unit for row in ours} & {row.unit for row in theirs}
    assert not {row.id for row in ours} & {row.id for row in theirs}
    splits = [{hashlib.sha256(row.flac).digest(): row.split for row in rows} for rows in (ours, theirs)]
    assert splits[0] == splits[1]


def test_nothing_of_the_source_is_in_the_corpus(made):
    root, summary = made
    files = [path for path in summary.directory.rglob("*") if path.is_file()]
    content = {path.name: path.read_bytes() for path in files}
    for name in (b"person", b".wav", str(root).encode()):
        found = {file for file, data in content.items() if name in data}
        assert found <= {"manifest.json", "quarantine.jsonl"}  # private, and there to be read
    assert not any(b"secret" in data for data in content.values())
    assert {path.stat().st_mtime for path in files if path.name != "manifest.json"} == {315_532_800}


def test_done_is_done_and_a_change_is_not(tmp_path):
    root = folder(tmp_path / "source", n_units=4) if (tmp_path / "source").mkdir() is None else None
    out = tmp_path / "ingest"
    settings = {"test_fraction": 0.5}
    assert not run(root, out, **settings).up_to_date
    assert run(root, out, **settings).up_to_date
    assert not run(root, out, seed=2, **settings).up_to_date
    (root / "0-0.wav").unlink()
    again = run(root, out, seed=2, **settings)
    assert not again.up_to_date
    assert again.counts["rows_kept"] == 7


def test_audio_is_canonical_whatever_it_was(tmp_path):
    stereo = np.stack([noise(1), noise(1)], axis=1)
    rows = check(utterance(sound=wav(stereo)), utterance(source_id="s", sound=wav(noise(2), rate_hz=8_000)))
    for row, seconds in zip(rows, (0.5, 1.0), strict=True):
        info = soundfile.info(io.BytesIO(row.flac))
        assert (info.format, info.subtype, info.samplerate, info.channels) == ("FLAC", "PCM_16", 16_000, 1)
        assert row.seconds == pytest.approx(seconds)
    np.testing.assert_allclose(rows[0].samples(), noise(1), atol=2e-5)


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (utterance(unit=" \t"), "no unit"),
        (utterance(text=" ... ! "), "no words"),
        (utterance(text="[noise]"), "no words"),
        (utterance(text="[NAME]"), "redacted"),
        (utterance(text="<unk>"), "untranscribed"),
        (utterance(text="[?!]"), "unknown tag"),
        (utterance(text="\u0434\u0430"), "unspellable"),
        (utterance(text=""), "no words"),
        (utterance(text="caf\ufffd"), "not text"),
        (utterance(text="go \ud800"), "not text"),
        (utterance(sound=b""), "empty"),
        (utterance(sound=wav(noise(0, 0))), "empty"),
        (utterance(sound=b"RIFF and so on"), "unreadable"),
        (utterance(sound=wav(noise(0))[:60]), "unreadable"),
        (utterance(sound=audio.encode_flac(noise(0))[:4_000]), "cut off"),
        (utterance(sound=mp3(noise(0, 2))[:4_000]), "cut off"),
        (utterance(sound=wav(np.zeros((8_000, 9), np.float32))), "unreadable"),
        (utterance(sound=wav(np.full(8_000, np.nan, np.float32))), "unreadable"),
        (utterance(sound=Path("gone.wav")), "unreadable"),
        (utterance(sound=wav(np.zeros(8_000, np.float32))), "silent"),
        (utterance(sound=wav(noise(0) * 1e-4)), "silent"),
        (utterance(sound=wav(noise(0, 0.09))), "too short"),
        (utterance(sound=wav(noise(0, 30.1))), "too long"),
        (utterance(text="a" * 16), "wrongly labelled"),
        (utterance(start_s=0.2, duration_s=0.5), "bad segment"),
        (utterance(start_s=0.2, duration_s=0.05), "too short"),
        (utterance(sound=wav(noise(0, 40)), start_s=0.0, duration_s=35.0), "too long"),
        (Rejected("r", "bad line: not a row"), "bad line"),
    ],
)
def test_what_cannot_be_used_is_rejected_with_the_kind_of_reason(row, kind):
    (found,) = check(row)
    assert isinstance(found, Rejected)
    assert found.source_id == "r"
    assert found.reason.partition(":")[0] == kind


@pytest.mark.parametrize(
    "row",
    [
        utterance(text="a" * 15),
        utterance(sound=wav(noise(0, 0.1))),
        utterance(sound=wav(noise(0, 30))),
        utterance(sound=wav(noise(0) * 1e-2)),
        utterance(sound=mp3(noise(0))),
        utterance(sound=wav(noise(0, 40)), start_s=38.0, duration_s=2.05),
    ],
)
def test_what_is_just_within_the_limits_is_kept(row):
    (found,) = check(row)
    assert isinstance(found, corpus.Row)


def test_a_long_recording_is_not_decoded(monkeypatch):
    def refuse(_):
        raise AssertionError("decoded")

    sound = wav(np.zeros(16_000 * 40, np.float32))
    monkeypatch.setattr(audio._Decoder, "blocks", refuse)
    assert check(utterance(sound=wav(noise(0))))[0].reason.startswith("unreadable: AssertionError")  # it was tried
    assert check(utterance(sound=sound))[0].reason.startswith("too long")


def test_segments_are_cut(tmp_path):
    samples = noise(3, 1.0)
    (row,) = check(utterance(sound=wav(samples), start_s=0.25, duration_s=0.5))
    np.testing.assert_allclose(row.samples(), samples[4_000:12_000], atol=2e-5)


def test_duplicates_within_a_unit_and_of_an_id():
    first = utterance(1, source_id="a")
    rows = check(
        first, utterance(1, source_id="b"), utterance(1, source_id="c", text="other"), utterance(2, source_id="a")
    )
    assert isinstance(rows[0], corpus.Row)
    assert [row.reason.partition(":")[0] for row in rows[1:]] == ["duplicate"] * 3


def test_a_rejected_row_does_not_make_the_next_one_a_duplicate():
    rows = check(utterance(1, source_id="a", text="?"), utterance(1, source_id="a"))
    assert isinstance(rows[1], corpus.Row)


def test_what_others_say_changes_nothing_about_a_unit():
    ours = [utterance(seed, source_id=f"o{seed}", unit="ours") for seed in range(4)]
    theirs = [utterance(seed, source_id=f"t{seed}", unit="theirs") for seed in range(4)]  # the same sounds
    alone = check(*ours)
    together = [row for pair in zip(theirs, ours, strict=True) for row in check(*pair)[1:]]
    among = [row for row in check(*theirs, *ours) if row.unit == alone[0].unit]
    assert alone == together == among


def test_file_names_need_not_be_text():
    (row,) = check(utterance(source_id="\udcff.wav", unit="\udcff"))
    assert len(row.id) == len(row.unit) == 16


def test_the_split_is_by_unit_seed_and_fraction_alone():
    units = [f"person-{number}" for number in range(3_000)]
    test = {unit for unit in units if split_of(unit, 1, 0.2) == "test"}
    assert abs(len(test) - 600) < 5 * np.sqrt(3_000 * 0.2 * 0.8)
    assert test < {unit for unit in units if split_of(unit, 1, 0.5) == "test"}
    other_seed = {unit for unit in units if split_of(unit, 2, 0.2) == "test"}
    assert abs(len(test & other_seed) - 120) < 60  # independent of one another


@given(st.text(), st.integers())
def test_extreme_fractions(unit, seed):
    assert split_of(unit, seed, 0) == "train"
    assert split_of(unit, seed, 1) == "test"


def test_no_unit_is_in_both_parts(made):
    written = corpus.read(made[1].directory)
    assert not set(written.units("train")) & set(written.units("test"))
    assert len(written.units("train")) == made[1].counts["units_train"]


def test_too_many_unusable_rows_end_the_run_with_counts_and_where(tmp_path):
    (tmp_path / "source").mkdir()
    extra = [{"file_name": f"gone {n}.wav", "text": "secret words", "user": "person 1"} for n in range(5)]
    root = folder(tmp_path / "source", n_units=6, extra=[*extra, {"file_name": "0-0.wav", "text": "!", "user": "x"}])
    with pytest.raises(DataError) as caught:
        run(root, tmp_path / "ingest")
    message = str(caught.value)
    assert "6 of 18 rows cannot be used (5 no such file, 1 no words); expected at most 20%" in message
    quarantine = tmp_path / ".ingest.partial" / "quarantine.jsonl"
    assert str(quarantine) in message
    assert len(quarantine.read_text().splitlines()) == 6
    assert "secret" not in message
    assert not (tmp_path / "ingest").exists()
    assert run(root, tmp_path / "ingest", max_quarantined=0.34).counts["rows_kept"] == 12


def test_an_empty_corpus_and_one_of_unusable_rows(tmp_path):
    (tmp_path / "metadata.jsonl").write_text("")
    with pytest.raises(DataError, match="lists no row"):
        run(tmp_path, tmp_path.parent / "ingest")
    (tmp_path / "metadata.jsonl").write_text("nonsense\n" * 3)
    with pytest.raises(DataError, match="3 of 3 rows cannot be used"):
        run(tmp_path, tmp_path.parent / "ingest")


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_a_part_without_a_unit_ends_the_run(tmp_path, fraction):
    (tmp_path / "source").mkdir()
    with pytest.raises(DataError, match=r"expected at least one each.*another seed"):
        run(folder(tmp_path / "source", n_units=3), tmp_path / "ingest", test_fraction=fraction)
    assert not (tmp_path / "ingest").exists()


def test_progress_is_told_row_by_row(tmp_path):
    (tmp_path / "source").mkdir()
    settings = config(path=str(folder(tmp_path / "source", n_units=6)), max_quarantined=0.5)
    told = []
    ingest.run(settings, sources.list_inputs(settings.data), tmp_path / "ingest", key=KEY, on_row=told.append)
    assert told == list(range(1, 13))


def test_refuses_a_weak_key_and_inputs_without_the_source(tmp_path):
    root = folder(tmp_path, n_units=1)
    with pytest.raises(ConfigError, match="key of 5 bytes"):
        run(root, tmp_path.parent / "ingest", key=b"short")
    with pytest.raises(StageError, match="inputs"):
        ingest.run(config(path=str(root)), {}, tmp_path.parent / "ingest", key=KEY)


def test_synthetic_voices(tmp_path):
    pytest.importorskip("espeakng_loader")
    settings = config(source="demo", path=None, demo={"units": 8, "utterances_per_unit": 2}, test_fraction=0.4)
    summary = ingest.run(settings, {}, tmp_path / "ingest", key=KEY)
    assert summary.counts["rows_kept"] == 16
    assert summary.counts["quarantined"] == {}
    assert corpus.read(summary.directory).lineage == sources.name_lineage(settings.data, settings.seed)


@pytest.mark.skipif(
    not REAL.is_dir(), reason="the recorded commands are not beside the checkout: ../shared/data/commands"
)
def test_recordings_of_real_people(tmp_path):
    records = [json.loads(line) for line in (REAL / "metadata.jsonl").read_text().splitlines()]
    chosen = [record for record in records if record["file_name"].endswith("_0.flac")][::30][:20]
    root = tmp_path / "source"
    for record in chosen:
        (root / record["file_name"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REAL / record["file_name"], root / record["file_name"])
    (root / "metadata.jsonl").write_text("".join(json.dumps(record) + "\n" for record in chosen))
    summary = run(root, tmp_path / "ingest")
    rows = list(corpus.read(summary.directory).rows())
    assert len(rows) == len(chosen) == 20
    assert sorted(row.text for row in rows) == sorted(record["text"] for record in chosen)
    assert len({row.unit for row in rows}) == len({record["user"] for record in chosen})
    assert all(0.1 <= row.seconds <= 1.01 for row in rows)
