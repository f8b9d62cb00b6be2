"""Which corpora share recordings or people, so that what is released from them adds up in one
ledger.

A corpus has a name (`sources.name_lineage`: where it was found) and a sketch: the 1,024 smallest
hashes of its recordings, and those of its people's names. The smallest hashes are a fair sample
that every copy draws alike: of a copy with a share f of the recordings, about f of the sketch comes
back.

*Recordings.* One shared hash is enough, since the people heard there are in both. So a copy with a hundredth of a
large corpus is missed once in 30,000 times, one with a thousandth every third time. Hashes are of
decoded sound: another container, name, folder, order, split or segmentation changes nothing,
another sample does.

*People.* Next month's recordings of the same people share no sound, but names. A name or two prove nothing: corpora of
strangers share `unknown`, and small numbers. So people are taken for the same if two names at
least, and a tenth of the smaller corpus's, are in both. That errs to the safe side: corpora of
strangers who are all called 1, 2, 3 share a ledger, which costs budget and no privacy, is
announced, and ends where a config says otherwise (`privacy.ledger`). A ledger remembers whom it was
kept apart from, and claims say so. A tenth is more than strangers' full names or random ids ever
share, and less than those who come back next month; by first names alone, strangers share more
(docs/experiments/ledger.md#names-that-strangers-share).

A sketch tells whoever has a recording whether it is in the corpus: it never leaves `private/` and
`ledgers/`, mode
0600. Names are hashed under a key that lies in `ledgers/`, mode 0600: without it, no name can be tried.
"""

import fcntl
import functools
import hashlib
import heapq
import hmac
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from speechpriv import store
from speechpriv.errors import LedgerError

SKETCH = "sketch.json"
_KEY = "people.key"
_SIZE = 1024
_SILENT_PEAK = 3  # of 32,768
_LEAST_NAMES, _LEAST_SHARE = 2, 0.1  # in common, of the smaller corpus's people


@dataclass(frozen=True)
class Sketch:
    """The smallest hashes of a corpus's recordings, and of its people's names; at most 1,024 each."""

    recordings: frozenset[int] = frozenset()
    people: frozenset[int] = frozenset()  # empty where no key was given

    def __or__(self, other: "Sketch") -> "Sketch":
        """The sketch of both corpora together."""
        return Sketch(_smallest(self.recordings | other.recordings), _smallest(self.people | other.people))


@dataclass(frozen=True)
class Family:
    """One ledger's corpora: their names, the sketch of all of them, and the ledgers whose people
    are said to differ.
    """

    ledger: Path
    names: frozenset[str] = frozenset()
    sketch: Sketch = field(default_factory=Sketch)
    apart: frozenset[str] = frozenset()

    def __or__(self, other: "Family") -> "Family":
        """What is known of the same ledger in two places."""
        return Family(self.ledger, self.names | other.names, self.sketch | other.sketch, self.apart | other.apart)


class SketchBuilder:
    """The hash of one recording that comes block by block; how it is cut into blocks changes
    nothing.
    """

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=8)
        self._peak = 0

    def update(self, samples: np.ndarray) -> None:
        """Take in the next samples (N,) as decoded, before any cut."""
        pcm = np.rint(samples * 32768).astype("<i4")
        self._peak = max(self._peak, int(np.abs(pcm).max(initial=0)))
        self._hash.update(pcm.tobytes())

    def mark(self) -> int | None:
        """Return 64 bits; None if it was silent, which is the same in everybody's corpus."""
        return int.from_bytes(self._hash.digest()) if self._peak > _SILENT_PEAK else None


class Sketcher:
    """Collects the smallest hashes of recordings and people; memory does not grow with their
    number.

    Args:
      people_key: see `people_key`; None: people are not looked at.
    """

    def __init__(self, people_key: bytes | None = None) -> None:
        self._people_key = people_key
        self._recordings: set[int] = set()
        self._people: set[int] = set()

    def add(self, recording: SketchBuilder) -> None:
        """Take in a recording that was heard to its end."""
        mark = recording.mark()
        if mark is not None:
            self._recordings = _with(self._recordings, mark)

    def add_person(self, name: str) -> None:
        """Take in a unit's name as the corpus gives it; white space aside."""
        if self._people_key is not None:
            name_bytes = " ".join(name.split()).encode("utf-8", "surrogatepass")
            digest = hmac.digest(self._people_key, b"person\0" + name_bytes, "sha256")
            self._people = _with(self._people, int.from_bytes(digest[:8]))

    def sketch(self) -> Sketch:
        """Return what was taken in."""
        return Sketch(_smallest(self._recordings), _smallest(self._people))


