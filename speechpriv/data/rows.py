"""Rows of a corpus as found: what names an utterance, which columns say it, and which files it may point to."""

import csv
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from speechpriv.errors import DataError
from speechpriv.sections import DataConfig

_USUAL_NAMES = {
    "audio": ("file_name", "audio", "path", "file", "audio_filepath"),
    "text": ("text", "sentence", "transcription", "transcript", "label"),
    "unit": ("unit", "user", "speaker", "speaker_id", "client_id"),
}


@dataclass(frozen=True)
class SourceRow:
    """One utterance as found: `audio` is a file of any format and rate, or the bytes of one."""

    source_id: str  # unique within the corpus
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


class Columns(NamedTuple):
    """The columns that name the audio, hold the words and say whose they are."""

    audio: str
    text: str
    unit: str


def columns(present: Iterable[str], config: DataConfig, where: str) -> Columns:
    """The columns that `config` names, or else the first usual names that are present.

    Raises:
      DataError: one is missing; the message lists those present and says what to set.
    """
    names = [str(name) for name in present]
    chosen: dict[str, str] = {}
    missing = []
    for role, usual in _USUAL_NAMES.items():
        wanted = getattr(config, f"{role}_column")
        name = next((name for name in ([wanted] if wanted else usual) if name in names), None)
        if name is None:
            missing.append(f"no column for the {role} (tried {wanted or ', '.join(usual)}): set data.{role}_column")
        else:
            chosen[role] = name
    if missing:
        raise DataError(f"{where}: columns are {', '.join(names) or 'not named'}; {'; '.join(missing)}.")
    return Columns(**chosen)


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
    return SourceRow(name or found.relative_to(root).as_posix(), unit, text, found, start_s, duration_s, channel)


def table(file: Path, folder: Path, root: Path, config: DataConfig, *, segments: bool = False) -> Found:
    """Rows of a JSON-lines, csv or tsv file.

    Args:
      file: what its columns hold is found by `columns`, from the first row that has them all.
      folder: what paths in it are relative to.
      root: what they may not leave.
      segments: the columns offset and duration, in seconds, name a part of the recording.

    A column `channel` names one of the recording, from 0.

    Raises:
      DataError: the file cannot be read, or no row has the columns.
    """
    chosen: Columns | None = None
    problem: DataError | None = None
    for line, record in _records(file):
        place = f"{file.relative_to(root).as_posix()}, line {line}"
        if record is None:
            yield Rejected(place, f"bad line: not a row of {file.suffix[1:]}")
            continue
        if chosen is None:
            try:
                chosen = columns(record, config, str(file))
            except DataError as error:
                problem = problem or error
        audio, text, unit = (cell(record.get(name)) for name in chosen) if chosen else ("", "", "")
        if not audio:
            yield Rejected(place, "no audio: the row names no file")
            continue
        side = channel(record.get("channel"))
        name, segment = "" if side is None else f"{audio}#channel{side}", None
        if segments and record.get("offset") is not None:
            name = f"{name or audio}#{record['offset']}"
            segment = (seconds(record["offset"]), seconds(record.get("duration")))
        yield row(root, folder / audio, unit, text, name=name, segment=segment, channel=side)
    if chosen is None and problem:
        raise problem


def pairs(file: Path) -> Iterator[tuple[str, str]]:
    """The first word of each line, and the rest of it."""
    with _open(file) as lines:
        for line in lines:
            first, rest = (*line.split(maxsplit=1), "", "")[:2]
            if first:
                yield first, rest.strip()


def _records(file: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """(line number, record) of every row; None for one that is damaged."""
    with _open(file) as lines:
        if file.suffix in (".json", ".jsonl"):
            yield from ((number, _json(line)) for number, line in enumerate(lines, start=1) if line.strip())
            return
        tsv = file.suffix == ".tsv"  # Common Voice's have no quoting: a quotation mark is a character
        reader = csv.DictReader(
            lines, delimiter="\t" if tsv else ",", quoting=csv.QUOTE_NONE if tsv else csv.QUOTE_MINIMAL, restval=None
        )
        while True:
            try:
                record = next(reader)
            except StopIteration:
                return
            except csv.Error:
                yield reader.line_num, None
            else:
                yield reader.line_num, None if None in record or None in record.values() else record


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
