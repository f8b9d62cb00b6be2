"""Attackers who know people's voices and look for them among disguised recordings.

| attacker | learns from | knows a person by |
|---|---|---|
| ignorant | recordings of others as they are | recordings as they are |
| lazy-informed | recordings of others as they are | recordings that the attacker disguised |
| semi-informed | recordings of others, each disguised anew | recordings that the attacker disguised |

Others and those who are looked for are different people. The attacker disguises by the released
method and settings, each utterance by a draw of its own, with another key. A voiceprint that cannot
tell people apart as they are, with an equal error rate of 10 % at most, is too weak: what it cannot
find shows nothing.

Source: Tomashenko et al. 2022, "The VoicePrivacy 2020 Challenge" (attackers, names); Champion 2023
(training on utterance-level disguise; on speaker-level disguise an attacker looks weaker than it
is).
"""

import contextlib
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from speechpriv import audio, store
from speechpriv import corpus as corpora
from speechpriv.audit.voices import reid, voiceprints
from speechpriv.audit.voices.voiceprints import Embed, Features, Vectors, Voiceprint
from speechpriv.corpus import Corpus, Row
from speechpriv.drops import Dropped, Drops
from speechpriv.errors import AuditError
from speechpriv.sections import AnonymizeConfig, AttackersConfig, Section

Disguise = Callable[[Iterable[Row]], Generator[tuple[Row, bytes | Dropped]]]  # of each, FLAC or why there is none
Pairs = tuple[npt.NDArray[np.float64], npt.NDArray[np.intp], npt.NDArray[np.intp]]  # scores, heard, claimed

FILE = "attackers.json"
TOO_WEAK = 0.1  # equal error rate on undisguised speech above which an attacker shows nothing
LEAST_PEOPLE, POOLED = 20, 10  # utterances of a person that are heard together
_FOLDS = 2
ATTACKERS = ("undisguised", "ignorant", "lazy_informed", "semi_informed")


class StageConfig(Section):
    """Who attacks, and which disguise."""

    attackers: AttackersConfig
    anonymize: AnonymizeConfig


@dataclass(frozen=True)
class RecordingFeatures:
    """Features of one recording.

    Attributes:
      person: who speaks.
      plain: as it was.
      imitated: as the attacker disguised it.
      released: as it was released.
    """

    person: str
    plain: Features
    imitated: Features
    released: Features


@store.stage(version=2)
def run(
    config: StageConfig, inputs: Mapping[str, Path], out_dir: Path, *, disguise: Disguise, device: str = "cpu",
    on_row: Callable[[int], None] = store.ignore_progress,
) -> dict[str, Any]:  # fmt: skip
    """Try to tell people of the train split apart by what was released of them, and write
    `attackers.json`.

    Args:
      config: see `StageConfig`.
      inputs: `before`, a corpus as it was before voices were disguised, and `after`, the same after
        it.
      out_dir: the stage directory.
      disguise: gives recordings, in order, disguised by the same method with a key of the
        attacker's own; in other processes, since what computes may crash.
      device: where a voiceprint's model lives.
      on_row: told how many recordings have been heard.

    Raises:
      ModelError: the voiceprint's model cannot be read.
      DataError: more than `config.anonymize.max_failed` of the recordings could not be disguised.
    """
    voiceprint = voiceprints.load_voiceprint(config.attackers.voiceprint, device)
    before, after = corpora.read(inputs["before"]), corpora.read(inputs["after"])
    asked = _asked(after, config.attackers.people)
    drops = Drops("attackers", len(asked), config.anonymize.max_failed)
    recordings = extract_features(before, after, asked, voiceprint, disguise, drops, on_row)
    try:
        found = attack(recordings, voiceprint)
    except AuditError as error:
        found = {"not_measured": str(error)}
    settings = {"method": config.anonymize.method, "voiceprint": Path(config.attackers.voiceprint).name}
    store.write_json(out_dir / FILE, {**settings, **found})
    told = found.get("semi_informed", {}).get("pooled")
    counts = {"rows_in": len(asked), "rows": len(recordings), "dropped": drops.counts()}
    return settings | counts | ({"equal_error_rate": round(told["eer"], 3)} if told else {"not_measured": 1})


def extract_features(
    before: Corpus, after: Corpus, asked: Sequence[int], voiceprint: Voiceprint, disguise: Disguise, drops: Drops,
    on_row: Callable[[int], None] = store.ignore_progress,
) -> list[RecordingFeatures]:  # fmt: skip
    """Extract features of the recordings in the rows `asked` of `after`, but for those that the
    attacker cannot disguise.
    """
    places = {name: row for row, name in enumerate(before.table["id"])}
    ids = after.table["id"]

    def as_they_were() -> Iterator[Row]:
        for index in asked:
            yield before[places[ids[index]]]

    found: list[RecordingFeatures] = []
    with contextlib.closing(disguise(as_they_were())) as imitated:
        for done, (index, (as_it_was, outcome)) in enumerate(zip(asked, imitated, strict=True), start=1):
            if isinstance(outcome, Dropped):
                drops.add(outcome)
            else:
                row = after[index]
                sounds = (as_it_was.flac, outcome, row.flac)
                found.append(RecordingFeatures(row.unit, *(voiceprint.features(audio.read(flac)) for flac in sounds)))
            on_row(done)
    return found


def _asked(after: Corpus, people: int) -> list[int]:
    """Rows of some people who have two recordings at least, up to `2 * POOLED` of each."""
    several = (rows for rows in after.units("train").values() if len(rows) > 1)
    return [index for rows in itertools.islice(several, people) for index in rows[: 2 * POOLED]]


