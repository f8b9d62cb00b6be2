"""Numbers in `private/` that were computed from training people's recordings, and their search.

What is on no list below is taken for such a number: what a stage writes anew is searched for at
once. The lists are those of docs/guarantees.md, and share nothing with the code that releases.
"""

import fnmatch
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RELEASED = {  # what covers it, and `file:path of keys` in private/
    "public": """
        config.json:* */model/*:* */manifest.json:config.* */manifest.json:versions.*
        audit/verdict.json:alpha* audit/verdict.json:confidence* audit/verdict.json:delta
        audit/verdict.json:audit audit/verdict.json:unit audit/verdict.json:adjacency
        audit/verdict.json:claimed_* audit/verdict.json:published.slip report_samples.json:*
    """,
    "synthetic canaries": """
        plant/manifest.json:counts.candidates plant/manifest.json:counts.planted
        plant/manifest.json:counts.references survival/*:*whole survival/*:*lost survival/*:*altered
        survival/*:*left_out survival/*:*unscored survival/*:*personal.* survival/*:*missed.*
        audit/verdict.json:canaries.* audit/verdict.json:survival.whole
        audit/verdict.json:survival.lost audit/verdict.json:survival.altered
        audit/verdict.json:survival.left_out audit/verdict.json:survival.unscored
        audit/verdict.json:survival.personal.* audit/verdict.json:survival.missed.*
        audit/verdict.json:published.planted audit/verdict.json:published.spread
    """,
    "epsilon and ledger": """
        train/claim.json:* train/public.json:* train/manifest.json:counts.*
        phrases/manifest.json:counts.* phrases/phrases.json:* phrases/release.json:*
        rehearse/curve.json:* rehearse/manifest.json:counts.* audit/verdict.json:private.*
        audit/verdict.json:negative_control.* audit/verdict.json:detectable.*
        audit/verdict.json:stress.private.* audit/verdict.json:extraction.private.*
        audit/verdict.json:published.phrases audit/verdict.json:weights.private.*
        audit/exposures.json:private.*
    """,
    "nothing, but listed: test people": """
        evaluate/figures.json:base.* evaluate/figures.json:private.*
        evaluate/figures.json:private_with_lm.* evaluate/manifest.json:counts.utterances
        evaluate/manifest.json:counts.speakers evaluate/manifest.json:counts.people
        evaluate/manifest.json:counts.*.base evaluate/manifest.json:counts.*.private
        evaluate/manifest.json:counts.*.private_with_lm
    """,
    "nothing, but listed: a word": """
        audit/verdict.json:verdict audit/verdict.json:reasons.* audit/verdict.json:earlier_verdicts.*
        audit/manifest.json:counts.verdict
    """,
}
_OUTPUTS = ("audit/released.json", "report.json")  # made of the others
_NUMBER = re.compile(r"(?<![\w.,/#-])-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?(?:\s?%)?(?![\w]|[.,]\d)")

Leaf = tuple[str, Any]  # `file:path of keys`, and what is there


def leaves(private: Path) -> Iterator[Leaf]:
    """Every value in the JSON files of `private`."""
    for path in sorted(private.rglob("*.json")):
        name = str(path.relative_to(private))
        if name not in _OUTPUTS and not name.startswith("keys/"):
            yield from _leaves(f"{name}:", json.loads(path.read_text(encoding="utf-8")))


def is_released(place: str) -> bool:
    """Whether a value may be in a release."""
    patterns = (pattern for listed in RELEASED.values() for pattern in listed.split())
    return any(fnmatch.fnmatchcase(place, pattern) for pattern in patterns)


def of_training_people(private: Path) -> dict[str, set[float]]:
    """Every number that is on no list, by its place; none that equals one which may be released."""
    found = [(place, number) for place, value in leaves(private) for number in _numbers(value)]
    listed = {number for place, number in found if is_released(place)}
    kept: dict[str, set[float]] = {}
    for place, number in found:
        if not is_released(place) and number not in listed:
            kept.setdefault(place, set()).add(number)
    return kept


def found_in(release: Path, numbers: dict[str, set[float]], digits: int = 3) -> list[str]:
    """Where in a release a number stands, `FILE: PLACE`, however it is spelled.

    Args:
      release: all files in it are searched.
      numbers: by their place.
      digits: a spelling with fewer significant digits is passed over: it would be found by chance.
    """
    spelled: dict[str, str] = {}
    for place, values in numbers.items():
        spelled |= {text: place for value in values for text in spellings(value, digits)}
    return sorted(
        f"{path.relative_to(release)}: {spelled[text]}"
        for path in release.rglob("*")
        if path.is_file()
        for text in tokens(path) & spelled.keys()
    )


def tokens(path: Path) -> set[str]:
    """All numbers that stand in a file, without commas and spaces."""
    text = path.read_bytes().decode("utf-8", errors="replace")
    return {re.sub(r"[,\s]", "", token) for token in _NUMBER.findall(text)}


def spellings(value: float, digits: int) -> set[str]:
    """How a number is written: as it is, rounded, as a share, as a time."""
    forms = {f"{value:g}", f"{value:.3g}", f"{value:.4g}", *(f"{value:.{n}f}" for n in range(5))}
    forms |= {repr(value), f"{100 * value:.1f}%", f"{100 * value:.2f}%"}
    if value == int(value):
        forms.add(str(int(value)))
    return {form for form in forms if _significant(form) >= digits}


def _significant(form: str) -> int:
    return len(form.partition("e")[0].replace(".", "").strip("-%").strip("0"))


def _numbers(value: Any) -> list[float]:
    if isinstance(value, bool) or value is None:
        return []
    if isinstance(value, str):
        return [float(re.sub(r"[,\s%]", "", token)) for token in _NUMBER.findall(value)]
    return [value]


def _leaves(place: str, value: Any) -> Iterator[Leaf]:
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(place + f"{'' if place.endswith(':') else '.'}{key}", item)
    else:
        yield place, value
