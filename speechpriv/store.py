"""Stage directories: written whole or not at all, with a manifest that says from what and how.

A stage is a function `run(config, inputs, out_dir) -> Summary`. The decorator `stage` gives its body a working
directory beside `out_dir`, writes `manifest.json` there last, fsyncs and renames. No manifest: the stage did not
happen. Same inputs, config and code version: the stage is up to date and is skipped. Names that begin with a dot are
scratch: kept until all else is on the disk, for a run that is killed or finds the disk full, and gone afterwards.
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel
from safetensors import SafetensorError

from speechpriv.errors import StageError

MANIFEST = "manifest.json"
SIGNATURE = "model.sig"  # over all files of a bundle, the manifest too; so the manifest cannot list it
_PACKAGES = ("speechpriv", "torch", "torchaudio", "transformers", "datasets", "opacus", "dp-accounting", "numpy")
IDENTITY = ".identity"
_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM}
_FIXED_TIME_S = 315_532_800  # 1980-01-01: file times say nothing about when anybody spoke


@dataclass(frozen=True)
class Summary:
    """What a stage did: where, public counts for people to read, and whether it was up to date already."""

    directory: Path
    counts: dict[str, Any]
    up_to_date: bool = False


class Stage(Protocol):
    """`run(config, inputs, out_dir) -> Summary`; a stage may take secrets as keyword arguments."""

    def __call__(self, config: BaseModel, inputs: Mapping[str, Path], out_dir: Path, **secrets: Any) -> Summary: ...


def stage(
    *, version: int, resumable: bool = False, timed: bool = True
) -> Callable[[Callable[..., dict[str, Any]]], Stage]:
    """Make a stage of `body(config, inputs, work_dir, **secrets) -> counts`.

    Args:
      version: raised whenever the body's output changes, so that older directories are made again.
      resumable: keep the working directory of a killed run if config and inputs are still the same.
      timed: say in the manifest how long it took; not where the manifest is released, since that
        tells how much data there is.
    """

    def decorate(body: Callable[..., dict[str, Any]]) -> Stage:
        @functools.wraps(body)
        def run(config: BaseModel, inputs: Mapping[str, Path], out_dir: Path, **secrets: Any) -> Summary:
            identity = _identity(body.__module__, version, config, inputs)
            done = manifest(out_dir)
            if done and done["identity"] == identity:
                return Summary(out_dir, done["counts"], up_to_date=True)
            work_dir = partial(out_dir)
            with writing(out_dir):
                _prepare(work_dir, identity, resumable=resumable)
                started = time.monotonic()
                counts = body(config, inputs, work_dir, **secrets)
                _seal(work_dir, {
                    "stage": body.__module__,
                    "identity": identity,
                    "config": config.model_dump(mode="json"),
                    "inputs": {name: fingerprint(path) for name, path in inputs.items()},
                    "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
                    "counts": counts,
                    **({"duration_s": round(time.monotonic() - started, 3)} if timed else {}),
                })  # fmt: skip
                shutil.rmtree(out_dir, ignore_errors=True)
                work_dir.rename(out_dir)
                _fsync(out_dir.parent)
            return Summary(out_dir, counts)

        return run

    return decorate


def partial(out_dir: Path) -> Path:
    """Where a stage works until it is done; what a killed one leaves."""
    return out_dir.with_name(f".{out_dir.name}.partial")


@contextmanager
def writing(path: Path) -> Iterator[None]:
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


def silent(*_: object) -> None:
    """What a stage calls with its progress when nobody watches."""


def manifest(directory: Path) -> dict[str, Any] | None:
    """The manifest of a finished stage, or None; somebody else's `manifest.json`, such as NeMo's, is none."""
    try:
        found = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "identity" in found else None


def require(directory: Path) -> dict[str, Any]:
    """The manifest of a stage that must be finished.

    Raises:
      StageError: there is none.
    """
    found = manifest(directory)
    if found is None:
        raise StageError(f"{directory}: no {MANIFEST}; expected a finished stage. Run the stage before this one.")
    return found


def verify(directory: Path) -> list[str]:
    """Names of files that are missing, altered or added since the manifest was written; empty if none."""
    listed = require(directory)["files"]
    present = {str(path.relative_to(directory)): path for path in _files(directory)}
    changed = [name for name, digest in listed.items() if name not in present or sha256(present[name]) != digest]
    return sorted(changed + [name for name in present if name not in listed])


def fingerprint(path: Path) -> str:
    """What identifies an input: a stage's manifest, a file's content, or a folder's names, sizes and times.

    Raises:
      StageError: nothing is there.
    """
    if path.is_file():
        return sha256(path)
    if not path.is_dir():
        raise StageError(f"{path}: no such file or directory.")
    if manifest(path):
        return sha256(path / MANIFEST)
    if manifest(path.parent):  # a part of what a stage wrote
        return hashlib.sha256(f"{sha256(path.parent / MANIFEST)}/{path.name}".encode()).hexdigest()
    digest = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        stat = file.stat()
        digest.update(f"{file.relative_to(path)}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights(directory: Path) -> dict[str, str]:
    """SHA-256 of each safetensors file of a model, by name; the same if it is saved again."""
    return {path.name: sha256(path) for path in sorted(directory.glob("*.safetensors"))}


def read_json(path: Path) -> Any:
    """What `write_json` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON, whole or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def secret(path: Path) -> bytes:
    """The 32-byte key in `path`, made by the operating system's generator if there is none yet; mode 0600.

    Raises:
      StageError: it cannot be written.
    """
    if not path.exists():
        with writing(path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path.with_suffix(".new"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.urandom(32))
                file.flush()
                os.fsync(file.fileno())
            path.with_suffix(".new").replace(path)
    return path.read_bytes()


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold `directory` for this process.

    Raises:
      StageError: another process holds it.
    """
    with (directory / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StageError(f"{directory}: another process is running here. Wait for it, or stop it.") from error
        yield


def _identity(name: str, version: int, config: BaseModel, inputs: Mapping[str, Path]) -> str:
    """A digest of all that the stage's output depends on."""
    parts = {
        "stage": name,
        "version": version,
        "config": config.model_dump(mode="json"),
        "inputs": {key: fingerprint(path) for key, path in inputs.items()},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _prepare(work_dir: Path, identity: str, *, resumable: bool) -> None:
    """An empty working directory, or a killed run's if it may be taken up again."""
    label = work_dir / IDENTITY
    if not (resumable and label.is_file() and label.read_text() == identity):
        shutil.rmtree(work_dir, ignore_errors=True)
        work_dir.mkdir(parents=True)
        label.write_text(identity)


def _seal(work_dir: Path, facts: dict[str, Any]) -> None:
    """Write the manifest, fix the file times, put everything on the disk, and only then drop the scratch."""
    names = {str(path.relative_to(work_dir)): path for path in _files(work_dir)}
    facts["files"] = {name: sha256(path) for name, path in names.items() if not name.startswith(".")}
    write_json(work_dir / MANIFEST, facts)
    for path in sorted(work_dir.rglob("*")):
        os.utime(path, (_FIXED_TIME_S, _FIXED_TIME_S))
        _fsync(path)
    for path in work_dir.glob(".*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    _fsync(work_dir)


def _files(directory: Path) -> list[Path]:
    unlisted = (directory / MANIFEST, directory / SIGNATURE)
    return sorted(path for path in directory.rglob("*") if path.is_file() and path not in unlisted)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
