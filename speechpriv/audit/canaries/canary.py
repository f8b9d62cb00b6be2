"""Canaries: phrases planted in a corpus, each by its own coin; what was drawn is fixed before
anything is trained.

The registry (what was planted, what stays out as reference) never leaves `private/`; the stage's
manifest holds its hash, so that nobody can choose afterwards.
"""

import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from speechpriv import audio, store
from speechpriv import corpus as corpora
from speechpriv.audio import RATE_HZ
from speechpriv.audit.canaries import personal, phrases
from speechpriv.audit.canaries.phrases import Phrase
from speechpriv.config import CanaryConfig, PhraseKind, Placed
from speechpriv.corpus import Corpus, Row
from speechpriv.data import sources
from speechpriv.errors import AuditError

REGISTRY = "canaries.jsonl"
PHRASES = "phrases"

Kind = Literal[PhraseKind, "recording"]  # a recording: the caller's own, with its own words


@dataclass(frozen=True)
class Canary:
    """One phrase: planted `repeats` times if its coin fell so; a reference has `repeats` 0.

    Its kind and speed were drawn from the same distribution for all, and know nothing of the coin.

    Raises:
      AuditError: a field has another type, or a reference is planted.
    """

    id: str
    repeats: int
    planted: bool
    kind: Kind = "words"
    speed: float = 1.0  # times natural speed, 1 to 4
    placed: Placed = "own_unit"

    def __post_init__(self) -> None:
        typed = isinstance(self.id, str) and type(self.repeats) is int and type(self.planted) is bool
        if not typed or not self.repeats >= self.planted:
            raise AuditError(
                f"canary {self.id!r}: repeats = {self.repeats!r}, planted = {self.planted!r}; expected a whole number "
                ">= 0 and true or false, and repeats >= 1 if planted."
            )
        known = self.kind in get_args(Kind) and self.placed in get_args(Placed)
        if not known or type(self.speed) not in (int, float) or not 1 <= self.speed <= 4:
            raise AuditError(
                f"canary {self.id!r}: kind = {self.kind!r}, speed = {self.speed!r}, placed = {self.placed!r}; expected "
                f"one of {', '.join(get_args(Kind))}, a number from 1 to 4, and one of "
                f"{', '.join(get_args(Placed))}."
            )

    @property
    def adds_one_unit(self) -> bool:
        """Whether its coin adds or removes one unit, as a claim about one unit has it.

        A phrase spread over several units is several people's: the claim holds for such a group
        with a larger epsilon.
        """
        return self.placed == "own_unit" or self.repeats <= 1

    @property
    def rows(self) -> tuple[str, ...]:
        """Ids of its recordings in a corpus, as many as `repeats`."""
        return tuple(self._pseudonym(f"row {number}") for number in range(self.repeats))

    @property
    def units(self) -> tuple[str, ...]:
        """The synthetic unit of each of its recordings; never a real one, which claims are about."""
        if self.placed == "spread":
            return tuple(self._pseudonym(f"unit {number}") for number in range(self.repeats))
        return (self.id,) * self.repeats

    def _pseudonym(self, what: str) -> str:
        return hmac.digest(self.id.encode(), what.encode(), "sha256").hex()[:16]


def list_inputs(config: CanaryConfig) -> dict[str, Path | store.Source]:
    """List what on this machine the phrases depend on: the caller's recordings, or nothing."""
    found = sources.list_inputs(config.recordings) if config.recordings else {}
    return {"recordings": found["source"]} if found else {}


def make(
    config: CanaryConfig, key: bytes, speak: Callable[..., Iterator[Phrase]] = phrases.draw_spoken
) -> tuple[list[Canary], Iterator[Row]]:
    """Draw the candidates with their coins, and the references; speak them one by one.

    Args:
      config: how many, what they say, how fast, how often repeated, and where they are placed.
      key: secret; the same key gives the same phrases, voices and coins.
      speak: takes the kind of each, the config and a seeded generator, as `phrases.draw_spoken`
        does, which it is for words.

    Returns:
      The registry, and a generator of one row (split `test`, unit = id) a canary, in the registry's
      order.

    Raises:
      AuditError: while they are spoken: there are too few recordings, or the command does not
        speak.
    """
    seed = hmac.digest(key, b"canaries", "sha256")
    rng = np.random.default_rng(np.frombuffer(seed, dtype=np.uint32))
    kinds: tuple[Kind, ...] = ("recording",) if config.recordings else config.kinds
    tiers = [config.repeats[i % len(config.repeats)] for i in range(config.candidates)] + [0] * config.references
    registry = [
        Canary(
            id=rng.bytes(8).hex(),
            repeats=tier,
            planted=bool(tier and rng.integers(2)),
            kind=kinds[rng.integers(len(kinds))],
            speed=config.speeds[rng.integers(len(config.speeds))],
            placed=config.placed,
        )
        for tier in tiers
    ]

    def spoken() -> Iterator[Row]:
        natural = speak([canary.kind for canary in registry], config, rng)
        for canary, phrase in zip(registry, natural, strict=True):
            text, samples = phrases.speed_up(phrase, canary.speed)
            yield Row(canary.id, canary.id, "test", audio.encode_flac(samples), text, len(samples) / RATE_HZ)

    return registry, spoken()


