"""Rows of a corpus as found: what names an utterance, which columns say it, and which files it may
point to.
"""

import codecs
import csv
import gzip
import json
import math
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

from speechpriv.errors import DataError
from speechpriv.sections import DataConfig

_USUAL_NAMES = {
    "audio": ("file_name", "audio", "audio_file", "path", "file", "audio_filepath", "wav", "filename"),
    "text": ("text", "sentence", "transcription", "transcript", "label", "normalized_text"),
    "unit": ("unit", "user", "speaker", "speaker_id", "spk_id", "client_id", "speaker_name"),
}


@dataclass(frozen=True)
class SourceRow:
    """One utterance as found: `audio` is a file of any format and rate, or the bytes of one."""

    source_id: str  # unique within the unit, and the same whoever else is in the corpus
    unit: str
    text: str
    audio: Path | bytes
    start_s: float = 0.0
    duration_s: float | None = None  # None: to the end of the recording
    channel: int | None = None  # from 0; None: the recording is of one voice


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


@dataclass(frozen=True)
class Roots:
    """The folders whose files a corpus may name: else a manifest could bring in any recording of
    this machine.
    """

    corpus: Path  # resolved
    audio: Path | None = None  # resolved; `data.audio_root`

    @property
    def all(self) -> tuple[Path, ...]:
        """Both of them, if there are two."""
        return (self.corpus,) if self.audio is None else (self.corpus, self.audio)


def find_column(present: Iterable[str], role: str, config: DataConfig) -> str | None:
    """Find the column for a role (audio, text, unit): the one that `config` names, or else the
    first usual name there is.
    """
    wanted, names = getattr(config, f"{role}_column"), set(present)
    return next((name for name in ([wanted] if wanted else _USUAL_NAMES[role]) if name in names), None)


def find_columns(present: Iterable[str], config: DataConfig, where: str) -> Columns:
    """Find the columns for all three roles, see `find_column`.

    Raises:
      DataError: one is missing; the message says what to set. It lists the columns only if one of
        them has a usual name: else the first line may be a row, and hold what somebody said.
    """
    names = [str(name) for name in present]
    chosen = {role: find_column(names, role, config) for role in _USUAL_NAMES}
    missing = [
        f"no column for the {role} (tried {getattr(config, f'{role}_column') or ', '.join(usual)}): set "
        f"data.{role}_column"
        for role, usual in _USUAL_NAMES.items()
        if chosen[role] is None
    ]
    if missing:
        # A cell of a row may be a usual name by chance; but then another one names a file.
        known = any(chosen.values()) and not any(set("./\\") & set(name) for name in names)
        told = f"columns are {', '.join(names)}" if known else f"no line of column names ({len(names)} columns)"
        raise DataError(f"{where}: {told}; {'; '.join(missing)}.")
    return Columns(**{role: str(name) for role, name in chosen.items()})


