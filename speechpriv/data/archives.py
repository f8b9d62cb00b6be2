"""Tar archives of recordings, read member by member and never unpacked: WebDataset, NeMo's tarred
manifests.
"""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

from speechpriv.data import rows
from speechpriv.data.layouts import SUFFIXES
from speechpriv.data.rows import Found, Rejected, Roots
from speechpriv.errors import DataError
from speechpriv.sections import DataConfig

_LARGEST_BYTES = 1 << 30  # of a member: it is held in memory
_TEXTS = (".txt", ".lab", ".transcript")


def read_members(tar: Path) -> Iterator[tuple[str, bytes]]:
    """Read the name and content of each file in an archive, in order.

    Raises:
      DataError: the archive is damaged, or holds a file of more than 1 GiB.
    """
    try:
        with tarfile.open(tar, "r:*") as archive:
            for member in archive:
                if not member.isfile():
                    continue
                if member.size > _LARGEST_BYTES:
                    raise DataError(
                        f"an archive (*.tar) holds a file of {member.size:,} bytes; expected at most "
                        f"{_LARGEST_BYTES:,}."
                    )
                file = archive.extractfile(member)
                if file is not None:
                    yield member.name.removeprefix("./"), file.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(
            f"an archive (*.tar) cannot be read to its end ({type(error).__name__}). Copy it anew (tar -tf says which)."
        ) from None


def read_webdataset(roots: Roots, config: DataConfig) -> Found:
    """Read WebDataset shards: files that share a name up to the first dot are one sample.

    The words are in .txt, or, as the speaker, in .json; names of its fields are found as those of a
    table's columns.
    """
    for tar in sorted(roots.corpus.glob("**/*.tar")):
        place = tar.relative_to(roots.corpus).as_posix()
        for key, parts in _samples(tar):
            yield _sample(roots, f"{place}/{key}", parts, config)


def read_tarred_manifest(manifest: Path, roots: Roots, config: DataConfig) -> Found:
    """Read NeMo's tarred manifest: JSON lines that name members of the archives beside it."""
    listed = dict[str, list[dict[str, object]]]()
    named = rows.Named(config)
    for line, record in rows.read_records(manifest):
        if record is None:
            yield Rejected(f"{manifest.name}, line {line}", "bad line: not a row of json")
            continue
        named.add(record)
        listed.setdefault(rows.format_cell(_of(record, "audio", config)), []).append(record)
    named.require()
    found = set[str]()
    for tar in sorted(manifest.parent.glob("*.tar")):
        for name, content in read_members(tar):
            for record in listed.get(name, ()):
                found.add(name)
                segment = None
                if record.get("offset") is not None:
                    segment = (rows.parse_seconds(record["offset"]), rows.parse_seconds(record.get("duration")))
                unit, text = (rows.format_cell(_of(record, role, config)) for role in ("unit", "text"))
                place = name if segment is None else f"{name}#{record['offset']}"
                yield rows.make_row(roots, content, unit, text, name=place, segment=segment)
    for name in listed:
        if name not in found:
            yield from (
                Rejected(name, "no such file: in none of the archives beside the manifest") for _ in listed[name]
            )


def _of(record: dict[str, object], role: str, config: DataConfig) -> object:
    return record.get(rows.find_column(record, role, config) or "")


def is_tarred(manifest: Path) -> bool:
    """Return whether a manifest's recordings lie in archives beside it and not in files."""
    _, record = next(iter(rows.read_records(manifest)), (0, None))
    names = rows.format_cell((record or {}).get("audio_filepath"))
    return bool(names) and any(manifest.parent.glob("*.tar")) and not (manifest.parent / names).exists()


def _samples(tar: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Consecutive members with one key, by their suffix; a suffix that comes again is another
    sample's.
    """
    current, parts = "", dict[str, bytes]()
    for name, content in read_members(tar):
        folder, _, file = name.rpartition("/")
        stem, _, suffix = file.partition(".")
        key = f"{folder}/{stem}" if folder else stem
        suffix = f".{suffix.lower()}"
        if parts and (key != current or suffix in parts):
            yield current, parts
            parts = {}
        current = key
        parts[suffix] = content
    if parts:
        yield current, parts


def _sample(roots: Roots, name: str, parts: dict[str, bytes], config: DataConfig) -> rows.SourceRow | Rejected:
    audio = next((parts[suffix] for suffix in SUFFIXES if suffix in parts), None)
    if audio is None:
        return Rejected(name, "no audio: the sample has no recording")
    try:
        facts = json.loads(parts.get(".json", b"{}"))
    except (ValueError, RecursionError):
        return Rejected(name, "bad line: not a row of json")
    facts = facts if isinstance(facts, dict) else {}
    text = next((parts[suffix].decode("utf-8", "replace") for suffix in _TEXTS if suffix in parts), None)
    if text is None:
        text = rows.format_cell(_of(facts, "text", config))
    unit = rows.format_cell(_of(facts, "unit", config))
    return rows.make_row(roots, audio, unit, text, name=name)
