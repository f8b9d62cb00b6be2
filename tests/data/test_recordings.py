import json
import struct
import tracemalloc

import numpy as np
import pytest
import soundfile

from speechpriv import audio, corpus
from speechpriv.data import ingest, lineage, sources
from speechpriv.data.ingest import IngestConfig
from speechpriv.data.rows import Rejected, SourceRow
from speechpriv.sections import DataConfig

KEY = bytes(32)


def noise(seed, seconds=1.0, rate_hz=16_000):
    return (0.1 * np.random.default_rng(seed).standard_normal(int(rate_hz * seconds))).astype(np.float32)


def write(path, samples, rate_hz=16_000, **kind):
    soundfile.write(path, samples, rate_hz, **kind)
    return path


def row(source, unit="u", **more):
    name = more.pop("source_id", f"{unit}-{more.get('start_s', 0)}-{more.get('channel')}")
    return SourceRow(name, unit, "go", source, **more)


def config(**data):
    return IngestConfig(data=DataConfig(**{"path": "unused"} | data), seed=1)


def check(*rows, sketcher=None, **data):
    return list(ingest.check_rows(rows, config(**data), KEY, sketcher or lineage.Sketcher()))


def sounds(*rows, **data):
    found = check(*rows, **data)
    assert all(isinstance(one, corpus.Row) for one in found), found
    return [one.samples() for one in found]


def kinds(*rows, **data):
    return [one.reason.partition(":")[0] if isinstance(one, Rejected) else "kept" for one in check(*rows, **data)]


def mark(samples):
    heard = lineage.SketchBuilder()
    heard.update(samples)
    return heard.mark()


# Channels


@pytest.fixture
def call(tmp_path):
    """A call of two people, one on each side."""
    return write(tmp_path / "call.flac", np.stack([noise(1), noise(2)], axis=1))


def test_a_row_has_the_sound_of_the_channel_it_names(call):
    first, second = sounds(row(call, "a", channel=0), row(call, "b", channel=1))
    np.testing.assert_allclose(first, noise(1), atol=1e-4)
    np.testing.assert_allclose(second, noise(2), atol=1e-4)


def test_several_channels_of_which_none_is_named_are_set_aside(call):
    (found,) = check(row(call))
    assert found.reason == "channels: 2 channels and none is named; set data.channel to a number from 0 or to mix"
    assert kinds(row(call, channel=2)) == ["channels"]


def test_a_setting_names_the_channel_where_the_row_does_not(call):
    np.testing.assert_allclose(sounds(row(call), channel=1)[0], noise(2), atol=1e-4)
    np.testing.assert_allclose(sounds(row(call, channel=0), channel=1)[0], noise(1), atol=1e-4)
    mixed = sounds(row(call), channel="mix")[0]
    assert [np.corrcoef(mixed, noise(seed))[0, 1] > 0.65 for seed in (1, 2)] == [True, True]


@pytest.mark.parametrize("setting", [{}, {"channel": "mix"}])
@pytest.mark.parametrize("other", [1.0, -1.0, 0.0, 0.5])
def test_one_voice_on_all_channels_is_read_whole(tmp_path, other, setting):
    for channels in ([1, other], [other, 1]):
        path = write(tmp_path / "a.wav", np.outer(noise(1), channels).astype(np.float32))
        np.testing.assert_allclose(sounds(row(path), **setting)[0], noise(1), atol=1e-4)


def test_a_word_of_another_person_makes_two_voices(tmp_path):
    other = np.zeros((160_000, 2), np.float32)
    other[:, 0] = noise(1, 10)
    other[80_000:84_000, 1] = 0.1 * noise(2, 0.25)  # 20 dB softer
    assert kinds(row(write(tmp_path / "a.wav", other))) == ["channels"]


def test_a_voice_in_one_of_six_channels_is_not_buried_by_mixing(tmp_path):
    film = np.stack([0.003 * noise(seed) for seed in range(6)], axis=1)
    film[:, 2] = noise(9)
    (mixed,) = sounds(row(write(tmp_path / "a.wav", film)), channel="mix")
    assert 20 * np.log10(mixed.std() / noise(9).std()) == pytest.approx(0, abs=0.5)


def test_a_file_of_one_channel_needs_none(tmp_path):
    path = write(tmp_path / "a.wav", noise(1))
    for named in (None, 0, 1):  # of split calls, tables keep the channel that a file once was
        np.testing.assert_allclose(sounds(row(path, channel=named), channel=1)[0], noise(1), atol=1e-4)


