"""The privacy ledger of a corpus: every private run on it, and every step, recorded before its result is used.

One SQLite file belongs to a corpus lineage: cleaned and re-split copies share it, because their people do. A run
reserves its whole planned event when it opens, and what is reserved counts as spent, finished or not. The file
holds no data about any unit.

Rows are chained: each holds SHA-256(hash of the row before, own content), and a head record holds the number of
rows and the last hash. So `verify` finds rows that were altered, removed, added, reordered or cut off at the end.
It can't find a release that was never recorded, nor a file that was rewritten as a whole with all hashes made anew,
nor an older copy put back; against the last two, keep the newest row's hash elsewhere (`head`; claims hold it).

After every append the one file holds all rows, and a copy forgets nothing: the rollback journal is gone when it
returns, and there is no write-ahead log. A copy made in the middle of an append is whole or refused; see `backup`.
"""

import errno
import hashlib
import json
import math
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from speechpriv.errors import BudgetError, ConfigError, LedgerError

_WAIT_S = 60.0  # for another process that is writing
_GENESIS = "0" * 64
Compose = Callable[[Sequence[str], float], float]  # epsilon of events in JSON, at a delta
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS rows (
      number INTEGER PRIMARY KEY, time_s INTEGER NOT NULL, kind TEXT NOT NULL, run_id TEXT NOT NULL,
      step INTEGER, facts TEXT NOT NULL, hash TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX IF NOT EXISTS once ON rows (kind, run_id, ifnull(step, -1));
    CREATE TABLE IF NOT EXISTS head (
      id INTEGER PRIMARY KEY CHECK (id = 0), number INTEGER NOT NULL, hash TEXT NOT NULL
    ) STRICT;
"""


@dataclass(frozen=True)
class Row:
    """One line of the ledger."""

    number: int  # 1, 2, 3 ... without gaps
    time_s: int  # since 1970, UTC
    kind: Literal["open", "step", "close"]  # a run's plan, the intent to use a step's result, a run's end
    run_id: str
    step: int | None  # from 0; None unless `kind` is "step"
    facts: str  # JSON; of an "open" row the unit, adjacency, event, delta and epsilon limit
    hash: str  # SHA-256 over the hash of the row before and this row, hex


@dataclass(frozen=True)
class RunSummary:
    """What one run planned and did; `event_json` and `delta` are as recorded when it opened."""

    run_id: str
    unit: str
    adjacency: str
    event_json: str
    delta: float
    planned_steps: int
    recorded_steps: int
    state: Literal["open", "closed"]

    @property
    def sampled(self) -> str:
        """What was drawn in each step, in words; of utterances, how many a unit has at most."""
        records = json.loads(self.event_json).get("records", 1)
        return "units" if records == 1 else f"utterances ({records})"


@dataclass(frozen=True)
class Limit:
    """A corpus's budget: all its runs together, at `delta`."""

    epsilon: float
    delta: float


class Ledger:
    """An open ledger file; a context manager. Two processes may use one file at once.

    Args:
      path: the file; made with mode 0600 if absent.

    Raises:
      LedgerError: the file cannot be opened or written, or is not a ledger.
    """

    def __init__(self, path: Path) -> None:
        self._name = path.name
        try:
            # Opened by SQLite alone: to open and close it here would drop the locks that this process has on it.
            self._db = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)
            if path.stat().st_size == 0:
                path.chmod(0o600)  # before anything is in it; the journal takes its mode from it
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(_reason(path, error)) from error
        try:
            self._leave_no_log()
            self._db.execute("PRAGMA synchronous=EXTRA")  # the end of the journal is on the disk too
            with self._transaction("IMMEDIATE"):
                for statement in _SCHEMA.split(";")[:-1]:
                    self._db.execute(statement)
                self._db.execute("INSERT OR IGNORE INTO head VALUES (0, 0, ?)", (_GENESIS,))
        except sqlite3.Error as error:
            self._db.close()
            raise self._unusable(str(error)) from error
        except LedgerError:
            self._db.close()
            raise

    def _leave_no_log(self) -> None:
        """Convert a file that an older version left in WAL mode; SQLite does not wait for others there."""
        deadline_s = time.monotonic() + _WAIT_S
        while True:
            try:
                self._db.execute("PRAGMA journal_mode=DELETE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline_s:
                    raise
                time.sleep(0.01)
            else:
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def open_run(
        self,
        run_id: str,
        *,
        unit: str,
        adjacency: str,
        event_json: str,
        delta: float,
        epsilon_limit: float | None,
        compose: Compose,
        to_follow: Sequence[str] = (),
    ) -> None:
        """Reserve a run's whole privacy cost before it starts; the same run again reserves nothing more.

        Args:
          run_id: letters, digits, dots, dashes and underscores, at most 100.
          unit: whose privacy is protected, for instance `speaker`.
          adjacency: which corpora count as neighbours.
          event_json: the planned mechanism; its `count` is the number of steps planned.
          delta: in (0, 1).
          epsilon_limit: budget of the corpus at `delta`, over all its runs; it holds for later runs too, until one
            states another. None: the one stated last, at its own delta, or none.
          compose: epsilon of the events (JSON) given first, at the delta given second.
          to_follow: events of later runs that this one needs; they must fit too, and are not reserved.

        Raises:
          BudgetError: with this run the corpus would be over its budget, or have no finite epsilon at `delta`;
            nothing is recorded.
          LedgerError: a run of this id has other facts, the ledger was altered, or it cannot be written.
          ConfigError: an argument is out of its range.
        """
        _check(run_id, delta, epsilon_limit)
        _planned_steps(event_json)
        facts = {"unit": unit, "adjacency": adjacency, "event": event_json, "delta": delta}
        with self._transaction("IMMEDIATE"):
            runs = self.spent()
            if before := [run for run in runs if run.run_id == run_id]:
                if _identity(before[0]) != facts:
                    raise LedgerError(
                        f"{self._name}: run {run_id} was opened with another unit, adjacency, event or delta. "
                        "A changed run needs an id of its own; what the old one reserved stays spent."
                    )
                return
            limit = Limit(epsilon_limit, delta) if epsilon_limit is not None else self.limit()
            self._check_room(runs, facts, [event_json, *to_follow], limit, compose)
            self._append("open", run_id, None, facts | {"epsilon_limit": epsilon_limit})

    def record_step(self, run_id: str, step: int) -> None:
        """Record that the result of `step` (from 0) is about to be used; a step recorded before adds nothing.

        Raises:
          LedgerError: the run isn't open, the step skips one or is not planned, or the file cannot be written.
        """
        with self._transaction("IMMEDIATE"):
            run = self._run(run_id)
            if 0 <= step < run.recorded_steps:
                return
            if run.state == "closed" or step != run.recorded_steps or step >= run.planned_steps:
                raise LedgerError(
                    f"{self._name}: run {run_id} ({run.state}, {run.recorded_steps} of {run.planned_steps} planned "
                    f"steps recorded) cannot record step {step}. Steps follow one another and end with the plan."
                )
            self._append("step", run_id, step, {})

    def close_run(self, run_id: str) -> None:
        """Record that a run has ended; closing it again adds nothing. What it reserved stays spent."""
        with self._transaction("IMMEDIATE"):
            if self._run(run_id).state == "open":
                self._append("close", run_id, None, {})

    def rows(self) -> list[Row]:
        """Return every row, oldest first."""
        return [Row(*values) for values in self._read("SELECT * FROM rows ORDER BY number")]

    def spent(self) -> list[RunSummary]:
        """Return one summary a run, oldest first. For the budget, a run has spent its whole plan once it is open.

        Raises:
          LedgerError: see `verify`.
        """
        with self._transaction("DEFERRED"):
            self.verify()
            opened = self._read("SELECT run_id FROM rows WHERE kind = 'open' ORDER BY number")
            return [self._run(run_id) for (run_id,) in opened]

    def head(self) -> str:
        """Hash of the newest row: whoever keeps it elsewhere can tell an older copy of this file from this one."""
        return str(self._read("SELECT hash FROM head")[0][0])

    def number_of(self, row_hash: str) -> int | None:
        """Return number of the row with this hash; 0 for an empty ledger's `head`, None if there is none."""
        return {_GENESIS: 0, **{row.hash: row.number for row in self.rows()}}.get(row_hash)

    def backup(self, to: Path) -> None:
        """Write a whole copy, also while another process appends; mode 0600.

        Raises:
          LedgerError: there is such a file already, it cannot be written, or this ledger was altered.
        """
        self.verify()
        try:
            os.close(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            with closing(sqlite3.connect(to)) as copy:
                self._db.backup(copy)
        except (OSError, sqlite3.Error) as error:
            if isinstance(error, sqlite3.Error):
                to.unlink()
            raise LedgerError(f"{to}: no backup was made ({error}). Name a new file where there is space.") from error

    def limit(self) -> Limit | None:
        """Return the budget in force: the one that was stated last."""
        for (facts,) in self._read("SELECT facts FROM rows WHERE kind = 'open' ORDER BY number DESC"):
            stated = json.loads(facts)
            if stated["epsilon_limit"] is not None:
                return Limit(stated["epsilon_limit"], stated["delta"])
        return None

    def verify(self) -> None:
        """Check the whole chain, and that the file's index leads to every row.

        Raises:
          LedgerError: naming the first row that was altered, removed, added or reordered.
        """
        with self._transaction("DEFERRED"):
            rows, head = self.rows(), self._read("SELECT number, hash FROM head")
            sound = self._read("PRAGMA integrity_check(1)") == [("ok",)]
        last, number = _GENESIS, 0
        for row in rows:
            number += 1
            if row.number != number:
                raise self._altered(f"row {number} is missing")
            if row.hash != _chain(last, row.number, row.time_s, row.kind, row.run_id, row.step, row.facts):
                raise self._altered(f"row {number} was altered, or the one before it")
            last = row.hash
        if head != [(number, last)]:
            raise self._altered(f"rows after row {number} are missing, or the head record was altered")
        if not sound:
            raise self._altered("its index and its rows differ")

    def _check_room(
        self, runs: list[RunSummary], facts: dict[str, Any], asked: list[str], limit: Limit | None, compose: Compose
    ) -> None:
        """Raise unless everything reserved and what is asked for have an epsilon together, and within the limit."""
        alike = [run for run in runs if (run.unit, run.adjacency) == (facts["unit"], facts["adjacency"])]
        if limit is not None and (others := {run.unit for run in runs if run not in alike}):
            raise BudgetError(
                f"{self._name}: holds runs for another unit or adjacency ({', '.join(sorted(others))}); guarantees "
                f"for different units don't add up, so a budget per {facts['unit']} cannot be kept. "
                "Use one unit for all runs on a corpus."
            )
        events = [run.event_json for run in alike]
        if limit is not None and not (after := compose([*events, *asked], limit.delta)) <= limit.epsilon:
            spent, alone = (compose(part, limit.delta) if part else 0.0 for part in (events, asked))
            raise BudgetError(
                f"{self._name}: at delta {limit.delta:g}, {len(runs)} recorded runs have spent epsilon {spent:.4g}, "
                f"this one asks for {alone:.4g}, together {after:.4g}: over the corpus's budget of {limit.epsilon:.4g}."
                " Plan fewer steps or more noise, or state a larger budget and say so in the claim."
            )
        delta = facts["delta"]
        if (limit is None or limit.delta != delta) and not compose([*events, *asked], delta) < math.inf:
            raise BudgetError(
                f"{self._name}: at delta {delta:g}, {len(events)} recorded runs and this one together have no finite "
                "epsilon: one of them cannot be priced, or their chances to slip add up to that delta. Nothing was "
                "recorded. State a larger privacy.delta; without privacy.phrases a run adds no such chance."
            )

    def _run(self, run_id: str) -> RunSummary:
        """Summary of one run."""
        opened = self._read("SELECT facts FROM rows WHERE kind = 'open' AND run_id = ?", run_id)
        if not opened:
            raise LedgerError(f"{self._name}: run {run_id} was never opened. Call open_run first.")
        facts = json.loads(opened[0][0])
        steps = self._read("SELECT count(*) FROM rows WHERE kind = 'step' AND run_id = ?", run_id)[0][0]
        closed = self._read("SELECT 1 FROM rows WHERE kind = 'close' AND run_id = ?", run_id)
        return RunSummary(
            run_id, facts["unit"], facts["adjacency"], facts["event"], facts["delta"],
            _planned_steps(facts["event"]), steps, "closed" if closed else "open",
        )  # fmt: skip

    def _append(self, kind: str, run_id: str, step: int | None, facts: dict[str, Any]) -> None:
        """Add one row and move the head, within the current transaction."""
        number, last = self._read("SELECT number, hash FROM head")[0]
        stored = self._read("SELECT number, hash FROM rows ORDER BY number DESC LIMIT 1")
        if (stored[0] if stored else (0, _GENESIS)) != (number, last):
            raise self._altered("its last row and its head record differ")
        content = (number + 1, int(time.time()), kind, run_id, step, json.dumps(facts, sort_keys=True))
        digest = _chain(last, *content)
        self._db.execute("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?)", (*content, digest))
        self._db.execute("UPDATE head SET number = ?, hash = ?", (number + 1, digest))

    @contextmanager
    def _transaction(self, kind: Literal["IMMEDIATE", "DEFERRED"]) -> Iterator[None]:
        """All or nothing; IMMEDIATE holds the write lock from the start, DEFERRED shows one moment to all reads."""
        if self._db.in_transaction:
            yield
            return
        try:
            self._db.execute(f"BEGIN {kind}")
            yield
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise self._unusable(str(error)) from error
            raise

    def _read(self, query: str, *values: str) -> list[Any]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._unusable(str(error)) from error

    def _unusable(self, reason: str) -> LedgerError:
        return LedgerError(
            f"{self._name}: the ledger cannot be used ({reason}); nothing was recorded. Free disk space, make the file "
            "and its folder writable, or, if it isn't a ledger at all, name another file."
        )

    def _altered(self, what: str) -> LedgerError:
        return LedgerError(
            f"{self._name}: {what}. The record of what was spent can't be trusted: restore a copy whose hashes are "
            "right, or treat the corpus's budget as used up."
        )


def _reason(path: Path, error: Exception) -> str:
    """Why a file cannot be opened; SQLite does not say."""
    if path.is_dir() or not path.parent.is_dir():
        return os.strerror(errno.EISDIR if path.is_dir() else errno.ENOENT)
    return str(error) if os.access(path.parent, os.W_OK) else os.strerror(errno.EACCES)


def _check(run_id: str, delta: float, limit: float | None) -> None:
    """Raise unless the arguments of a run are in their ranges."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", run_id):
        raise ConfigError("ledger: a run id is 1 to 100 letters, digits, dots, dashes or underscores.")
    if not 0 < delta < 1:
        raise ConfigError(f"ledger: delta = {delta}, expected 0 < delta < 1.")
    if limit is not None and not 0 < limit < math.inf:
        raise ConfigError(f"ledger: epsilon limit = {limit}, expected > 0 and finite, or None.")


def _chain(last: str, *content: object) -> str:
    """Hash of a row, which fixes all rows before it too."""
    return hashlib.sha256(json.dumps([last, *content]).encode()).hexdigest()


def _identity(run: RunSummary) -> dict[str, Any]:
    return {"unit": run.unit, "adjacency": run.adjacency, "event": run.event_json, "delta": run.delta}


def _planned_steps(event_json: str) -> int:
    """The one thing that the ledger reads from an event: its outermost count, so that plan and price can't differ."""
    try:
        count = json.loads(event_json)["count"]
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError("ledger: an event needs to be JSON with the planned number of steps as `count`.") from error
    if not (isinstance(count, int) and count >= 1):
        raise ConfigError(f"ledger: an event plans {count} steps, expected a whole number >= 1.")
    return count
