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
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechpriv.errors import LedgerError

SKETCH = "sketch.json"
_SIZE = 1024
_SILENT_PEAK = 3  # of 32,768


@dataclass(frozen=True)
class Family:
    """One ledger's corpora: their names, and the sketch of all their recordings together."""

    ledger: Path
    names: tuple[str, ...]
    marks: frozenset[int]


class Heard:
    """The hash of one recording that comes block by block; how it is cut into blocks changes nothing."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=8)
        self._peak = 0

    def update(self, samples: np.ndarray) -> None:
        """Take in the next samples (N,) as decoded, before any cut."""
        pcm = np.rint(samples * 32768).astype("<i4")
        self._peak = max(self._peak, int(np.abs(pcm).max(initial=0)))
        self._hash.update(pcm.tobytes())

    def mark(self) -> int | None:
        """64 bits; None if it was silent, which is the same in everybody's corpus."""
        return int.from_bytes(self._hash.digest()) if self._peak > _SILENT_PEAK else None


class Sketcher:
    """Collects the smallest hashes of recordings; memory does not grow with their number."""

    def __init__(self) -> None:
        self._marks: set[int] = set()

    def add(self, recording: Heard) -> None:
        """Take in a recording that was heard to its end."""
        mark = recording.mark()
        if mark is None:
            return
        self._marks.add(mark)
        if len(self._marks) >= 2 * _SIZE:
            self._marks = set(heapq.nsmallest(_SIZE, self._marks))

    def marks(self) -> frozenset[int]:
        """The sketch: at most 1,024 hashes."""
        return frozenset(heapq.nsmallest(_SIZE, self._marks))


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
