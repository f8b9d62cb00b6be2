"""Tables of Hugging Face's `datasets`: from the hub, saved to disk, or Parquet files; nothing in
them is executed.

Recordings are the bytes that a table holds, or an array of samples; a path in a table could name
any file, and is followed in a local folder alone, where it must stay inside.
"""

import io
import logging
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import soundfile

from speechpriv.data import rows
from speechpriv.data.rows import Found, Rejected, Roots
from speechpriv.errors import DataError
from speechpriv.sections import DataConfig

_HUB_PARQUET = "refs/convert/parquet"  # the branch where the hub keeps its own Parquet copy of a data set
# How messages begin that name configurations and splits, and nothing else.
_HARMLESS = ("Config name is missing", "BuilderConfig ", "Bad split", "Unknown split")
_SPLITS = ("train", "validation", "valid", "dev", "test", "eval")
_NOT_DATA = ("runs", "ledgers")
_MARKS = ("dataset_dict.json", "state.json")  # of what `save_to_disk` wrote


def read_hub(config: DataConfig) -> Found:
    """Read a data set on the Hugging Face hub as a stream.

    Raises:
      DataError: it does not load, has no such columns, or reading breaks off.
    """
    return _read(config, None, lambda: _from_hub(config))


def read_parquet(path: Path, roots: Roots, config: DataConfig) -> Found:
    """Read Parquet files: one, a folder's metadata.parquet, or else those in a folder that are of
    `data.hub_split`.

    Raises:
      DataError: none is of that split, or see `read_hub`.
    """
    file = path / "metadata.parquet" if path.is_dir() else path
    files = [file] if file.is_file() else _of_split(path / (config.hub_config or ""), config.hub_split)
    if not files:
        raise DataError(
            f"data.path = {config.path}: no Parquet file of data.hub_split = {config.hub_split} and data.hub_config = "
            f"{config.hub_config}; expected the split's name in the files' names, or train where they have none."
        )

    def load() -> Any:
        names = [str(one) for one in files]
        return datasets.load_dataset("parquet", data_files=names, split="train", streaming=True)

    return _read(config, roots, load)


def _of_split(folder: Path, split: str) -> list[Path]:
    """A folder's Parquet files of a split, by name; runs and ledgers that lie there too are not
    looked into.
    """
    found = []
    for file in sorted(folder.glob("**/*.parquet")):
        place = file.relative_to(folder)
        if place.parts[0] not in _NOT_DATA:
            named = [word for word in re.split(r"[^a-z]+", place.as_posix().lower()) if word in (*_SPLITS, split)]
            if (named or ["train"])[-1] == split:
                found.append(file)
    return found


def read_saved(path: Path, roots: Roots, config: DataConfig) -> Found:
    """Read a data set that `save_to_disk` wrote; of several splits, `data.hub_split`."""

    def load() -> Any:
        found = datasets.load_from_disk(str(path))
        return found[config.hub_split] if isinstance(found, datasets.DatasetDict) else found

    return _read(config, roots, load)


def is_saved(root: Path) -> bool:
    """Return whether `save_to_disk` wrote this folder."""
    return any((root / mark).is_file() for mark in _MARKS)


def _read(config: DataConfig, roots: Roots | None, load: Callable[[], Any]) -> Found:
    logger, level = datasets.logging.get_logger("datasets"), datasets.logging.get_verbosity()
    try:
        logger.setLevel(logging.CRITICAL + 1)  # it would tell the names of files
        table = load()
    except Exception as error:  # noqa: BLE001  whatever it was, its words may quote a row or a file
        where = "did not load from the Hugging Face hub" if roots is None else "is no table that can be read"
        known = str(error) if str(error).startswith(_HARMLESS) else type(error).__name__
        raise DataError(
            f"data.path = {config.path}: {where} ({known}). Check data.path, data.hub_config = {config.hub_config} and "
            f"data.hub_split = {config.hub_split}, and for the hub the connection."
        ) from None
    finally:
        logger.setLevel(level)
    features = table.features or {}
    names = rows.find_columns(features, config, str(config.path))
    labels = features[names.text].names if isinstance(features[names.text], datasets.ClassLabel) else None
    if isinstance(features[names.audio], datasets.Audio):
        table = table.cast_column(names.audio, datasets.Audio(decode=False))
    spoken: Counter[str] = Counter()
    try:
        for record in table:
            unit, text = rows.format_cell(record[names.unit]), record[names.text]
            # Its number among the unit's own: its place in the table would tell how many rows
            # others have.
            name = f"{config.hub_split}/{unit}/{spoken[unit]}"
            spoken[unit] += 1
            if labels:
                text = labels[text] if text in range(len(labels)) else None
            audio = _audio(record[names.audio], record.get("sampling_rate"), roots)
            if isinstance(audio, str):
                yield Rejected(name, audio)
                continue
            place = roots or Roots(Path())
            yield rows.make_row(place, audio, unit, rows.format_cell(text), name=name)
    except Exception as error:  # noqa: BLE001  whatever it was, its words may quote a row: only its kind is told
        raise DataError(
            f"data.path = {config.path}: reading broke off ({type(error).__name__}). Run again; if it breaks off there "
            f"again, and it is on the hub, set data.hub_revision={_HUB_PARQUET}, the hub's own copy."
        ) from None


def _audio(found: Any, rate_hz: Any, roots: Roots | None) -> Path | bytes | str:
    """What a cell holds, or the reason why that is no recording."""
    if isinstance(found, dict):
        rate_hz, path = found.get("sampling_rate", rate_hz), found.get("path")
        found = next((found[name] for name in ("bytes", "array") if found.get(name) is not None), path)
    if isinstance(found, bytes):
        return found
    if isinstance(found, str) and roots is not None:
        return rows.find_file(roots, roots.corpus, found)
    if isinstance(found, list | np.ndarray) and len(found) and isinstance(rate_hz, int) and rate_hz > 0:
        buffer = io.BytesIO()
        try:
            # A WAV of floats would hold the time of day.
            soundfile.write(buffer, np.asarray(found, np.float32), rate_hz, format="AU", subtype="FLOAT")
        except (ValueError, TypeError, soundfile.LibsndfileError) as error:
            return f"unreadable: an array that is no sound ({type(error).__name__})"
        return buffer.getvalue()
    return "no audio: the table holds no bytes and no array with a sampling_rate"


def _from_hub(config: DataConfig) -> datasets.IterableDataset:
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