@store.stage(version=4)
def run(
    config: CanaryConfig, inputs: Mapping[str, Path], out_dir: Path, *, key: bytes,
    speak: Callable[..., Iterator[Phrase]] = phrases.draw_spoken,
) -> dict[str, Any]:  # fmt: skip
    """Plant canaries in the train split of `inputs["corpus"]`.

    Writes the training corpus (`corpus/`), all phrases once (`phrases/`) and the registry. The
    phrases with personal data that were planted before scrubbing (`inputs["personal"]`, if there
    were any) are taken out.

    Raises:
      AuditError: these canaries are in the corpus already, there are too few recordings, or the
        command does not speak.
    """
    corpus = corpora.read(inputs["corpus"])
    probes = {probe.id for probe in personal.read(inputs["personal"])} if "personal" in inputs else set()
    registry, spoken = make(config, key, speak)
    said = write(registry, spoken, out_dir)

    def joined() -> Iterator[Row]:
        for row in corpus.rows():
            if row.id not in probes:
                yield row
        for canary, row in zip(registry, said.rows(), strict=True):
            if canary.planted:
                for name, unit in zip(canary.rows, canary.units, strict=True):
                    yield Row(name, unit, "train", row.flac, row.text, row.seconds)

    planted = corpora.write(joined(), out_dir / "corpus", lineage=corpus.lineage, order_key=key)
    check_planted(registry, planted)
    return {
        "candidates": config.candidates,
        "planted": sum(canary.planted for canary in registry),
        "references": config.references,
        "rows": len(planted),
        "rows_removed": sum(name in probes for name in corpus.table["id"]),
        "rows_planted": sum(len(canary.rows) for canary in registry if canary.planted),
        "units": len(planted.units("train")),
    }


def write(registry: Sequence[Canary], spoken: Iterator[Row], directory: Path) -> Corpus:
    """Write the registry and all phrases, each once, to `directory`, as `read` finds them."""
    said = corpora.write(spoken, directory / PHRASES, lineage="synthetic")
    (directory / REGISTRY).write_text("".join(json.dumps(asdict(canary)) + "\n" for canary in registry))
    return said


def read(directory: Path) -> tuple[list[Canary], Corpus]:
    """Read the registry and, in its order, the phrases that `write` left.

    Raises:
      AuditError: the registry is missing or altered, or the phrases are not its own.
    """
    registry = read_registry(directory)
    said = corpora.read(directory / PHRASES)
    if [canary.id for canary in registry] != said.table["id"][:]:
        raise AuditError(
            f"{directory.name}: the registry has {len(registry)} canaries and {PHRASES} holds {len(said)} phrases; "
            "they are not the same. They must come from one drawing: make the canaries again."
        )
    return registry, said


def read_registry(directory: Path) -> list[Canary]:
    """Read the registry in a plant stage's directory, or one that `speechpriv canary make` wrote.

    Raises:
      AuditError: it is missing or altered.
    """
    path, name = directory / REGISTRY, f"{directory.name}/{REGISTRY}"
    try:
        registry = [Canary(**json.loads(line)) for line in path.read_text().splitlines()]
    except (OSError, ValueError, TypeError) as error:
        raise AuditError(f"{name}: not a canary registry ({type(error).__name__}).") from error
    drawn = store.read_manifest(directory)
    if drawn and drawn["files"].get(REGISTRY) != store.sha256(path):
        raise AuditError(f"{name}: altered since the canaries were drawn. Plant and train again.")
    if len({canary.id for canary in registry}) != len(registry):
        raise AuditError(f"{name}: a canary is listed twice; expected every id once. Make the canaries again.")
    return registry


def compute_commitment(directory: Path) -> str:
    """Compute a SHA-256 over the registry and the words and sound of every phrase: published before
    training, it binds them.

    Args:
      directory: what `write` left.
    """
    digest = hashlib.sha256((directory / REGISTRY).read_bytes())
    for row in corpora.read(directory / PHRASES).rows():
        for part in (row.id.encode(), row.text.encode(), row.flac):
            digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def check_planted(registry: Sequence[Canary], corpus: Corpus) -> None:
    """See that the train split holds each planted canary as often as the registry says, and no
    other.

    Raises:
      AuditError: it does not.
    """
    rows = Counter(
        name for name, split in zip(corpus.table["id"][:], corpus.table["split"][:], strict=True) if split == "train"
    )
    units = {unit: len(indices) for unit, indices in corpus.units("train").items()}

    def is_wrong(canary: Canary) -> bool:
        expected = int(canary.planted)
        own = Counter(canary.units)
        return any(rows[name] != expected for name in canary.rows) or any(
            units.get(unit, 0) != expected * count for unit, count in own.items()
        )

    wrong = [canary.id for canary in registry if is_wrong(canary)]
    if wrong:
        raise AuditError(
            f"{len(wrong)} of {len(registry)} canaries, the first {wrong[0]}, are not in the training corpus as often "
            "as the registry says: it belongs to another corpus, or the canaries were planted twice. Plant again, once."
        )