def format_cell(value: object) -> str:
    """Write a value as text: a whole number without a point, so that 8, 8.0 and "8" are one; "" for
    any other kind.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""


def parse_seconds(value: object) -> float:
    """Parse a time as a number, NaN if it is none."""
    try:
        return float(str(value))
    except ValueError:
        return math.nan


def parse_channel(value: object) -> int | None:
    """Read a channel as a number from 0, None if it names none: a column of this name may hold
    something else.
    """
    text = format_cell(value)
    return int(text) if text.isascii() and text.isdigit() else {"A": 0, "B": 1}.get(text)


def find_file(roots: Roots, folder: Path, name: str) -> Path | str:
    """Find the file that a row names, or say why it cannot be used.

    A name is tried as it stands, with its back slashes turned, and in the other forms of Unicode,
    since file systems differ in these.

    Args:
      roots: what links and dots in the name may not lead out of.
      folder: what a relative name is relative to; below `roots.audio` it is looked for too.
      name: as the row has it.

    Returns:
      The file with links followed, or a reason: its kind, a colon, the particulars.
    """
    turned = name.replace("\\", "/")
    composed, decomposed = unicodedata.normalize("NFC", turned), unicodedata.normalize("NFD", turned)
    spellings = dict.fromkeys((name, turned, composed, decomposed))
    outside = False
    for spelled in spellings:
        for base in dict.fromkeys((folder, *roots.all)):
            try:
                resolved = (base / spelled).resolve()
                if resolved.is_file():
                    if any(resolved.is_relative_to(root) for root in roots.all):
                        return resolved
                    outside = True
            except (OSError, ValueError, RuntimeError):  # too long, a NUL, a circle of links
                continue
    if outside:
        return f"outside the corpus folder: {name}. Set data.audio_root to the folder that holds the recordings"
    places = " and ".join(dict.fromkeys(str(place) for place in (folder, roots.audio) if place))
    return f"no such file: {name}, looked for in {places}"


def make_row(
    roots: Roots,
    audio: Path | bytes,
    unit: str,
    text: str,
    *,
    name: str = "",
    segment: tuple[float, float | None] | None = None,
    channel: int | None = None,
) -> SourceRow | Rejected:
    """Make a row, called by its path below the corpus folder, start and channel unless named.

    Args:
      roots: what the file may not leave.
      audio: a file, or the bytes of one.
      unit: who speaks.
      text: what is said.
      name: unique within the unit.
      segment: start and duration of a part, in seconds; a duration of None is to the end.
      channel: which of the recording's, from 0.
    """
    found = audio if isinstance(audio, bytes) else find_file(roots, audio.parent, audio.name)
    if isinstance(found, str):
        return Rejected(name or str(audio), found)
    start_s, duration_s = segment or (0.0, None)
    if not (0 <= start_s < math.inf and (duration_s is None or 0 < duration_s < math.inf)):
        return Rejected(name or str(audio), "bad segment: expected a start and a duration or later end in seconds")
    if not name and isinstance(found, Path):
        root = next(root for root in roots.all if found.is_relative_to(root))
        name = found.relative_to(root).as_posix()
        name += (f"#{start_s!r}" if segment else "") + ("" if channel is None else f"@{channel}")
    return SourceRow(name, unit, text, found, start_s, duration_s, channel)


def read_tables(
    files: Iterable[tuple[Path, Path]], roots: Roots, config: DataConfig, *, from_start: bool = False
) -> Found:
    """Read the rows of JSON-lines, csv or tsv files.

    `offset` and `duration`, in seconds, name a part of the recording, and `parse_channel` one of
    its channels.

    Args:
      files: each with the folder that paths in it are relative to.
      roots: what they may not leave.
      config: names the columns; else the usual names are looked for, in each record of JSON by
        itself, so that no row depends on another one.
      from_start: a duration without an offset names the first part of the recording.

    Raises:
      DataError: a file cannot be read, or no row of any has the columns.
    """
    named = Named(config)
    for file, folder in files:
        for line, record in read_records(file):
            place = f"{file.relative_to(roots.corpus).as_posix()}, line {line}"
            if record is None:
                yield Rejected(place, f"bad line: not a row of {file.suffix[1:]}")
            else:
                named.add(record)
                yield _table_row(record, place, folder, roots, config, from_start=from_start)
    named.require()


class Named:
    """Whether the rows of a corpus name their columns: an error only if none does, else each stands
    for itself.
    """

    def __init__(self, config: DataConfig) -> None:
        self._config = config
        self._problem: DataError | None = None
        self._is_usable = False

    def add(self, record: Iterable[str]) -> None:
        """Look at the columns of a row."""
        try:
            find_columns(record, self._config, f"data.path = {self._config.path}")
            self._is_usable = True
        except DataError as error:
            self._problem = self._problem or error

    def require(self) -> None:
        """Raise, after the last row, what the first row lacks if no row has all columns.

        Raises:
          DataError: that is so.
        """
        if self._problem and not self._is_usable:
            raise self._problem


def _table_row(
    record: dict[str, Any], place: str, folder: Path, roots: Roots, config: DataConfig, *, from_start: bool
) -> SourceRow | Rejected:
    audio, text, unit = (format_cell(record.get(find_column(record, role, config) or "")) for role in _USUAL_NAMES)
    if not audio:
        return Rejected(place, "no audio: the row names no file")
    found = find_file(roots, folder, audio)
    if isinstance(found, str):
        return Rejected(audio, found)
    offset, duration = _number(record.get("offset")), _number(record.get("duration"))
    is_part = offset is not None or (from_start and duration is not None)
    segment = (offset or 0.0, duration) if is_part else None
    return make_row(roots, found, unit, text, segment=segment, channel=parse_channel(record.get("channel")))


def _number(value: object) -> float | None:
    return None if value is None or value == "" else parse_seconds(value)


def read_pairs(file: Path) -> Iterator[tuple[str, str]]:
    """Read the first word of each line, and the rest of it."""
    with open_text(file) as lines:
        for line in lines:
            first, rest = (*line.split(maxsplit=1), "", "")[:2]
            if first:
                yield first, rest.strip()


def read_records(file: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Read (line number, record) of every row; None for one that is damaged.

    A line is a row: no field goes on in the next one, so that a quotation mark too many costs its
    own line.

    Raises:
      DataError: the file cannot be read.
    """
    with open_text(file) as lines:
        if file.suffix in (".json", ".jsonl"):
            yield from ((number, _json(line)) for number, line in enumerate(lines, start=1) if line.strip())
            return
        header: list[str] | None = None
        tabs = file.suffix == ".tsv"
        for number, line in enumerate(lines, start=1):
            if not line.strip("\r\n"):
                continue
            if header is None:
                tabs = tabs or "\t" in line
                delimiter = "\t" if tabs else max(",;|", key=line.count)
                header = _cells(line, delimiter) or [line]
            else:
                cells = _cells(line, delimiter)
                yield number, dict(zip(header, cells, strict=True)) if cells and len(cells) == len(header) else None


def _cells(line: str, delimiter: str) -> list[str] | None:
    """The cells of one line, None if it is none by itself.

    Between tabs a quotation mark is a character, as Common Voice has it, and a tab may stand behind
    a back slash.
    """
    try:
        if delimiter == "\t":
            unescaped = line.rstrip("\r\n").replace("\\\t", " ")
            return unescaped.split("\t")
        return next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter, strict=True))
    except csv.Error:
        return None


def _json(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


@contextmanager
def open_text(file: Path) -> Iterator[IO[str]]:
    """Open a text file, also a compressed one; bytes that are not of its encoding become U+FFFD,
    which marks the row.

    It is UTF-8 unless a byte order mark says UTF-16, as spreadsheets write it.

    Raises:
      DataError: it cannot be read.
    """
    opener: Any = gzip.open if file.suffix == ".gz" else open
    try:
        with opener(file, "rb") as raw:
            mark = raw.read(2)
        encoding = "utf-16" if mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
        with opener(file, "rt", encoding=encoding, errors="replace", newline="") as text:
            yield text
    except (OSError, EOFError) as error:
        # Not its name, which may be a person's; nor as a cause, which would tell it.
        reason = getattr(error, "strerror", None) or type(error).__name__
        kind = "".join(file.suffixes) or file.name
        raise DataError(
            f"a file of the corpus, *{kind}, cannot be read ({reason}). Look for folders of such a name, and for "
            "files that are damaged or that you may not read (find PATH ! -readable)."
        ) from None
