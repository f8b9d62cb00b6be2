import contextlib
import io
import struct
import sys

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv import audio, containers
from speechpriv.errors import DataError


def tone(frequency_hz=440, seconds=0.5, rate_hz=16_000, level=0.5):
    time_s = np.arange(int(seconds * rate_hz)) / rate_hz
    return (level * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)


def encode(samples, rate_hz=16_000, kind="WAV", subtype=None, **tags):
    buffer = io.BytesIO()
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with soundfile.SoundFile(buffer, "w", rate_hz, channels, format=kind, subtype=subtype) as file:
        for name, value in tags.items():
            setattr(file, name, value)
        file.write(samples)
    return buffer.getvalue()


def loudest_hz(samples, rate_hz=16_000):
    return np.argmax(np.abs(np.fft.rfft(samples * np.hanning(len(samples))))) * rate_hz / len(samples)


def blocks(flac):
    """{type: content} of the metadata blocks of a FLAC file (RFC 9639, section 8)."""
    assert flac[:4] == b"fLaC"
    found, at, last = {}, 4, False
    while not last:
        last, kind = bool(flac[at] & 0x80), flac[at] & 0x7F
        size = int.from_bytes(flac[at + 1 : at + 4])
        found[kind] = flac[at + 4 : at + 4 + size]
        at += 4 + size
    return found


def comments(block):
    """User comments of a Vorbis comment block."""
    vendor = struct.unpack_from("<I", block)[0]
    return struct.unpack_from("<I", block, 4 + vendor)[0]


def test_canonical_flac_carries_no_metadata():
    found = blocks(audio.encode_flac(tone()))
    assert set(found) <= {0, 1, 4}  # stream information, padding, vendor string; no picture, no application data
    assert not found.get(1, b"").strip(b"\0")
    assert comments(found[4]) == 0
    info = soundfile.info(io.BytesIO(audio.encode_flac(tone())))
    assert (info.format, info.subtype, info.samplerate, info.channels) == ("FLAC", "PCM_16", 16_000, 1)


def test_tags_and_other_forms_leave_no_trace():
    tagged = encode(tone(), kind="FLAC", subtype="PCM_16", artist="Ada Lovelace", comment="kitchen", date="2024-05-01")
    assert b"Ada Lovelace" in tagged
    assert comments(blocks(tagged)[4]) > 0  # the check above can fail
    plain = audio.encode_flac(audio.read(tagged))
    assert plain == audio.encode_flac(audio.read(audio.encode_flac(tone())))
    assert b"Ada" not in plain


def test_the_same_samples_give_the_same_bytes():
    assert audio.encode_flac(tone()) == audio.encode_flac(tone().copy()) == audio.encode_flac(tone().astype(np.float64))
    assert audio.encode_flac(tone()) != audio.encode_flac(tone(441))


@given(st.lists(st.integers(-32_768, 32_767), min_size=1, max_size=3_000))
@settings(max_examples=40, deadline=None)
def test_sixteen_bits_survive_the_round_trip(values):
    samples = np.array(values, np.float32) / 32_768
    np.testing.assert_array_equal(audio.read(audio.encode_flac(samples)), samples)


def test_what_is_beyond_full_scale_is_clipped_not_wrapped():
    read = audio.read(audio.encode_flac(np.array([2.0, -2.0, 0.5], np.float32)))
    np.testing.assert_allclose(read, [1, -1, 0.5], atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "FLOAT"),
        ("WAV", "ULAW"),
        ("FLAC", None),
        ("OGG", "VORBIS"),
        ("MP3", None),
        ("NIST", None),
    ],
)
def test_every_format_gives_the_same_sound(kind, subtype):
    content = encode(tone(), kind=kind, subtype=subtype)
    samples = audio.read(content)
    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(8_000, abs=10)
    assert loudest_hz(samples) == pytest.approx(440, abs=3)
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.05)
    with audio.open_stream(content) as sound:
        assert sound.header_s == pytest.approx(0.5, abs=0.001)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 22_050, 44_100, 48_000])
