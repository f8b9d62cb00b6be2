"""What an audio file says of its own length, and whether it is all there: decoders do not tell of a
file cut off.

Only headers are read, never the sound; nothing grows with the length that a header claims.
"""

import io
import re
import struct
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

_SLACK_BYTES = 128  # some writers count the header, or a pad, as sound
_MOST_CHUNKS = 10_000
_UNKNOWN_LENGTH = 2**40  # of a file, for a decoder that would guess its frames from it
_RESYNC_BYTES = 65_536
_MP3_KBIT = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG 1
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG 2 and 2.5
)
_OGG_PAGE = 65_307  # bytes at most


class Container(NamedTuple):
    """What to decode instead of the file, and what is missing at its end."""

    file: BinaryIO | io.RawIOBase
    missing: str = ""
    demuxer: str = ""  # of FFmpeg, for what libsndfile does not read


def check_container(file: BinaryIO) -> Container:
    """Look for the end that the headers of a file promise.

    Args:
      file: open, seekable; it stays open, and is where it was left.

    Returns:
      `file` itself, or a view of it in which the header no longer misleads the decoder; `missing`
      is empty unless the file breaks off before the end that it promises.
    """
    head = file.read(64)
    size = file.seek(0, io.SEEK_END)
    look = next((look for magic, look in _LOOKS if re.match(magic, head, re.DOTALL)), None)
    demuxer = next((name for magic, name in _DEMUXERS if re.match(magic, head, re.DOTALL)), "")
    try:
        found = look(file, size) if look else Container(file)
    except (struct.error, ValueError, OverflowError):  # no such header after all: the decoder will say so
        found = Container(file)
    found.file.seek(0)
    return found._replace(demuxer=demuxer)


def _short(file: BinaryIO, promised: int, size: int) -> Container:
    if promised <= size + _SLACK_BYTES:
        return Container(file)
    return Container(file, f"its header says {promised:,} bytes and it has {size:,}")


def _at(file: BinaryIO, place: int, layout: str) -> tuple:
    file.seek(place)
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


def _riff(file: BinaryIO, size: int) -> Container:
    """WAV, and RF64 beyond 4 GiB. A writer that cannot go back leaves a length of 0 or one that is
    no length.
    """
    (form,) = _at(file, 0, "4s")
    order, long, at = (">" if form == b"RIFX" else "<"), None, 12
    (whole,) = _at(file, 4, f"{order}I")
    for _ in range(_MOST_CHUNKS):
        name, length = _at(file, at, f"{order}4sI")
        if name == b"ds64":
            long = _at(file, at + 16, "<Q")[0]
        if name == b"data":
            break
        at += 8 + length + length % 2
    else:
        return Container(file)
    if length == 0 and not at + 8 < whole + 8 < 0x7FFFF000:  # else it is empty, and another chunk may follow
        return Container(_View(file, patch=(at + 4, b"\xff\xff\xff\xff")))
    if form in (b"RF64", b"BW64") and length == 0xFFFFFFFF and long:
        length = long
    elif 0x7FFFF000 <= length <= 0x80000000 or length >= 0xFFFFF000:
        return Container(file)
    return _short(file, at + 8 + length, size)


def _aiff(file: BinaryIO, size: int) -> Container:
    at = 12
    for _ in range(_MOST_CHUNKS):
        name, length = _at(file, at, ">4sI")
        if name == b"SSND":
            return _short(file, at + 8 + length, size)
        at += 8 + length + length % 2
    return Container(file)


def _au(file: BinaryIO, size: int) -> Container:
    start, length = _at(file, 4, ">II")
    return Container(file) if length == 0xFFFFFFFF else _short(file, start + length, size)


def _w64(file: BinaryIO, size: int) -> Container:
    whole = _at(file, 16, "<Q")[0]
    return Container(file) if whole >= 2**62 else _short(file, whole, size)


