import itertools
import json
import math
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv.errors import BudgetError, ConfigError, LedgerError
from speechpriv.train.ledger import Ledger, Limit

ROOT = Path(__file__).parents[2]


def compose(events, delta):
    """A synthetic price: epsilon 1 a step."""
    return float(sum(json.loads(event)["count"] for event in events))


def plan(steps):
    return json.dumps({"mechanism": "test", "count": steps})


def start(book, run_id="a", steps=3, limit=None, **changes):
    facts = {"unit": "speaker", "adjacency": "add/remove", "event_json": plan(steps), "delta": 1e-5}
    book.open_run(run_id, epsilon_limit=limit, compose=compose, **facts | changes)


def record(book, steps, run_id="a"):
    for step in range(steps):
        book.record_step(run_id, step)


def finish(book):
    start(book)
    record(book, 3)
    book.close_run("a")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def book(path):
    with Ledger(path) as book:
        yield book


def test_a_run_from_start_to_end(book, path):
    finish(book)
    assert [(row.number, row.kind, row.step) for row in book.rows()] == [
        (1, "open", None), (2, "step", 0), (3, "step", 1), (4, "step", 2), (5, "close", None),
    ]  # fmt: skip
    (run,) = book.spent()
    assert (run.run_id, run.unit, run.planned_steps, run.recorded_steps, run.state) == ("a", "speaker", 3, 3, "closed")
    assert run.event_json == plan(3)
    book.verify()
    with Ledger(path) as again:
        assert again.rows() == book.rows()


def test_only_the_owner_may_read_it(book, path):
    start(book)
    with book._transaction("IMMEDIATE"):
        book._append("step", "a", 0, {})
        files = list(path.parent.iterdir())
        assert len(files) == 2  # the journal of what is under way is among them
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert list(path.parent.iterdir()) == [path]


def test_every_commit_reaches_the_disk(book):
    assert book._db.execute("PRAGMA synchronous").fetchone() == (3,)
    assert book._db.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def copied(path, to):
    """The rows of a copy of the one file, without whatever lies beside it."""
    to.mkdir()
    with Ledger(Path(shutil.copy(path, to))) as copy:
        copy.verify()
        return [(row.kind, row.run_id, row.step) for row in copy.rows()]


APPENDING = """
import os, signal, sys
from pathlib import Path
from speechpriv.train.ledger import Ledger

path, appends = Path(sys.argv[1]), int(sys.argv[2])
book = Ledger(path)
facts = dict(unit="speaker", adjacency="x", event_json='{"count": 9}', delta=1e-5)
book.open_run("a", epsilon_limit=None, compose=lambda events, delta: 1.0, **facts)
for step in range(appends - 1):
    book.record_step("a", step)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_copy_of_the_one_file_holds_all_that_a_killed_process_appended(path, tmp_path):
    for appends in range(1, 10):
        killed = subprocess.run([sys.executable, "-c", APPENDING, path, str(appends)], check=False, cwd=ROOT)
        assert killed.returncode == -signal.SIGKILL
        rows = copied(path, tmp_path / str(appends))
        assert rows == [("open", "a", None), *(("step", "a", step) for step in range(appends - 1))]


def test_a_copy_made_while_an_append_is_under_way_is_whole_or_refused(path, tmp_path):
    """Whichever of an append's pages are in it already, and whichever are not."""
    page = 4096
    with Ledger(path) as book:
        start(book, steps=9)
        record(book, 3)
        before, rows = path.read_bytes(), book.rows()
        start(book, "b")
        after, more = path.read_bytes(), book.rows()
    pages = [at for at in range(0, len(after), page) if before[at : at + page] != after[at : at + page]]
    assert len(pages) >= 4  # the file's header, rows, their index, head
    ended = Counter()
    for number, mixed in enumerate(itertools.product((before, after), repeat=len(pages))):
        copy = tmp_path / f"{number}.sqlite"
        content = bytearray(after)
        for at, source in zip(pages, mixed, strict=True):
            content[at : at + page] = source[at : at + page]
        copy.write_bytes(content)
        try:
            with Ledger(copy) as book:
                assert [run.run_id for run in book.spent()] == ["a", *(["b"] if book.rows() == more else [])]
                assert book.rows() in (rows, more)
                ended["whole"] += 1
        except LedgerError:
            ended["refused"] += 1
    assert ended["whole"] >= 2
    assert ended["refused"] >= 8


