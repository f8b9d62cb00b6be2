"""The labelled sentences: templates x fillers, spoken and written, those of development and of test disjoint.

    python tests/scrub/labelled.py        # writes labelled.jsonl.gz anew

A slot in capitals is personal data, and its characters are the label; a slot in small letters must survive.
"""

import gzip
import json
import re
import runpy
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FILE = HERE / "labelled.jsonl.gz"
PARTS = {"development": 1, "test": 2}  # and the seeds of their fillers
_SLOT = re.compile(r"\{(\w+)\}")
# What a slot is reported as, where its name says more than that.
_KINDS = {"FIRST_NAME": "NAME", "LAST_NAME": "NAME", "SSN4": "SSN", "SORT_CODE": "ROUTING", "ZIP": "POSTCODE"}
_EACH = {"development": 6, "test": 8}  # sentences of a template and form


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence with what must be found in it.

    Attributes:
      text: the sentence.
      part: "development" or "test".
      form: "spoken" (lower case, no punctuation, numbers as words) or "written".
      spans: (start, end, kind) in characters.
    """

    text: str
    part: str
    form: str
    spans: tuple[tuple[int, int, str], ...]


def templates(part: str) -> list[str]:
    """The templates of a part."""
    lines = (HERE / "templates" / f"{part}.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def generate() -> Iterator[Sentence]:
    """All sentences, the same on every run."""
    fillers_of = runpy.run_path(str(HERE / "fillers.py"))["Fillers"]
    for part, seed in PARTS.items():
        for form in ("spoken", "written"):
            fillers = fillers_of(seed, spoken=form == "spoken")
            seen: set[str] = set()
            for template in templates(part):
                for _ in range(_EACH[part]):
                    text, spans = _render(template, fillers)
                    if text not in seen:
                        seen.add(text)
                        yield Sentence(text, part, form, tuple(spans))


def _render(template: str, fillers: Any) -> tuple[str, list[tuple[int, int, str]]]:
    """The template with its slots filled; a written one with a capital and a full stop."""
    text, spans, at = "", [], 0
    for slot in _SLOT.finditer(template):
        text += template[at : slot.start()]
        value = fillers.fill(slot[1])
        if slot[1].isupper():
            article = len("the ") if value.startswith("the ") else 0  # "the third of may": not personal
            spans.append((len(text) + article, len(text) + len(value), _KINDS.get(slot[1], slot[1])))
        text += value
        at = slot.end()
    text += template[at:]
    if not fillers.spoken:
        first = 0 if spans and spans[0][0] == 0 else 1
        text = text[:first].upper() + text[first:] + "."
    return text, spans


def read(part: str) -> list[Sentence]:
    """The checked-in sentences of a part."""
    with gzip.open(FILE, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [
        Sentence(row["text"], row["part"], row["form"], tuple((a, b, kind) for a, b, kind in row["spans"]))
        for row in rows
        if row["part"] == part
    ]


if __name__ == "__main__":
    with FILE.open("wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as out:
        for sentence in generate():
            out.write((json.dumps(asdict(sentence), ensure_ascii=False) + "\n").encode())
