"""Corpora as people keep them, read row by row: one small adapter a layout, nothing decoded, nothing executed.

What an adapter cannot make sense of it hands on as `Rejected`; only a corpus that cannot be read at all is an error.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import datasets

from speechpriv.data import rows
from speechpriv.data.rows import Found, Rejected, SourceRow
from speechpriv.errors import DataError
from speechpriv.sections import DataConfig

__all__ = ["Found", "Layout", "Located", "Rejected", "SourceRow", "inputs", "lineage", "locate", "open_source"]

Layout = Literal["folder", "common_voice", "librispeech", "nemo", "kaldi", "hub"]


class Located(NamedTuple):
    """Where a corpus is: its layout, and its resolved folder or manifest on this machine, None for a hub id."""

    layout: Layout
    path: Path | None


# By these a folder's layout is known; the first that is there decides.
_MARKS: tuple[tuple[Layout, str], ...] = (
    ("common_voice", "validated.tsv"),
    ("common_voice", "train.tsv"),
    ("kaldi", "wav.scp"),
    ("folder", "metadata.jsonl"),
    ("folder", "metadata.csv"),
    ("nemo", "*manifest*.json"),
    ("nemo", "*manifest*.jsonl"),
    ("folder", "**/metadata.jsonl"),
    ("folder", "**/metadata.csv"),
    ("librispeech", "**/*.trans.txt"),
    ("hub", "**/*.parquet"),
)
_FILE_LAYOUTS: dict[str, Layout] = {".tsv": "common_voice", ".csv": "folder", ".json": "nemo", ".jsonl": "nemo"}
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_HUB_PARQUET = "refs/convert/parquet"  # the branch where the hub keeps its own Parquet copy of a data set
_EXPECTED = (
    "Expected a folder with metadata.jsonl or metadata.csv (source folder), clips/ and validated.tsv or a tsv "
    "(common_voice), SPEAKER/CHAPTER/*.trans.txt (librispeech), *manifest*.json (nemo), wav.scp, text and utt2spk "
    "(kaldi), Parquet files or a hub id such as owner/name (hub). Correct data.path, or set data.source"
)


def open_source(config: DataConfig) -> Found:
    """Rows of a corpus in the order it stores them, one in memory at a time.

    Args:
      config: `path` is relative to the current directory.

    Raises:
      DataError: here or while it is read: there is no such corpus, its layout or its columns are not known, or the
        hub cannot be read.
    """
    layout, path = locate(config)
    return _ADAPTERS[layout](path, config) if path and layout != "hub" else _hub(config)


def locate(config: DataConfig) -> Located:
    """Find the corpus and its layout; for `auto`, by what is on disk, or else by the form of a hub id.

    Raises:
      DataError: nothing is there, or it is no layout that is known.
    """
    if config.made_up or config.path is None:
        raise DataError(f"data.source = {config.source}: made-up voices are read from nowhere. See data/ingest.py.")
    asked = next((layout for layout in get_args(Layout) if layout == config.source), None)
    path = Path(config.path)
    if not path.exists():
        if asked == "hub" or (asked is None and _HUB_ID.fullmatch(config.path)):
            return Located("hub", None)
        raise DataError(f"data.path = {config.path}: no such file or directory here. {_EXPECTED}.")
    by_name = "folder" if path.stem == "metadata" else _FILE_LAYOUTS.get(path.suffix)
    by_content = (layout for layout, pattern in _MARKS if any(path.glob(pattern)))
    layout = asked or (next(by_content, None) if path.is_dir() else by_name)
    if layout is None:
        raise DataError(f"data.path = {config.path}: not a layout that is known. {_EXPECTED}.")
    return Located(layout, path.resolve())


@dataclass(frozen=True)
class Listed:
    """A corpus on this machine, as an input of a stage: what its manifests list, and nothing else in its folder."""

    config: DataConfig
    root: Path  # the folder that holds its files

    def fingerprint(self) -> str:
        """A digest of all rows in their order, and of the size and time of each recording; nothing is decoded.

        Raises:
          DataError: as `open_source`.
        """
        digest = hashlib.sha256()
        for row in open_source(self.config):
            told: dict[str, Any] = vars(row) | {"audio": None}
            if isinstance(row, SourceRow) and isinstance(row.audio, Path):
                told["audio"] = [str(row.audio).removeprefix(str(self.root)), *_size_and_time(row.audio)]
            digest.update(json.dumps(told).encode() + b"\n")  # JSON escapes names that are not UTF-8
        return digest.hexdigest()


def inputs(config: DataConfig) -> dict[str, Path | Listed]:
    """What on this machine a stage that reads the corpus depends on; nothing if that is on the hub or made up."""
    layout, path = ("hub", None) if config.made_up else locate(config)
    if path is None:
        return {}
    # Which files of a folder of Parquet are read, `datasets` alone knows.
    return {"source": path if layout == "hub" else Listed(config, _root(path))}


def _size_and_time(file: Path) -> tuple[int, ...]:
    try:
        found = file.stat()
    except OSError:  # gone since it was listed, or not to be looked at: ingest tells the reason
        return ()
    return found.st_size, found.st_mtime_ns


def lineage(config: DataConfig, seed: int) -> str:
    """16 hex digits that name the recordings: one privacy budget, whatever layout or manifest they are read by."""
    if config.source == "demo":
        name = f"demo\0{config.demo.model_dump_json()}\0{seed}"
    elif config.source == "risk":
        name = f"risk\0{config.risk.model_dump_json()}\0{seed}"
    elif config.source == "clinic":  # who dictates whom goes by the split
        name = f"clinic\0{config.clinic.model_dump_json()}\0{config.test_fraction}\0{seed}"
    else:
        path = locate(config).path
        name = f"path\0{_root(path)}" if path else f"hub\0{config.path}\0{config.hub_config}"
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _root(path: Path) -> Path:
    """The folder that a corpus' files may not leave."""
    return path if path.is_dir() else path.parent


