"""Killed with SIGKILL at any point of its life, or stopped by its disk, a run that is taken up again ends the same."""

import json
import os
import random
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import pytest

from speechpriv.train.ledger import Ledger

PROGRAM = Path(__file__).parent / "killing.py"


@contextmanager
def program(base, corpus_dir, *before):
    """`train(directory, **request)` trains in a process of its own and says how that ended."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    with subprocess.Popen(
        [*before, sys.executable, PROGRAM, base, corpus_dir],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    ) as process:  # fmt: skip

        def train(directory, **request):
            process.stdin.write(json.dumps({"in": str(directory), "steps": 4} | request) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield train, process
        process.stdin.close()


@pytest.fixture(scope="module")
def training(base, corpus_dir):
    with program(base, corpus_dir) as (train, _):
        yield train


def outcome(directory):
    """All that a run leaves, but for times: its files, and its ledger."""
    stage = directory / "train"
    files = {str(path.relative_to(directory)): path.read_bytes() for path in stage.rglob("*") if path.is_file()}
    facts = json.loads(files.pop("train/manifest.json")) | {"duration_s": 0}
    claim = json.loads(files.pop("train/claim.json"))
    del facts["files"]["claim.json"]
    with Ledger(directory / "ledger.sqlite") as book:
        book.verify()
        assert claim.pop("ledger_head") == book.head()  # rows hold times, so their hashes differ
        rows = [(row.number, row.kind, row.run_id, row.step, row.facts) for row in book.rows()]
    return files, (facts, claim), rows, sorted(path.name for path in directory.iterdir())


def traces(directory):
    """What a killed run has written so far, looked at from outside: opening the ledger would mend it."""
    return tuple(sorted((path.name, path.stat().st_size) for path in directory.rglob("*") if path.is_file()))


@pytest.fixture(scope="module")
def undisturbed(training, tmp_path_factory):
    """`undisturbed(steps)`: how a run ends that is left alone, and what its process said."""
    known = {}

    def run(steps):
        if steps not in known:
            directory = tmp_path_factory.mktemp("undisturbed")
            said = training(directory, steps=steps)
            assert said["ended"] == "done", said
            known[steps] = outcome(directory), said
        return known[steps]

    return run


WORST_MOMENTS = [
    ("sql UPDATE", 2),  # the first step's row is written, and nothing is committed
    ("before the update", 1),  # the step is recorded, and not taken
    ("half of .checkpoint.pt.new", 1),
    ("os.rename .checkpoint.pt", 2),  # one step is saved, the next one written beside it
    ("after the update", 2),
    ("os.remove .checkpoint.pt", 1),  # the manifest is written, scratch is half gone
    ("os.rename train", 1),  # all is written, under another name
]


def test_a_run_killed_at_its_worst_moments_ends_as_if_nothing_had_happened(training, undisturbed, tmp_path):
    for point, nth in WORST_MOMENTS:
        assert training(tmp_path, at=point, nth=nth)["ended"] == "killed", f"{point}: never reached"
        assert not (tmp_path / "train").exists()
    assert training(tmp_path)["ended"] == "done"
    assert outcome(tmp_path) == undisturbed(4)[0]


def test_the_ledger_s_one_file_copied_after_a_kill_holds_every_step(training, tmp_path):
    for steps in range(1, 5):
        directory, copies = tmp_path / f"run-{steps}", tmp_path / f"copy-{steps}"
        directory.mkdir()
        copies.mkdir()
        assert training(directory, at="before the update", nth=steps)["ended"] == "killed"
        with Ledger(Path(shutil.copy(directory / "ledger.sqlite", copies))) as copy:
            copy.verify()
            (run,) = copy.spent()
            assert (run.planned_steps, run.recorded_steps) == (4, steps)


def test_a_fault_in_taking_up_again_is_seen(training, undisturbed, tmp_path):
    """The control: without the optimizer's state, and without a kill or with it."""
    assert training(tmp_path, at="after the update", nth=3)["ended"] == "killed"
    assert training(tmp_path, forget_momentum=True)["ended"] == "done"
    expected, found = undisturbed(4)[0], outcome(tmp_path)
    assert {name for name in expected[0] if found[0][name] != expected[0][name]} == {
        "train/model/model.safetensors", "train/history.json"
    }  # fmt: skip
    assert found[2:] == expected[2:]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_killed_before_any_of_its_operations_ends_the_same(training, undisturbed, tmp_path):
    expected, said = undisturbed(1)
    assert len(said["points"]) > 50
    for number, point in enumerate(said["points"], start=1):
        directory = tmp_path / str(number)
        directory.mkdir()
        assert training(directory, steps=1, at=number)["ended"] == "killed", point
        assert training(directory, steps=1)["ended"] == "done", point
        assert outcome(directory) == expected, point


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_runs_killed_at_fifty_random_moments_end_the_same(training, undisturbed, tmp_path):
    steps = 12
    expected, said = undisturbed(steps)
    rng = random.Random(0)
    found_at = Counter()  # what was there when a run was killed
    while found_at.total() < 50:
        directory = Path(mkdtemp(dir=tmp_path))
        request = {"steps": steps, "checkpoint_every": rng.choice([1, 2, 5])}
        while training(directory, **request, kill_after_s=rng.uniform(0, said["seconds"]))["ended"] == "killed":
            found_at[traces(directory)] += 1
        assert outcome(directory) == expected
    assert len(found_at) >= 8, f"the kills fell on few moments: {found_at}"


