"""Stage directories: written whole or not at all, with a manifest that says from what and how.

A stage is a function `run(config, inputs, out_dir) -> Summary`. The decorator `stage` gives its body a working
directory beside `out_dir`, writes `manifest.json` there last, fsyncs and renames. No manifest: the stage did not
happen. Same inputs, config and code version: the stage is up to date and is skipped. Names that begin with a dot are
scratch: kept until all else is on the disk, for a run that is killed or finds the disk full, and gone afterwards.

An input is known by what it holds, never by when or how it was made: a stage that ran again and wrote the same bytes
makes nothing after it run again. What a stage reads, and what is called up to date, is first compared with the hashes
in its manifest.
"""

import errno
import fcntl
import functools
import hashlib
import importlib.metadata
import json
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel
from safetensors import SafetensorError

from speechpriv.errors import StageError

MANIFEST = "manifest.json"
_FIELDS = {"stage", "identity", "counts", "files"}  # that tell ours from others
SIGNATURE = "model.sig"  # over all files of a bundle, the manifest too; so the manifest cannot list it
_PACKAGES = ("speechpriv", "torch", "torchaudio", "transformers", "datasets", "opacus", "dp-accounting", "numpy")
IDENTITY = ".identity"
_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM}
_FIXED_TIME_S = 315_532_800  # 1980-01-01: file times say nothing about when anybody spoke
_TICK_NS = 20_000_000  # file systems stamp changes by a clock that may stand still this long
_NAMED = 5  # files in a message

_HASHED: dict[tuple[int, ...], str] = {}  # by what `_state` says: within a process every file is read once


@dataclass(frozen=True)
class Summary:
    """What a stage did: where, public counts for people to read, and whether it was up to date already."""

    directory: Path
    counts: dict[str, Any]
    up_to_date: bool = False

    def __truediv__(self, part: str) -> Path:
        """Return where a part of the output is."""
        return self.directory / part


class Source(Protocol):
    """An input that no stage wrote, and that says itself what identifies it."""

    def fingerprint(self) -> str:
        """Return a digest of all that is read of it."""


Inputs = Mapping[str, Path | Source]


class Stage(Protocol):
    """`run(config, inputs, out_dir) -> Summary`; a stage may take secrets as keyword arguments."""

    def __call__(self, config: BaseModel, inputs: Inputs, out_dir: Path, **secrets: Any) -> Summary: ...


def stage(
    *, version: int, resumable: bool = False, timed: bool = True, notes: Collection[str] = ()
) -> Callable[[Callable[..., dict[str, Any]]], Stage]:
    """Make a stage of `body(config, inputs, work_dir, **secrets) -> counts`.

    The stage raises StageError if an input, or what is up to date otherwise, is not as it was written.

    Args:
      version: raised whenever the body's output changes, so that older directories are made again.
      resumable: keep the working directory of a killed run if config and inputs are still the same.
      timed: say in the manifest how long it took; not where the manifest is released, since that
        tells how much data there is.
      notes: files that no later stage reads: if they alone change, nothing after this stage is made again.
    """

    def decorate(body: Callable[..., dict[str, Any]]) -> Stage:
        @functools.wraps(body)
        def run(config: BaseModel, inputs: Inputs, out_dir: Path, **secrets: Any) -> Summary:
            for path in inputs.values():
                check(path)
            known = {name: fingerprint(path) for name, path in inputs.items()}
            identity = _identity(body.__module__, version, config, known)
            done = read_manifest(out_dir)
            if done and done["identity"] == identity:
                check(out_dir)
                return Summary(out_dir, done["counts"], up_to_date=True)
            if not done and out_dir.is_dir() and any(out_dir.iterdir()):
                raise StageError(_remedy(out_dir, f"holds files but no whole {MANIFEST}", body.__module__))
            work_dir, old_dir = partial_path(out_dir), out_dir.with_name(f".{out_dir.name}.old")
            with explain_write_errors(out_dir):
                _prepare(work_dir, identity, resumable=resumable)
                started = time.monotonic()
                counts = body(config, inputs, work_dir, **secrets)
                _seal(work_dir, {
                    "stage": body.__module__,
                    "identity": identity,
                    "config": config.model_dump(mode="json"),
                    "inputs": known,
                    "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
                    "counts": counts,
                    "notes": list(notes),
                    **({"duration_s": round(time.monotonic() - started, 3)} if timed else {}),
                })  # fmt: skip
                shutil.rmtree(old_dir, ignore_errors=True)
                if out_dir.exists():  # moved at once: one half deleted by a kill would pass for a damaged one
                    out_dir.rename(old_dir)
                work_dir.rename(out_dir)
                _fsync(out_dir.parent)
                shutil.rmtree(old_dir, ignore_errors=True)
            return Summary(out_dir, counts)

        return run

    return decorate


