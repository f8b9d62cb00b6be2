"""The first stage: recordings as found become a corpus. Unusable rows are set aside with a reason; the rest go on.

Everything decided about a row depends on its own unit alone, and so does the split: with or without one person, the
rows of all others stay as they are. User-level privacy counts on that. One exception: of a file that the corpus lists
under two units, only the first stays, since ids are unique.
"""

import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO, get_args

import numpy as np

from speechpriv import corpus, store
from speechpriv.corpus import Row, Split
from speechpriv.data import audio, clinic, demo, disorder, lineage, sources, transcripts
from speechpriv.data.sources import Found, Rejected, SourceRow
from speechpriv.errors import ConfigError, DataError, StageError
from speechpriv.sections import DataConfig, Section

QUARANTINE = "quarantine.jsonl"
_SILENT_PEAK = 1e-4  # -80 dB: three steps of 16 bits
_MAX_CHARACTERS_PER_S = 30  # the fastest speech is near 25
_SLACK_S = 0.1  # manifests round their times, some headers too
_MAX_RECORDING_S = 3600.0  # a recording is decoded whole before a segment of it is cut: this bounds the memory
_MIN_KEY_BYTES = 16


class IngestConfig(Section):
    """What the corpus depends on."""

    data: DataConfig
    seed: int


@store.stage(version=3)
def run(
    config: IngestConfig,
    inputs: Mapping[str, Path],
    out_dir: Path,
    *,
    key: bytes,
    on_row: Callable[[int], None] = store.silent,
) -> dict[str, Any]:
    """Write the corpus of `config.data`, quarantine.jsonl (source_id, reason) and sketch.json, all private.

    Ids and units are the first 64 bits of HMAC-SHA256 under `key`; rows come in an order that only the key explains.
    One recording is in memory at a time, plus some 250 bytes a row to know duplicates.

    Args:
      config: source, limits and the seed of the split.
      inputs: `source`, the corpus folder, if it is on this machine; `sources.inputs(config.data)` says so.
      out_dir: gets the corpus and the quarantine.
      key: at least 16 random bytes, kept apart from the corpus.
      on_row: told how many rows are read.

    Returns:
      rows_read, rows_kept, quarantined (rows by kind of reason), units_train, units_test, hours.

    Raises:
      ConfigError: short key.
      StageError: `inputs` lack the source.
      DataError: the source cannot be read, too many rows are unusable, or a split is left without a unit.
    """
    if len(key) < _MIN_KEY_BYTES:
        raise ConfigError(f"ingest: key of {len(key)} bytes: expected at least {_MIN_KEY_BYTES}. Use store.secret.")
    if not set(sources.inputs(config.data)) <= set(inputs):
        raise StageError("ingest: inputs lack the source, so a change of it would go unseen. Use sources.inputs.")
    found = _found(config)
    reasons: Counter[str] = Counter()
    sketcher = lineage.Sketcher()
    with (out_dir / QUARANTINE).open("w", encoding="utf-8") as quarantine:
        rows = _counted(checked(found, config, key, sketcher), on_row)
        kept = _set_aside(rows, quarantine, reasons, config.data.max_quarantined)
        written = corpus.write(kept, out_dir, lineage=sources.lineage(config.data, config.seed), order_key=key)
    lineage.write(out_dir / lineage.SKETCH, sketcher.marks())
    n_units = {part: len(written.units(part)) for part in get_args(Split)}
    if not all(n_units.values()):
        raise DataError(
            f"ingest: {n_units['train']} units fell to training and {n_units['test']} to the test; expected at least "
            f"one each. Use more units, another seed, or another data.test_fraction (now {config.data.test_fraction})."
        )
    return {
        "rows_read": len(written) + reasons.total(),
        "rows_kept": len(written),
        "quarantined": dict(sorted(reasons.items())),
        "units_train": n_units["train"],
        "units_test": n_units["test"],
        "hours": round(sum(written.table["seconds"]) / 3600, 3),
    }


def split_of(unit: str, seed: int, test_fraction: float) -> Split:
    """The split of a unit, by its own name and a public seed: "test" with probability `test_fraction`.

    The share is met on average, not exactly: to fix the number would tie each unit's part to who else is there, and
    then leaving one out could move another one into training.
    """
    digest = hmac.digest(f"split\0{seed}".encode(), _encoded(unit), "sha256")
    return "test" if int.from_bytes(digest[:8]) < test_fraction * 2**64 else "train"