def _nist(file: BinaryIO, size: int) -> Container:
    """NIST SPHERE: a header of text lines; what is compressed has another length."""
    file.seek(0)
    text = file.read(1024).decode("latin-1")
    said = {name: int(value) for name, value in re.findall(r"^(\w+) -i (\d+)", text, re.MULTILINE)}
    if re.search(r"^sample_coding .*,", text, re.MULTILINE) or "sample_count" not in said:
        return Container(file)
    frame = said.get("channel_count", 1) * said.get("sample_n_bytes", 2)
    return _short(file, int(text.split()[1]) + said["sample_count"] * frame, size)


def _ogg(file: BinaryIO, size: int) -> Container:
    """Ogg: the last page is whole and says that it is the last."""
    start = max(0, size - 2 * _OGG_PAGE)
    file.seek(start)
    tail = file.read()
    at = len(tail)
    while (at := tail.rfind(b"OggS\0", 0, at)) >= 0 and tail[at + 5 : at + 6] > b"\x07":
        pass  # letters within the sound
    page = tail[at : at + 27]
    lengths = tail[at + 27 : at + 27 + page[26]] if len(page) == 27 else b""
    if at < 0 or len(page) < 27 or len(lengths) < page[26] or at + 27 + len(lengths) + sum(lengths) > len(tail):
        return Container(file, "its last page is not whole")
    return Container(file) if page[5] & 4 else Container(file, "its last page is not marked as the last")


def _mp4(file: BinaryIO, size: int) -> Container:
    """MP4, M4A and 3GP: boxes, one after the other."""
    at = 0
    for _ in range(_MOST_CHUNKS * 100):  # fragments come two a second or so
        if at + 8 > size:
            break
        length, _name = _at(file, at, ">I4s")
        if length == 1:
            length = _at(file, at + 8, ">Q")[0]
        if length < 8:  # 0: to the end of the file
            break
        at += length
    return _short(file, at, size)


def _matroska(file: BinaryIO, size: int) -> Container:
    """Matroska and WebM: elements. One of unknown length, as browsers write, ends where its last
    element does.
    """
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(12)
        wide = 9 - head[0].bit_length()
        long = 9 - head[wide].bit_length() if wide < len(head) else 9
        if wide > 4 or long > 8 or wide + long > len(head):
            break  # padding, or not even the head of an element
        length = int.from_bytes(head[wide : wide + long]) & (1 << 7 * long) - 1
        unknown = length == (1 << 7 * long) - 1
        if head[:wide] == b"\x18\x53\x80\x67" and not unknown:
            return _short(file, at + wide + long + length, size)
        at += wide + long + (0 if unknown else length)
    # Blocks are small: here no slack is due.
    return Container(file) if at <= size else Container(file, "its last block is not whole")


def _mp3(file: BinaryIO, size: int) -> Container:
    """MP3, frame by frame: neither its length nor, without a count in the first frame, its frames
    stand in a header.
    """
    first = at = _frames_begin(file)
    frame = _frame(file, at) if _at(file, at, "4s") != (b"fLaC",) else None
    if frame is None:
        return Container(file)
    counted = _xing_count(file, at, frame)
    n_frames = 0
    while frame and at + frame <= size:
        n_frames, at = n_frames + 1, at + frame
        frame = _frame(file, at)
        if frame is None and (begin := _next_frame(file, at)) is not None:
            at, frame = begin, _frame(file, begin)
    if counted is None:
        cut = "its last frame is not whole" if frame else ""
        return Container(_View(file, stop=at, size=_UNKNOWN_LENGTH), cut)
    n_frames -= 1  # the one that holds the count
    if n_frames > counted + 3:  # several files in one: the count is of the first
        return Container(_View(file, start=first + (_frame(file, first) or 0), stop=at, size=_UNKNOWN_LENGTH))
    if n_frames < counted - 3:
        return Container(file, f"its header says {counted:,} frames and it has {n_frames:,}")
    return Container(file)


