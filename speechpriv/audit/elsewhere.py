"""Canaries for a corpus that is trained elsewhere: made here, planted there, scored here again."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from speechpriv import store
from speechpriv.audit import canary, scores, stage
from speechpriv.config import AuditConfig, CanaryConfig, DataConfig
from speechpriv.data import rows
from speechpriv.errors import AuditError

_METADATA = "metadata.jsonl"
_PLANTED = "planted"


def make(directory: Path, config: CanaryConfig) -> Path:
    """Draw canaries and throw their coins.

    Args:
      directory: must not exist. Gets `planted/` (FLAC files and metadata.jsonl, to train on), and the registry and
        all phrases, which must stay private until the audit.
      config: how many, how long, how often repeated.

    Returns:
      The folder to train on.

    Raises:
      AuditError: the directory exists: canaries planted twice prove nothing.
    """
    with _whole(directory) as work:
        registry, spoken = canary.make(config, os.urandom(32))
        phrases = canary.write(registry, spoken, work)
        planted = work / _PLANTED
        planted.mkdir()
        with (planted / _METADATA).open("w") as metadata:
            for chosen, row in zip(registry, phrases.rows(), strict=True):
                for repeat in range(chosen.repeats if chosen.planted else 0):
                    name = f"{chosen.id}-{repeat}.flac"
                    (planted / name).write_bytes(row.flac)
                    metadata.write(json.dumps({"file_name": name, "text": row.text, "user": chosen.id}) + "\n")
    return directory / _PLANTED


def insert(directory: Path, corpus: Path, destination: Path) -> int:
    """Copy a folder with metadata.jsonl to `destination`, with the planted recordings in it; return how many.

    Files are linked where the file system can, so no disk is spent twice; `corpus` is never changed. The columns of
    the corpus are found as `speechpriv run` finds them.

    Args:
      directory: what `make` wrote.
      corpus: a folder of recordings.
      destination: must not exist, nor lie in `corpus`.

    Raises:
      AuditError: `directory` or `corpus` has no metadata.jsonl, `destination` cannot be used, or the canaries are in
        the corpus already.
      DataError: the corpus's columns are not known.
    """
    planted = directory / _PLANTED
    if not (planted / _METADATA).is_file():
        raise AuditError(f"{directory}: no {_PLANTED}/{_METADATA}; expected what `speechpriv canary make` wrote.")
    if not (corpus / _METADATA).is_file():
        raise AuditError(f"{corpus}: no {_METADATA}; expected a folder of recordings with one. Other layouts: copy the "
                         f"files of {planted} into yours by hand.")  # fmt: skip
    if destination.resolve().is_relative_to(corpus.resolve()):
        raise AuditError(f"{destination}: lies in the corpus itself. Choose a place beside it.")
    records = [json.loads(line) for line in (planted / _METADATA).read_text().splitlines()]
    if any((corpus / record["file_name"]).exists() for record in records):
        raise AuditError(f"{corpus}: holds these canaries already; planted twice they prove nothing. Insert them once.")
    content = (corpus / _METADATA).read_bytes().rstrip()
    columns = rows.columns(_first_record(corpus, content), DataConfig(path=str(corpus)), f"{corpus}/{_METADATA}")
    with _whole(destination) as work:
        shutil.copytree(corpus, work, copy_function=_link, dirs_exist_ok=True)
        (work / _METADATA).unlink()  # a link to the corpus's own
        lines = [{columns.audio: r["file_name"], columns.text: r["text"], columns.unit: r["user"]} for r in records]
        appended = "".join(json.dumps(line) + "\n" for line in lines)
        (work / _METADATA).write_bytes(content + b"\n" + appended.encode())
        for record in records:
            _link(planted / record["file_name"], work / record["file_name"])
    return len(records)


def score(directory: Path, model: str, twin: str, base: str, config: AuditConfig) -> dict[str, Any]:
    """The verdict on a model trained elsewhere, as `audit.stage.judge` gives it; the claim is not known here.

    Args:
      directory: what `make` wrote.
      model: the model under audit: a directory, a bundle or a hub id.
      twin: a model trained without privacy on the same corpus.
      base: the model before training.
      config: alpha and confidence.

    Raises:
      AuditError: registry and phrases do not belong together, or a phrase cannot be scored.
    """
    registry, phrases = canary.read(directory)
    known = scores.scores({"private": model, "twin": twin}, base, phrases)
    found = stage.judge(registry, known["private"], known["twin"], None, config)
    return {**found, "registry": store.sha256(directory / canary.REGISTRY)}


@contextmanager
def _whole(directory: Path) -> Iterator[Path]:
    """A working directory, for its owner alone, that becomes `directory` when all went well."""
    if directory.exists():
        raise AuditError(f"{directory}: exists already. Choose another name, or remove it first.")
    directory.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        yield work
        work.chmod(0o700)
        work.rename(directory)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _first_record(corpus: Path, content: bytes) -> dict[str, Any]:
    try:
        record = json.loads(content.partition(b"\n")[0])
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise AuditError(f"{corpus}/{_METADATA}, line 1: not a JSON object. Correct or remove the line.")
    return record


def _link(source: str | Path, target: str | Path) -> None:
    """A second name of a file, or a copy where the file system has no such thing."""
    try:
        os.link(Path(source).resolve(), target)
    except OSError:
        shutil.copyfile(source, target)
