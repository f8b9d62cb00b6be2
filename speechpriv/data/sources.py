"""Corpora as people keep them, read row by row: one small adapter a layout, nothing decoded, nothing executed.

What an adapter cannot make sense of it hands on as `Rejected`; only a corpus that cannot be read at all is an error.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
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
        """A digest of all rows in their order, and of each recording's size and time, or its bytes in a table.

        Nothing is decoded.

        Raises:
          DataError: as `open_source`.
        """
        digest = hashlib.sha256()
        for row in open_source(self.config):
            told: dict[str, Any] = dict(vars(row))
            if isinstance(row, SourceRow):
                told["audio"] = _known(row.audio, self.root)
            digest.update(json.dumps(told).encode() + b"\n")  # JSON escapes names that are not UTF-8
        return digest.hexdigest()


def inputs(config: DataConfig) -> dict[str, Listed]:
    """What on this machine a stage that reads the corpus depends on; nothing if that is on the hub or made up."""
    path = None if config.made_up else locate(config).path
    return {"source": Listed(config, _root(path))} if path else {}


def _known(audio: Path | bytes, root: Path) -> list[object]:
    """What changes with a recording: a file's size and time, since to read all files would take as long as ingest."""
    if isinstance(audio, bytes):
        return [hashlib.sha256(audio).hexdigest()]
    name = str(audio).removeprefix(str(root))
    try:
        found = audio.stat()
    except OSError:  # gone since it was listed, or not to be looked at: ingest tells the reason
        return [name]
    return [name, found.st_size, found.st_mtime_ns]


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
    for file in _files(path, "**/metadata.jsonl", "**/metadata.csv"):
        yield from rows.table(file, file.parent, _root(path), config)


def _common_voice(path: Path, config: DataConfig) -> Found:
    """Common Voice: a tsv beside clips/; of a folder, the clips that were validated."""
    file = _files(path, "validated.tsv", "train.tsv")[0]
    return rows.table(file, file.parent / "clips", _root(path), config)


def _nemo(path: Path, config: DataConfig) -> Found:
    """NeMo: JSON lines with audio_filepath, text, a speaker, and the offset and duration of a segment."""
    for file in _files(path, "*manifest*.json", "*manifest*.jsonl"):
        yield from rows.table(file, file.parent, _root(path), config, segments=True)


def _librispeech(path: Path, _config: DataConfig) -> Found:
    """LibriSpeech: SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt beside one FLAC a line."""
    for file in _files(path, "**/*.trans.txt"):
        for name, text in rows.pairs(file):
            yield rows.row(_root(path), file.parent / f"{name}.flac", name.partition("-")[0], text)


def _kaldi(path: Path, _config: DataConfig) -> Found:
    """Kaldi: wav.scp, text and utt2spk, and segments if there are; a command in wav.scp is never run."""
    root = _root(path)
    text, speaker = (dict(rows.pairs(_files(root, name)[0])) for name in ("text", "utt2spk"))
    for name, file, segment in _kaldi_utterances(root):
        if file.endswith("|"):
            yield Rejected(name, "a command: wav.scp names a program, which is not run. Write its output to a file")
        else:
            yield rows.row(root, root / file, speaker.get(name, ""), text.get(name, ""), name=name, segment=segment)


def _kaldi_utterances(root: Path) -> Iterator[tuple[str, str, tuple[float, float] | None]]:
    """(utterance, entry of wav.scp, its part of that recording as start and duration or None for the whole)."""
    recordings = rows.pairs(_files(root, "wav.scp")[0])
    if not (root / "segments").exists():
        yield from ((name, file, None) for name, file in recordings)
        return
    file_of = dict(recordings)
    for name, rest in rows.pairs(_files(root, "segments")[0]):
        recording, start, end = (*rest.split(), "", "", "")[:3]
        yield name, file_of.get(recording, ""), (rows.seconds(start), rows.seconds(end) - rows.seconds(start))


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
    names = rows.columns(features, config, str(config.path))
    labels = features[names.text].names if isinstance(features[names.text], datasets.ClassLabel) else None
    if isinstance(features[names.audio], datasets.Audio):
        stream = stream.cast_column(names.audio, datasets.Audio(decode=False))
    try:
        for index, record in enumerate(stream):
            name = f"{config.hub_split}/{index}"
            audio, text = record[names.audio], record[names.text]
            if labels:
                text = labels[text] if text in range(len(labels)) else None
            # Only bytes that the table itself holds are read: a path in it could name any file of this machine.
            data = audio.get("bytes") if isinstance(audio, dict) else audio
            if isinstance(data, bytes):
                yield SourceRow(name, rows.cell(record[names.unit]), rows.cell(text), data)
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