def test_any_rate_becomes_16_khz(rate_hz):
    samples = audio.read(encode(tone(rate_hz=rate_hz), rate_hz))
    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(8_000, abs=1)
    assert loudest_hz(samples) == pytest.approx(440, abs=3)


def test_resampling_does_not_fold_what_16_khz_cannot_hold():
    high = audio.resample(tone(11_000, rate_hz=48_000), 48_000)
    assert np.abs(high[200:-200]).max() < 1e-3
    low = audio.resample(tone(3_000, rate_hz=48_000), 48_000)
    assert np.abs(low[200:-200]).max() > 0.4


def test_at_16_khz_nothing_is_resampled():
    samples = tone()
    assert audio.resample(samples, 16_000) is samples


def test_channels_are_mixed_and_one_that_is_inverted_is_no_silence():
    stereo = np.stack([tone(), -tone()], axis=1)
    np.testing.assert_allclose(audio.read(encode(stereo, subtype="FLOAT")), tone(), atol=1e-6)
    np.testing.assert_allclose(audio.read(encode(np.stack([tone()] * 8, axis=1), subtype="FLOAT")), tone(), atol=1e-6)


def test_a_file_and_its_bytes_read_alike(tmp_path):
    path = tmp_path / "a.flac"
    path.write_bytes(audio.encode_flac(tone()))
    np.testing.assert_array_equal(audio.read(path), audio.read(path.read_bytes()))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "unreadable"),
        (b"not audio at all", "unreadable"),
        (b"fLaC" + b"\0" * 200, "unreadable"),
        (encode(np.zeros(0, np.float32)), "no samples"),
        (encode(np.zeros((10, 9), np.float32)), "9 channels; expected 1 to 8"),
        (encode(np.array([0, np.nan], np.float32), subtype="FLOAT"), "not finite"),
        (encode(np.array([0, np.inf], np.float32), subtype="FLOAT"), "not finite"),
    ],
    ids=["nothing", "text", "zeros", "no samples", "9 channels", "nan", "inf"],  # the bytes would hold the time
)
def test_what_cannot_be_used_says_why(content, message):
    with pytest.raises(DataError, match=message):
        audio.read(content)


def test_a_broken_flac_is_unreadable_not_short():
    with pytest.raises(DataError, match="unreadable"):
        audio.read(audio.encode_flac(np.random.default_rng(0).uniform(-1, 1, 16_000))[:10_000])


def test_missing_files_and_folders(tmp_path):
    for path, said in ((tmp_path / "gone.wav", "no such file"), (tmp_path, "a folder")):
        with pytest.raises(DataError, match=said):
            audio.read(path)


@given(st.binary(max_size=400))
@settings(deadline=None)
def test_no_bytes_fail_otherwise_than_by_a_data_error(content):
    for head in (b"", b"RIFF", b"fLaC", b"OggS", b"ID3", b"NIST_1A\n"):
        try:
            samples = audio.read(head + content)
        except DataError:
            continue
        assert np.isfinite(samples).all()


def chunk_at(content, name):
    return content.index(name) + 4


def resized(content, **sizes):
    """A WAV file whose header says other sizes of its chunks."""
    changed = bytearray(content)
    for name, size in sizes.items():
        at = chunk_at(content, name.encode())
        changed[at : at + 4] = struct.pack("<I", size)
    return bytes(changed)


def noise(seconds=3.0, rate_hz=16_000):
    return (0.1 * np.random.default_rng(0).standard_normal(int(seconds * rate_hz))).astype(np.float32)