@pytest.mark.parametrize(("value", "fits"), [(0, True), (3, True), ("mix", True), (-1, False), ("left", False)])
def test_the_setting_is_a_number_or_mix(value, fits):
    if fits:
        assert DataConfig(path="a", channel=value).channel == value
    else:
        with pytest.raises(ValueError, match="channel"):
            DataConfig(path="a", channel=value)


# Long recordings


def test_segments_are_what_a_cut_of_the_whole_would_be(tmp_path):
    samples = noise(1, 20, 44_100)
    path = write(tmp_path / "a.wav", samples, 44_100, subtype="FLOAT")
    whole = audio.resample(samples, 44_100)
    # Out of order, overlapping, of two people at once, across blocks and to the end.
    places = [(5.0, 2.0), (0.0, 1.0), (5.5, 2.0), (5.0, 2.0), (1.4, 0.3), (18.0, None), (19.0, 1.05)]
    rows = [
        row(path, f"u{i}", source_id=f"{i}", start_s=start_s, duration_s=duration_s)
        for i, (start_s, duration_s) in enumerate(places)
    ]
    for found, (start_s, duration_s) in zip(sounds(*rows), places, strict=True):
        end = None if duration_s is None else round((start_s + duration_s) * 16_000)
        np.testing.assert_allclose(found, whole[round(start_s * 16_000) : end], atol=2e-5)


def test_all_segments_come_from_one_decode(tmp_path, monkeypatch):
    path = write(tmp_path / "a.wav", noise(1, 60))
    decoded = []
    blocks = audio._Decoder.blocks

    def counted(self):
        for block in blocks(self):
            decoded.append(len(block))
            yield block

    monkeypatch.setattr(audio._Decoder, "blocks", counted)
    rows = [row(path, f"u{i % 3}", start_s=i / 2, duration_s=0.5) for i in range(120)]
    assert kinds(*rows) == ["kept"] * 120
    assert sum(decoded) == 60 * 16_000


def test_what_is_wrong_with_one_segment_costs_no_other(tmp_path):
    path = write(tmp_path / "a.wav", noise(1, 40))
    places = [(0, 1), (39.5, 1), (50, 1), (1, 0.05), (2, 31), (3, -1), (float("nan"), 1), (41, None), (5, None), (6, 1)]
    rows = [row(path, source_id=f"{i}", start_s=start, duration_s=length) for i, (start, length) in enumerate(places)]
    said = ["kept", "bad segment", "bad segment", "too short", "too long", "bad segment", "bad segment", "bad segment"]
    assert kinds(*rows) == [*said, "too long", "kept"]


def test_a_row_does_not_depend_on_what_others_have_in_its_recording(tmp_path):
    path = write(tmp_path / "a.wav", noise(1, 5))
    mine = [row(path, "me", start_s=start, duration_s=1.0) for start in (3.0, 1.0)]
    others = [
        row(path, "a", start_s=0.5, duration_s=3.0),
        row(path, "b"),
        row(path, "c", start_s=9.0, duration_s=1.0),
        row(path, "d", start_s=2.5, duration_s=1.0),
    ]
    alone = check(*mine)
    among = check(others[0], mine[0], *others[1:3], mine[1], others[3])
    assert [among[1], among[4]] == alone