def _files(path: Path, *patterns: str) -> list[Path]:
    """The manifest that was given itself, or those in the folder, by pattern and name."""
    if path.is_file():
        return [path]
    found = [file for pattern in patterns for file in sorted(path.glob(pattern)) if rows.inside(path, file)]
    if not found:
        raise DataError(f"{path}: holds no {' or '.join(patterns)}. {_EXPECTED}.")
    return found


def _folder(path: Path, config: DataConfig) -> Found:
    """Hugging Face audiofolder: metadata.jsonl or .csv, also in subfolders; file_name is relative to it."""
    files = _files(path, "**/metadata.jsonl", "**/metadata.csv")
    return rows.tables(((file, file.parent) for file in files), _root(path), config)


def _common_voice(path: Path, config: DataConfig) -> Found:
    """Common Voice: a tsv beside clips/; of a folder, the clips that were validated."""
    file = _files(path, "validated.tsv", "train.tsv")[0]
    return rows.tables([(file, file.parent / "clips")], _root(path), config)


def _nemo(path: Path, config: DataConfig) -> Found:
    """NeMo: JSON lines with audio_filepath, text, a speaker, and the offset and duration of a segment."""
    files = _files(path, "*manifest*.json", "*manifest*.jsonl")
    return rows.tables(((file, file.parent) for file in files), _root(path), config, segments=True)


def _librispeech(path: Path, _config: DataConfig) -> Found:
    """LibriSpeech: SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt beside one FLAC a line."""
    for file in _files(path, "**/*.trans.txt"):
        for name, text in rows.pairs(file):
            yield rows.row(_root(path), file.parent / f"{name}.flac", name.partition("-")[0], text)


def _kaldi(path: Path, config: DataConfig) -> Found:
    """Kaldi: wav.scp, text, utt2spk; segments and reco2file_and_channel if there are; no command is ever run.

    An utterance may be listed several times, as where two people are heard in it: line by line in each file, or once
    for all of them.
    """
    root = _root(path)
    segmented = (root / "segments").exists()
    names = ("segments" if segmented else "wav.scp", "text", "utt2spk")
    heard, text, speaker = (rows.listed(_files(root, name)[0]) for name in names)
    file_of = rows.listed(_files(root, "wav.scp")[0]) if segmented else {}
    together = {name: _together(parts, text.get(name, [""]), speaker.get(name, [""])) for name, parts in heard.items()}
    unclear = sum(not found for found in together.values()) + sum(len(set(found)) > 1 for found in file_of.values())
    if unclear:
        # Whatever were chosen here would make one person's rows depend on whether another is there.
        raise DataError(
            f"data.path = {config.path}: {unclear:,} utterances or recordings are listed several times, but not as "
            f"often in each of {', '.join(names)}: whose is whose is not known. List each once (utils/fix_data_dir.sh)."
        )
    utterances = []
    for name, _ in rows.pairs(_files(root, names[0])[0]):  # once more, for the order, which is every unit's own
        heard[name].pop()
        waiting = together[name]
        for _ in range(1 if heard[name] else len(waiting)):  # one a line, and all that is left at the last
            part, said, unit = waiting.pop(0)
            recording, start, end = (*part.split(), "", "", "")[:3] if segmented else (name, "", "")
            file = file_of.get(recording, [""])[0] if segmented else part
            utterances.append((file, name, recording, (start, end), unit, said))
    if segmented:  # They come by speaker; by file, each file is decoded once. The order of a unit's rows is its own.
        utterances.sort(key=lambda utterance: utterance[0])
    channel = _kaldi_channels(root)
    for file, name, recording, (start, end), unit, said in utterances:
        segment = (rows.seconds(start), rows.seconds(end) - rows.seconds(start)) if segmented else None
        if file.endswith("|"):
            yield Rejected(name, "a command: wav.scp names a program, which is not run. Write its output to a file")
        else:
            side = channel.get(recording)
            yield rows.row(root, root / file, unit, said, name=name, segment=segment, channel=side)


