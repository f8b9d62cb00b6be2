"""Canaries: made-up phrases in made-up voices, planted as units of their own; a coin decides which.

The registry (what was planted, what stays out as reference) never leaves `private/`; the stage's manifest holds
its hash, so that nobody can choose afterwards.
"""

import dataclasses
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speechpriv import corpus as corpora
from speechpriv import store
from speechpriv.config import CanaryConfig
from speechpriv.corpus import Corpus, Row
from speechpriv.data import audio, text, voices
from speechpriv.errors import AuditError

REGISTRY = "canaries.jsonl"
PHRASES = "phrases"
_COMMON = 3_000  # words to draw from: common ones, so that nothing but memory can tell a phrase from another
# A phrase whose word pieces outnumber the frames of a CTC model has an infinite loss: it is neither learned nor scored,
# and breaks a training without privacy. So canaries are spoken slowly, and those that are still quick more slowly:
# 7 frames of 80 ms for 8 letters, where pieces of a small vocabulary have two letters on average.
_RATES_WPM = (100, 150)
_SLOWEST_WPM = 80
_MIN_S_PER_LETTER = 0.07


@dataclass(frozen=True)
class Canary:
    """One phrase: planted `repeats` times in one unit if its coin fell so; a reference has `repeats` 0.

    Raises:
      AuditError: a field has another type, or a reference is planted.
    """

    id: str
    repeats: int
    planted: bool

    def __post_init__(self) -> None:
        typed = isinstance(self.id, str) and type(self.repeats) is int and type(self.planted) is bool
        if not typed or not self.repeats >= self.planted:
            raise AuditError(
                f"canary {self.id!r}: repeats = {self.repeats!r}, planted = {self.planted!r}; expected a whole number "
                ">= 0 and true or false, and repeats >= 1 if planted."
            )


def make(config: CanaryConfig, key: bytes) -> tuple[list[Canary], Iterator[Row]]:
    """Draw the candidates with their coins, and the references; speak them one by one.

    Args:
      config: how many, how long, how often repeated.
      key: secret; the same key gives the same phrases, voices and coins.

    Returns:
      The registry, and a generator of one row (split `test`, unit = id) a canary, in the registry's order.
    """
    seed = hmac.digest(key, b"canaries", "sha256")
    rng = np.random.default_rng(np.frombuffer(seed, dtype=np.uint32))
    tiers = [config.repeats[i % len(config.repeats)] for i in range(config.candidates)] + [0] * config.references
    registry = [Canary(id=rng.bytes(8).hex(), repeats=tier, planted=bool(tier and rng.integers(2))) for tier in tiers]

    def spoken() -> Iterator[Row]:
        common = np.array(text.words()[0][:_COMMON])
        for canary in registry:
            phrase = " ".join(rng.choice(common, size=config.words, replace=False))
            voice = dataclasses.replace(voices.random_voice(rng), rate_wpm=int(rng.integers(*_RATES_WPM)))
            samples = _speak(phrase, voice)
            yield Row(canary.id, canary.id, "test", audio.flac(samples), phrase, len(samples) / audio.RATE_HZ)

    return registry, spoken()


def _speak(phrase: str, voice: voices.Voice) -> np.ndarray:
    samples = voices.speak(phrase, voice).samples
    if len(samples) / audio.RATE_HZ >= _MIN_S_PER_LETTER * len(phrase):
        return samples
    return voices.speak(phrase, dataclasses.replace(voice, rate_wpm=_SLOWEST_WPM)).samples


@store.stage(version=2)
def run(config: CanaryConfig, inputs: Mapping[str, Path], out_dir: Path, *, key: bytes) -> dict[str, Any]:
    """Plant canaries in the train split of `inputs["corpus"]`.

    Writes the training corpus (`corpus/`), all phrases once (`phrases/`) and the registry.

    Raises:
      AuditError: these canaries are in the corpus already.
    """
    corpus = corpora.read(inputs["corpus"])
    registry, spoken = make(config, key)
    phrases = write(registry, spoken, out_dir)

    def joined() -> Iterator[Row]:
        yield from corpus.rows()
        for canary, row in zip(registry, phrases.rows(), strict=True):
            for repeat in range(canary.repeats if canary.planted else 0):
                name = hmac.digest(key, f"{canary.id} {repeat}".encode(), "sha256").hex()[:16]
                yield Row(name, canary.id, "train", row.flac, row.text, row.seconds)

    planted = corpora.write(joined(), out_dir / "corpus", lineage=corpus.lineage, order_key=key)
    check_planted(registry, planted)
    return {
        "candidates": config.candidates,
        "planted": sum(canary.planted for canary in registry),
        "references": config.references,
        "rows": len(planted),
        "units": len(planted.units("train")),
    }


def write(registry: Sequence[Canary], spoken: Iterator[Row], directory: Path) -> Corpus:
    """Write the registry and all phrases, each once, to `directory`, as `read` finds them."""
    phrases = corpora.write(spoken, directory / PHRASES, lineage="made-up")
    (directory / REGISTRY).write_text("".join(json.dumps(asdict(canary)) + "\n" for canary in registry))
    return phrases


def read(directory: Path) -> tuple[list[Canary], Corpus]:
    """The registry and, in its order, the phrases that `write` left.

    Raises:
      AuditError: the registry is missing or altered, or the phrases are not its own.
    """
    registry = read_registry(directory)
    phrases = corpora.read(directory / PHRASES)
    if [canary.id for canary in registry] != phrases.table["id"][:]:
        raise AuditError(
            f"{directory.name}: the registry has {len(registry)} canaries and {PHRASES} holds {len(phrases)} phrases; "
            "they are not the same. They must come from one drawing: make the canaries again."
        )
    return registry, phrases


def read_registry(directory: Path) -> list[Canary]:
    """The registry in a plant stage's directory, or one that `speechpriv canary make` wrote.

    Raises:
      AuditError: it is missing or altered.
    """
    path, name = directory / REGISTRY, f"{directory.name}/{REGISTRY}"
    try:
        registry = [Canary(**json.loads(line)) for line in path.read_text().splitlines()]
    except (OSError, ValueError, TypeError) as error:
        raise AuditError(f"{name}: not a canary registry ({type(error).__name__}).") from error
    drawn = store.manifest(directory)
    if drawn and drawn["files"].get(REGISTRY) != store.sha256(path):
        raise AuditError(f"{name}: altered since the canaries were drawn. Plant and train again.")
    if len({canary.id for canary in registry}) != len(registry):
        raise AuditError(f"{name}: a canary is listed twice; expected every id once. Make the canaries again.")
    return registry


def check_planted(registry: Sequence[Canary], corpus: Corpus) -> None:
    """See that the train split holds each planted canary as often as the registry says, and no other.

    Raises:
      AuditError: it does not.
    """
    units = corpus.units("train")
    wrong = [c.id for c in registry if len(units.get(c.id, ())) != (c.repeats if c.planted else 0)]
    if wrong:
        raise AuditError(
            f"{len(wrong)} of {len(registry)} canaries, the first {wrong[0]}, are not in the training corpus as often "
            "as the registry says: it belongs to another corpus, or the canaries were planted twice. Plant again, once."
        )
