"""What a recording's file tells beside its sound does not get into what is trained on or passed on."""

import base64
import io
import json
import re
import stat
import struct

import mutagen.flac
import mutagen.id3
import mutagen.mp3
import mutagen.oggvorbis
import numpy as np
import pytest
import soundfile

from speechpriv import config, corpus, packaged
from speechpriv.data import voices

SECRETS = ("Xanthippe Quillfeather", "51.4778N 0.0014W", "iSpy Dictaphone 9000", "2019-05-17", "patient 8675309")
PNG = b"\x89PNG\r\n\x1a\n" + b"cover picture of Xanthippe" * 9
GUID = "c0ffee00-dead-4bad-9bad-feedfacecafe"
HIDDEN = (*SECRETS, "cover picture", GUID)
KINDS = ("id3.mp3", "tags.flac", "tags.ogg", "info-bext-peak.wav")


def encoded(kind, samples):
    """The recording as a file of a kind, with everything that the kind can carry."""
    buffer = io.BytesIO()
    if kind == "info-bext-peak.wav":
        soundfile.write(buffer, samples, 16_000, format="WAV", subtype="FLOAT")
        return riff(buffer.getvalue())
    form = {"id3.mp3": "MP3", "tags.flac": "FLAC", "tags.ogg": "OGG"}[kind]
    soundfile.write(buffer, samples, 16_000, format=form)
    buffer.seek(0)
    if kind == "id3.mp3":
        tags = mutagen.id3.ID3()
        frames = [mutagen.id3.TPE1(encoding=1, text=SECRETS[0]), mutagen.id3.TDRC(encoding=3, text=SECRETS[3])]
        frames += [mutagen.id3.COMM(encoding=3, lang="eng", desc="gps", text=SECRETS[1])]
        frames += [mutagen.id3.APIC(encoding=3, mime="image/png", type=3, desc="cover", data=PNG)]
        frames += [
            mutagen.id3.TSSE(encoding=2, text=SECRETS[2]),
            mutagen.id3.UFID(owner=GUID, data=SECRETS[4].encode()),
        ]
        for frame in frames:
            tags.add(frame)
        tags.save(buffer)
        return buffer.getvalue()
    found = (mutagen.flac.FLAC if kind == "tags.flac" else mutagen.oggvorbis.OggVorbis)(buffer)
    found.update({"artist": SECRETS[0], "location": SECRETS[1], "encoder": SECRETS[2], "date": SECRETS[3]})
    found.update({"comment": SECRETS[4], "guid": GUID})
    picture = mutagen.flac.Picture()
    picture.data, picture.mime, picture.type = PNG, "image/png", 3
    if kind == "tags.flac":
        found.add_picture(picture)
    else:
        found["metadata_block_picture"] = base64.b64encode(picture.write()).decode()
    buffer.seek(0)
    found.save(buffer)
    return buffer.getvalue()


def riff(wav):
    """A WAV with a PEAK chunk (libsndfile's), and more: RIFF INFO, Broadcast Wave's bext, iXML, and a picture."""
    assert b"PEAK" in wav
    info = b"INFO" + b"".join(
        name + struct.pack("<I", len(text.encode()) + 1) + text.encode() + b"\0" * (1 + (len(text.encode()) + 1) % 2)
        for name, text in zip((b"IART", b"ICMT", b"ISFT", b"ICRD", b"INAM"), SECRETS, strict=True)
    )
    bext = b"".join(text.encode().ljust(size, b"\0") for text, size in zip(SECRETS[:3], (256, 32, 32), strict=True))
    bext += b"2019-05-1712:34:56" + bytes(8 + 2 + 64 + 190) + f"A=PCM,T={GUID}".encode()
    ixml = f"<BWFXML><NOTE>{SECRETS[4]}</NOTE><LOCATION>{SECRETS[1]}</LOCATION></BWFXML>".encode()
    chunks = {b"LIST": info, b"bext": bext, b"iXML": ixml, b"id3 ": PNG}
    extra = b"".join(
        name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2) for name, body in chunks.items()
    )
    return wav[:4] + struct.pack("<I", len(wav) - 8 + len(extra)) + wav[8:] + extra


def forms(text):
    """A text as files may hold it."""
    plain = text.encode()
    yield from (plain, text.encode("utf-16-le"), text.encode("utf-16-be"), plain.lower(), plain.hex().encode())
    yield from (base64.b64encode(b" " * shift + plain)[4:-4] for shift in range(3))


