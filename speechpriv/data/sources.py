"""Corpora as people keep them, read row by row: one small adapter a layout, nothing decoded,
nothing executed.

What an adapter cannot make sense of it hands on as `Rejected`; only a corpus that cannot be read at
all is an error. docs/sources.md says what each layout looks like.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_args

from speechpriv.data import archives, kaldi, layouts, lhotse_manifests, rows, tables
from speechpriv.data.rows import Found, Rejected, Roots, SourceRow
from speechpriv.errors import DataError
from speechpriv.sections import DataConfig, Layout

__all__ = [
    "Found",
    "Layout",
    "Located",
    "Rejected",
    "SourceRow",
    "list_inputs",
    "locate_corpus",
    "name_lineage",
    "open_source",
]

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_HELP = (
    f"Layouts that are read (docs/sources.md): {', '.join(get_args(Layout))}. Any other becomes one by a "
    'metadata.jsonl in its folder, a line a recording: {"file_name": "a.wav", "text": "hello", "speaker": "7"}'
)
_Reader = Callable[[Path, Roots, DataConfig], Found]


class Located(NamedTuple):
    """Where a corpus is: its layout, and its resolved folder or file on this machine, None for a
    hub id.
    """

    layout: Layout
    path: Path | None


def open_source(config: DataConfig) -> Found:
    """Read the rows of a corpus in the order it stores them, one in memory at a time.

    Args:
      config: `path` is relative to the current directory.

    Raises:
      DataError: here or while it is read: there is no such corpus, its layout or its columns are
        not known, or the hub cannot be read.
    """
    layout, path = locate_corpus(config)
    if path is None:
        return tables.read_hub(config)
    root = config.audio_root
    if root is not None and not Path(root).is_dir():
        raise DataError(f"data.audio_root = {root}: no such folder; expected the one that holds the recordings.")
    return _READERS[layout](path, Roots(_root(path), Path(root).resolve() if root else None), config)


def locate_corpus(config: DataConfig) -> Located:
    """Find the corpus and its layout; for `auto`, by what is on disk. The hub is asked only with
    `source: hub`.

    Raises:
      DataError: nothing is there, or it is no layout that is known.
    """
    if config.synthetic or config.path is None:
        raise DataError(f"data.source = {config.source}: synthetic voices are read from nowhere. See data/ingest.py.")
    path = Path(config.path)
    if not path.exists():
        if config.source == "hub" and _HUB_ID.fullmatch(config.path):
            return Located("hub", None)
        hub = " For a data set on the Hugging Face hub set data.source=hub." if _HUB_ID.fullmatch(config.path) else ""
        raise DataError(f"data.path = {config.path}: no such file or directory here.{hub} {_HELP}.")
    # `hub` and a local path: the config's own default, with another path set beside it.
    named = "parquet" if config.source == "hub" and _holds("**/*.parquet")(path) else config.source
    asked = next((one for one in get_args(Layout) if one == named and one != "hub"), None)
    layout = asked or (_layout_of_folder(path) if path.is_dir() else _layout_of_file(path))
    if layout is None:
        raise DataError(f"data.path = {config.path}: not a layout that is known. {_HELP}.")
    return Located(layout, path.resolve())


def _layout_of_folder(folder: Path) -> Layout | None:
    """The first layout whose mark is there."""
    return next((layout for layout, is_there in _MARKS if is_there(folder)), None)


def _layout_of_file(file: Path) -> Layout | None:
    if file.stem == "metadata":
        return "parquet" if file.suffix == ".parquet" else "folder"
    return _FILE_LAYOUTS.get(file.suffix)


def _holds(*patterns: str) -> Callable[[Path], bool]:
    return lambda folder: any(True for pattern in patterns for _ in folder.glob(pattern))


# By these a folder's layout is known; the first that is there decides.
_MARKS: tuple[tuple[Layout, Callable[[Path], bool]], ...] = (
    ("common_voice", _holds("validated.tsv", "train.tsv", "ss-corpus-*.tsv")),
    ("kaldi", _holds("wav.scp")),
    ("ljspeech", layouts.is_ljspeech),
    ("folder", _holds("metadata.jsonl", "metadata.csv", "metadata.tsv")),
    ("lhotse", _holds("cuts*.jsonl*", "*supervisions*.jsonl*")),
    ("nemo", _holds("*manifest*.json", "*manifest*.jsonl")),
    ("datasets", tables.is_saved),
    ("parquet", _holds("metadata.parquet")),
    ("common_voice", _holds("*/validated.tsv", "*/*/validated.tsv")),
    ("folder", _holds("**/metadata.jsonl", "**/metadata.csv", "**/metadata.tsv")),
    ("librispeech", _holds("**/*.trans.txt")),
    ("libritts", _holds("**/*.normalized.txt")),
    ("mls", lambda folder: _holds("**/transcripts.txt")(folder) and _holds("**/audio/*/*/*")(folder)),
    ("voxforge", _holds("**/etc/PROMPTS")),
    ("vctk", lambda folder: _holds("**/txt/*/*.txt")(folder) and _holds("**/wav48*")(folder)),
    ("timit", _holds("**/*.phn", "**/*.PHN")),
    ("speech_commands", _holds("**/*_nohash_*.wav")),
    ("parquet", _holds("**/*.parquet")),
    ("webdataset", _holds("**/*.tar")),
    ("nemo", _holds("*.json", "*.jsonl")),
    ("text_files", lambda folder: next(layouts.with_text(folder, layouts.TEXTS), None) is not None),
)
_FILE_LAYOUTS: dict[str, Layout] = {
    ".tsv": "common_voice", ".csv": "folder", ".json": "nemo", ".jsonl": "nemo", ".parquet": "parquet",
}  # fmt: skip


@dataclass(frozen=True)
class Listed:
    """A corpus on this machine, as an input of a stage: what its manifests list, and nothing else
    in its folder.
    """

    config: DataConfig
    root: Path  # the folder that holds its files

    def fingerprint(self) -> str:
        """Return a digest of all rows in their order, and of each recording's size and time, or its
        bytes in a table.

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


