"""What every private release from a corpus shares: a key, a name in the ledger, and what else was released."""

import hashlib
import hmac
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from speechpriv import store
from speechpriv.claim import ADJACENCY
from speechpriv.config import PrivacyConfig
from speechpriv.corpus import Corpus
from speechpriv.errors import ConfigError, LedgerError
from speechpriv.train import accounting
from speechpriv.train import place as places
from speechpriv.train.ledger import Ledger, RunSummary


def key_for(
    key: bytes,
    identity: bytes,
    corpus: Corpus,
    parts: Iterable[bytes] = (),
    *,
    place: places.Place | None = None,
) -> bytes:
    """A key for exactly these settings, recordings and sums: the same noise on any others would cancel out.

    Args:
      key: the run's key, 32 secret bytes.
      identity: of the stage, which its settings and inputs decide.
      corpus: its files are read.
      parts: what else the release is made from.
      place: where its sums are made; None: on this processor.

    Raises:
      ConfigError: the key is too short.
    """
    if not len(key) >= 32:
        raise ConfigError(f"the key of a release has {len(key)} bytes, expected 32. Use noise.new_key().")
    mixed = hmac.new(key, digestmod="sha256")
    files = (store.sha256(Path(file["filename"])).encode() for file in corpus.table.cache_files)
    made = json.dumps(places.here() if place is None else dict(place), sort_keys=True).encode()
    for part in (identity, made, *files, *parts):
        mixed.update(hashlib.sha256(part).digest())
    return mixed.digest()


def run_id(key: bytes) -> str:
    """A release's name in the ledger. Another key is another release, even of the same data: never a replay."""
    return hmac.digest(key, b"run id", "sha256").hex()[:16]


def compose(events: Sequence[str], delta: float) -> float:
    """Epsilon at `delta` of events in JSON, all on the same units; what a ledger needs to keep a budget."""
    return accounting.epsilon_of([accounting.event_from_json(event) for event in events], delta)


def budget(book: Ledger) -> dict[str, float] | None:
    """The budget in force, and what all runs so far leave of it at its delta; None if none was ever set."""
    limit = book.limit()
    if limit is None:
        return None
    spent = compose([run.event_json for run in book.spent()], limit.delta)
    return {"epsilon": limit.epsilon, "delta": limit.delta, "left": max(0.0, limit.epsilon - spent)}


def check_recorded(book: Ledger, run_id: str, event: str) -> None:
    """See that a release is in the ledger that is asked for more.

    Raises:
      LedgerError: it is not there, or was recorded as another event.
    """
    if not any((run.run_id, run.event_json) == (run_id, event) for run in book.spent()):
        raise LedgerError(
            f"the phrases that were learned from (release {run_id}) are not in this ledger, so what they spent would "
            "not be counted. Name the ledger that they were published under."
        )


def others(book: Ledger, own: set[str], privacy: PrivacyConfig) -> list[RunSummary]:
    """The releases of the same recordings but `own`; they must protect the same unit, or no claim covers them all.

    Raises:
      LedgerError: they protect another.
    """
    found = [run for run in book.spent() if run.run_id not in own]
    if differing := {run.unit for run in found if (run.unit, run.adjacency) != (privacy.unit_name, ADJACENCY)}:
        raise LedgerError(
            f"the ledger holds runs per {', '.join(sorted(differing))}, and this one is per {privacy.unit_name}: their "
            "guarantees do not add up. Use one privacy.unit_name for all runs on a corpus."
        )
    return found
