"""What the audit found besides its tests: what a stranger got out, who was told apart, what became
of the canaries.
"""

from collections.abc import Mapping
from typing import Any

from speechpriv.report.facts import Facts
from speechpriv.report.plots import to_finite
from speechpriv.report.words import format_number, format_percent, format_value

_ATTACKERS = {
    "with_labels": "recordings and what is said in them",
    "pseudo_labels": "recordings; loss of what the model writes",
    "confidence": "recordings; how sure the model is",
}
_STATES = {
    "lost": "missing or doubled",
    "altered": "saying other words",
    "left_out": "too short for their words",
    "unscored": "without a finite loss",
}


def build_section(facts: Facts) -> dict[str, Any]:
    """Build the tables of the page's section on the audit; each empty where it was not measured."""
    verdict = facts.verdict
    return {
        "extraction": _extraction(verdict.get("extraction") or {}),
        "membership": _membership(verdict.get("membership") or {}),
        "membership_note": _note(verdict.get("membership") or {}),
        "survival": [*_survival(verdict.get("survival") or {}), *_published(verdict.get("published") or {})],
        "stress": [
            (format_value(name), format_number(found.get("auc")), format_number(found.get("median_exposure_bits")))
            for name, found in (verdict.get("stress") or {}).items()
        ],
        "comparison": _comparison(facts.comparison),
    }


def _extraction(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A row an attack: out of the private model, of phrases that stayed out, of the baseline."""
    rows: list[tuple[str, ...]] = []
    for place, mine in enumerate(found.get("private", ())):
        told = (format_value(mine["attack"]), _hits(mine["planted"]), _hits(mine["controls"]))
        baseline = found["baseline"][place]["planted"] if "baseline" in found else {}  # which a release has not
        rows.append((*told, _hits(baseline)))
    return rows


def _hits(hits: Mapping[str, Any]) -> str:
    found, tries, most = (hits.get(name) for name in ("hits", "tries", "at_most"))
    return f"{format_number(found)} of {format_number(tries)} (at most {format_percent(most)})"


def _membership(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """A row an attacker: the share of members told at 1 % false alarms, and at most."""
    if not {"private", "baseline"} <= found.keys():
        return []
    return [
        (label, _told(found["private"][name]), _told(found["baseline"][name]))
        for name, label in _ATTACKERS.items()
        if name in found["private"]
    ]


def _told(told: Mapping[str, Any]) -> str:
    return f"{format_percent(told.get('named'))} (at most {format_percent(told.get('named_at_most'))})"


def _note(found: Mapping[str, Any]) -> str:
    if "not_measured" in found:
        return format_value(found["not_measured"])
    private = found.get("private") or {}
    if not private:
        return ""
    sides = (
        f"{format_number(private.get('members'))} who took part, {format_number(private.get('others'))} who did not."
    )
    return " ".join([sides, *(f"But {format_value(note)}." for note in private.get("notes", ()))])


def _survival(found: Mapping[str, Any]) -> list[str]:
    """Sentences: planted phrases on their way to training, and personal ones on their way out."""
    if not found:
        return []
    planted = sum(to_finite(found.get(state)) or 0 for state in ("whole", *_STATES))
    said = [f"{format_number(found.get('whole'))} of {format_number(planted)} planted phrases reached training whole"]
    said += [f"{format_number(found[state])} {label}" for state, label in _STATES.items() if found.get(state)]
    told = ["; ".join(said) + "."]
    personal, missed = found.get("personal") or {}, found.get("missed") or {}
    if personal:
        kinds = (
            f"{format_value(kind)} {format_number(missed.get(kind, 0))} of {format_number(count)}"
            for kind, count in personal.items()
        )
        told.append(f"Synthetic personal data, planted before scrubbing and left after it: {', '.join(kinds)}.")
    return told


def _published(found: Mapping[str, Any]) -> list[str]:
    """Sentences: what the table of phrases, from which the model learned first, tells on single
    people.
    """
    if not found:
        return []
    count = {name: format_number(value) for name, value in found.items()}
    said = f"{count.get('phrases')} phrases of many were published"
    if not {"of_one_unit", "planted_seen", "spread_seen"} <= count.keys():  # they are not released
        return [f"{said}."]
    told = [f"{said}; {count['of_one_unit']} of them one unit alone says."]
    told.append(f"Planted phrases seen among them: {count['planted_seen']} of {count['planted']}.")
    if found.get("spread"):
        told.append(f"Of those spread over several units each: {count['spread_seen']} of {count['spread']}.")
    return told


def _comparison(found: Mapping[str, Any]) -> dict[str, Any]:
    """Median exposure by repeats for other ways to train on the same corpus, if
    `benchmarks/exposure.py` was run.
    """
    tiers = [f"{format_number(tier)} ×" for tier in found.get("repeats", ())]
    rows = [
        (
            format_value(name),
            *(format_number(bits) for bits in way["median_bits"]),
            format_number(way["auc"]),
            format_value(way["verdict"]),
        )
        for name, way in (found.get("ways") or {}).items()
    ]
    return {"header": ["training", *tiers, "AUC", "verdict"], "rows": rows} if rows else {}
