"""Whatever a recording's header says, it costs its own rows at most: no error, no memory, and nothing is printed."""

import io
import resource
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv.corpus import Row
from speechpriv.data import ingest, lineage
from speechpriv.data.sources import Rejected, SourceRow
from speechpriv.sections import DataConfig

SOUND = (0.1 * np.random.default_rng(0).standard_normal(6_400)).astype(np.float32)
CONFIG = ingest.IngestConfig(data=DataConfig(path="unused"), seed=1)


def encoded(kind, subtype=None):
    buffer = io.BytesIO()
    soundfile.write(buffer, SOUND, 16_000, format=kind, subtype=subtype)
    return buffer.getvalue()


KINDS = {
    "wav": encoded("WAV", "PCM_16"), "float wav": encoded("WAV", "FLOAT"), "adpcm": encoded("WAV", "IMA_ADPCM"),
    "rf64": encoded("RF64", "PCM_16"), "flac": encoded("FLAC"), "ogg": encoded("OGG", "VORBIS"),
    "opus": encoded("OGG", "OPUS"), "mp3": encoded("MP3"), "aiff": encoded("AIFF"), "au": encoded("AU"),
    "w64": encoded("W64"), "nist": encoded("NIST"), "caf": encoded("CAF"),
}  # fmt: skip


def take_in(*contents):
    """What becomes of the recordings, each with a good one after it."""
    found = []
    for number, content in enumerate(contents):
        found += [
            SourceRow(f"b{number}", "u", "go", content),
            SourceRow(f"g{number}", f"u{number}", "go", KINDS["wav"]),
        ]
    rows = list(ingest.check_rows(found, CONFIG, bytes(32), lineage.Sketcher()))
    assert len(rows) == len(found)
    assert all(isinstance(row, Row) for row in rows[1::2])
    return rows[::2]


places = st.integers(0, 120)
changes = st.one_of(
    st.tuples(places, st.binary(min_size=1, max_size=4)),
    st.tuples(places, st.sampled_from([0, 1, 2**15, 2**31 - 1, 2**31, 2**32 - 1]).map(lambda n: struct.pack("<I", n))),
    st.tuples(places, st.sampled_from([0, 1, 2**62, 2**64 - 1]).map(lambda n: struct.pack(">Q", n))),
)


@pytest.mark.parametrize("kind", KINDS)
@given(st.lists(changes, min_size=1, max_size=4), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_a_header_that_is_wrong_costs_its_own_row(kind, found, cut):
    content = bytearray(KINDS[kind])
    for place, new in found:
        content[place : place + len(new)] = new
    (row,) = take_in(bytes(content[: len(content) // (cut or 1)]))
    assert isinstance(row, Row | Rejected)


def flac_of(frames, rate_hz):
    """A FLAC whose first block claims another length and rate."""
    content = bytearray(KINDS["flac"])
    bits = int.from_bytes(content[18:26]) & ~((1 << 36) - 1) & ((1 << 44) - 1)
    content[18:26] = (rate_hz << 44 | bits | frames).to_bytes(8)
    return bytes(content)


def wav_of(rate_hz, *, channels=1, size=None):
    content = bytearray(KINDS["wav"])
    content[22:32] = struct.pack("<HII", channels, rate_hz, min(2 * channels * rate_hz, 2**32 - 1))
    if size is not None:
        content[40:44] = struct.pack("<I", size)
    return bytes(content)


def test_what_a_header_claims_is_never_held_in_memory(capfd):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    claims = [
        flac_of(2**36 - 1, 655_350),
        flac_of(2**35, 1),
        wav_of(1),
        wav_of(2**31 - 1),
        wav_of(2**31 - 1, size=2**31),
    ]
    claims += [wav_of(16_000, channels=65_535), wav_of(2, size=2**32 - 2), wav_of(999), wav_of(1_000_001)]
    for row in take_in(*claims):
        assert isinstance(row, Rejected)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # KiB
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("error", [MemoryError, RuntimeError, ValueError, AssertionError, OverflowError])
@pytest.mark.parametrize("part", ["speechpriv.audio._Decoder.blocks", "speechpriv.audio.Resampler.__call__"])
def test_any_error_of_a_codec_costs_its_own_row(monkeypatch, error, part):
    """Negative control of the fuzzing: an error that no header here causes."""
    calls = []

    def fail(*_, **__):
        calls.append(1)
        raise error("a secret")

    good, bad = SourceRow("g", "u", "go", KINDS["wav"]), SourceRow("b", "u", "go", KINDS["flac"])
    with monkeypatch.context() as patch:
        patch.setattr(part, fail)
        (row,) = ingest.check_rows([bad], CONFIG, bytes(32), lineage.Sketcher())
    assert calls
    assert row == Rejected("b", f"unreadable: {error.__name__}")
    assert isinstance(next(ingest.check_rows([good], CONFIG, bytes(32), lineage.Sketcher())), Row)
