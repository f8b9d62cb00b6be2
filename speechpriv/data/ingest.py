"""The first stage: recordings as found become a corpus. Unusable rows are set aside with a reason;
the rest go on.

Everything decided about a row depends on its own unit alone, and so do its id and its split: with
or without one person, the rows of all others are the same bytes. User-level privacy counts on
that. So a recording that the corpus lists under two units stays in both. It is counted: whoever is
heard in it has the guarantee of a group of two.
"""

import hashlib
import hmac
import itertools
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO, get_args

import numpy as np

from speechpriv import audio, corpus, store
from speechpriv.audio import RATE_HZ
from speechpriv.corpus import Row, Split
from speechpriv.data import clinic, demo, disorder, lineage, people, recordings, sources, transcripts
from speechpriv.data.sources import Found, Rejected, SourceRow
from speechpriv.errors import ConfigError, DataError, StageError
from speechpriv.sections import DataConfig, Section

QUARANTINE = "quarantine.jsonl"
_SILENT_PEAK = 1e-4  # -80 dB: three steps of 16 bits
_MAX_CHARACTERS_PER_S = 30  # the fastest speech is near 25
_MIN_KEY_BYTES = 16


class Listed:
    """Which recordings came before (some 210 bytes a row): a row is a duplicate of its own unit's
    rows only.
    """

    def __init__(self) -> None:
        self._first: dict[bytes, str] = {}  # the unit that had a mark first; of another unit, the mark bears its name
        self._shared = 0  # rows whose recording, or place in it, was another unit's before
        self.clipped = 0  # rows whose sound goes beyond full scale, and is cut there

    def add(self, source_id: str, row: Row) -> bool:
        """Take in a row; False, and nothing is changed, if its unit had its source or its sound
        before.
        """
        digests = [hashlib.sha256(content).digest()[:16] for content in (_encoded(source_id), row.flac)]
        unit = sys.intern(row.unit)
        marks = [mark if self._first.get(mark, unit) == unit else mark + unit.encode() for mark in digests]
        if not self._first.keys().isdisjoint(marks):
            return False
        self._first.update(dict.fromkeys(marks, unit))
        # The row stays: without it, what one person has would tell whether another is there.
        self._shared += marks != digests
        return True

    def warnings(self) -> list[str]:
        """Say how many rows have a recording that is not their unit's alone."""
        shared = (
            f"{self._shared:,} rows have a recording that another unit has too. They are kept, since one "
            "unit must not change another's rows. Whoever is heard there is protected only as a group "
            "of that many units."
        )
        return [shared] if self._shared else []


class IngestConfig(Section):
    """What the corpus depends on."""

    data: DataConfig
    seed: int


@store.stage(version=4, notes=(QUARANTINE, lineage.SKETCH))
def run(
    config: IngestConfig,
    inputs: Mapping[str, Path],
    out_dir: Path,
    *,
    key: bytes,
    people_key: bytes | None = None,
    on_row: Callable[[int], None] = store.ignore_progress,
) -> dict[str, Any]:
    """Write the corpus of `config.data`, quarantine.jsonl (source_id, reason) and sketch.json, all
    private.

    Ids and units are the first 64 bits of HMAC-SHA256 under `key`; rows come in an order that only
    the key explains. In memory are what is decoded of one recording at a time, and of each row what
    `Listed` keeps to know duplicates.

    Args:
      config: source, limits and the seed of the split.
      inputs: `source`, if the corpus is on this machine; `sources.list_inputs(config.data)` says so.
      out_dir: gets the corpus and the quarantine.
      key: at least 16 random bytes, kept apart from the corpus.
      people_key: see `lineage.people_key`; None: the same people in other recordings will not be
        recognised.
      on_row: told how many rows are read.

    Returns:
      rows_read, rows_kept, clipped (rows that go beyond full scale), quarantined (rows by kind of
      reason), units_train, units_test, hours, warnings.

    Raises:
      ConfigError: short key.
      StageError: `inputs` lack the source.
      DataError: the source cannot be read, too many rows are unusable, or a split is left without a
        unit.
    """
    if len(key) < _MIN_KEY_BYTES:
        raise ConfigError(
            f"ingest: key of {len(key)} bytes: expected at least {_MIN_KEY_BYTES}. Use store.read_secret."
        )
    if not set(sources.list_inputs(config.data)) <= set(inputs):
        raise StageError("ingest: inputs lack the source, so a change of it would go unseen. Use sources.list_inputs.")
    found = _found(config)
    reasons: Counter[str] = Counter()
    sketcher, named, listed = lineage.Sketcher(people_key), people.People(), Listed()
    with (out_dir / QUARANTINE).open("w", encoding="utf-8") as quarantine:
        rows = _counted(check_rows(found, config, key, sketcher, listed, named), on_row)
        kept = _set_aside(rows, quarantine, reasons, config.data.max_quarantined)
        written = corpus.write(kept, out_dir, lineage=sources.name_lineage(config.data, config.seed), order_key=key)
    lineage.write(out_dir / lineage.SKETCH, sketcher.sketch())
    n_units = {part: len(written.units(part)) for part in get_args(Split)}
    if not all(n_units.values()):
        raise DataError(
            f"ingest: {n_units['train']} units fell to training and {n_units['test']} to the test; expected at least "
            f"one each. Use more units, another seed, or another data.test_fraction (now {config.data.test_fraction})."
        )
    return {
        "rows_read": len(written) + reasons.total(),
        "rows_kept": len(written),
        "clipped": listed.clipped,
        "quarantined": dict(sorted(reasons.items())),
        "units_train": n_units["train"],
        "units_test": n_units["test"],
        "hours": round(sum(written.table["seconds"]) / 3600, 3),
        "warnings": collect_warnings(config.data, named, listed),
    }