def people_key(folder: Path) -> bytes:
    """Return the key under which names are hashed: one for all ledgers of a folder, so that runs
    can be compared.
    """
    with _locked(folder / ".lock"):
        return store.read_secret(folder / _KEY)


def write(path: Path, sketch: Sketch) -> None:
    """Write a sketch, for the owner's eyes only."""
    _write(path, {"marks": sorted(sketch.recordings), "people": sorted(sketch.people)})


def read(path: Path) -> Sketch:
    """Read what `write` wrote; empty if there is no such file."""
    return _sketch(json.loads(path.read_text())) if path.is_file() else Sketch()


def find(folder: Path, name: str, sketch: Sketch, tell: Callable[[str], None] = store.ignore_progress) -> Path:
    """Find the ledger in `folder`, or known there, of the corpus with this name, or of one with its
    recordings or people.

    Args:
      folder: where ledgers are kept.
      name: of the corpus.
      sketch: of the corpus.
      tell: told if only the people's names say so.

    Returns:
      `NAME.sqlite` if there is none yet.

    Raises:
      LedgerError: the corpus shares recordings or people with the corpora of two ledgers.
    """
    families = _families(folder)
    sure = [one for one in families if name in one.names or one.sketch.recordings & sketch.recordings]
    if len(sure) > 1:
        raise LedgerError(
            f"the recordings of this corpus are in {len(sure)} ledgers ({_listed(sure)}): a run on it spends from "
            "each, and one ledger cannot tell. Train on corpora that were kept apart."
        )
    alike = [one for one in _alike(families, sketch) if not sure or _may_be_kin(one, sure[0])]
    if len(sure + alike) > 1:
        first = sure[0].ledger if sure else folder / f"{name}.sqlite"
        raise LedgerError(
            f"people of this corpus have the same names as people in {len(sure + alike)} ledgers "
            f"({_listed(sure + alike)}). If they are the same, a run on them spends from each, and one ledger cannot "
            f"tell. If they are others, say so with privacy.ledger={first}; the claim will say it too."
        )
    if alike:
        common, of = in_common(alike[0].sketch.people, sketch.people)
        tell(
            f"{common} of {of} names of people here are also in {alike[0].ledger.name}, so they are taken for the same "
            "people and share its ledger. If they are others, stop now and name another ledger with privacy.ledger; "
            "the claim will say it too."
        )
    return (sure + alike)[0].ledger if sure or alike else folder / f"{name}.sqlite"


def join(
    folder: Path,
    name: str,
    sketch: Sketch,
    named: Path | None = None,
    tell: Callable[[str], None] = store.ignore_progress,
) -> Path:
    """As `find`, and remember beside the ledger that this corpus belongs to it.

    Args:
      folder: see `find`.
      name: see `find`.
      sketch: see `find`.
      tell: see `find`.
      named: the ledger that the config names; it may lie anywhere. People who have the same names
        as those of another ledger are then taken for others.

    Raises:
      LedgerError: see `find`; or the recordings are known to another ledger than the one that is
        named.
    """
    if named is not None and not named.parent.is_dir():
        raise LedgerError(f"privacy.ledger = {named}: no such folder. Make it, or name another file.")
    with ExitStack() as held:
        held.enter_context(_locked(folder / ".lock"))
        ledger = find(folder, name, sketch, tell) if named is None else named
        beside = [] if _same(ledger.parent, folder) else [ledger.with_suffix(".json")]
        for path in beside:
            held.enter_context(_locked(path.with_suffix(".lock")))
        families = _families(folder) + (_families_beside(ledger) if beside else [])
        unsketched = folder / f"{name}.sqlite"  # of an older version
        if unsketched.is_file() and not any(_same(one.ledger, unsketched) for one in families):
            families.append(Family(unsketched, frozenset({name})))
        own = [one for one in families if _same(one.ledger, ledger)]
        others = [one for one in families if not _same(one.ledger, ledger)]
        alike = _check_named(ledger, name, sketch, own, others, tell) if named is not None else []
        apart = frozenset(str(one.ledger.resolve()) for one in alike)
        family = Family(ledger, frozenset({name}), sketch, apart)
        _remember(folder, functools.reduce(Family.__or__, own, family), beside)
    return ledger


def in_common(one: frozenset[int], other: frozenset[int]) -> tuple[int, int]:
    """Return how many names two corpora share, and how many the smaller has, as far down as both
    sketches reach.
    """
    reach = min(max(people) if len(people) >= _SIZE else math.inf for people in (one, other))
    one, other = (frozenset(mark for mark in people if mark <= reach) for people in (one, other))
    return len(one & other), min(len(one), len(other))