def attack(recordings: Sequence[RecordingFeatures], voiceprint: Voiceprint) -> dict[str, Any]:
    """Return what each attacker gets.

    People fall into two halves; each is looked for by attackers who learned from the other. Half of
    a person's recordings are known to the attacker, half are heard, one by one and up to ten
    together.

    Args:
      recordings: of at least 20 people with two at least; of each `2 * POOLED` at most are used.
      voiceprint: what the attacker learns.

    Returns:
      For each attacker, and for the same on undisguised speech: `single` and `pooled`, each with
      `eer`, `low`, `high` (fractions; 95 %, people resampled) and `too_weak`; `named`, the share of
      people whose pooled recordings are found most like their own. `linked`: two recordings of the
      release told to be one person's, by the semi-informed. `guessing`: `named` by chance;
      `people`, `recordings`.

    Raises:
      AuditError: too few people.
    """
    by_person: dict[str, list[RecordingFeatures]] = {}
    for one in recordings:
        by_person.setdefault(one.person, []).append(one)
    people = sorted(person for person, found in by_person.items() if len(found) > 1)
    if len(people) < LEAST_PEOPLE:
        raise AuditError(
            f"attackers on the voice: {len(people)} people with two recordings or more; expected {LEAST_PEOPLE} at "
            "least. Fewer show nothing."
        )
    folds = [_Fold(by_person, people[fold::_FOLDS], people, voiceprint) for fold in range(_FOLDS)]
    found = {attacker: _rates([fold.found(attacker) for fold in folds]) for attacker in ATTACKERS}
    for measure in ("single", "pooled"):
        too_weak = found["undisguised"][measure]["eer"] > TOO_WEAK
        for rates in found.values():
            rates[measure]["too_weak"] = too_weak
    return {
        **found,
        "linked": _rate(_joined([fold.linked() for fold in folds])),
        "guessing": _FOLDS / len(people),
        "people": len(people),
        "recordings": sum(len(by_person[person]) for person in people),
    }


class _Fold:
    """Some of the people, looked for by attackers who learned from all others."""

    def __init__(
        self,
        by_person: Mapping[str, list[RecordingFeatures]],
        sought: Sequence[str],
        people: Sequence[str],
        voiceprint: Voiceprint,
    ) -> None:
        self.sought = [by_person[person][: 2 * POOLED] for person in sought]
        self.numbers = [people.index(person) for person in sought]
        others = [one for person in people if person not in set(sought) for one in by_person[person]]
        names = [one.person for one in others]
        self.plainly: Embed = voiceprint.learn([one.plain for one in others], names)
        self.informed: Embed = voiceprint.learn([one.imitated for one in others], names)

    def found(self, attacker: str) -> tuple[Pairs, Pairs, float]:
        """Scores of single recordings and of pooled ones against everybody known, and the share of
        people named.
        """
        embed = self.informed if attacker == "semi_informed" else self.plainly
        known = "imitated" if attacker in ("lazy_informed", "semi_informed") else "plain"
        seen = "plain" if attacker == "undisguised" else "released"
        halves = [(one[: len(one) // 2], one[len(one) // 2 :]) for one in self.sought]
        enrolled = np.stack([_mean(embed([getattr(x, known) for x in first])) for first, _ in halves])
        trials = [embed([getattr(x, seen) for x in second]) for _, second in halves]
        single = np.concatenate(trials) @ enrolled.T
        owners = np.repeat(np.arange(len(trials)), [len(trial) for trial in trials])
        pooled = np.stack([_mean(trial) for trial in trials]) @ enrolled.T
        named = float(np.mean(pooled.argmax(1) == np.arange(len(pooled))))
        return self._pairs(single, owners), self._pairs(pooled, np.arange(len(pooled))), named

    def linked(self) -> Pairs:
        """Scores of all pairs of released recordings."""
        embedded = [self.informed([one.released for one in found]) for found in self.sought]
        vectors = np.concatenate(embedded)
        owners = np.repeat(self.numbers, [len(found) for found in embedded])
        first, second = np.triu_indices(len(vectors), k=1)
        scores = (vectors @ vectors.T)[first, second]
        return _alike_over_folds(scores, owners[first], owners[second])

    def _pairs(self, scores: Vectors, owners: npt.NDArray[np.intp]) -> Pairs:
        numbers = np.asarray(self.numbers)
        heard = np.repeat(numbers[owners], len(numbers))
        return _alike_over_folds(scores.ravel(), heard, np.tile(numbers, len(scores)))


def _alike_over_folds(scores: Vectors, heard: npt.NDArray[np.intp], claimed: npt.NDArray[np.intp]) -> Pairs:
    """Scores in deviations from those of different people, to three decimals, so that folds can be
    joined.
    """
    different = scores[heard != claimed]
    return np.round((scores - different.mean()) / max(different.std(), 1e-12), 3), heard, claimed


def _joined(pairs: Sequence[Pairs]) -> Pairs:
    scores, heard, claimed = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return scores, heard, claimed


def _rates(found: Sequence[tuple[Pairs, Pairs, float]]) -> dict[str, Any]:
    single, pooled, named = zip(*found, strict=True)
    return {"single": _rate(_joined(single)), "pooled": _rate(_joined(pooled)), "named": float(np.mean(named))}


def _rate(pairs: Pairs) -> dict[str, Any]:
    return dict(zip(("eer", "low", "high"), reid.equal_error_rate_of_people(*pairs), strict=True))


def _mean(vectors: Vectors) -> Vectors:
    mean: Vectors = vectors.mean(0)
    return mean / max(float(np.linalg.norm(mean)), 1e-12)