def list_inputs(config: DataConfig) -> dict[str, Listed]:
    """List what on this machine a stage that reads the corpus depends on; nothing if that is on the
    hub or synthetic.
    """
    path = None if config.synthetic else locate_corpus(config).path
    return {"source": Listed(config, _root(path))} if path else {}


def _known(audio: Path | bytes, root: Path) -> list[object]:
    """What changes with a recording: a file's size and time, since to read all files would take as
    long as ingest.
    """
    if isinstance(audio, bytes):
        return [hashlib.sha256(audio).hexdigest()]
    name = str(audio).removeprefix(str(root))
    try:
        found = audio.stat()
    except OSError:  # gone since it was listed, or not to be looked at: ingest tells the reason
        return [name]
    return [name, found.st_size, found.st_mtime_ns]


def name_lineage(config: DataConfig, seed: int) -> str:
    """Return 16 hex digits that name the recordings: one privacy budget, whatever layout or
    manifest they are read by.
    """
    if config.source == "demo":
        name = f"demo\0{config.demo.model_dump_json()}\0{seed}"
    elif config.source == "risk":
        name = f"risk\0{config.risk.model_dump_json()}\0{seed}"
    elif config.source == "clinic":  # who dictates whom goes by the split
        name = f"clinic\0{config.clinic.model_dump_json()}\0{config.test_fraction}\0{seed}"
    else:
        path = locate_corpus(config).path
        name = f"path\0{_root(path)}" if path else f"hub\0{config.path}\0{config.hub_config}"
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _root(path: Path) -> Path:
    """The folder that a corpus' files may not leave."""
    return path if path.is_dir() else path.parent


def _files(path: Path, *patterns: str) -> list[Path]:
    """The manifest that was given itself, or those in the folder, by pattern and name."""
    if path.is_file():
        return [path]
    found = [file for pattern in patterns for file in sorted(path.glob(pattern)) if _is_inside(path, file)]
    if not found:
        raise DataError(f"{path}: holds no {' or '.join(patterns)}. {_HELP}.")
    return found


def _is_inside(folder: Path, file: Path) -> bool:
    return isinstance(rows.find_file(Roots(folder), file.parent, file.name), Path)


def _read_folder(path: Path, roots: Roots, config: DataConfig) -> Found:
    """Read an audiofolder of Hugging Face: metadata.jsonl, .csv or .tsv, also in subfolders, which
    names start from.
    """
    files = _files(path, "**/metadata.jsonl", "**/metadata.csv", "**/metadata.tsv")
    return rows.read_tables(((file, file.parent) for file in files), roots, config)


def _read_common_voice(path: Path, roots: Roots, config: DataConfig) -> Found:
    """Read Common Voice: a tsv beside clips/, or audios/ of spontaneous speech; of a folder, the
    validated clips.
    """
    marks = ("validated.tsv", "train.tsv", "ss-corpus-*.tsv", "*/validated.tsv", "*/*/validated.tsv")
    file = _files(path, *marks)[0]
    folder = file.parent / ("audios" if (file.parent / "audios").is_dir() else "clips")
    return rows.read_tables([(file, folder)], roots, config)


def _read_nemo(path: Path, roots: Roots, config: DataConfig) -> Found:
    """Read NeMo: JSON lines with audio_filepath, text, a speaker, and the offset and duration of a
    segment.
    """
    named = [file for pattern in ("*manifest*.json", "*manifest*.jsonl") for file in sorted(roots.corpus.glob(pattern))]
    files = _files(path, *(("*manifest*.json", "*manifest*.jsonl") if named else ("*.json", "*.jsonl")))
    tarred = [file for file in files if archives.is_tarred(file)]
    plain = [(file, file.parent) for file in files if file not in tarred]
    yield from rows.read_tables(plain, roots, config, from_start=True)
    for file in tarred:
        yield from archives.read_tarred_manifest(file, roots, config)


def _by_folder(layout: Layout, read: Callable[[Roots], Found]) -> _Reader:
    """Make a reader of a layout that is told by a folder alone."""

    def read_folder(path: Path, roots: Roots, _config: DataConfig) -> Found:
        if not (path.is_dir() and dict(_MARKS)[layout](path)):
            raise DataError(f"data.path = {path}: holds no corpus of the layout {layout}. {_HELP}.")
        return read(roots)

    return read_folder


_READERS: dict[Layout, _Reader] = {
    "folder": _read_folder,
    "common_voice": _read_common_voice,
    "librispeech": _by_folder("librispeech", layouts.read_librispeech),
    "libritts": _by_folder("libritts", layouts.read_libritts),
    "mls": _by_folder("mls", layouts.read_mls),
    "voxforge": _by_folder("voxforge", layouts.read_voxforge),
    "vctk": _by_folder("vctk", layouts.read_vctk),
    "timit": _by_folder("timit", layouts.read_timit),
    "speech_commands": _by_folder("speech_commands", layouts.read_speech_commands),
    "ljspeech": _by_folder("ljspeech", layouts.read_ljspeech),
    "text_files": _by_folder("text_files", layouts.read_text_files),
    "nemo": _read_nemo,
    "kaldi": _by_folder("kaldi", kaldi.read_kaldi),
    "lhotse": _by_folder("lhotse", lhotse_manifests.read_lhotse),
    "webdataset": lambda _path, roots, config: archives.read_webdataset(roots, config),
    "datasets": tables.read_saved,
    "parquet": tables.read_parquet,
}