def _together(*columns: list[str]) -> list[tuple[str, ...]]:
    """What the k-th lines say together; a column that says one thing only says it of all. Nothing if it is unclear."""
    count = max(map(len, columns))
    even = [column if len(column) == count else column[:1] * count for column in columns]
    clear = all(len(column) == count or len(set(column)) == 1 for column in columns)
    return list(zip(*even, strict=True)) if clear else []


def _kaldi_channels(root: Path) -> dict[str, int]:
    """Channel by recording, from 0: A and B, or 1 and 2, in the last column of reco2file_and_channel."""
    file = root / "reco2file_and_channel"
    if rows.inside(root, file) is None:
        return {}
    said = {name: {rest.split()[-1] for rest in found if rest} for name, found in rows.listed(file).items()}
    if any("0" in sides or len(sides) > 1 for sides in said.values()):
        raise DataError(
            f"{file}: it is not known which channel is meant: it has a channel 0, or one recording has several; "
            "expected one of A and B, or of 1 and 2, for each."
        )
    found = {name: (rows.channel(side), side.isdigit()) for name, sides in said.items() for side in sides}
    return {name: side - from_one for name, (side, from_one) in found.items() if side is not None}


def _hub(config: DataConfig) -> Found:
    """A data set on the Hugging Face hub, or Parquet files in a local folder, as a stream."""
    try:
        stream = _load(config)
    except Exception as error:
        raise DataError(
            f"data.path = {config.path}: is no folder here and did not load from the Hugging Face hub "
            f"({type(error).__name__}: {error}). Check the id, data.hub_config, data.hub_split and the connection, "
            "or set data.path to a folder."
        ) from error
    features = stream.features or {}
    names = rows.columns(features, config)
    if names.audio is None or names.text is None or names.unit is None:
        raise rows.missing(features, config)
    labels = features[names.text].names if isinstance(features[names.text], datasets.ClassLabel) else None
    if isinstance(features[names.audio], datasets.Audio):
        stream = stream.cast_column(names.audio, datasets.Audio(decode=False))
    spoken: Counter[str] = Counter()
    try:
        for record in stream:
            audio, text, unit = record[names.audio], record[names.text], rows.cell(record[names.unit])
            # Its number among the unit's own: its place in the table would tell how many rows others have.
            name = f"{config.hub_split}/{unit}/{spoken[unit]}"
            spoken[unit] += 1
            if labels:
                text = labels[text] if text in range(len(labels)) else None
            # Only bytes that the table itself holds are read: a path in it could name any file of this machine.
            data = audio.get("bytes") if isinstance(audio, dict) else audio
            if isinstance(data, bytes):
                yield SourceRow(name, unit, rows.cell(text), data)
            else:
                yield Rejected(name, "no audio: the table holds no bytes of it")
    except Exception as error:  # noqa: BLE001  whatever it was, its words may quote a row: only its kind is told
        raise DataError(
            f"data.path = {config.path}: reading broke off ({type(error).__name__}). Run again; if it breaks off there "
            f"again, set data.hub_revision={_HUB_PARQUET}, the hub's own copy."
        ) from None


def _load(config: DataConfig) -> datasets.IterableDataset:
    """The stream of one split; a data set that is a program is read from the hub's own copy."""
    if config.hub_revision != _HUB_PARQUET:
        try:
            return datasets.load_dataset(
                config.path, config.hub_config, split=config.hub_split, revision=config.hub_revision, streaming=True
            )
        except RuntimeError as error:
            if "scripts are no longer supported" not in str(error):
                raise
    # In the copy, each configuration is a folder.
    return datasets.load_dataset(
        config.path, data_dir=config.hub_config, split=config.hub_split, revision=_HUB_PARQUET, streaming=True
    )


_ADAPTERS: dict[Layout, Callable[[Path, DataConfig], Found]] = {
    "folder": _folder,
    "common_voice": _common_voice,
    "librispeech": _librispeech,
    "nemo": _nemo,
    "kaldi": _kaldi,
}
