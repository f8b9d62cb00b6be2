"""Corpus: an on-disk Hugging Face `datasets` table of utterances, the one form in which stages pass
recordings on.
"""

import hmac
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import datasets
import numpy as np
from datasets.arrow_writer import ArrowWriter

from speechpriv import audio, store
from speechpriv.errors import DataError

Split = Literal["train", "test"]
FEATURES = datasets.Features(
    {
        "id": datasets.Value("string"),
        "unit": datasets.Value("string"),
        "split": datasets.Value("string"),
        "audio": datasets.Audio(decode=False),
        "text": datasets.Value("string"),
        "seconds": datasets.Value("float32"),
    }
)
_WRITE_EVERY = 256  # rows held in memory while writing


@dataclass(frozen=True)
class Row:
    """One utterance: canonical FLAC bytes, its words, whose privacy it is (`unit`), and in which
    split.
    """

    id: str
    unit: str
    split: Split
    flac: bytes
    text: str
    seconds: float

    def samples(self) -> np.ndarray:
        """Return float32 samples of shape (N,) at 16 kHz."""
        return audio.read(self.flac)


@dataclass(frozen=True)
class Corpus:
    """A finished corpus directory; rows are read from disk as they are asked for."""

    table: datasets.Dataset
    lineage: str  # names the recordings that all copies, cleaned or re-split, go back to: one privacy budget

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Row:
        return _row(self.table[index])

    def rows(self, split: Split | None = None) -> Iterator[Row]:
        """Return rows in stored order, one in memory at a time."""
        for record in self.table:
            if split is None or record["split"] == split:
                yield _row(record)

    def units(self, split: Split) -> dict[str, list[int]]:
        """Return row indices of each unit of a split; units in order of first appearance."""
        found: dict[str, list[int]] = {}
        columns = self.table.select_columns(["unit", "split"])
        for index, record in enumerate(columns):
            if record["split"] == split:
                found.setdefault(record["unit"], []).append(index)
        return found


def write(rows: Iterable[Row], directory: Path, *, lineage: str, order_key: bytes | None = None) -> Corpus:
    """Write a corpus, streaming: memory does not grow with the number of rows.

    Args:
      rows: may be a generator.
      directory: gets the table (what `datasets.load_from_disk` reads) and corpus.json.
      lineage: see `Corpus`.
      order_key: if given, rows are stored in the order of HMAC-SHA256(order_key, id), which tells
        nothing.

    Raises:
      DataError: there is no row.
    """
    directory.mkdir(parents=True, exist_ok=True)
    stream = directory / ".rows.arrow"
    ids: list[bytes] = []
    with ArrowWriter(path=str(stream), features=FEATURES, writer_batch_size=_WRITE_EVERY) as writer:
        for row in rows:
            audio_bytes = {"bytes": row.flac, "path": None}
            writer.write({
                "id": row.id, "unit": row.unit, "split": row.split,
                "audio": audio_bytes, "text": row.text, "seconds": row.seconds,
            })  # fmt: skip
            ids.append(hmac.digest(order_key, row.id.encode(), "sha256") if order_key else b"")
        if not ids:
            raise DataError(f"{directory.name}: no row is left; expected at least one. See the quarantine for reasons.")
        writer.finalize()
    table = datasets.Dataset.from_file(str(stream))
    if order_key:
        table = table.select(sorted(range(len(ids)), key=ids.__getitem__))
    datasets.disable_progress_bars()  # the stages have their own
    table.save_to_disk(str(directory / "table"))
    stream.unlink()
    # `datasets` would put the time of writing into its own fingerprint; without one, it makes one
    # when it reads.
    state = directory / "table" / "state.json"
    store.write_json(state, store.read_json(state) | {"_fingerprint": None})
    store.write_json(directory / "corpus.json", {"lineage": lineage})
    return read(directory)


def read(directory: Path) -> Corpus:
    """Open a corpus directory.

    Raises:
      DataError: it is not one.
    """
    try:
        lineage = json.loads((directory / "corpus.json").read_text())["lineage"]
        table = datasets.load_from_disk(str(directory / "table"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{directory}: not a corpus ({type(error).__name__}); expected corpus.json and table/."
        ) from error
    return Corpus(table, lineage)


def _row(record: dict) -> Row:
    return Row(
        record["id"], record["unit"], record["split"], record["audio"]["bytes"], record["text"], record["seconds"]
    )
