"""How many times canaries were audited: each audit after the first gets less of alpha, so that all
share it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from speechpriv import store
from speechpriv.errors import AuditError

NAME = "audits.json"


@dataclass(frozen=True)
class Past:
    """Which audit of its canaries this is, and what the ones before it said."""

    number: int = 1
    verdicts: tuple[str, ...] = ()

    def share(self, alpha: float) -> float:
        """Return what this audit may spend of alpha: 1/2, 1/6, 1/12 ...; all of them together never
        more than alpha.

        1 / (k (k + 1)) instead of 1 / 2^k: the first gets as much, and the tenth still a ninetieth.
        """
        return alpha / (self.number * (self.number + 1))


FIRST = Past()


def identify_audit(**parts: object) -> str:
    """Return what makes an audit the same audit: a digest of its canaries, models, claim and
    settings.
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def find_past(path: Path, canaries: str, audit: str) -> Past:
    """Look an audit up in the record; one that was made already has the place that it had.

    Args:
      path: the record; none yet: this is the first.
      canaries: digest of the registry.
      audit: see `identify_audit`.

    Raises:
      AuditError: the record is damaged.
    """
    found = list(_read(path).get(canaries, {}).items())
    number = next((i for i, (made, _) in enumerate(found) if made == audit), len(found))
    return Past(number + 1, tuple(word for _, word in found[:number]))


def add_audit(path: Path, canaries: str, audit: str, word: str) -> None:
    """Record an audit before anybody sees its verdict.

    Raises:
      AuditError: the record is damaged.
    """
    record = _read(path)
    record.setdefault(canaries, {})[audit] = word
    store.write_json(path, record)
    path.chmod(0o600)


def _read(path: Path) -> dict[str, dict[str, str]]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    audits = found.values() if isinstance(found, Mapping) else [None]
    if not all(isinstance(words, Mapping) and all(isinstance(w, str) for w in words.values()) for words in audits):
        raise AuditError(
            f"{path.name}: not a record of audits. Put a copy of it back: without it, audits that were made are not "
            "counted, and the verdict's alpha means nothing. If it is lost, plant new canaries and train again."
        )
    return {str(name): dict(words) for name, words in (found or {}).items()}