WRITING_AHEAD = """
import os, signal, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
db.execute("PRAGMA wal_autocheckpoint=0")
db.execute("CREATE TABLE other (number INTEGER)")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_file_that_an_older_version_left_in_wal_mode_is_converted(path, tmp_path):
    with Ledger(path) as book:
        finish(book)
        rows = book.rows()
    subprocess.run([sys.executable, "-c", WRITING_AHEAD, path], check=False)
    assert len(list(tmp_path.iterdir())) == 3  # what it wrote is in the log, beside the file
    with Ledger(path) as book:
        assert book.rows() == rows
        assert book._db.execute("SELECT count(*) FROM other").fetchone() == (0,)
        assert list(tmp_path.iterdir()) == [path]
    assert len(copied(path, tmp_path / "copy")) == len(rows)


def test_a_backup_is_whole_private_and_overwrites_nothing(path, tmp_path):
    to = tmp_path / "copy.sqlite"
    with Ledger(path) as book:
        finish(book)
        book.backup(to)
        assert stat.S_IMODE(to.stat().st_mode) == 0o600
        with Ledger(to) as copy:
            copy.verify()
            assert copy.rows() == book.rows()
        content = to.read_bytes()
        with pytest.raises(LedgerError, match=r"copy\.sqlite: no backup was made .*exists.*Name a new file"):
            book.backup(to)
        assert to.read_bytes() == content
        with pytest.raises(LedgerError, match="No such file"):
            book.backup(tmp_path / "missing" / "copy.sqlite")
    tamper(path, "UPDATE rows SET time_s = 1 WHERE number = 2")
    with Ledger(path) as book, pytest.raises(LedgerError, match="row 2 was altered"):
        book.backup(tmp_path / "altered.sqlite")
    assert not (tmp_path / "altered.sqlite").exists()


def test_the_head_kept_elsewhere_tells_an_older_copy(path, tmp_path):
    with Ledger(path) as book:
        assert book.number_of(book.head()) == 0
        start(book)
        book.backup(tmp_path / "older.sqlite")
        record(book, 3)
        head = book.head()
        assert book.number_of(head) == len(book.rows()) == 4
        book.close_run("a")
        assert book.number_of(head) == 4
    with Ledger(tmp_path / "older.sqlite") as older:
        older.verify()
        assert older.number_of(head) is None


def test_resume_is_replay(book):
    start(book)
    book.record_step("a", 0)
    book.record_step("a", 1)
    before = book.rows()
    start(book)
    book.record_step("a", 0)
    book.record_step("a", 1)
    assert book.rows() == before
    book.record_step("a", 2)
    book.close_run("a")
    done = book.rows()
    start(book)  # killed between the end of the run and the end of its stage
    book.record_step("a", 2)
    book.close_run("a")
    assert book.rows() == done


@pytest.mark.parametrize(
    "change",
    [{"event_json": plan(4)}, {"unit": "household"}, {"adjacency": "replace"}, {"delta": 1e-4}],
)
def test_a_changed_run_needs_another_id(book, change):
    start(book)
    with pytest.raises(LedgerError, match="another unit, adjacency, event or delta"):
        start(book, **change)
    assert len(book.rows()) == 1


def test_steps_follow_one_another_and_end_with_the_plan(book):
    start(book, steps=2)
    for step in (1, -1, 7):
        with pytest.raises(LedgerError, match="cannot record step"):
            book.record_step("a", step)
    book.record_step("a", 0)
    book.record_step("a", 1)
    with pytest.raises(LedgerError, match=r"2 of 2 planned steps recorded\) cannot record step 2"):
        book.record_step("a", 2)
    assert len(book.rows()) == 3


def test_a_closed_run_takes_no_more_steps(book):
    start(book, steps=2)
    book.record_step("a", 0)
    book.close_run("a")
    with pytest.raises(LedgerError, match="closed"):
        book.record_step("a", 1)


@pytest.mark.parametrize("call", [lambda book: book.record_step("b", 0), lambda book: book.close_run("b")])
def test_a_run_must_be_opened(book, call):
    start(book)
    with pytest.raises(LedgerError, match="never opened"):
        call(book)


def test_the_budget_counts_plans_not_steps(book):
    start(book, "a", steps=6, limit=10.0)  # nothing of it has run yet
    with pytest.raises(
        BudgetError, match=r"1 recorded runs have spent epsilon 6, .* asks for 5, together 11: .* of 10"
    ):
        start(book, "b", steps=5, limit=10.0)
    assert [run.run_id for run in book.spent()] == ["a"]
    start(book, "b", steps=4, limit=10.0)  # exactly the rest
    with pytest.raises(BudgetError):
        start(book, "c", steps=1, limit=10.0)
    start(book, "a", steps=6, limit=10.0)  # a resumed run asks for nothing
    book.record_step("a", 0)


def test_without_a_limit_runs_are_only_recorded(book):
    start(book, "a", steps=1000)
    start(book, "b", steps=1000)
    with pytest.raises(BudgetError):
        start(book, "c", steps=1, limit=100.0)


def test_a_budget_holds_for_later_runs_that_state_none(book):
    assert book.limit() is None
    start(book, "a", steps=6, limit=10.0)
    with pytest.raises(BudgetError, match=r"together 11.*budget of 10"):
        start(book, "b", steps=5)
    start(book, "b", steps=4)
    start(book, "c", steps=5, limit=20.0)  # said aloud, so it is in the book
    assert book.limit() == Limit(20.0, 1e-5)
    with pytest.raises(BudgetError, match="budget of 20"):
        start(book, "d", steps=6)


def test_a_budget_is_kept_at_the_delta_it_was_stated_at(book):
    asked = []

    def price(events, delta):
        asked.append(delta)
        return 1.0

    start(book, "a", limit=10.0)
    book.open_run(
        "b", unit="speaker", adjacency="add/remove", event_json=plan(1), delta=1e-3, epsilon_limit=None, compose=price
    )
    assert asked == [1e-5, 1e-3]  # at its own, only whether it has a price


@pytest.mark.parametrize("price", [float("inf"), float("nan")])
def test_what_has_no_finite_price_is_over_any_budget(book, price):
    with pytest.raises(BudgetError):
        book.open_run(
            "a", unit="speaker", adjacency="x", event_json=plan(1), delta=1e-5, epsilon_limit=1e9,
            compose=lambda events, delta: price,
        )  # fmt: skip
    assert book.rows() == []


def test_prices_are_asked_for_at_the_runs_delta(book):
    asked = []

    def price(events, delta):
        asked.append((list(events), delta))
        return 1.0

    start(book, "a")
    book.open_run(
        "b", unit="speaker", adjacency="add/remove", event_json=plan(9), delta=1e-7, epsilon_limit=2.0, compose=price
    )
    assert asked == [([plan(3), plan(9)], 1e-7)]


def test_what_is_to_follow_must_fit_too_and_is_not_reserved(book):
    facts = {"unit": "speaker", "adjacency": "add/remove", "delta": 1e-5, "compose": compose}
    with pytest.raises(BudgetError, match="asks for 11, together 11"):
        book.open_run("a", event_json=plan(3), epsilon_limit=10.0, to_follow=[plan(8)], **facts)
    assert book.rows() == []
    book.open_run("a", event_json=plan(3), epsilon_limit=10.0, to_follow=[plan(7)], **facts)
    book.open_run("b", event_json=plan(7), epsilon_limit=10.0, **facts)
    assert [run.planned_steps for run in book.spent()] == [3, 7]


@pytest.mark.parametrize("limit", [None, 1e9])
def test_what_has_no_finite_price_at_a_run_s_own_delta_is_refused_before_it_opens(book, limit):
    start(book, "a", limit=limit)
    other = {"unit": "speaker", "adjacency": "add/remove", "event_json": plan(1), "delta": 1e-7}
    with pytest.raises(BudgetError, match=r"delta 1e-07, 1 recorded runs .* no finite epsilon.*larger privacy\.delta"):
        book.open_run(
            "b", epsilon_limit=None, **other,
            compose=lambda events, delta: math.inf if delta < 1e-6 and len(events) > 1 else 1.0,
        )  # fmt: skip
    assert [run.run_id for run in book.spent()] == ["a"]


def test_guarantees_for_different_units_do_not_share_a_budget(book):
    start(book, "a", unit="utterance")
    with pytest.raises(BudgetError, match="utterance"):
        start(book, "b", limit=100.0)
    start(book, "b")


@pytest.mark.parametrize(
    "change",
    [
        {"run_id": ""},
        {"run_id": "Jane Doe"},
        {"run_id": "a" * 101},
        {"delta": 0.0},
        {"delta": 1.0},
        {"delta": float("nan")},
        {"limit": 0.0},
        {"limit": -1.0},
        {"limit": float("nan")},
        {"limit": float("inf")},
        {"event_json": "{}"},
        {"event_json": "no json"},
        {"event_json": "[1]"},
        {"event_json": '{"count": 0}'},
        {"event_json": '{"count": 1.5}'},
    ],
)
def test_bad_arguments_are_refused(book, change):
    with pytest.raises(ConfigError) as error:
        start(book, **change)
    assert "Jane" not in str(error.value)
    assert book.rows() == []


def tamper(path, *statements):
    with sqlite3.connect(path) as db:
        for statement in statements:
            db.execute(statement)
    db.close()


TAMPERED = {
    "time": (["UPDATE rows SET time_s = time_s + 1 WHERE number = 4"], "row 4 was altered"),
    "step": (["UPDATE rows SET step = 9 WHERE number = 4"], "row 4 was altered"),
    "run": (["UPDATE rows SET run_id = 'z' WHERE number = 2"], "row 2 was altered"),
    "kind": (["UPDATE rows SET kind = 'close' WHERE number = 3"], "row 3 was altered"),
    "event": (["UPDATE rows SET facts = replace(facts, '3', '2') WHERE number = 1"], "row 1 was altered"),
    "not json": (["UPDATE rows SET facts = '' WHERE number = 1"], "row 1 was altered"),
    "hash": (["UPDATE rows SET hash = '00' WHERE number = 3"], "row 3 was altered"),
    "deleted": (["DELETE FROM rows WHERE number = 3"], "row 3 is missing"),
    "deleted and renumbered": (
        ["DELETE FROM rows WHERE number = 3", "UPDATE rows SET number = number - 1 WHERE number > 3"],
        "row 3 was altered",
    ),
    "first deleted": (["DELETE FROM rows WHERE number = 1"], "row 1 is missing"),
    "reordered": (
        [
            "UPDATE rows SET number = 99 WHERE number = 3",
            "UPDATE rows SET number = 3 WHERE number = 4",
            "UPDATE rows SET number = 4 WHERE number = 99",
        ],
        "row 3 was altered",
    ),
    "cut off": (["DELETE FROM rows WHERE number = 5"], "rows after row 4 are missing"),
    "emptied": (["DELETE FROM rows"], "rows after row 0 are missing"),
    "added": (["INSERT INTO rows VALUES (6, 0, 'step', 'a', 3, '{}', '00')"], "row 6 was altered"),
    "head": (["UPDATE head SET hash = '00'"], "head record was altered"),
    "head removed": (["DELETE FROM head"], "head record was altered"),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_tampering_is_found_and_stops_spending(path, case):
    with Ledger(path) as book:
        finish(book)
        book.verify()
    statements, message = TAMPERED[case]
    tamper(path, *statements)
    if case != "head removed":  # opening makes a head again where there is none: caught by its zero
        with Ledger(path) as book, pytest.raises(LedgerError, match=message):
            book.verify()
    with Ledger(path) as book:
        for use in (book.verify, book.spent, lambda: start(book, "b")):
            with pytest.raises(LedgerError):
                use()


def test_a_cut_tail_stops_the_next_step(path):
    with Ledger(path) as book:
        start(book)
        book.record_step("a", 0)
        book.record_step("a", 1)
    tamper(path, "DELETE FROM rows WHERE number = 3")
    with Ledger(path) as book, pytest.raises(LedgerError, match="head record differ"):
        book.record_step("a", 1)


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_any_single_change_to_any_row_is_found(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("ledger") / "l"
    with Ledger(path) as book:
        finish(book)
        rows = book.rows()
    row = data.draw(st.sampled_from(rows))
    column = data.draw(st.sampled_from(["time_s", "kind", "run_id", "step", "facts", "hash"]))
    old = getattr(row, column)
    is_number = column in {"time_s", "step"}
    new = data.draw(st.integers(3, 2**40) if is_number else st.text(max_size=5).filter(lambda t: "\0" not in t))
    with sqlite3.connect(path) as db:
        db.execute(f"UPDATE rows SET {column} = ? WHERE number = ?", (new, row.number))
    db.close()
    with Ledger(path) as book:
        if new == old:
            book.verify()
        else:
            with pytest.raises(LedgerError, match=f"row {row.number} was altered"):
                book.verify()


def test_a_full_disk_is_said_and_loses_nothing(book):
    start(book, steps=100)
    book.record_step("a", 0)
    before = book.rows()
    book._db.execute("PRAGMA max_page_count=1")  # SQLite raises it to what is in use, so that nothing more fits
    with pytest.raises(LedgerError, match=r"ledger\.sqlite: .*full.*Free disk space"):
        record(book, 100)
    stopped = len(book.rows())
    assert book.rows()[: len(before)] == before
    book.verify()
    book._db.execute("PRAGMA max_page_count=1000000")
    record(book, 100)
    assert len(book.rows()) == 101 > stopped
    book.verify()


def test_a_read_only_file_is_said(book):
    start(book)
    book._db.execute("PRAGMA query_only=ON")
    with pytest.raises(LedgerError, match=r"readonly.*writable"):
        book.record_step("a", 0)
    assert len(book.rows()) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_folder_is_said(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(LedgerError, match="Permission denied"):
        Ledger(tmp_path / "ledger.sqlite")
    tmp_path.chmod(0o700)


def test_a_missing_folder_a_folder_and_another_file_are_said(tmp_path):
    with pytest.raises(LedgerError, match="No such file"):
        Ledger(tmp_path / "missing" / "ledger.sqlite")
    with pytest.raises(LedgerError, match="Is a directory"):
        Ledger(tmp_path)
    other = tmp_path / "notes.txt"
    other.write_text("this is not a database, and it stays as it is" * 100)
    with pytest.raises(LedgerError, match="not a database"):
        Ledger(other)
    assert other.read_text().startswith("this is not")


def test_messages_do_not_tell_the_folder(tmp_path):
    with pytest.raises(LedgerError) as error:
        Ledger(tmp_path / "jane-doe" / "ledger.sqlite")
    assert "jane" not in str(error.value)


PROCESS = """
import json, sys, time
from pathlib import Path
from speechpriv.errors import BudgetError
from speechpriv.train.ledger import Ledger