def _frames_begin(file: BinaryIO) -> int:
    """Where the first frame is: after ID3 tags."""
    at = 0
    while True:
        file.seek(at)
        head = file.read(10)
        if len(head) < 10 or head[:3] != b"ID3":
            break
        length = sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        at += 10 + length + (10 if head[5] & 0x10 else 0)
    return at if _frame(file, at) or head[:4] == b"fLaC" else _next_frame(file, at) or at


def _next_frame(file: BinaryIO, at: int) -> int | None:
    """The next place where two frames follow one another, None if there is none near: then tags or
    zeros follow.
    """
    file.seek(at)
    near = file.read(_RESYNC_BYTES)
    place = 0
    while (place := near.find(b"\xff", place)) >= 0:
        length = _frame(file, at + place)
        if length and _frame(file, at + place + length):
            return at + place
        place += 1
    return None


def _frame(file: BinaryIO, at: int) -> int | None:
    """Bytes of the layer III frame at a place, None if there is none."""
    file.seek(at)
    head = file.read(4)
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    version, kbit, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or kbit in (0, 15) or rate == 3:
        return None
    rate_hz = (44_100, 48_000, 32_000)[rate] >> {3: 0, 2: 1, 0: 2}[version]
    return (144 if version == 3 else 72) * 1000 * _MP3_KBIT[version != 3][kbit] // rate_hz + (head[2] >> 1 & 1)


def _xing_count(file: BinaryIO, at: int, length: int) -> int | None:
    """Frames by the header that variable rates have in their first frame."""
    file.seek(at)
    frame = file.read(length)
    side = (17 if frame[3] >> 6 == 3 else 32) if frame[1] >> 3 & 3 == 3 else (9 if frame[3] >> 6 == 3 else 17)
    mark = frame[4 + side : 4 + side + 12]
    if mark[:4] in (b"Xing", b"Info") and len(mark) == 12 and mark[7] & 1:
        return int.from_bytes(mark[8:12])
    return None


class _View(io.RawIOBase):
    """A part of a file, with a few bytes other than they are, or with another length than it has."""

    def __init__(
        self,
        file: BinaryIO,
        *,
        start: int = 0,
        stop: int | None = None,
        size: int | None = None,
        patch: tuple[int, bytes] = (0, b""),
    ) -> None:
        super().__init__()
        self._file, self._start, self._patch = file, start, patch
        self._stop = file.seek(0, io.SEEK_END) if stop is None else stop
        self._size = self._stop - start if size is None else size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._file.seek(self._start + self._at)
        data = bytearray(self._file.read(max(0, min(len(buffer), self._stop - self._start - self._at))))
        if not data and self._size - 128 <= self._at < self._size:  # where an MP3 decoder looks for a tag
            data = bytearray(min(len(buffer), self._size - self._at))
        place, new = self._patch
        for index, byte in enumerate(new, start=place - self._at):
            if 0 <= index < len(data):
                data[index] = byte
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


# By the first bytes of a file; the first that fits decides.
_LOOKS: tuple[tuple[bytes, Callable[[BinaryIO, int], Container]], ...] = (
    (rb"RIF[FX]|RF64|BW64", _riff),
    (rb"FORM....AIF", _aiff),
    (rb"\.snd", _au),
    (rb"riff\x2e\x91\xcf\x11", _w64),
    (rb"NIST_1A", _nist),
    (rb"OggS", _ogg),
    (rb"....(ftyp|moov|mdat|free|skip|wide)", _mp4),
    (rb"\x1a\x45\xdf\xa3", _matroska),
    (rb"ID3|\xff[\xe2-\xff]", _mp3),
)
# An explicit one, so that no file is taken for a playlist, which would name others.
_DEMUXERS = (
    (rb"....(ftyp|moov|mdat|free|skip|wide)", "mp4"),
    (rb"\x1a\x45\xdf\xa3", "matroska"),
    (rb"#!AMR", "amr"),
    (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
    (rb"\xff[\xf0\xf1\xf8\xf9]", "aac"),
    (rb"caff", "caf"),
)