def checked(
    found: Iterable[SourceRow | Rejected], config: IngestConfig, key: bytes, sketcher: lineage.Sketcher
) -> Iterator[Row | Rejected]:
    """Rows fit for training, and the others with the reason; in the order found. `sketcher` gets each recording.

    Of several rows with one source id, or of one unit with one sound, the first is kept.
    """
    seen: set[bytes] = set()
    for row in found:
        fit = row if isinstance(row, Rejected) else _check(row, config, key, sketcher)
        if isinstance(fit, Row):
            # The same sound under two units stays: to drop it would make one person's rows depend on another's.
            marks = {fit.id.encode(), hashlib.sha256(f"{fit.unit}\0".encode() + fit.flac).digest()[:16]}
            if seen & marks:
                fit = Rejected(row.source_id, "duplicate: its id, or its sound from the same unit, came before")
            else:
                seen |= marks
        yield fit


def _found(config: IngestConfig) -> Found:
    data, seed = config.data, config.seed
    if data.source == "demo":
        return demo.rows(data.demo, seed)
    if data.source == "clinic":
        return clinic.rows(data.clinic, seed, lambda patient: split_of(patient, seed, data.test_fraction))
    if data.source == "risk":
        return disorder.rows(data.risk, seed)
    return sources.open_source(data)


def _check(row: SourceRow, config: IngestConfig, key: bytes, sketcher: lineage.Sketcher) -> Row | Rejected:
    unit = " ".join(row.unit.split())
    if not unit:
        return Rejected(row.source_id, "no unit: nobody is named whose recording it is")
    try:
        text, samples = transcripts.clean(row.text), _samples(row, config.data, sketcher)
    except DataError as error:
        return Rejected(row.source_id, str(error))
    seconds = len(samples) / audio.RATE_HZ
    if not len(text) <= _MAX_CHARACTERS_PER_S * seconds:
        return Rejected(row.source_id, f"wrongly labelled: {len(text)} characters of text for {seconds:.2f} s of audio")
    return Row(
        id=_pseudonym(key, "id", row.source_id),
        unit=_pseudonym(key, "unit", unit),
        split=split_of(unit, config.seed, config.data.test_fraction),
        flac=audio.flac(samples),
        text=text,
        seconds=seconds,
    )


def _samples(row: SourceRow, config: DataConfig, sketcher: lineage.Sketcher) -> np.ndarray:
    """Float32 samples (N,) at 16 kHz of the row, or of its segment.

    Raises:
      DataError: they are unreadable, empty, silent, too short or too long.
    """
    limit_s = config.max_seconds if row.duration_s is None else _MAX_RECORDING_S
    try:
        size = len(row.audio) if isinstance(row.audio, bytes) else row.audio.stat().st_size
        # By the header first, so that nothing huge is decoded.
        recording_s = audio.duration_s(row.audio) if size else 0.0
        samples = audio.read(row.audio) if 0 < recording_s <= limit_s else np.zeros(0, np.float32)
    except (DataError, OSError) as error:
        raise DataError(f"unreadable: {error if isinstance(error, DataError) else type(error).__name__}") from None
    if not recording_s <= limit_s:
        raise DataError(f"too long: {recording_s:.1f} s, expected at most {limit_s}")
    if not abs(len(samples) / audio.RATE_HZ - recording_s) <= _SLACK_S:
        raise DataError(f"cut off: {len(samples) / audio.RATE_HZ:.1f} s of the {recording_s:.1f} s in its header")
    sketcher.add(samples)
    if row.duration_s is not None:
        end = round((row.start_s + row.duration_s) * audio.RATE_HZ)
        if not end <= len(samples) + _SLACK_S * audio.RATE_HZ:
            raise DataError("bad segment: it ends after its recording")
        samples = samples[round(row.start_s * audio.RATE_HZ) : end]
    seconds = len(samples) / audio.RATE_HZ
    if len(samples) == 0:
        raise DataError("empty: no samples")
    if not seconds >= config.min_seconds:
        raise DataError(f"too short: {seconds:.3f} s, expected at least {config.min_seconds}")
    if not seconds <= config.max_seconds:
        raise DataError(f"too long: {seconds:.1f} s, expected at most {config.max_seconds}")
    if not float(np.abs(samples).max()) >= _SILENT_PEAK:
        raise DataError(f"silent: no sample reaches {_SILENT_PEAK} of full scale")
    return samples


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