def compose(events, delta):
    time.sleep(0.3)  # so long that the other process is sure to ask meanwhile
    return float(sum(json.loads(event)["count"] for event in events))

path, run_id, steps, pause_s = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
facts = dict(unit="speaker", adjacency="x", event_json=json.dumps({"count": steps}), delta=1e-5)
print("ready", flush=True)
sys.stdin.readline()
with Ledger(path) as book:
    try:
        book.open_run(run_id, epsilon_limit=100.0, compose=compose, **facts)
    except BudgetError:
        print("refused")
        sys.exit()
    for step in range(steps):
        book.record_step(run_id, step)
        time.sleep(pause_s)
    book.close_run(run_id)
print("done")
"""


def together(path, steps):
    """Run one process for each entry of `steps`, all let go at once; what each of them said."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, path, f"run-{i}", str(count), "0"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )
        for i, count in enumerate(steps)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return said


def test_many_open_a_new_ledger_at_once(tmp_path):
    for trial in range(30):
        gate, opened = threading.Barrier(6), []

        def open_it(path=tmp_path / f"{trial}.sqlite", gate=gate, opened=opened):
            gate.wait()
            with Ledger(path) as book:
                opened.append(len(book.rows()))

        threads = [threading.Thread(target=open_it) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert opened == [0] * 6


def test_two_processes_write_one_chain(path):
    assert together(path, [40, 45]) == ["done", "done"]
    with Ledger(path) as book:
        book.verify()
        assert sorted((run.run_id, run.recorded_steps, run.state) for run in book.spent()) == [
            ("run-0", 40, "closed"), ("run-1", 45, "closed"),
        ]  # fmt: skip
        assert len(book.rows()) == 40 + 45 + 4


def test_two_processes_cannot_both_have_the_last_of_the_budget(path):
    assert sorted(together(path, [60, 60])) == ["done", "refused"]
    with Ledger(path) as book:
        book.verify()
        assert [run.planned_steps for run in book.spent()] == [60]


def test_a_kill_in_the_middle_leaves_a_whole_chain(path):
    """Killed at whatever it was doing; what is there is whole, and the run can be taken up again."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESS, path, "run-0", "100", "0.05"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    with process:
        process.stdout.readline()
        process.stdin.write("\n")
        process.stdin.flush()
        with Ledger(path) as book:
            while len(book.rows()) < 20:
                pass
            process.kill()
            process.wait()
            book.verify()
            kept = book.rows()
    assert 20 <= len(kept) < 102
    assert together(path, [100]) == ["done"]
    with Ledger(path) as book:
        book.verify()
        assert len(book.rows()) == 102
        assert book.rows()[: len(kept)] == kept