def collect_warnings(config: DataConfig, named: people.People, listed: Listed) -> list[str]:
    """Say what the owner of the recordings should look at, in counts."""
    of_names = config.unit_names == "normalised" and not config.synthetic
    return (named.warnings() if of_names else []) + listed.warnings()


def split_of(unit: str, seed: int, test_fraction: float) -> Split:
    """Return the split of a unit, by its own name and a public seed: "test" with probability
    `test_fraction`.

    The share is met on average, not exactly: to fix the number would tie each unit's part to who
    else is there, and then leaving one out could move another one into training.
    """
    digest = hmac.digest(f"split\0{seed}".encode(), _encoded(unit), "sha256")
    return "test" if int.from_bytes(digest[:8]) < test_fraction * 2**64 else "train"


def check_rows(
    found: Iterable[SourceRow | Rejected],
    config: IngestConfig,
    key: bytes,
    sketcher: lineage.Sketcher,
    listed: Listed | None = None,
    named: people.People | None = None,
) -> Iterator[Row | Rejected]:
    """Yield rows fit for training, and the others with the reason; in the order found.

    Of several rows of one unit with one source id, or with one sound, the first is kept. `sketcher`
    gets each recording, `named` the unit of each row that is fit, and `listed` all that is in it.
    """
    listed = listed or Listed()
    for group in recordings.group_by_recording(found):
        for row, fit in (
            [(group, group)] if isinstance(group, Rejected) else _check(group, config, key, sketcher, listed)
        ):
            if isinstance(row, Rejected) or isinstance(fit, Rejected):
                yield fit
            elif listed.add(row.source_id, fit):
                if named is not None:
                    named.add(_unit(row, config.data))
                yield fit
            else:
                yield Rejected(row.source_id, "duplicate: its id or its sound came before, from the same unit")


def _found(config: IngestConfig) -> Found:
    data, seed = config.data, config.seed
    if data.source == "demo":
        return demo.generate_rows(data.demo, seed)
    if data.source == "clinic":
        return clinic.generate_rows(data.clinic, seed, lambda patient: split_of(patient, seed, data.test_fraction))
    if data.source == "risk":
        return disorder.generate_rows(data.risk, seed)
    return sources.open_source(data)


def _check(
    rows: list[SourceRow], config: IngestConfig, key: bytes, sketcher: lineage.Sketcher, listed: Listed
) -> Iterator[tuple[SourceRow, Row | Rejected]]:
    """Rows of one recording, fit or not, in the order given: one that is over early is held back
    until its turn.
    """
    done: dict[int, Row | Rejected] = {}
    said: dict[int, tuple[str, str]] = {}
    for index, row in enumerate(rows):
        try:
            unit = _unit(row, config.data)
            sketcher.add_person(unit)
            said[index] = unit, transcripts.clean_transcript(row.text)
        except DataError as error:
            done[index] = Rejected(row.source_id, str(error))
    places = list(said)
    turn = 0
    sounds = recordings.decode_rows([rows[index] for index in places], config.data, sketcher) if places else ()
    for place, sound in itertools.chain(sounds, [(-1, None)]):
        if sound is not None:
            index = places[place]
            done[index] = fit = _fit(rows[index], *said[index], sound, config, key)
            listed.clipped += (
                isinstance(fit, Row) and not isinstance(sound, DataError) and bool((np.abs(sound) > 1).any())
            )
        while turn in done:
            yield rows[turn], done.pop(turn)
            turn += 1