# The disk. A file system of a few megabytes, in a mount namespace of its own, is full or read-only even for root.

NAMESPACE = ["--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
SIZE = 8 << 20


class Disk:
    """A small file system and a program that trains on it."""

    def __init__(self, directory, train, pid):
        self.directory, self.train, self._pid = directory, train, pid
        self.seen = Path(f"/proc/{pid}/root") / directory.relative_to("/")  # the same, as seen from here

    def remount(self, how):
        entered = ["--target", str(self._pid), *NAMESPACE[:1], *(["--user"] if NAMESPACE[1:] else [])]
        subprocess.run(["nsenter", *entered, "mount", "-o", f"remount,{how}", self.directory], check=True)

    def run(self):
        """A copy of the run directory, for SQLite finds no file by a path through /proc."""
        shutil.rmtree(self.directory / "copy", ignore_errors=True)
        return shutil.copytree(self.seen / "run", self.directory / "copy")

    def leave(self, free):
        """Fill all but `free` bytes."""
        ballast = self.seen / "ballast"
        ballast.unlink(missing_ok=True)
        space = os.statvfs(self.seen)
        ballast.write_bytes(bytes(space.f_bavail * space.f_frsize - free))


@pytest.fixture
def disk(base, corpus_dir, tmp_path):
    namespace = ["unshare", *NAMESPACE]
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "none", str(tmp_path)]
    if subprocess.run([*namespace, *mount], check=False, capture_output=True).returncode != 0:
        pytest.skip("no file system can be mounted here")
    mounted = ["sh", "-c", f'{shlex.join(mount)} && mkdir {tmp_path}/run && echo mounted && exec "$@"', "sh"]
    with program(base, corpus_dir, *namespace, *mounted) as (train, process):
        assert process.stdout.readline() == "mounted\n"
        yield Disk(tmp_path, train, process.pid)


def full_until_done(disk, step):
    """Errors of a run that is given a little more of the disk each time, until it ends."""
    errors = []
    for free in range(0, SIZE, step):
        disk.leave(free)
        said = disk.train(disk.directory / "run")
        if said["ended"] == "done":
            return errors
        errors.append(said)
    pytest.fail("the disk is too small")


def assert_clear(said):
    assert said["ended"] in {"StageError", "LedgerError"}, said
    assert "disk" in said["message"], said
    assert "writable" in said["message"], said


@pytest.mark.parametrize("step", [400_000, pytest.param(50_000, marks=pytest.mark.slow)])
def test_a_full_disk_is_said_and_nothing_is_lost(disk, undisturbed, step):
    errors = full_until_done(disk, step)
    assert len(errors) >= 2
    for said in errors:
        assert_clear(said)
    assert outcome(disk.run()) == undisturbed(4)[0]


def test_a_disk_that_is_full_when_all_steps_are_taken_costs_no_step(disk, undisturbed):
    run = disk.directory / "run"
    assert disk.train(run, at="open config.json")["ended"] == "killed"
    disk.leave(20_000)
    assert_clear(disk.train(run))
    disk.leave(SIZE // 2)
    said = disk.train(run)
    assert said["ended"] == "done"
    assert "before the update" not in said["points"]
    assert outcome(disk.run()) == undisturbed(4)[0]


def test_a_read_only_disk_is_said_and_nothing_is_lost(disk, undisturbed):
    run = disk.directory / "run"
    disk.remount("ro")
    assert_clear(disk.train(run))
    disk.remount("rw")
    assert list((disk.seen / "run").iterdir()) == []
    assert disk.train(run, at="after the update", nth=2)["ended"] == "killed"
    disk.remount("ro")
    assert_clear(disk.train(run))
    disk.remount("rw")
    assert disk.train(run)["ended"] == "done"
    assert outcome(disk.run()) == undisturbed(4)[0]