def test_a_recording_that_breaks_off_costs_what_lies_after(tmp_path):
    whole = write(tmp_path / "a.wav", noise(1, 10)).read_bytes()
    (tmp_path / "a.wav").write_bytes(whole[: len(whole) // 2])
    places = [(1.0, 1.0), (4.5, 1.0), (3.9, 1.0), (7.0, 1.0), (2.0, None)]
    rows = [row(tmp_path / "a.wav", start_s=start, duration_s=length) for start, length in places]
    assert kinds(*rows) == ["kept", "cut off", "kept", "cut off", "cut off"]


def test_a_long_recording_takes_no_more_memory_than_a_block(tmp_path):
    path = tmp_path / "a.wav"
    with soundfile.SoundFile(path, "w", 8_000, 1, subtype="PCM_U8") as file:
        for minute in range(65):  # beyond an hour, which was the limit
            file.write(noise(minute, 60, 8_000))
    rows = [row(path, start_s=60.0 * i, duration_s=2.0) for i in range(65)]
    tracemalloc.start()
    try:
        n_kept = sum(isinstance(one, corpus.Row) for one in ingest.check_rows(rows, config(), KEY, lineage.Sketcher()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert n_kept == 65
    assert peak < 20e6  # as float32 at 16 kHz the recording is 250 MB


# Sketches


@pytest.mark.parametrize(("rate_hz", "channels"), [(16_000, 1), (44_100, 1), (8_000, 1), (48_000, 2), (22_050, 3)])
def test_marks_of_recordings_are_those_of_the_whole_decoded_at_once(tmp_path, rate_hz, channels):
    frames = np.stack([noise(seed, 15, rate_hz) for seed in range(channels)], axis=1)
    path = write(tmp_path / "a.wav", frames, rate_hz)
    before = soundfile.read(path, dtype="float32", always_2d=True)[0].mean(axis=1)  # as until now
    sketcher = lineage.Sketcher()
    check(row(path, channel=0), sketcher=sketcher)
    assert mark(audio.resample(before, rate_hz)) in sketcher.sketch().recordings
    parts = lineage.Sketcher()
    check(*(row(path, channel=0, start_s=s, duration_s=1.0) for s in (1.0, 3.0)), sketcher=parts)
    assert parts.sketch().recordings == sketcher.sketch().recordings


def test_a_channel_of_a_call_and_that_channel_alone_are_kin(tmp_path, call):
    together, alone = lineage.Sketcher(), lineage.Sketcher()
    check(row(call, channel=1), sketcher=together)
    check(row(write(tmp_path / "b.flac", noise(2))), sketcher=alone)
    assert alone.sketch().recordings <= together.sketch().recordings


# What a file says of itself


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_floats_at_integer_scale_are_read_at_theirs(tmp_path, bits):
    whole = np.rint(noise(1) * 2 ** (bits - 1))
    path = write(tmp_path / "a.wav", whole, subtype="DOUBLE")
    np.testing.assert_allclose(sounds(row(path))[0], noise(1), atol=1e-4)


def test_floats_at_an_unknown_scale_are_set_aside_and_slight_overs_are_counted(tmp_path):
    assert kinds(row(write(tmp_path / "a.wav", noise(1) * 3000, subtype="FLOAT"))) == ["bad scale"]
    over = noise(1) / np.abs(noise(1)).max() * 1.5
    listed = ingest.Listed()
    path = write(tmp_path / "b.wav", over, subtype="FLOAT")
    (found,) = ingest.check_rows([row(path)], config(), KEY, lineage.Sketcher(), listed)
    np.testing.assert_allclose(found.samples(), np.clip(over, -1, 1), atol=1e-4)
    assert listed.clipped == 1


def test_a_header_that_claims_70_gib_costs_its_own_row(tmp_path):
    good = write(tmp_path / "good.wav", noise(1))
    claims = bytearray(write(tmp_path / "a.wav", noise(2), format="RF64").read_bytes())
    at = claims.index(b"ds64")
    claims[at + 16 : at + 32] = struct.pack("<QQ", 70 * 2**30, 35 * 2**30)
    (tmp_path / "a.wav").write_bytes(claims)
    tracemalloc.start()
    try:
        said = kinds(row(tmp_path / "a.wav", start_s=0.0, duration_s=2.0), row(tmp_path / "a.wav"), row(good))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert said == ["cut off", "cut off", "kept"]
    assert peak < 20e6


def test_a_corpus_with_channels_through_the_first_stage(tmp_path):
    root = tmp_path / "source"
    root.mkdir()
    records = []
    for pair in range(6):
        write(root / f"{pair}.wav", np.stack([noise(2 * pair), noise(2 * pair + 1)], axis=1))
        records += [
            {"file_name": f"{pair}.wav", "text": "go", "user": f"u{2 * pair + side}", "channel": side}
            for side in (0, 1)
        ]
    (root / "metadata.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    settings = config(path=str(root), test_fraction=0.4)
    summary = ingest.run(settings, sources.list_inputs(settings.data), tmp_path / "ingest", key=KEY)
    assert summary.counts["rows_kept"] == 12
    heard = [one.samples() for one in corpus.read(summary.directory).rows()]
    for seed in range(12):
        assert min(float(np.abs(samples - noise(seed)).max()) for samples in heard) < 1e-3
