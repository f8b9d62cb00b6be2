"""Which corpora go back to the same recordings, so that a moved, re-split or filtered copy shares their ledger.

A corpus has a name (`sources.lineage`: where it was found) and a sketch: the 1,024 smallest hashes of its recordings.
The smallest hashes are a fair sample that every copy draws alike: of a copy with a share f of the recordings, about
f of the sketch comes back. One shared hash is enough, since the people heard there are in both. So a copy with a
hundredth of a large corpus is missed once in 30,000 times, one with a thousandth every third time.

Hashes are of decoded sound: another container, name, folder, order, split or segmentation changes nothing, another
sample does. A sketch tells whoever has a recording whether it is in the corpus: it never leaves `private/` and
`ledgers/`, mode 0600.
"""

import fcntl
import hashlib
import heapq
import itertools
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechpriv.data import audio
from speechpriv.data.rows import Rejected, SourceRow
from speechpriv.errors import DataError, LedgerError

SKETCH = "sketch.json"
_SIZE = 1024
_SILENT_PEAK = 3  # of 32,768
_MOST_LISTENED = 5000  # rows


@dataclass(frozen=True)
class Family:
    """One ledger's corpora: their names, and the sketch of all their recordings together."""

    ledger: Path
    names: tuple[str, ...]
    marks: frozenset[int]


class Sketcher:
    """Collects the smallest hashes of recordings; memory does not grow with their number."""

    def __init__(self) -> None:
        self._marks: set[int] = set()

    def add(self, samples: np.ndarray) -> None:
        """Take in a whole recording: samples (N,) as decoded, before any cut."""
        pcm = np.rint(samples * 32768).astype("<i4")
        if np.abs(pcm).max(initial=0) <= _SILENT_PEAK:
            return  # the same in everybody's corpus
        self._marks.add(int.from_bytes(hashlib.blake2b(pcm.tobytes(), digest_size=8).digest()))
        if len(self._marks) >= 2 * _SIZE:
            self._marks = set(heapq.nsmallest(_SIZE, self._marks))

    def marks(self) -> frozenset[int]:
        """The sketch: at most 1,024 hashes."""
        return frozenset(heapq.nsmallest(_SIZE, self._marks))


def listen(rows: Iterable[SourceRow | Rejected]) -> frozenset[int]:
    """Sketch of a corpus that was not taken in, by its first 5,000 rows."""
    sketcher = Sketcher()
    for row in itertools.islice(rows, _MOST_LISTENED):
        try:
            if isinstance(row, SourceRow):
                sketcher.add(audio.read(row.audio))
        except (DataError, OSError):
            continue  # what cannot be read is in no other corpus either
    return sketcher.marks()


def write(path: Path, marks: frozenset[int]) -> None:
    """Write a sketch, for the owner's eyes only."""
    _write(path, {"marks": sorted(marks)})


def read(path: Path) -> frozenset[int]:
    """Read what `write` wrote; empty if there is no such file."""
    return frozenset(json.loads(path.read_text())["marks"]) if path.is_file() else frozenset()


def find(folder: Path, name: str, marks: frozenset[int]) -> Path:
    """The ledger in `folder` of the corpus with this name, or of one that shares recordings with it.

    Returns:
      `NAME.sqlite` if there is none yet.

    Raises:
      LedgerError: the corpus shares recordings with the corpora of two ledgers.
    """
    kin = [family for family in _families(folder) if name in family.names or family.marks & marks]
    if len(kin) > 1:
        raise LedgerError(
            f"the recordings of this corpus are in {len(kin)} ledgers ({', '.join(one.ledger.name for one in kin)}): a "
            "run on it spends from each, and one ledger cannot tell. Train on corpora that were kept apart, or name "
            "one with privacy.ledger and state the sum of both yourself."
        )
    return kin[0].ledger if kin else folder / f"{name}.sqlite"


def join(folder: Path, name: str, marks: frozenset[int]) -> Path:
    """As `find`, and remember beside the ledger that this corpus belongs to it."""
    with _locked(folder):
        ledger = find(folder, name, marks)
        before = next((family for family in _families(folder) if family.ledger == ledger), None)
        names = {name, *(before.names if before else ())}
        together = heapq.nsmallest(_SIZE, marks | (before.marks if before else frozenset()))
        _write(ledger.with_suffix(".json"), {"names": sorted(names), "marks": together})
    return ledger


def _families(folder: Path) -> Iterator[Family]:
    for path in sorted(folder.glob("*.json")):
        try:
            plain = json.loads(path.read_text())
            yield Family(path.with_suffix(".sqlite"), tuple(plain["names"]), frozenset(plain["marks"]))
        except (ValueError, KeyError, TypeError) as error:
            raise LedgerError(
                f"{path.name}: not what was written here ({type(error).__name__}), so copies of its corpora would go "
                "unseen. Restore it from a copy, or name the ledger with privacy.ledger."
            ) from error


def _write(path: Path, plain: dict[str, list]) -> None:
    """Whole or not at all, mode 0600."""
    new = path.with_suffix(".new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:  # noqa: PTH123  a descriptor
        json.dump(plain, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Wait for other processes that join a corpus here."""
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