def _fit(
    row: SourceRow, unit: str, text: str, sound: np.ndarray | DataError, config: IngestConfig, key: bytes
) -> Row | Rejected:
    try:
        samples = _audible(sound, config.data)
    except DataError as error:
        return Rejected(row.source_id, str(error))
    seconds = len(samples) / RATE_HZ
    if not len(text) <= _MAX_CHARACTERS_PER_S * seconds:
        return Rejected(row.source_id, f"wrongly labelled: {len(text)} characters of text for {seconds:.2f} s of audio")
    pseudonym = _pseudonym(key, "unit", unit)
    return Row(
        id=_pseudonym(key, f"id\0{pseudonym}", row.source_id),
        unit=pseudonym,
        split=split_of(unit, config.seed, config.data.test_fraction),
        flac=audio.encode_flac(samples),
        text=text,
        seconds=seconds,
    )


def _unit(row: SourceRow, config: DataConfig) -> str:
    """Whose the row is.

    Raises:
      DataError: nobody is named.
    """
    unit = people.unit_name(row.unit, config)
    if not unit:
        raise DataError("no unit: nobody is named whose recording it is")
    return unit


def _audible(sound: np.ndarray | DataError, config: DataConfig) -> np.ndarray:
    """Float32 samples (N,) at 16 kHz that can be learned from.

    Raises:
      DataError: there are none, or they are silent, too short or too long.
    """
    if isinstance(sound, DataError):
        raise sound
    seconds = len(sound) / RATE_HZ
    if len(sound) == 0:
        raise DataError("empty: no samples")
    if not seconds >= config.min_seconds:
        raise DataError(f"too short: {seconds:.3f} s, expected at least {config.min_seconds}")
    if not seconds <= config.max_seconds:
        raise DataError(f"too long: {seconds:.1f} s, expected at most {config.max_seconds}")
    if not float(np.abs(sound).max()) >= _SILENT_PEAK:
        raise DataError(f"silent: no sample reaches {_SILENT_PEAK} of full scale")
    return sound


def _counted(rows: Iterable[Row | Rejected], on_row: Callable[[int], None]) -> Iterator[Row | Rejected]:
    for done, row in enumerate(rows, start=1):
        yield row
        on_row(done)


def _set_aside(
    rows: Iterable[Row | Rejected], quarantine: TextIO, reasons: Counter[str], max_share: float
) -> Iterator[Row]:
    """Rows without those rejected, which are written to `quarantine` and counted in `reasons`.

    Raises:
      DataError: at the end, if there was no row or too large a share was rejected.
    """
    n_kept = 0
    for row in rows:
        if isinstance(row, Rejected):
            reasons[row.reason.partition(":")[0]] += 1
            quarantine.write(json.dumps({"source_id": row.source_id, "reason": row.reason}) + "\n")
        else:
            n_kept += 1
            yield row
    n_read = n_kept + reasons.total()
    if n_read == 0:
        raise DataError("ingest: the corpus lists no row; expected at least one. Check data.path.")
    if not reasons.total() <= max_share * n_read:
        counted = ", ".join(f"{number:,} {reason}" for reason, number in reasons.most_common())
        raise DataError(
            f"ingest: {reasons.total():,} of {n_read:,} rows cannot be used ({counted}); expected at most "
            f"{max_share:.0%}. See {quarantine.name}, which is kept until ingest runs again. Repair the rows, or raise "
            "data.max_quarantined."
        )


def _pseudonym(key: bytes, kind: str, name: str) -> str:
    """16 hex digits that say nothing about `name` to whoever lacks the key."""
    return hmac.digest(key, f"{kind}\0".encode() + _encoded(name), "sha256").hex()[:16]


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")  # names of files need not be text
