"""Kaldi's data directories: wav.scp, text, utt2spk or spk2utt; segments and reco2file_and_channel if there are any.

A command in wav.scp is never run. Of the other things that Kaldi reads there, a gzipped file and an entry of an
archive, NAME.ark:OFFSET, are read here.
"""

import gzip
import itertools
from collections.abc import Iterator
from pathlib import Path

from speechpriv.data import rows
from speechpriv.data.rows import Found, Rejected, Roots
from speechpriv.errors import DataError

_LARGEST_BYTES = 1 << 30  # of a recording that is held in memory


def read_kaldi(roots: Roots) -> Found:
    """Read a row for each utterance and speaker that a data directory lists."""
    root = roots.corpus
    for needed in ("wav.scp", "text"):
        if not (root / needed).is_file():
            raise DataError(f"{root}: holds no {needed}; expected wav.scp, text, and utt2spk or spk2utt.")
    text, speakers, channels = _listed(root / "text"), _speakers(root), _channels(root)
    for name, recording, entry, segment in _utterances(root):
        audio = _audio(roots, entry)
        # All that is said of a name, where it stands twice: each may be another person's.
        for unit, words in itertools.product(speakers.get(name, [""]), text.get(name, [""])):
            if isinstance(audio, str):
                yield Rejected(name, audio)
            else:
                yield rows.row(roots, audio, unit, words, name=name, segment=segment, channel=channels.get(recording))


def _listed(file: Path) -> dict[str, list[str]]:
    """What the lines of a file say of each name."""
    found: dict[str, list[str]] = {}
    for name, rest in rows.pairs(file):
        found.setdefault(name, []).append(rest)
    return found


def _speakers(root: Path) -> dict[str, list[str]]:
    """The speakers of each utterance; by spk2utt where there is no utt2spk."""
    if (root / "utt2spk").is_file():
        return _listed(root / "utt2spk")
    if not (root / "spk2utt").is_file():
        raise DataError(f"{root}: holds no utt2spk and no spk2utt, so nobody knows who speaks. Add one of them.")
    found: dict[str, list[str]] = {}
    for speaker, names in rows.pairs(root / "spk2utt"):
        for name in names.split():
            found.setdefault(name, []).append(speaker)
    return found


def _channels(root: Path) -> dict[str, int | None]:
    """The channel of each recording, from 0; the file says A or B, or a number from 1.

    Raises:
      DataError: one has the number 0, so that nobody knows which is meant by 1.
    """
    file, found = root / "reco2file_and_channel", dict[str, int | None]()
    for name, rest in rows.pairs(file) if file.is_file() else ():
        side = rest.rpartition(" ")[2].upper()
        if side == "0":
            raise DataError(f"{file}: a channel 0; expected A and B, or numbers from 1. Write A for the first.")
        found[name] = int(side) - 1 if side.isdecimal() else rows.channel(side)
    return found


def _utterances(root: Path) -> Iterator[tuple[str, str, str, tuple[float, float | None] | None]]:
    """(utterance, recording, entry of wav.scp, its part of that recording or None for the whole)."""
    recordings = rows.pairs(root / "wav.scp")
    if not (root / "segments").is_file():
        yield from ((name, name, file, None) for name, file in recordings)
        return
    file_of = dict(recordings)
    listed = ((name, *(*rest.split(), "", "", "")[:3]) for name, rest in rows.pairs(root / "segments"))
    # They come by speaker; a file of several speakers is to be decoded once.
    for name, recording, start, end in sorted(listed, key=lambda segment: file_of.get(segment[1], "")):
        start_s, end_s = rows.seconds(start), rows.seconds(end)
        # -1 is Kaldi's word for the end of the recording.
        yield name, recording, file_of.get(recording, ""), (start_s, None if end_s == -1 else end_s - start_s)


def _audio(roots: Roots, entry: str) -> Path | bytes | str:
    """The recording of an entry of wav.scp, or the reason why there is none."""
    if entry.endswith("|"):
        return "a command: wav.scp names a program, which is not run. Write its output to a file"
    if not entry:
        return "no audio: wav.scp does not list the recording"
    archive, colon, offset = entry.rpartition(":")
    if colon and archive.endswith(".ark") and offset.isdecimal():
        found = rows.find(roots, roots.corpus, archive)
        return found if isinstance(found, str) else _member(found, int(offset))
    found = rows.find(roots, roots.corpus, entry)
    if isinstance(found, Path) and found.suffix == ".gz":
        try:
            with gzip.open(found) as file:
                content = file.read(_LARGEST_BYTES + 1)
        except (OSError, EOFError) as error:
            return f"unreadable: not a gzip file ({type(error).__name__})"
        return content if len(content) <= _LARGEST_BYTES else f"unreadable: more than {_LARGEST_BYTES:,} bytes"
    return found


def _member(archive: Path, offset: int) -> bytes | str:
    """A WAV in an archive: its own size says where it ends."""
    try:
        with archive.open("rb") as file:
            file.seek(offset)
            head = file.read(8)
            size = int.from_bytes(head[4:], "little")
            if head[:4] != b"RIFF" or not size <= _LARGEST_BYTES:
                return "unreadable: no WAV at this place of the archive. Write recordings, not features"
            return head + file.read(size)
    except OSError as error:
        return f"unreadable: {type(error).__name__}"
