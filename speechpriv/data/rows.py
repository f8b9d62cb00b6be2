"""Rows of a corpus as found: what names an utterance, which columns say it, and which files it may point to."""

import csv
import json
import math
from collections.abc import Collection, Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from speechpriv.errors import DataError
from speechpriv.sections import DataConfig


class Columns(NamedTuple):
    """The columns that name the audio, hold the words and say whose they are; None for one that is missing."""

    audio: str | None
    text: str | None
    unit: str | None


_USUAL_NAMES = (
    ("file_name", "audio", "path", "file", "audio_filepath"),
    ("text", "sentence", "transcription", "transcript", "label"),
    ("unit", "user", "speaker", "speaker_id", "client_id"),
)


@dataclass(frozen=True)
class SourceRow:
    """One utterance as found: `audio` is a file of any format and rate, or the bytes of one."""

    source_id: str  # unique within the unit, and the same whoever else is in the corpus
    unit: str
    text: str
    audio: Path | bytes
    start_s: float = 0.0
    duration_s: float | None = None  # None: to the end of the recording
    channel: int | None = None  # of the recording, from 0; None: none is named


@dataclass(frozen=True)
class Rejected:
    """A row that cannot be used, and why: the kind, a colon, the particulars."""

    source_id: str
    reason: str


Found = Iterator[SourceRow | Rejected]


def columns(present: Container[str], config: DataConfig) -> Columns:
    """The columns that `config` names, or else the first usual names that are present; None for one that is not."""
    wanted = (getattr(config, f"{role}_column") for role in Columns._fields)
    candidates = ((name,) if name else usual for name, usual in zip(wanted, _USUAL_NAMES, strict=True))
    return Columns(*(next((name for name in names if name in present), None) for names in candidates))


def missing(present: Collection[str], config: DataConfig) -> DataError:
    """What to raise where `columns` are missing: it says which, and what to set."""
    said = []
    for role, name, usual in zip(Columns._fields, columns(present, config), _USUAL_NAMES, strict=True):
        if name is None:
            tried = getattr(config, f"{role}_column") or ", ".join(usual)
            said.append(f"no column for the {role} (tried {tried}): set data.{role}_column")
    return DataError(f"data.path = {config.path}: columns are {', '.join(present) or 'not named'}; {'; '.join(said)}.")


def cell(value: object) -> str:
    """A value as text, "" if it is neither text nor a whole number."""
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""


def seconds(value: object) -> float:
    """A time as a number, NaN if it is none."""
    try:
        return float(str(value))
    except ValueError:
        return math.nan


def channel(value: object) -> int | None:
    """A channel as a number from 0, None if it names none: a column of this name may hold something else."""
    text = cell(value)
    return int(text) if text.isascii() and text.isdigit() else {"A": 0, "B": 1}.get(text)


def inside(root: Path, path: Path) -> Path | None:
    """`path` with links followed if it is a file below the resolved folder `root`, None if not.

    A corpus names only files of its own: else a manifest could bring in any recording of this machine.
    """
    try:
        resolved = path.resolve()
        return resolved if resolved.is_relative_to(root) and resolved.is_file() else None
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, a circle of links
        return None


def row(
    root: Path,
    file: Path,
    unit: str,
    text: str,
    *,
    name: str = "",
    segment: tuple[float, float] | None = None,
    channel: int | None = None,
) -> SourceRow | Rejected:
    """A row, called by its path below `root` unless named; `segment` is the start and duration of a part in seconds."""
    found = inside(root, file)
    if found is None:
        return Rejected(name or str(file), "no such file: missing, or outside the corpus folder")
    start_s, duration_s = segment or (0.0, None)
    if duration_s is not None and not (0 <= start_s < math.inf and 0 < duration_s < math.inf):
        return Rejected(name or str(file), "bad segment: expected a start and a duration or later end in seconds")
    name = name or found.relative_to(root).as_posix() + _side(channel)
    return SourceRow(name, unit, text, found, start_s, duration_s, channel)


def _side(channel: int | None) -> str:
    return "" if channel is None else f"#channel{channel}"


def tables(files: Iterable[tuple[Path, Path]], root: Path, config: DataConfig, *, segments: bool = False) -> Found:
    """Rows of JSON-lines, csv or tsv files. What becomes of a row depends on its own line, and on the header.

    Args:
      files: each with the folder that paths in it are relative to.
      root: what they may not leave.
      config: which columns are meant, see `columns`; chosen anew for each row.
      segments: the columns offset and duration, in seconds, name a part of the recording.

    A column `channel` names one of the recording, from 0.

    Raises:
      DataError: a file cannot be read, or no row of any has all columns.
    """
    incomplete: list[str] = []
    complete = False
    for file, folder in files:
        for line, record in _records(file):
            place = f"{file.relative_to(root).as_posix()}, line {line}"
            if record is None:
                yield Rejected(place, f"bad line: not a row of {file.suffix[1:]}")
                continue
            chosen = columns(record, config)
            if None in chosen:
                incomplete = incomplete or list(record)
            complete = complete or None not in chosen
            audio, text, unit = ("" if name is None else cell(record.get(name)) for name in chosen)
            segment = None
            if segments and record.get("offset") is not None:
                segment = (seconds(record["offset"]), seconds(record.get("duration")))
            side = channel(record.get("channel"))
            name = f"{audio}#{record['offset']}{_side(side)}" if segment else ""
            found = row(root, folder / audio, unit, text, name=name, segment=segment, channel=side)
            if not audio:
                found = Rejected(place, "no audio: the row names no file")
            elif None in chosen and isinstance(found, SourceRow):
                found = Rejected(
                    place, f"no {'words' if chosen.text is None else 'unit'}: the row has no column for it"
                )
            yield found
    if incomplete and not complete:
        raise missing(incomplete, config)


def pairs(file: Path) -> Iterator[tuple[str, str]]:
    """The first word of each line, and the rest of it."""
    with _open(file) as lines:
        for line in lines:
            first, rest = (*line.split(maxsplit=1), "", "")[:2]
            if first:
                yield first, rest.strip()


def listed(file: Path) -> dict[str, list[str]]:
    """What `pairs` gives, by the first word: all that is listed under it, in order."""
    found: dict[str, list[str]] = {}
    for name, rest in pairs(file):
        found.setdefault(name, []).append(rest)
    return found


def _records(file: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """(line number, record) of every row; None for one that is damaged."""
    with _open(file) as lines:
        if file.suffix in (".json", ".jsonl"):
            yield from ((number, _json(line)) for number, line in enumerate(lines, start=1) if line.strip())
            return
        # Common Voice's tsv have no quoting: a quotation mark is a character.
        yield from _delimited(lines, "\t", csv.QUOTE_NONE) if file.suffix == ".tsv" else _delimited(lines)


def _delimited(
    lines: Iterable[str], delimiter: str = ",", quoting: int = csv.QUOTE_MINIMAL
) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """As `_records`. No field spans lines: an open quotation mark would swallow the rows of others up to the next."""
    header: list[str] | None = None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            (cells,) = csv.reader([line], delimiter=delimiter, quoting=quoting, strict=True)
        except csv.Error:
            cells = []
        if header is None:
            header = cells
        else:
            yield number, dict(zip(header, cells, strict=True)) if len(cells) == len(header) > 0 else None


def _json(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _open(file: Path) -> Any:
    """A text file; bytes that are not UTF-8 become U+FFFD, which later marks the row."""
    try:
        return file.open(encoding="utf-8-sig", errors="replace", newline="")
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}).") from error
