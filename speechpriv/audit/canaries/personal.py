"""Phrases with synthetic personal data, planted before scrubbing: what is left of them, the
scrubber missed.

They say nothing about training and are taken out before it. Nobody is real: telephone numbers are
of the kind reserved for fiction, mail domains of the kind reserved for examples, and card numbers
begin with 9999, which no card does.
"""

import functools
import hmac
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speechpriv import audio, store
from speechpriv import corpus as corpora
from speechpriv.audio import RATE_HZ
from speechpriv.audit.canaries import phrases
from speechpriv.config import CanaryConfig
from speechpriv.corpus import Corpus, Row
from speechpriv.data import text
from speechpriv.errors import AuditError
from speechpriv.models.asr import normalise

REGISTRY = "personal.jsonl"

# How people say such things to a machine. None shares a word with what fills it.
_CARRIERS: dict[str, tuple[str, ...]] = {
    "name": ("my name is {}", "call {}", "send a message to {}"),
    "phone": ("my phone number is {}", "call {}", "text {} that i am late"),
    "card": ("my card number is {}", "pay with card {}"),
    "email": ("my email address is {}", "send an email to {}"),
    "address": ("my address is {}", "deliver it to {}", "i live at {}"),
}
_STREETS = ("larch", "harrow", "orchard", "willow", "quarry", "juniper")
_ROADS = ("street", "road", "avenue", "lane")


@dataclass(frozen=True)
class Probe:
    """A phrase with personal data of a kind; `secret` are its personal words."""

    id: str
    kind: str
    secret: str


@store.stage(version=2)
def run(config: CanaryConfig, inputs: Mapping[str, Path], out_dir: Path, *, key: bytes) -> dict[str, Any]:
    """Plant `config.personal` phrases of each kind in `inputs["corpus"]`, each as a synthetic unit
    of its own.

    They are in the train split, so that nothing is tested on them. Writes the corpus (`corpus/`)
    and the registry.

    Args:
      config: how many, and who speaks them.
      inputs: `corpus`, not scrubbed yet.
      out_dir: private.
      key: the one that ids and order of the corpus come from, so that these rows look like all
        others.

    Raises:
      AuditError: the command does not speak.
      ConfigError: the synthesiser is not installed.
    """
    corpus = corpora.read(inputs["corpus"])
    probes, spoken = make(config, key)

    def joined() -> Iterator[Row]:
        yield from corpus.rows()
        yield from spoken

    written = corpora.write(joined(), out_dir / "corpus", lineage=corpus.lineage, order_key=key)
    (out_dir / REGISTRY).write_text("".join(json.dumps(asdict(probe)) + "\n" for probe in probes))
    return {"rows": len(written), "rows_added": len(probes), **Counter(probe.kind for probe in probes)}


def make(config: CanaryConfig, key: bytes) -> tuple[list[Probe], Iterator[Row]]:
    """Draw the phrases, and speak them one by one; the same key gives the same phrases."""
    seed = hmac.digest(key, b"personal", "sha256")
    rng = np.random.default_rng(np.frombuffer(seed, dtype=np.uint32))
    carriers = [kind for kind in _CARRIERS for _ in range(config.personal)]
    probes = [Probe(id=rng.bytes(8).hex(), kind=kind, secret=_SECRETS[kind](rng)) for kind in carriers]

    def spoken() -> Iterator[Row]:
        for probe in probes:
            said = str(rng.choice(_CARRIERS[probe.kind])).format(probe.secret)
            _, samples = phrases.speed_up(phrases.Phrase(said, phrases.speak(said, config, rng)), 1)
            unit = hmac.digest(key, probe.id.encode(), "sha256").hex()[:16]
            yield Row(probe.id, unit, "train", audio.encode_flac(samples), said, len(samples) / RATE_HZ)

    return probes, spoken()


def read(directory: Path) -> list[Probe]:
    """Read the registry that `run` left.

    Raises:
      AuditError: it is missing or damaged.
    """
    try:
        return [Probe(**json.loads(line)) for line in (directory / REGISTRY).read_text().splitlines()]
    except (OSError, ValueError, TypeError) as error:
        raise AuditError(
            f"{directory.name}/{REGISTRY}: not the registry of personal phrases ({type(error).__name__}). Plant them "
            "again."
        ) from error


def count_missed(probes: Sequence[Probe], scrubbed: Corpus) -> dict[str, int]:
    """Count how many of each kind have a personal word left in their text; a phrase that was
    dropped is not missed.
    """
    indices = {name: index for index, name in enumerate(scrubbed.table["id"][:])}
    texts = scrubbed.table.select_columns(["text"])
    counts = dict.fromkeys((probe.kind for probe in probes), 0)
    for probe in probes:
        if probe.id in indices:
            left = set(normalise(texts[indices[probe.id]]["text"]).split())
            counts[probe.kind] += not left.isdisjoint(probe.secret.split())
    return counts


def _name(rng: np.random.Generator) -> str:
    return f"{rng.choice(_names('first_names'))} {rng.choice(_names('last_names'))}"


@functools.cache
def _names(which: str) -> tuple[str, ...]:
    """Names of Faker's American list that are no word of a carrier phrase."""
    from faker.providers.person.en_US import Provider  # noqa: PLC0415  a second to import, and only needed here

    said = {word for carriers in _CARRIERS.values() for carrier in carriers for word in carrier.split()}
    return tuple(sorted({name.lower() for name in getattr(Provider, which) if name.isalpha()} - said))


def _phone(rng: np.random.Generator) -> str:
    return text.spoken_digits(f"{rng.integers(201, 990)}55501{rng.integers(100):02d}")


def _card(rng: np.random.Generator) -> str:
    """Sixteen digits with a right checksum (ISO/IEC 7812-1, annex B)."""
    digits = [9, 9, 9, 9, *rng.integers(10, size=11)]
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[::2]]
    return text.spoken_digits("".join(map(str, digits)) + str(-(sum(doubled) + int(sum(digits[1::2]))) % 10))


def _email(rng: np.random.Generator) -> str:
    return f"{_name(rng).replace(' ', ' dot ')} at example dot {rng.choice(['com', 'org', 'net'])}"


def _address(rng: np.random.Generator) -> str:
    return f"{text.spoken_number(int(rng.integers(1, 400)))} {rng.choice(_STREETS)} {rng.choice(_ROADS)}"


_SECRETS: dict[str, Callable[[np.random.Generator], str]] = {
    "name": _name, "phone": _phone, "card": _card, "email": _email, "address": _address,
}  # fmt: skip
