"""Recordings to listen to: as they were, with words cut out, and disguised."""

import base64
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from speechpriv import corpus as corpora
from speechpriv import store
from speechpriv.corpus import Corpus, Row
from speechpriv.drops import Dropped

Disguise = Callable[[Iterable[Row]], Iterable[tuple[Row, bytes | Dropped]]]

FILE = "report_samples.json"
_MOMENTS = {"ingest": "as recorded", "scrub": "words taken out", "anonymize": "voice disguised"}
_COUNT, _COMPARED = 4, 2
_MAX_S = 5.0
_LOOKED_AT = 2_000  # rows, for some that lost words


def write_samples(private: Path, disguises: Mapping[str, Disguise]) -> str:
    """Write samples of a synthetic corpus for the report that is shown to everybody.

    Args:
      private: of a run whose corpus is synthetic: nobody real can be heard in it.
      disguises: each method, by name: gives recordings, in order, as FLAC.

    Returns:
      The words that the report will show; nobody real said them.
    """
    found = [*pick_samples(private), *_side_by_side(private, disguises)]
    store.write_json(private / FILE, found)
    return " ".join(version["text"] for sample in found for version in sample["versions"])


def pick_samples(private: Path) -> list[dict[str, Any]]:
    """Return a few short recordings of the training part, each after every stage that changed how
    it sounds.

    Those that lost words come first, since there is most to hear.

    Args:
      private: with the corpora of the stages; none are picked before the voices are disguised, or
        where a corpus was deleted since.
    """
    if not _are_there(private):
        return []
    stages = [corpora.read(private / stage) for stage in _MOMENTS]
    rows = zip(*(stages[-1].table[name] for name in ("id", "split", "seconds", "text")), strict=True)
    short = ((name, text) for name, split, seconds, text in rows if split == "train" and seconds <= _MAX_S)
    texts = dict(itertools.islice(short, _LOOKED_AT))  # rows come in random order
    places = [{name: row for row, name in enumerate(corpus.table["id"]) if name in texts} for corpus in stages]
    # What was planted to test the scrubber was not there at first: it is nobody's, and not shown.
    found = [name for name in texts if name in places[0]]
    found.sort(key=lambda name: stages[0].table[places[0][name]]["text"] == texts[name])
    return [
        {"title": f"Recording {number}", "versions": _versions(stages, [place[name] for place in places])}
        for number, name in enumerate(found[:_COUNT], 1)
    ]


def _side_by_side(private: Path, disguises: Mapping[str, Disguise]) -> list[dict[str, Any]]:
    """Two recordings, by every method that can disguise them; none where a corpus was deleted."""
    if not disguises or not _are_there(private):
        return []
    scrubbed, recorded = corpora.read(private / "scrub"), set(corpora.read(private / "ingest").table["id"])
    parts = enumerate(zip(*(scrubbed.table[name] for name in ("id", "split", "seconds")), strict=True))
    short = (
        scrubbed[index]
        for index, (name, split, seconds) in parts
        if name in recorded and split == "train" and seconds <= _MAX_S
    )
    rows = list(itertools.islice(short, _COMPARED))
    compared = [[_version("undisguised", row.text, row.flac)] for row in rows]
    for method, disguise in disguises.items():
        for versions, (row, outcome) in zip(compared, disguise(rows), strict=True):
            if not isinstance(outcome, Dropped):
                versions.append(_version(f"by {method}", row.text, outcome))
    return [
        {"title": f"Every disguise of one recording, {number}", "versions": versions}
        for number, versions in enumerate(compared, start=1)
    ]


def _versions(stages: Sequence[Corpus], places: Sequence[int]) -> list[dict[str, str]]:
    """A recording after each stage that changed how it sounds."""
    found: list[dict[str, str]] = []
    for moment, corpus, place in zip(_MOMENTS.values(), stages, places, strict=True):
        row = corpus[place]
        version = _version(moment, row.text, row.flac)
        if not found or version["flac_base64"] != found[-1]["flac_base64"]:
            found.append(version)
    return found


def _are_there(private: Path) -> bool:
    return all(store.read_manifest(private / stage) and (private / stage / "table").is_dir() for stage in _MOMENTS)


def _version(moment: str, text: str, flac: bytes) -> dict[str, str]:
    return {"moment": moment, "text": text, "flac_base64": base64.b64encode(flac).decode()}
