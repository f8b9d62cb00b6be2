import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv.data import audio
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
    found = blocks(audio.flac(tone()))
    assert set(found) <= {0, 1, 4}  # stream information, padding, vendor string; no picture, no application data
    assert not found.get(1, b"").strip(b"\0")
    assert comments(found[4]) == 0
    info = soundfile.info(io.BytesIO(audio.flac(tone())))
    assert (info.format, info.subtype, info.samplerate, info.channels) == ("FLAC", "PCM_16", 16_000, 1)


def test_tags_and_other_forms_leave_no_trace():
    tagged = encode(tone(), kind="FLAC", subtype="PCM_16", artist="Ada Lovelace", comment="kitchen", date="2024-05-01")
    assert b"Ada Lovelace" in tagged
    assert comments(blocks(tagged)[4]) > 0  # the check above can fail
    plain = audio.flac(audio.read(tagged))
    assert plain == audio.flac(audio.read(audio.flac(tone())))
    assert b"Ada" not in plain


def test_the_same_samples_give_the_same_bytes():
    assert audio.flac(tone()) == audio.flac(tone().copy()) == audio.flac(tone().astype(np.float64))
    assert audio.flac(tone()) != audio.flac(tone(441))


@given(st.lists(st.integers(-32_768, 32_767), min_size=1, max_size=3_000))
@settings(max_examples=40, deadline=None)
def test_sixteen_bits_survive_the_round_trip(values):
    samples = np.array(values, np.float32) / 32_768
    np.testing.assert_array_equal(audio.read(audio.flac(samples)), samples)


def test_what_is_beyond_full_scale_is_clipped_not_wrapped():
    read = audio.read(audio.flac(np.array([2.0, -2.0, 0.5], np.float32)))
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
    assert audio.duration_s(content) == pytest.approx(0.5, abs=0.001)


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
    path.write_bytes(audio.flac(tone()))
    np.testing.assert_array_equal(audio.read(path), audio.read(path.read_bytes()))
    assert audio.duration_s(path) == audio.duration_s(path.read_bytes()) == 0.5


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
        audio.read(audio.flac(np.random.default_rng(0).uniform(-1, 1, 16_000))[:10_000])


@pytest.mark.parametrize("reader", [audio.read, audio.duration_s])
def test_missing_files_and_folders(tmp_path, reader):
    for path, said in ((tmp_path / "gone.wav", "no such file"), (tmp_path, "a folder")):
        with pytest.raises(DataError, match=said):
            reader(path)


@given(st.binary(max_size=400))
@settings(deadline=None)
def test_no_bytes_fail_otherwise_than_by_a_data_error(content):
    for head in (b"", b"RIFF", b"fLaC", b"OggS", b"ID3", b"NIST_1A\n"):
        try:
            samples = audio.read(head + content)
        except DataError:
            continue
        assert np.isfinite(samples).all()
