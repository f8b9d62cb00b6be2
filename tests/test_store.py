import errno
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from pydantic import BaseModel

from speechpriv import store
from speechpriv.errors import StageError


class Settings(BaseModel):
    word: str = "a"


def make(version=1, *, resumable=False):
    """A stage that writes its word and its input, and the list of the times its body ran."""
    calls = []

    @store.stage(version=version, resumable=resumable)
    def run(config, inputs, out_dir, *, secret=b""):
        calls.append(sorted(path.name for path in out_dir.iterdir()))
        (out_dir / "sub").mkdir(exist_ok=True)
        (out_dir / "word.txt").write_text(config.word + "".join(path.read_text() for path in inputs.values()))
        (out_dir / "sub" / "more.txt").write_text("more")
        return {"words": 1}

    return run, calls


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.txt"
    path.write_text("b")
    return {"source": path}


@pytest.fixture
def done(tmp_path, source):
    run, _ = make()
    return run(Settings(), source, tmp_path / "out").directory


def test_a_stage_writes_its_files_and_says_from_what_and_how(tmp_path, source):
    run, _ = make()
    summary = run(Settings(), source, tmp_path / "out")
    assert summary == store.Summary(tmp_path / "out", {"words": 1}, up_to_date=False)
    assert (tmp_path / "out" / "word.txt").read_text() == "ab"
    found = store.require_stage(tmp_path / "out")
    assert found["config"] == {"word": "a"}
    assert found["counts"] == {"words": 1}
    assert found["inputs"] == {"source": store.sha256(source["source"])}
    assert found["stage"] == make.__module__
    assert set(found["files"]) == {"word.txt", "sub/more.txt"}
    assert found["duration_s"] >= 0
    assert "torch" in found["versions"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_is_done_is_skipped(tmp_path, source):
    run, calls = make()
    first = run(Settings(), source, tmp_path / "out")
    again = run(Settings(), source, tmp_path / "out", secret=b"another")
    assert again.up_to_date
    assert again.counts == first.counts
    assert len(calls) == 1


def test_a_change_of_config_input_or_version_runs_it_again(tmp_path, source):
    run, calls = make()
    out = tmp_path / "out"
    run(Settings(), source, out)
    assert not run(Settings(word="c"), source, out).up_to_date
    assert (out / "word.txt").read_text() == "cb"
    source["source"].write_text("d")
    assert not run(Settings(word="c"), source, out).up_to_date
    assert not run(Settings(word="c"), source | {"more": source["source"]}, out).up_to_date
    assert len(calls) == 4
    newer, _ = make(version=2)
    assert not newer(Settings(word="c"), source | {"more": source["source"]}, out).up_to_date
    assert run(Settings(word="c"), source | {"more": source["source"]}, out).up_to_date is False


def test_files_of_an_older_run_do_not_stay(tmp_path, source, done):
    (done / "stray.txt").write_text("stray")
    run, _ = make()
    run(Settings(word="c"), source, done)
    assert not (done / "stray.txt").exists()
    assert store.verify(done) == []


def test_a_stage_that_fails_leaves_what_was_there(tmp_path, source, done):
    @store.stage(version=2)
    def fails(config, inputs, out_dir):
        (out_dir / "half.txt").write_text("half")
        raise ValueError("no")

    before = store.require_stage(done)
    with pytest.raises(ValueError, match="no"):
        fails(Settings(), source, done)
    assert store.require_stage(done) == before
    assert store.verify(done) == []
    with pytest.raises(ValueError, match="no"):
        fails(Settings(), source, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_working_directory_left_behind_is_not_taken_up_again(tmp_path, source):
    left = tmp_path / ".out.partial"
    left.mkdir()
    (left / "half.txt").write_text("half")
    run, calls = make()
    run(Settings(), source, tmp_path / "out")
    assert calls == [[".identity"]]
    assert set(store.require_stage(tmp_path / "out")["files"]) == {"word.txt", "sub/more.txt"}


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from pydantic import BaseModel
    from speechpriv import store

    class Settings(BaseModel):
        word: str = "a"

    @store.stage(version=1, resumable=RESUMABLE)
    def run(config, inputs, out_dir):
        count = len(list(out_dir.glob("step-*")))
        (out_dir / f"step-{count}").write_text(config.word)
        if count < 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"steps": count + 1}

    print(run(Settings(word=sys.argv[2]), {}, Path(sys.argv[1])).counts)
"""


def killed(out, word="a", *, resumable):
    script = textwrap.dedent(KILLED).replace("RESUMABLE", str(resumable))
    return subprocess.run([sys.executable, "-c", script, str(out), word], capture_output=True, text=True, check=False)


def test_a_killed_stage_did_not_happen(tmp_path):
    out = tmp_path / "out"
    for _ in range(2):
        assert killed(out, resumable=False).returncode == -signal.SIGKILL
        assert not out.exists()
        assert store.read_manifest(out) is None
        assert [path.name for path in (tmp_path / ".out.partial").glob("step-*")] == ["step-0"]


def test_a_resumable_stage_goes_on_where_it_was_killed(tmp_path):
    out = tmp_path / "out"
    assert killed(out, resumable=True).returncode == -signal.SIGKILL
    assert killed(out, resumable=True).returncode == -signal.SIGKILL
    last = killed(out, resumable=True)
    assert last.stdout.strip() == "{'steps': 3}"
    assert set(store.require_stage(out)["files"]) == {"step-0", "step-1", "step-2"}
    assert not (tmp_path / ".out.partial").exists()


def test_a_resumable_stage_starts_anew_when_the_config_changed(tmp_path):
    out = tmp_path / "out"
    assert killed(out, resumable=True).returncode == -signal.SIGKILL
    assert killed(out, word="b", resumable=True).returncode == -signal.SIGKILL
    steps = list((tmp_path / ".out.partial").glob("step-*"))
    assert [(path.name, path.read_text()) for path in steps] == [("step-0", "b")]


def test_the_manifest_is_the_last_thing_written(tmp_path, source, monkeypatch):
    seen = []
    real = store.write_json
    monkeypatch.setattr(
        store, "write_json", lambda path, value: seen.append(store.read_manifest(tmp_path / "out")) or real(path, value)
    )
    make()[0](Settings(), source, tmp_path / "out")
    assert seen == [None]  # nothing under the final name yet
    facts = store.require_stage(tmp_path / "out")
    assert {name: store.sha256(tmp_path / "out" / name) for name in facts["files"]} == facts["files"]


def test_scratch_is_there_until_the_manifest_is_and_never_in_the_result(tmp_path, source, monkeypatch):
    @store.stage(version=1)
    def body(config, inputs, out_dir):
        (out_dir / "kept").write_text("kept")
        (out_dir / ".scratch").write_text("scratch")
        (out_dir / ".cache").mkdir()
        (out_dir / ".cache" / "file").write_text("scratch")
        (out_dir / f".{store.MANIFEST}.new").write_text("of a killed run")
        return {}

    seen, fsync = [], os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda file: seen.append((tmp_path / ".out.partial/.scratch").exists()) or fsync(file)
    )
    body(Settings(), source, tmp_path / "out")
    assert seen[0]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["kept", store.MANIFEST]
    assert store.verify(tmp_path / "out") == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_refuses_is_said(tmp_path, source, number):
    def refused(config, inputs, out_dir):
        raise OSError(number, os.strerror(number), "secret name")

    with pytest.raises(StageError, match=r"cannot be written.*Free disk space") as found:
        store.stage(version=1)(refused)(Settings(), source, tmp_path / "out")
    assert "secret name" not in str(found.value)


def test_an_error_that_is_not_the_disks_stays_what_it_is(tmp_path):
    with pytest.raises(FileNotFoundError), store.explain_write_errors(tmp_path):
        (tmp_path / "absent").read_bytes()


def test_file_times_say_nothing(done):
    assert {path.stat().st_mtime for path in done.rglob("*")} == {315_532_800}


def test_verify_is_content_with_what_was_written(done):
    assert store.verify(done) == []


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda root: (root / "word.txt").write_text("aB"), ["word.txt"]),
        (lambda root: (root / "word.txt").unlink(), ["word.txt"]),
        (lambda root: (root / "new.txt").write_text(""), ["new.txt"]),
        (lambda root: (root / "sub" / "manifest.json").write_text("{}"), ["sub/manifest.json"]),
        (lambda root: (root / "word.txt").rename(root / "sub" / "word.txt"), ["sub/word.txt", "word.txt"]),
        (lambda root: (root / "sub" / "more.txt").write_text(""), ["sub/more.txt"]),
    ],
)
def test_verify_finds_what_is_altered_missing_or_added(done, damage, found):
    damage(done)
    assert store.verify(done) == found


def test_a_stage_that_did_not_happen_is_required_in_vain(tmp_path):
    assert store.read_manifest(tmp_path) is None
    for check in (store.require_stage, store.verify):
        with pytest.raises(StageError, match=r"no manifest.json; expected a finished stage"):
            check(tmp_path)


def test_fingerprint_of_a_file_is_its_content(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("x")
    second.write_text("x")
    assert store.fingerprint(first) == store.fingerprint(second)
    second.write_text("y")
    assert store.fingerprint(first) != store.fingerprint(second)


def rewrite(directory, **facts):
    """Change what a manifest says."""
    path = directory / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


def test_fingerprint_of_a_stage_is_what_it_holds(done):
    before = store.fingerprint(done)
    os.utime(done / "word.txt")
    rewrite(done, identity="other", duration_s=7.0, versions={}, inputs={}, config={}, counts={"words": 2})
    assert store.fingerprint(done) == before
    files = store.require_stage(done)["files"]
    for changed in ({"word.txt": "0" * 64}, {"new.txt": "0" * 64}):
        rewrite(done, files=files | changed)
        assert store.fingerprint(done) != before
    rewrite(done, files=files, stage="another")
    assert store.fingerprint(done) != before


def test_fingerprint_of_a_part_is_what_the_part_holds(done):
    part, whole = store.fingerprint(done / "sub"), store.fingerprint(done)
    files = store.require_stage(done)["files"]
    rewrite(done, files=files | {"word.txt": "0" * 64})
    assert store.fingerprint(done / "sub") == part != whole
    rewrite(done, files=files | {"sub/more.txt": "0" * 64})
    assert store.fingerprint(done / "sub") != part


def test_a_stage_that_makes_the_same_again_makes_nothing_else_run(tmp_path, source):
    @store.stage(version=1, notes=("note.txt",))
    def reads(config, inputs, out_dir):
        told = inputs["source"].read_text()
        (out_dir / "kept.txt").write_text(told.partition("#")[0])
        (out_dir / "note.txt").write_text(told)
        return {}

    def both():
        first = reads(Settings(), source, tmp_path / "first")
        return first.up_to_date, run(Settings(), {"in": first.directory / "kept.txt"}, tmp_path / "then").up_to_date

    run, _ = make()
    assert both() == (False, False)
    assert both() == (True, True)
    source["source"].write_text("b#")  # another input, the same output
    assert both() == (False, True)
    source["source"].write_text("b#noted")  # the note alone
    before = store.fingerprint(tmp_path / "first")
    assert both() == (False, True)
    assert store.fingerprint(tmp_path / "first") == before
    assert store.verify(tmp_path / "first") == []
    source["source"].write_text("c")
    assert both() == (False, False)


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "word.txt was altered": lambda root: (root / "word.txt").write_text("a"),
    "sub/more.txt was altered": lambda root: flipped(root / "sub" / "more.txt"),
    "sub/more.txt is missing": lambda root: (root / "sub" / "more.txt").unlink(),
    "sub/new.txt was added": lambda root: (root / "sub" / "new.txt").write_text(""),
    r"\\xff was added": lambda root: Path(os.fsdecode(os.fsencode(root) + b"/\xff")).write_text(""),
    "word.txt is missing": lambda root: shutil.rmtree(root) or root.mkdir() or rewritten(root),
}


def rewritten(root):
    (root / "manifest.json").write_text(json.dumps({"stage": "s", "identity": "", "counts": {}, "files": FILES}))


FILES = {"word.txt": "0" * 64}


@pytest.mark.parametrize("what", DAMAGES)
def test_what_was_damaged_is_not_read(tmp_path, done, what):
    DAMAGES[what](done)
    run, calls = make()
    with pytest.raises(StageError, match=rf"{done}: not as its stage left it.*{what}.*delete {done} and run again"):
        run(Settings(), {"source": done}, tmp_path / "then")
    assert calls == []


@pytest.mark.parametrize("what", [what for what in DAMAGES if what != "word.txt is missing"])
def test_what_was_damaged_is_not_up_to_date(source, done, what):
    DAMAGES[what](done)
    run, calls = make()
    with pytest.raises(StageError, match=rf"{done}: not as.*{what}.*{make.__module__} makes it anew"):
        run(Settings(), source, done)
    assert calls == []
    shutil.rmtree(done)
    assert not run(Settings(), source, done).up_to_date
    assert run(Settings(), source, done).up_to_date


@pytest.mark.parametrize("content", [None, "{", "[]", '{"identity": "x"}'])
def test_a_manifest_that_is_damaged_does_not_make_a_stage_run_again(source, done, content):
    """It was made, and may have spent: that is not to happen again without a word."""
    (done / "manifest.json").unlink() if content is None else (done / "manifest.json").write_text(content)
    run, calls = make()
    with pytest.raises(StageError, match=rf"{done}: not as.*no whole manifest.json.*delete {done}"):
        run(Settings(), source, done)
    assert calls == []
    shutil.rmtree(done)
    assert not run(Settings(), source, done).up_to_date


def test_a_table_of_another_stage_is_refused(tmp_path, source):
    first, _ = make()
    one, other = (first(Settings(word=word), source, tmp_path / word).directory for word in "ab")
    shutil.copyfile(one / "word.txt", other / "word.txt")
    with pytest.raises(StageError, match=rf"{other}: not as.*word.txt was altered"):
        first(Settings(word="b"), source, other)


def test_a_part_is_checked_by_the_manifest_above_it(tmp_path, done):
    run, _ = make()
    part = {"source": done / "sub" / "more.txt"}
    (done / "word.txt").write_text("none of the part's business")
    store.check(done / "sub")
    (done / "sub" / "more.txt").write_text("less")
    with pytest.raises(StageError, match=rf"{done}: not as.*sub/more.txt was altered"):
        store.check(done / "sub")
    run(Settings(), part, tmp_path / "then")  # a file deeper down is an input by its content


def test_of_many_files_five_are_named(done):
    for number in range(9):
        (done / f"{number}.txt").write_text("")
    with pytest.raises(StageError, match=r"4.txt was added and 4 more\)"):
        store.check(done)


def test_a_file_is_hashed_once(tmp_path, source, done, monkeypatch):
    later = time.time_ns() + 10**12
    monkeypatch.setattr(time, "time_ns", lambda: later)  # as if all had been written a while ago
    monkeypatch.setattr(store, "_HASHED", {})
    read, real = [], hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, name: read.append(file.name) or real(file, name))
    run, _ = make()
    for name in ("one", "two"):
        run(Settings(), {"source": done / "word.txt", "more": done / "sub" / "more.txt"}, tmp_path / name)
    for path in (done, tmp_path / "one", tmp_path / "two"):
        store.check(path)
        assert store.verify(path) == []
    assert len(read) == 6


def test_a_file_that_changed_just_now_is_read_again(tmp_path, monkeypatch):
    """Its times may not tell one change from the next."""
    path, now = tmp_path / "file", time.time_ns()
    monkeypatch.setattr(store, "_state", lambda _: (1, 2, 3, now, now))
    monkeypatch.setattr(time, "time_ns", lambda: now)
    for content in (b"one", b"two"):
        path.write_bytes(content)
        assert store.sha256(path) == hashlib.sha256(content).hexdigest()


def test_a_directory_is_replaced_at_once(source, done, monkeypatch):
    """A kill while the older one is deleted must not leave a half of it under its name."""
    deleted, real = [], shutil.rmtree
    monkeypatch.setattr(shutil, "rmtree", lambda path, **options: deleted.append(path) or real(path, **options))
    make()[0](Settings(word="c"), source, done)
    assert done not in deleted
    assert (done / "word.txt").read_text() == "cb"
    assert sorted(path.name for path in done.parent.iterdir()) == ["out", "source.txt"]


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "a").write_text("longer"),
        lambda root: os.utime(root / "a", (1, 1)),
        lambda root: (root / "a").rename(root / "b"),
        lambda root: (root / "c").write_text(""),
        lambda root: (root / "sub" / "a").unlink(),
    ],
)
def test_fingerprint_of_a_folder_sees_names_sizes_and_times(tmp_path, change):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a").write_text("x")
    (tmp_path / "sub" / "a").write_text("x")
    before = store.fingerprint(tmp_path)
    assert store.fingerprint(tmp_path) == before
    change(tmp_path)
    assert store.fingerprint(tmp_path) != before


def test_fingerprint_of_a_folder_with_names_that_are_not_text(tmp_path):
    before = store.fingerprint(tmp_path)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")).write_text("x")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    assert store.fingerprint(tmp_path) != before


def test_fingerprint_of_a_folder_passes_over_what_cannot_be_looked_at(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("x")
    only = store.fingerprint(tmp_path)
    (tmp_path / "b").write_text("x")
    assert store.fingerprint(tmp_path) != only
    real = Path.stat

    def refused(path, **options):
        if path.name == "b":
            raise PermissionError(errno.EACCES, "no")
        return real(path, **options)

    monkeypatch.setattr(Path, "stat", refused)
    assert store.fingerprint(tmp_path) == only


def test_an_input_that_cannot_be_read_is_said(tmp_path, source, monkeypatch):
    def refused(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(store, "sha256", refused)
    with pytest.raises(StageError, match=r"source.txt: cannot be read \(Permission denied\)"):
        make()[0](Settings(), source, tmp_path / "out")


def test_a_source_says_itself_what_identifies_it(tmp_path):
    class Known:
        told = "a"

        def fingerprint(self):
            return self.told

    @store.stage(version=1)
    def run(config, inputs, out_dir):
        (out_dir / "word.txt").write_text("a")
        return {}

    known = Known()
    assert not run(Settings(), {"source": known}, tmp_path / "out").up_to_date
    assert run(Settings(), {"source": known}, tmp_path / "out").up_to_date
    known.told = "b"
    assert not run(Settings(), {"source": known}, tmp_path / "out").up_to_date


def test_a_missing_input_is_a_stage_error(tmp_path):
    with pytest.raises(StageError, match="no such file or directory"):
        make()[0](Settings(), {"source": tmp_path / "gone"}, tmp_path / "out")


def test_json_is_written_whole(tmp_path):
    path = tmp_path / "a.json"
    store.write_json(path, {"é": [1, 2]})
    assert json.loads(path.read_text(encoding="utf-8")) == {"é": [1, 2]}
    before = path.read_text(encoding="utf-8")
    with pytest.raises(TypeError):
        store.write_json(path, {"bad": object()})
    assert path.read_text(encoding="utf-8") == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_secret_is_made_once_and_for_its_owner_only(tmp_path):
    path = tmp_path / "private" / "key"
    key = store.read_secret(path)
    assert len(key) == 32
    assert store.read_secret(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]
    assert store.read_secret(tmp_path / "other") != key


def test_two_secrets_with_one_stem_are_two(tmp_path):
    (tmp_path / "key.new").write_bytes(b"left by a kill")
    first, second = store.read_secret(tmp_path / "key.a"), store.read_secret(tmp_path / "key.b")
    assert first != second
    assert len(first) == len(second) == 32


HOLD = """
import sys
from pathlib import Path
from speechpriv import store
with store.lock_directory(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_process_at_a_time_holds_a_directory(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(StageError, match="another process is running here"), store.lock_directory(tmp_path):
            pass
        other.kill()  # a lock does not outlive its process
        other.wait()
    with store.lock_directory(tmp_path):
        pass
    with store.lock_directory(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_is_said_before_it_is_held(tmp_path, monkeypatch):
    (tmp_path / "runs").write_text("a file, and no folder")
    with pytest.raises(StageError, match=r"cannot be written \(Not a directory\).*--runs"):
        store.lock_directory(tmp_path / "runs" / "a" / "private").__enter__()

    def refused(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(StageError, match=r"cannot be written \(Read-only file system\)"):
        store.lock_directory(tmp_path / "private").__enter__()


def test_paths_in_a_manifest_are_relative(done):
    facts = store.require_stage(done)
    assert not any(Path(name).is_absolute() for name in facts["files"])
    assert str(done.parent) not in json.dumps(facts)
