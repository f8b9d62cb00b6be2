"""What every private release from a corpus shares: a key, a name in the ledger, and what else was
released.
"""

import functools
import hashlib
import hmac
import itertools
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from speechpriv import progress, store
from speechpriv.claim import ADJACENCY
from speechpriv.config import PrivacyConfig
from speechpriv.corpus import Corpus
from speechpriv.errors import ConfigError, LedgerError
from speechpriv.store import Stage, Summary
from speechpriv.train import accounting
from speechpriv.train import place as places
from speechpriv.train.ledger import Ledger, RunSummary

_RESERVED = ".reserved"  # scratch of a stage: the run that it opens in the ledger
_KEYS = ("noise", "phrases")  # beside the stages, where recipes keep what makes noise


def key_for(
    key: bytes,
    identity: bytes,
    corpus: Corpus,
    parts: Iterable[bytes] = (),
    *,
    place: places.Place | None = None,
) -> bytes:
    """Return a key for exactly these settings, recordings and sums: the same noise on any others
    would cancel out.

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
    made = json.dumps(places.describe_place() if place is None else dict(place), sort_keys=True).encode()
    for part in (identity, made, *files, *parts):
        mixed.update(hashlib.sha256(part).digest())
    return mixed.digest()


def run_id(key: bytes) -> str:
    """Return a release's name in the ledger. Another key is another release, even of the same data:
    never a replay.
    """
    return hmac.digest(key, b"run id", "sha256").hex()[:16]


def compose_epsilon(events: Sequence[str], delta: float) -> float:
    """Return epsilon at `delta` of events in JSON, all on the same units; what a ledger needs to
    keep a budget.
    """
    return accounting.epsilon_of([accounting.event_from_json(event) for event in events], delta)


def training_noise(privacy: PrivacyConfig, beside: Sequence[accounting.Event] = ()) -> float:
    """Return the noise multiplier of a training that, with what is released `beside` it, meets
    privacy.epsilon.
    """
    return accounting.noise_multiplier(
        sampling_rate=privacy.sampling_rate, steps=privacy.steps, epsilon=privacy.epsilon, delta=privacy.delta,
        records=privacy.records_per_unit, beside=beside,
    )  # fmt: skip


def training_event(privacy: PrivacyConfig, sigma: float, steps: int) -> accounting.Event:
    """Return the mechanism of the first `steps` steps of a training."""
    return accounting.build_event(privacy.sampling_rate, sigma, steps, privacy.records_per_unit)


def sum_thresholding_delta(book: Ledger, run_id: str) -> float:
    """Return what may slip of all releases before this one, together; the same when it is replayed."""
    before = itertools.takewhile(lambda run: run.run_id != run_id, book.spent())
    events = [accounting.event_from_json(run.event_json) for run in before]
    return math.fsum(event.slip for event in events if event is not None)


def reserve_release(
    book: Ledger, run_id: str, event: str, privacy: PrivacyConfig, work_dir: Path, to_follow: Sequence[str] = ()
) -> None:
    """Open a release in the ledger, for its whole plan; say so where the gate will not let it
    leave.

    Args:
      book: the ledger.
      run_id: see `run_id`.
      event: the mechanism, as JSON.
      privacy: unit, delta and budget.
      work_dir: of the stage; `tell_what_is_left` looks here.
      to_follow: events of the same model that will be released later; they must fit too.

    Raises:
      BudgetError, LedgerError: see `Ledger.open_run`; nothing was reserved.
    """
    before = book.spent()
    is_new = run_id not in {run.run_id for run in before}
    (work_dir / _RESERVED).write_text(run_id)
    book.open_run(
        run_id, unit=privacy.unit_name, adjacency=ADJACENCY, event_json=event, delta=privacy.delta,
        epsilon_limit=privacy.budget_epsilon, compose=compose_epsilon, to_follow=to_follow,
    )  # fmt: skip
    if is_new and before and book.limit() is None:
        together = compose_epsilon([*(run.event_json for run in before), event, *to_follow], privacy.delta)
        if not together <= 1.001 * privacy.epsilon:  # what one calibration rounds is no excess
            progress.console.print(
                f"The {len(before)} recorded releases from these recordings and this one have epsilon {together:.4g} "
                f"together: above privacy.epsilon = {privacy.epsilon:g}, so the gate will refuse this one. If they may "
                "have more, stop now and set privacy.budget_epsilon.",
                style="yellow", highlight=False, soft_wrap=True,
            )  # fmt: skip


def tell_what_is_left(stage: Stage) -> Stage:
    """Add to any error of a stage that holds the key of noise: what lies on the disk because of it,
    and what to do.
    """

    @functools.wraps(stage)
    def run(config: BaseModel, inputs: store.Inputs, out_dir: Path, **secrets: Any) -> Summary:
        try:
            return stage(config, inputs, out_dir, **secrets)
        except Exception as error:
            error.add_note(_left(store.partial_path(out_dir), secrets["ledger"]))
            raise

    return run


def _left(work_dir: Path, ledger: Path) -> str:
    """What an unfinished release leaves behind."""
    keys = [path for name in _KEYS if (path := work_dir.parent / "keys" / name).is_file()]
    label = work_dir / _RESERVED
    opened = label.read_text() if label.is_file() else ""
    reserved = f"in the ledger {ledger.name}, nothing new"
    if opened and ledger.is_file():
        try:
            with Ledger(ledger) as book:
                if any(run.run_id == opened for run in book.spent()):
                    reserved = f"in the ledger {ledger.name}, run {opened}, whose whole plan counts as spent"
        except LedgerError:
            reserved = f"in the ledger {ledger.name}, perhaps run {opened}: it cannot be read"
    return (
        f"Left behind: the working directory {work_dir}; the key of the noise ("
        f"{', '.join(map(str, keys)) or 'wherever it is kept'}), with which the noise could be taken off again; and, "
        f"{reserved}. To go on, run the same command again, with the device, versions and threads it had: it spends "
        "nothing twice. To give up, delete that key and that directory; what the ledger holds stays spent."
    )


def state_budget(book: Ledger) -> dict[str, float] | None:
    """State the budget in force, and what all runs so far leave of it at its delta; None if none
    was ever set.
    """
    limit = book.limit()
    if limit is None:
        return None
    spent = compose_epsilon([run.event_json for run in book.spent()], limit.delta)
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


def list_others(book: Ledger, own: set[str], privacy: PrivacyConfig) -> list[RunSummary]:
    """List the releases of the same recordings but `own`; they must protect the same unit, or no
    claim covers them all.

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