def stated_apart(ledger: Path) -> int:
    """Return how many other ledgers hold people of the same names, who were said to be other
    people.
    """
    path = ledger.with_suffix(".json")
    return len(_family(path).apart) if path.is_file() else 0


def _check_named(
    ledger: Path, name: str, sketch: Sketch, own: list[Family], others: list[Family], tell: Callable[[str], None]
) -> list[Family]:
    """Families whose people have the same names as here; raise where another ledger has the
    recordings.
    """
    known = [one for one in others if name in one.names or one.sketch.recordings & sketch.recordings]
    if known:
        raise LedgerError(
            f"privacy.ledger = {ledger}: the recordings of this corpus are known to {_listed(known)}, where what was "
            f"spent on them stands. A run on them spends from there: name that ledger, or none."
        )
    alike = [one for one in _alike(others, sketch) if all(_may_be_kin(one, family) for family in own)]
    if alike:
        tell(
            f"People here have the same names as people in {_listed(alike)}. By naming {ledger.name} with "
            "privacy.ledger you say that they are other people, and the claim says that you did."
        )
    return alike


def _alike(families: list[Family], sketch: Sketch) -> list[Family]:
    """Families whose people are taken for the same, by their names."""
    found = [(one, *in_common(one.sketch.people, sketch.people)) for one in families]
    return [one for one, common, of in found if common >= max(_LEAST_NAMES, _LEAST_SHARE * of)]


def _may_be_kin(one: Family, other: Family) -> bool:
    """Whether they are two, and nobody said that their people differ."""
    here, there = (str(family.ledger.resolve()) for family in (one, other))
    return here != there and here not in other.apart and there not in one.apart


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _listed(families: list[Family]) -> str:
    return ", ".join(dict.fromkeys(one.ledger.name for one in families))


def _smallest(marks: Iterable[int]) -> frozenset[int]:
    return frozenset(heapq.nsmallest(_SIZE, marks))


def _with(marks: set[int], mark: int) -> set[int]:
    """`marks` and one more; those that no sketch will need are dropped now and then."""
    marks.add(mark)
    return marks if len(marks) < 2 * _SIZE else set(_smallest(marks))


def _families(folder: Path) -> list[Family]:
    """What is known in a folder of ledgers, also of ledgers elsewhere, and there by now."""
    return [
        family | _family(beside) if (beside := family.ledger.with_suffix(".json")).is_file() else family
        for family in (_family(path) for path in sorted(folder.glob("*.json")))
    ]


def _families_beside(ledger: Path) -> list[Family]:
    """What is known of a ledger in a folder of any kind, and of the other ledgers there."""
    ledgers = sorted({*ledger.parent.glob("*.sqlite"), ledger})
    return [_family(path) for path in (one.with_suffix(".json") for one in ledgers) if path.is_file()]


def _family(path: Path) -> Family:
    try:
        plain = json.loads(path.read_text())
        ledger = path.parent / plain.get("ledger", f"{path.stem}.sqlite")
        return Family(ledger, frozenset(plain["names"]), _sketch(plain), frozenset(plain.get("apart", ())))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LedgerError(
            f"{path.name}: not what is kept beside a ledger ({type(error).__name__}), so copies of its corpora would "
            "go unseen. Restore it from a copy; if it is something else, keep ledgers in a folder of their own."
        ) from error


def _sketch(plain: dict[str, list[int]]) -> Sketch:
    """Of older versions, without people."""
    return Sketch(frozenset(plain["marks"]), frozenset(plain.get("people", ())))


def _remember(folder: Path, family: Family, beside: list[Path]) -> None:
    """Write what is known of a ledger: in `folder`, and beside it if it lies elsewhere."""
    plain = {
        "names": sorted(family.names), "marks": sorted(family.sketch.recordings),
        "people": sorted(family.sketch.people), "apart": sorted(family.apart),
    }  # fmt: skip
    whole = str(family.ledger.resolve())
    here = folder / f"{hashlib.sha256(whole.encode()).hexdigest()[:16]}.json"
    for path in beside or [family.ledger.with_suffix(".json")]:
        _write(path, plain | {"ledger": family.ledger.name})
    if beside:
        _write(here, plain | {"ledger": whole})


def _write(path: Path, plain: dict[str, Any]) -> None:
    """Whole or not at all, mode 0600."""
    new = path.with_suffix(".new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:  # noqa: PTH123  a descriptor
        json.dump(plain, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Wait for other processes that join a corpus here."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