def variable_mp3(samples, rate_hz=16_000):
    """MP3 of variable rate, and the same without the frame that counts the others."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format="MP3", bitrate_mode="VARIABLE")
    content = buffer.getvalue()
    with io.BytesIO(content) as file:
        return content, content[containers._frame(file, 0) :]


# As a pause and then much to say: by the rate of the first frames, the file would be guessed too short.
UNEVEN = np.concatenate([1e-3 * noise(2), noise(4)])


def test_a_variable_mp3_without_a_count_of_frames_is_read_to_its_end():
    counted, uncounted = variable_mp3(UNEVEN)
    assert soundfile.info(io.BytesIO(uncounted)).duration != pytest.approx(6, abs=1)  # what its decoder believes
    assert len(audio.read(counted)) == 96_000
    assert len(audio.read(uncounted)) / 16_000 == pytest.approx(6, abs=0.2)
    with audio.open_stream(uncounted) as sound:
        assert sound.header_s is None


def test_an_mp3_after_an_mp3_in_one_file_is_read_too():
    counted, _ = variable_mp3(noise(2))
    assert len(audio.read(counted + counted)) / 16_000 == pytest.approx(4, abs=0.3)


@pytest.mark.parametrize("tag", [b"", b"TAG" + bytes(125), bytes(5_000)])
def test_an_mp3_that_breaks_off_is_not_taken_for_a_whole_one(tag):
    counted, uncounted = variable_mp3(UNEVEN)
    audio.read(counted + tag)
    audio.read(uncounted + tag)
    for content in (counted[: len(counted) // 2], uncounted[: len(uncounted) // 2]):
        with pytest.raises(DataError, match="cut off"):
            audio.read(content)


CUT = [
    ("WAV", "PCM_16"),
    ("WAV", "FLOAT"),
    ("WAV", "GSM610"),
    ("WAVEX", "PCM_24"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("AU", "PCM_16"),
    ("NIST", "PCM_16"),
    ("CAF", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", None),
]


@pytest.mark.parametrize(("kind", "subtype"), CUT)
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_file_that_breaks_off_is_not_taken_for_a_short_one(kind, subtype, share):
    content = encode(noise(), kind=kind, subtype=subtype)
    assert len(audio.read(content)) == pytest.approx(48_000, abs=700)
    with pytest.raises(DataError, match="unreadable" if kind == "CAF" else "cut off"):
        audio.read(content[: int(share * len(content))])


def test_an_ogg_stream_with_a_hole_is_cut_off():
    content = encode(noise(), kind="OGG", subtype="VORBIS")
    pages = [at for at in range(len(content)) if content[at : at + 4] == b"OggS"]
    with pytest.raises(DataError, match="cut off"):
        audio.read(content[: pages[3]] + content[pages[-1] :])


def test_an_ogg_stream_whose_last_page_is_missing_is_cut_off():
    content = encode(noise(), kind="OGG", subtype="VORBIS")
    with pytest.raises(DataError, match="last page is not marked"):
        audio.read(content[: content.rindex(b"OggS")])


# 0, and what ffmpeg, sox, arecord and others write into a pipe, where no one can go back to the header
@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000, 0x80000000, 0x7FFFFFFF - 36, 0xFFFFFFFF - 36])
def test_a_wav_from_a_pipe_is_read_to_its_end(size):
    content = encode(noise(), subtype="PCM_16")
    piped = resized(content, data=size, RIFF=min(size + 36 if size else 0, 0xFFFFFFFF))
    np.testing.assert_array_equal(audio.read(piped), audio.read(content))


def test_an_empty_wav_with_a_chunk_behind_is_empty():
    content = encode(np.zeros(0, np.float32), subtype="PCM_16") + b"LIST" + struct.pack("<I", 400) + bytes(400)
    with pytest.raises(DataError, match="no samples"):
        audio.read(resized(content, RIFF=len(content) - 8))


def test_sizes_that_are_off_by_the_header_are_forgiven():
    content = encode(noise(), subtype="PCM_16")
    assert len(audio.read(resized(content, data=len(content), RIFF=len(content)))) == 48_000


def test_a_flac_of_unknown_length_is_read():
    content = bytearray(audio.encode_flac(noise()))
    content[21] &= 0xF0  # the 36 bits of STREAMINFO that count samples
    content[22:26] = bytes(4)
    assert len(audio.read(bytes(content))) == 48_000
    with audio.open_stream(bytes(content)) as sound:
        assert sound.header_s is None
    with pytest.raises(DataError, match="cut off"):
        audio.read(bytes(content[: len(content) // 2]))


def test_a_file_beside_it_named_as_by_macos_changes_nothing(tmp_path):
    (tmp_path / "a.mp3").write_bytes(encode(noise(), kind="MP3"))
    (tmp_path / "._a.mp3").write_bytes(b"\x00\x05\x16\x07" + bytes(4_000))
    assert len(audio.read(tmp_path / "a.mp3")) == 48_000


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 44_100, 48_000])
@pytest.mark.parametrize("size", [1_000, 65_536])
def test_resampling_by_blocks_is_resampling(rate_hz, size):
    samples = noise(3, rate_hz)
    resampler = audio.Resampler(rate_hz)
    blocks = [resampler(samples[at : at + size]) for at in range(0, len(samples), size)]
    np.testing.assert_array_equal(
        np.concatenate([*blocks, resampler(samples[:0], last=True)]), audio.resample(samples, rate_hz)
    )


def by_ffmpeg(samples, container, codec, rate_hz=48_000, *, seekable=True, rate_bit=64_000):
    """A file as a phone or a browser writes it."""
    av = pytest.importorskip("av", reason="PyAV is not installed: pip install 'speechpriv[formats]'")
    buffer = io.BytesIO()

    class Pipe(io.RawIOBase):
        def writable(self):
            return True

        def write(self, content):
            return buffer.write(content)

    with av.open(buffer if seekable else Pipe(), "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate_hz, layout="mono")
        stream.bit_rate = rate_bit
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = 16_000
        resampler = av.AudioResampler(
            format=stream.format, layout="mono", rate=rate_hz, frame_size=stream.frame_size or 1024
        )
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return buffer.getvalue()


MODERN = {
    "m4a": ("ipod", "aac", 44_100),
    "mp4": ("mp4", "aac", 48_000),
    "3gp": ("3gp", "libopencore_amrnb", 8_000),
    "amr": ("amr", "libopencore_amrnb", 8_000),
    "aac": ("adts", "aac", 48_000),
    "wma": ("asf", "wmav2", 44_100),
    "webm": ("webm", "libopus", 48_000),
}


@pytest.mark.parametrize("name", MODERN)
def test_what_phones_and_browsers_write_is_read_with_an_extra(tmp_path, name):
    container, codec, rate_hz = MODERN[name]
    content = by_ffmpeg(tone(seconds=3), container, codec, rate_hz, rate_bit=12_200 if "amr" in codec else 64_000)
    (tmp_path / "a").write_bytes(content)
    for source in (content, tmp_path / "a"):
        samples = audio.read(source)
        assert len(samples) / 16_000 == pytest.approx(3, abs=0.15)
        assert loudest_hz(samples) == pytest.approx(440, abs=3)
    for share in (0.3, 0.9):
        with pytest.raises(DataError, match="cut off"):
            audio.read(content[: int(share * len(content))])


def test_a_browser_that_streams_says_no_length(tmp_path):
    content = by_ffmpeg(tone(seconds=3), "webm", "libopus", seekable=False)
    assert len(audio.read(content)) / 16_000 == pytest.approx(3, abs=0.1)
    with audio.open_stream(content) as sound:
        assert sound.header_s is None
    with pytest.raises(DataError, match="cut off"):
        audio.read(content[: len(content) // 2])


def test_without_the_extra_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(DataError, match=r"\(mp4\).*pip install 'speechpriv\[formats\]'"):
        audio.read(b"\0\0\0\x18ftypM4A " + bytes(200))


def test_a_playlist_that_names_another_file_is_not_followed(tmp_path):
    (tmp_path / "secret.wav").write_bytes(encode(tone()))
    for text in (
        f"#EXTM3U\n#EXTINF:1,\n{tmp_path}/secret.wav\n",
        f"ffconcat version 1.0\nfile {tmp_path}/secret.wav\n",
    ):
        with pytest.raises(DataError, match="unreadable"):
            audio.read(text.encode())


@given(st.binary(max_size=400))
@settings(deadline=None)
def test_no_bytes_of_a_container_fail_otherwise_than_by_a_data_error(content):
    for head in (
        b"RIFF\xff\xff\0\0WAVE",
        b"FORM\0\0\0\1AIFF",
        b"\0\0\0\x18ftyp",
        b"\x1a\x45\xdf\xa3",
        b"\xff\xfb\x90\x44",
    ):
        with contextlib.suppress(DataError):
            audio.read(head + content)
