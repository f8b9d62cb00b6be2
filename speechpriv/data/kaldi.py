"""Kaldi's data directories: wav.scp, text, utt2spk or spk2utt; segments and reco2file_and_channel
if there are any.

A command in wav.scp is never run. Of the other things that Kaldi reads there, a gzipped file and an
entry of an archive, NAME.ark:OFFSET, are read here.
"""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from speechpriv.data import rows
from speechpriv.data.rows import Found, Rejected, Roots
from speechpriv.errors import DataError

# Recording, entry of wav.scp, and start and duration in it, None for the whole.
_Part = tuple[str, str, tuple[float, float | None] | None]
_LARGEST_BYTES = 1 << 30  # of a recording that is held in memory


def read_kaldi(roots: Roots) -> Found:
    """Read a row for each utterance and speaker that a data directory lists."""
    root = roots.corpus
    for needed in ("wav.scp", "text"):
        if not (root / needed).is_file():
            raise DataError(f"{root}: holds no {needed}; expected wav.scp, text, and utt2spk or spk2utt.")
    text, speakers, channels = _listed(root / "text"), _speakers(root), _channels(root)
    utterances = list(_utterances(root))
    parts: dict[str, list[_Part]] = {}
    for name, part in utterances:
        parts.setdefault(name, []).append(part)
    in_step = (root / "utt2spk").is_file()
    together = {
        name: _together(found, text.get(name, [""]), speakers.get(name, [""]), in_step=in_step)
        for name, found in parts.items()
    }
    _refuse(root, sum(not found for found in together.values()), "utterances")
    listed: list[tuple[str, _Part, str, str]] = []
    for name, _ in utterances:
        # One for each line, and at the last all that is left: the order is that of each unit's own
        # lines.
        parts[name].pop()
        listed += [(name, *together[name].pop(0)) for _ in range(1 if parts[name] else len(together[name]))]
    if not in_step:  # then lines are nobody's own, and so is their order
        listed.sort(key=lambda one: (one[3], one[0]))
    if (root / "segments").is_file():  # they come by speaker; a file of several speakers is to be decoded once
        listed.sort(key=lambda one: one[1][1])
    for name, (recording, entry, segment), words, unit in listed:
        audio = _audio(roots, entry)
        if isinstance(audio, str):
            yield Rejected(name, audio)
        else:
            yield rows.make_row(roots, audio, unit, words, name=name, segment=segment, channel=channels.get(recording))


def _together(
    parts: list[_Part], text: list[str], speakers: list[str], *, in_step: bool
) -> list[tuple[_Part, str, str]]:
    """What the k-th lines on an utterance say together, where people share its name; empty if that
    is unclear.

    A file that says one thing only says it of all. Without utt2spk lines are not in step, so text
    must.
    """
    count = max(len(parts), len(text), len(speakers))
    found = [_even(column, count) for column in (parts, text, speakers)]
    clear = all(found) and (in_step or len(set(parts)) == len(set(text)) == 1)
    return list(zip(*found, strict=True)) if clear else []


def _even(column: list[Any], count: int) -> list[Any]:
    if len(column) == count:
        return column
    return column[:1] * count if len(set(column)) == 1 else []


def _refuse(root: Path, n_unclear: int, what: str) -> None:
    """Whatever were chosen would make one person's rows depend on whether another is there.

    Raises:
      DataError: something is unclear.
    """
    if n_unclear:
        raise DataError(
            f"{root}: {n_unclear:,} {what} are listed several times, and not alike in each file: whose is whose is "
            "not known. List each once, as Kaldi's utils/fix_data_dir.sh does."
        )


def _listed(file: Path) -> dict[str, list[str]]:
    """What the lines of a file say of each name."""
    found: dict[str, list[str]] = {}
    for name, rest in rows.read_pairs(file):
        found.setdefault(name, []).append(rest)
    return found


def _speakers(root: Path) -> dict[str, list[str]]:
    """The speakers of each utterance; by spk2utt where there is no utt2spk."""
    if (root / "utt2spk").is_file():
        return _listed(root / "utt2spk")
    if not (root / "spk2utt").is_file():
        raise DataError(f"{root}: holds no utt2spk and no spk2utt, so nobody knows who speaks. Add one of them.")
    found: dict[str, list[str]] = {}
    for speaker, names in rows.read_pairs(root / "spk2utt"):
        for name in names.split():
            found.setdefault(name, []).append(speaker)
    return found


def _channels(root: Path) -> dict[str, int | None]:
    """The channel of each recording, from 0; the file says A or B, or a number from 1.

    Raises:
      DataError: one has the number 0, so that nobody knows which is meant by 1.
    """
    file = root / "reco2file_and_channel"
    sides = {name: rest.rpartition(" ")[2].upper() for name, rest in _only(file).items()} if file.is_file() else {}
    if "0" in sides.values():
        raise DataError(f"{file}: a channel 0; expected A and B, or numbers from 1. Write A for the first.")
    return {name: int(side) - 1 if side.isdecimal() else rows.parse_channel(side) for name, side in sides.items()}


def _only(file: Path) -> dict[str, str]:
    """The one thing that a file says of each name."""
    found = _listed(file)
    _refuse(file.parent, sum(len(set(said)) > 1 for said in found.values()), f"names in {file.name}")
    return {name: said[0] for name, said in found.items()}


def _utterances(root: Path) -> Iterator[tuple[str, _Part]]:
    """Utterances with their part of a recording."""
    if not (root / "segments").is_file():
        yield from ((name, (name, file, None)) for name, file in rows.read_pairs(root / "wav.scp"))
        return
    file_of = _only(root / "wav.scp")
    for name, rest in rows.read_pairs(root / "segments"):
        recording, start, end = (*rest.split(), "", "", "")[:3]
        start_s, end_s = rows.parse_seconds(start), rows.parse_seconds(end)
        # -1 is Kaldi's word for the end of the recording.
        yield name, (recording, file_of.get(recording, ""), (start_s, None if end_s == -1 else end_s - start_s))


def _audio(roots: Roots, entry: str) -> Path | bytes | str:
    """The recording of an entry of wav.scp, or the reason why there is none."""
    if entry.endswith("|"):
        return "a command: wav.scp names a program, which is not run. Write its output to a file"
    if not entry:
        return "no audio: wav.scp does not list the recording"
    archive, colon, offset = entry.rpartition(":")
    if colon and archive.endswith(".ark") and offset.isdecimal():
        found = rows.find_file(roots, roots.corpus, archive)
        return found if isinstance(found, str) else _member(found, int(offset))
    found = rows.find_file(roots, roots.corpus, entry)
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