def partial_path(out_dir: Path) -> Path:
    """Return where a stage works until it is done; what a killed one leaves."""
    return out_dir.with_name(f".{out_dir.name}.partial")


@contextmanager
def explain_write_errors(path: Path) -> Iterator[None]:
    """Say what to do where the disk refuses what is written for `path`.

    Raises:
      StageError: the disk is full, failing or read-only, or the folder is somebody else's.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        if isinstance(error, OSError) and error.errno not in _REFUSALS:
            raise
        raise StageError(
            f"{path}: cannot be written ({getattr(error, 'strerror', None) or error}). What is finished is whole. Free "
            "disk space, or make the folder writable, and run again: a training goes on from its last checkpoint."
        ) from error


def ignore_progress(*_: object) -> None:
    """Return what a stage calls with its progress when nobody watches."""


def read_manifest(directory: Path) -> dict[str, Any] | None:
    """Read the manifest of a finished stage, or None; somebody else's `manifest.json`, such as NeMo's, is none."""
    try:
        found = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.keys() >= _FIELDS and isinstance(found["files"], dict) else None


def require_stage(directory: Path) -> dict[str, Any]:
    """Return the manifest of a stage that must be finished.

    Raises:
      StageError: there is none.
    """
    found = read_manifest(directory)
    if found is None:
        raise StageError(f"{directory}: no {MANIFEST}; expected a finished stage. Run the stage before this one.")
    return found


def verify(directory: Path) -> list[str]:
    """List the files that are missing, altered or added since the manifest was written; empty if none."""
    return sorted(_changed(directory, require_stage(directory)["files"]))


def check(path: Path | Source) -> None:
    """See that what a finished stage left at `path`, which may be a part of its directory, is as it was written.

    Raises:
      StageError: it is not; the message names the files, the directory to delete and the stage that makes it anew.
    """
    if (found := _written(path)) is None:
        return
    directory, done, part = found
    changed = _changed(directory, done["files"], part)
    if changed:
        names = [f"{_printable(name)} {how}" for name, how in sorted(changed.items())]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        raise StageError(_remedy(directory, f"{', '.join(names[:_NAMED])}{more}", done["stage"]))


def fingerprint(path: Path | Source) -> str:
    """Return what identifies an input: what it holds if a stage or a file, or a folder's names, sizes and times.

    Of a stage, or of a part of one, it is a digest of the names and hashes in its manifest, notes left out, and of
    the stage's name. See that they are true with `check`.

    Raises:
      StageError: nothing is there.
    """
    if not isinstance(path, Path):
        return path.fingerprint()
    if path.is_file():
        try:
            return sha256(path)
        except OSError as error:
            raise StageError(f"{path}: cannot be read ({error.strerror}).") from error
    if not path.is_dir():
        raise StageError(f"{path}: no such file or directory.")
    digest = hashlib.sha256()
    if found := _written(path):
        _, done, part = found
        held = {name: value for name, value in done["files"].items() if name not in done.get("notes", ())}
        told = [done["stage"], part, {name: value for name, value in held.items() if _is_of(part, name)}]
        digest.update(json.dumps(told, sort_keys=True).encode())
    else:
        for file in _files(path):
            with suppress(OSError):  # gone since it was listed
                digest.update(os.fsencode(file.relative_to(path)) + f"\0{_state(file.stat())[2:4]}\n".encode())
    return digest.hexdigest()


def sha256(path: Path) -> str:
    """Return the hex digest of a file's content, read once as long as neither time, size nor inode of the file
    change.
    """
    with path.open("rb") as file:
        state = _state(os.fstat(file.fileno()))
        if state in _HASHED:
            return _HASHED[state]
        # Of a file that changed just now, another change within the same tick would go unseen.
        is_settled = state[-1] + _TICK_NS < time.time_ns()
        found = hashlib.file_digest(file, "sha256").hexdigest()
        if is_settled:
            _HASHED[state] = found
        return found


def hash_weights(directory: Path) -> dict[str, str]:
    """Return SHA-256 of each safetensors file of a model, by name; the same if it is saved again."""
    return {path.name: sha256(path) for path in sorted(directory.glob("*.safetensors"))}


def read_json(path: Path) -> Any:
    """Return what `write_json` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON, whole or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def read_secret(path: Path) -> bytes:
    """Read the 32-byte key in `path`, made by the operating system's generator if there is none yet; mode 0600.

    Raises:
      StageError: it cannot be written.
    """
    if not path.exists():
        with explain_write_errors(path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path.with_suffix(".new"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.urandom(32))
                file.flush()
                os.fsync(file.fileno())
            path.with_suffix(".new").replace(path)
    return path.read_bytes()


@contextmanager
def lock_directory(directory: Path) -> Iterator[None]:
    """Hold `directory`, made for its owner alone if it is not there, for this process.

    Raises:
      StageError: another process holds it, or it cannot be written.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (directory / ".lock").open("w")
    except OSError as error:
        raise StageError(
            f"{directory}: cannot be written ({error.strerror}). Make the folder writable, or name another with --runs."
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StageError(f"{directory}: another process is running here. Wait for it, or stop it.") from error
        yield


def _identity(name: str, version: int, config: BaseModel, inputs: Mapping[str, str]) -> str:
    """A digest of all that the stage's output depends on; of inputs, their fingerprints."""
    parts = {"stage": name, "version": version, "config": config.model_dump(mode="json"), "inputs": inputs}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _prepare(work_dir: Path, identity: str, *, resumable: bool) -> None:
    """An empty working directory, or a killed run's if it may be taken up again."""
    label = work_dir / IDENTITY
    if not (resumable and label.is_file() and label.read_text() == identity):
        shutil.rmtree(work_dir, ignore_errors=True)
        work_dir.mkdir(parents=True)
        label.write_text(identity)


def _seal(work_dir: Path, facts: dict[str, Any]) -> None:
    """Fix the file times, write the manifest, put everything on the disk, and only then drop the scratch."""
    for path in sorted(work_dir.rglob("*")):
        _settle(path)
    names = {str(path.relative_to(work_dir)): path for path in _files(work_dir)}
    facts["files"] = {name: sha256(path) for name, path in names.items() if not name.startswith(".")}
    write_json(work_dir / MANIFEST, facts)
    _settle(work_dir / MANIFEST)
    for path in work_dir.glob(".*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    _fsync(work_dir)


def _written(path: Path | Source) -> tuple[Path, dict[str, Any], str] | None:
    """The finished stage that `path` is or is in: its directory and manifest, and which part of it `path` is."""
    if not isinstance(path, Path):
        return None
    if done := read_manifest(path):
        return path, done, ""
    return (path.parent, done, path.name) if (done := read_manifest(path.parent)) else None


def _is_of(part: str, name: str) -> bool:
    return not part or name == part or name.startswith(f"{part}/")


def _changed(directory: Path, listed: Mapping[str, str], part: str = "") -> dict[str, str]:
    """Names of files, or of those of one part, that are not as listed, and what became of each."""
    present = {str(path.relative_to(directory)) for path in _files(directory)}
    changed = {name: "was added" for name in present - listed.keys() if _is_of(part, name)}
    for name, digest in listed.items():
        try:
            if _is_of(part, name) and sha256(directory / name) != digest:
                changed[name] = "was altered"
        except OSError:
            changed[name] = "is unreadable" if name in present else "is missing"
    return changed


def _remedy(directory: Path, what: str, stage_name: str) -> str:
    return (
        f"{directory}: not as its stage left it ({what}). Put back what was there, or delete {directory} and run "
        f"again: {stage_name} makes it anew, and a private training made anew counts as one more release."
    )


def _printable(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _state(file: os.stat_result) -> tuple[int, ...]:
    """What changes with every change of a file's content."""
    return file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns


def _files(directory: Path) -> list[Path]:
    """Files below a directory, sorted."""
    unlisted = (directory / MANIFEST, directory / SIGNATURE)
    found = (Path(folder, name) for folder, _, names in os.walk(directory) for name in names)
    # Path.is_file raises where nobody may look, and os.walk and this pass it over.
    return sorted(path for path in found if os.path.isfile(path) and path not in unlisted)  # noqa: PTH113


def _settle(path: Path) -> None:
    """Fix a file's times, and put it on the disk."""
    os.utime(path, (_FIXED_TIME_S, _FIXED_TIME_S))
    _fsync(path)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