def told(data):
    """Which of the hidden texts are in some bytes."""
    return {text for text in HIDDEN if any(form in data for form in forms(text))}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs, until the voices are disguised, over the same tagged files."""
    source = tmp_path_factory.mktemp("recordings")
    with (source / "metadata.jsonl").open("w") as metadata:
        for number in range(24):
            name = f"xanthippe-quillfeather-{number}-{KINDS[number % len(KINDS)]}"
            text = ("turn on the lights", "open the door now")[number % 2]
            samples = voices.speak(text, voices.Voice(variant=voices.list_variants()[number])).samples
            (source / name).write_bytes(encoded(KINDS[number % len(KINDS)], samples))
            metadata.write(json.dumps({"file_name": name, "text": text, "user": f"person {number}"}) + "\n")
    found = []
    for name in ("first", "second"):
        run_dir = tmp_path_factory.mktemp(name)
        (run_dir / "private").mkdir(mode=0o700)
        settings = [f"data.path={source}", "data.test_fraction=0.3", "canary.personal=0"]
        whole = config.load(packaged.find_packaged("commands.yaml"), settings)
        packaged.load_recipe(packaged.find_packaged("assistant.py"))(whole, run_dir, "prepare")
        found.append(run_dir)
    return source, *found


@pytest.fixture(scope="module")
def rows(runs):
    return list(corpus.read(runs[1] / "private" / "anonymize").rows())


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_tell_before(kind):
    """Negative control: the search finds what is there, and libsndfile still reads the file."""
    data = encoded(kind, np.zeros(8_000, np.float32))
    assert len(told(data)) >= 5
    assert len(soundfile.read(io.BytesIO(data))[0]) >= 8_000


def test_nothing_that_the_files_told_is_left(runs, rows):
    source, first, _ = runs
    assert {secret for file in source.iterdir() for secret in told(file.read_bytes())} == set(HIDDEN)
    assert len(rows) >= 20
    for stage in ("ingest", "scrub", "anonymize"):
        for file in (first / "private" / stage).rglob("*"):
            if file.is_file():
                assert told(file.read_bytes()) == set(), file.name
                assert b"quillfeather" not in file.read_bytes().lower()
                assert "quillfeather" not in str(file)


def test_every_recording_is_canonical_flac_without_tags(rows):
    for row in rows:
        opened = mutagen.flac.FLAC(io.BytesIO(row.flac))
        assert {type(block).__name__ for block in opened.metadata_blocks} <= {"StreamInfo", "VCFLACDict"}
        assert list(opened.tags or ()) == []
        assert opened.pictures == []
        found = opened.info
        assert (found.sample_rate, found.channels, found.bits_per_sample) == (16_000, 1, 16)
    vendors = {re.search(rb"reference libFLAC [\d. ]+", row.flac)[0] for row in rows}
    assert len(vendors) == 1  # it says which library wrote it, and the same for all


def test_ids_and_order_tell_nothing_and_change_with_the_run(runs):
    first, second = (list(corpus.read(run / "private" / "anonymize").rows()) for run in runs[1:])
    for found in (first, second):
        assert all(re.fullmatch("[0-9a-f]{16}", name) for row in found for name in (row.id, row.unit))
        assert [row.id for row in found] != sorted(row.id for row in found)
    assert not {row.id for row in first} & {row.id for row in second}
    assert not {row.unit for row in first} & {row.unit for row in second}
    spoken = [[row.text for row in found] for found in (first, second)]
    assert spoken[0] != spoken[1]
    assert spoken[0] != sorted(spoken[0])


def test_times_are_fixed(runs):
    for stage in ("ingest", "scrub", "anonymize"):
        files = [file for file in (runs[1] / "private" / stage).rglob("*") if file.is_file()]
        assert {file.stat().st_mtime for file in files} == {315_532_800}


def test_keys_are_the_owners_alone_apart_from_the_output_and_of_one_run(runs):
    keys = [sorted((run / "private" / "keys").iterdir()) for run in runs[1:]]
    assert {path.name for path in keys[0]} >= {"ids", "voices"}
    for path in (*keys[0], *keys[1]):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert len(path.read_bytes()) == 32
    assert not {path.read_bytes() for path in keys[0]} & {path.read_bytes() for path in keys[1]}
    secrets = [path.read_bytes() for path in keys[0]]
    for file in runs[1].rglob("*"):
        if file.is_file() and file.parent.name != "keys":
            data = file.read_bytes()
            assert not any(key in data or key.hex().encode() in data for key in secrets), file.name
