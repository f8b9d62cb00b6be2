"""Canaries for a corpus that is trained elsewhere: made here, planted there, scored here again."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from speechpriv import audio, store
from speechpriv.audit import record, stage
from speechpriv.audit.attacks import scores
from speechpriv.audit.canaries import canary, survival
from speechpriv.audit.canaries.canary import Canary
from speechpriv.audit.canaries.survival import Survival
from speechpriv.claim import Claim
from speechpriv.config import AuditConfig, CanaryConfig
from speechpriv.corpus import Corpus
from speechpriv.data import rows, sources
from speechpriv.data.rows import SourceRow
from speechpriv.errors import AuditError
from speechpriv.models import asr
from speechpriv.models.asr import Utterance
from speechpriv.sections import DataConfig

_METADATA = "metadata.jsonl"
_PLANTED = "planted"
_COMMITMENT = "commitment.txt"


def make_canaries(directory: Path, config: CanaryConfig) -> Path:
    """Draw canaries and throw their coins.

    Args:
      directory: must not exist. Gets `planted/` (FLAC files and metadata.jsonl, to train on), the
        registry and all phrases, which must stay private until the audit, and a commitment to both
        (`read_commitment`).
      config: how many, what they say, how fast, how often repeated, and where they are placed.

    Returns:
      The folder to train on.

    Raises:
      AuditError: the directory exists: canaries planted twice prove nothing. Or there are too few
        recordings, or the command does not speak.
    """
    with _whole(directory) as work:
        registry, spoken = canary.make(config, os.urandom(32))
        phrases = canary.write(registry, spoken, work)
        planted = work / _PLANTED
        planted.mkdir()
        with (planted / _METADATA).open("w") as metadata:
            for chosen, row in zip(registry, phrases.rows(), strict=True):
                for name, unit in zip(chosen.rows, chosen.units, strict=True) if chosen.planted else ():
                    (planted / f"{name}.flac").write_bytes(row.flac)
                    line = {"file_name": f"{name}.flac", "text": row.text, "user": unit, "canary": chosen.id}
                    metadata.write(json.dumps(line) + "\n")
        (work / _COMMITMENT).write_text(canary.compute_commitment(work) + "\n")
    return directory / _PLANTED


def read_commitment(directory: Path) -> str:
    """Return what binds one to the drawing in `directory` and tells nothing of it: publish it
    before training.

    Raises:
      AuditError: registry or phrases are not those that were drawn.
    """
    canary.read_registry(directory)
    found, path = canary.compute_commitment(directory), directory / _COMMITMENT
    if path.is_file() and path.read_text().strip() != found:
        raise AuditError(
            f"{directory.name}: registry or phrases were altered since the canaries were drawn, so that they prove "
            "nothing. Restore what `speechpriv canary make` wrote, or make the canaries and train again."
        )
    return found


def insert_canaries(directory: Path, corpus: Path, destination: Path) -> int:
    """Copy a folder with metadata.jsonl to `destination`, with the planted recordings in it; return
    how many.

    Files are linked where the file system can, so no disk is spent twice; `corpus` is never
    changed. The columns of the corpus are found as `speechpriv run` finds them.

    Args:
      directory: what `make_canaries` wrote.
      corpus: a folder of recordings.
      destination: must not exist, nor lie in `corpus`.

    Raises:
      AuditError: `directory` or `corpus` has no metadata.jsonl, `destination` cannot be used, or
        the canaries are in the corpus already.
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
    columns = rows.find_columns(_first_record(corpus, content), DataConfig(path=str(corpus)), f"{corpus}/{_METADATA}")
    with _whole(destination) as work:
        shutil.copytree(corpus, work, copy_function=_link, dirs_exist_ok=True)
        (work / _METADATA).unlink()  # a link to the corpus's own
        lines = [{columns.audio: r["file_name"], columns.text: r["text"], columns.unit: r["user"]} for r in records]
        appended = "".join(json.dumps(line) + "\n" for line in lines)
        (work / _METADATA).write_bytes(content + b"\n" + appended.encode())
        for record in records:
            _link(planted / record["file_name"], work / record["file_name"])
    return len(records)


def score_model(
    directory: Path,
    model: str,
    baseline: str,
    base: str,
    config: AuditConfig,
    *,
    corpus: str | None = None,
    published: str | None = None,
) -> dict[str, Any]:
    """Return the verdict on a model trained elsewhere, as `audit.stage.judge` gives it.

    Args:
      directory: what `make_canaries` wrote.
      model: the model under audit: a directory, a bundle or a hub id, of any family. Held to its
        claim.json, if any.
      baseline: a model trained without privacy on the same corpus.
      base: the model before training.
      config: alpha and confidence.
      corpus: what was trained on, in any layout that `speechpriv run` reads, with the names that
        the canaries' files had; None: whether they survived is not checked.
      published: the commitment that was shown before training; None: it is reported, and compared
        with nothing.

    Raises:
      AuditError: registry, phrases, commitment and corpus do not belong together, or a phrase
        cannot be scored.
    """
    registry, phrases = canary.read(directory)
    committed = read_commitment(directory)
    if published is not None and published.strip().lower() != committed:
        raise AuditError(
            f"{directory.name}: its commitment is {committed}; expected the one that was published, {published}. These "
            "are other canaries than those, or they were altered. Score with the folder that was committed to."
        )
    survived = _survival(registry, phrases, corpus, base) if corpus is not None else None
    path = Path(model) / "claim.json"
    claim = Claim.from_json(path.read_text()) if path.is_file() else None
    known = scores.score_phrases({"private": model, "baseline": baseline}, base, phrases)
    drawn, audits = store.sha256(directory / canary.REGISTRY), directory / record.NAME
    same = record.identify_audit(
        scores=[values.tobytes().hex() for values in known.values()], settings=config.model_dump(),
        claim=claim.to_json() if claim else None,
    )  # fmt: skip
    past = record.find_past(audits, drawn, same)
    found = stage.judge(registry, known["private"], known["baseline"], claim, config, past=past, survived=survived)
    record.add_audit(audits, drawn, same, found["verdict"])
    return {**found, "registry": drawn, "commitment": committed}


def _survival(registry: Sequence[Canary], phrases: Corpus, corpus: str, base: str) -> Survival:
    """Canaries are known in a corpus by the names of their files."""
    names = {name for one in registry for name in one.rows}
    found: dict[str, list[Utterance]] = {}
    texts = []
    for row in sources.open_source(DataConfig(path=corpus)):
        if not isinstance(row, SourceRow):
            continue
        words = " ".join(row.text.split())
        texts.append(words)
        if (name := Path(row.source_id).stem) in names:
            found.setdefault(name, []).append(Utterance(audio.read(row.audio), words))
    if not found:
        raise AuditError(
            f"{corpus}: none of its {len(texts)} recordings is a canary of this registry, which belongs to another "
            "corpus, or files were renamed. Name the corpus that was trained on, as `speechpriv canary insert` left it."
        )
    return survival.check(registry, phrases, found, texts, asr.load(base))


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
