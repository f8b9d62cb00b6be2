"""Rows in, rows out, stage by stage: what was dropped and why, what was planted, and what nobody
can account for.

A stage's rows come from the stage before it, so that what the two say must agree; where it does
not, the rest is shown as what it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from speechpriv.progress import console
from speechpriv.report import facts as run_facts
from speechpriv.report.facts import Facts
from speechpriv.report.plots import to_finite
from speechpriv.report.words import MOST_ITEMS, format_number, format_value

PROBES, CANARIES, TEST = "synthetic personal phrases", "canaries", "kept for testing"
# Stages on the way to training, with the counts of what each lets through, adds and removes.
_WAY: tuple[tuple[str, str, Mapping[str, str], Mapping[str, str]], ...] = (
    ("ingest", "rows_kept", {}, {}),
    ("personal", "rows", {PROBES: "rows_added"}, {}),
    ("scrub", "rows", {}, {}),
    ("anonymize", "rows", {}, {}),
    ("plant", "rows", {CANARIES: "rows_planted"}, {PROBES: "rows_removed"}),
)
TRAINED = ("baseline", "train")  # both from what `plant` made
# Others, with the counts of what each was given and of what is left of it.
_BESIDE = (
    ("evaluate", ("baseline", "rows_test"), "utterances"),
    ("survival", ("survival", "planted"), "whole"),
    ("attackers", ("attackers", "rows_in"), "rows"),
)
_LABELS = {"survival": "survival (canaries)", "attackers": "attackers (a sample)"}


@dataclass(frozen=True)
class Step:
    """What became of the rows that a stage was given.

    Attributes:
      stage: its name.
      rows_in: how many there were.
      rows_out: how many were left.
      dropped: by reason.
      added: synthetic ones, by kind.
      removed: rows that go another way, by kind.
    """

    stage: str
    rows_in: int
    rows_out: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    added: Mapping[str, int] = field(default_factory=dict)
    removed: Mapping[str, int] = field(default_factory=dict)

    @property
    def unexplained(self) -> int:
        """Rows that are there (above 0) or gone (below 0) for no reason that the stage states."""
        told = sum(self.added.values()) - sum(self.removed.values()) - sum(self.dropped.values())
        return self.rows_out - self.rows_in - told

    def changes(self) -> str:
        """Return all between in and out, in words: the numbers add up."""
        parts = (
            [f"{format_number(total)} dropped ({_listed(self.dropped)})"]
            if (total := sum(self.dropped.values()))
            else []
        )
        parts += [f"{format_number(count)} {kind} added" for kind, count in self.added.items() if count]
        parts += [
            f"{format_number(count)} {kind}{'' if kind == TEST else ' taken out'}"
            for kind, count in self.removed.items()
            if count
        ]
        if self.unexplained:
            way = "too many" if self.unexplained > 0 else "missing"
            parts.append(f"{format_number(abs(self.unexplained))} {way}, not accounted for")
        return "; ".join(parts)


def list_way(facts: Facts) -> list[Step]:
    """List the stages from the source to training, as far as they have run; training is that of one
    of both models.
    """
    found: list[Step] = []
    left = _count(facts, "ingest", "rows_read")
    for stage, out, added, removed in _WAY:
        if left is not None and (rows_out := _count(facts, stage, out)) is not None:
            found.append(_step(facts, stage, left, rows_out, added, removed))
            left = rows_out
    return [*found, *_trained(facts, left)[:1]]


def list_steps(facts: Facts) -> list[Step]:
    """List the stages of `list_way`, the other training, and the stages beside it that look at some
    of the rows.
    """
    found = list_way(facts)
    if found and found[-1].stage in TRAINED:
        found += _trained(facts, found[-1].rows_in)[1:]
    for stage, (source, came), out in _BESIDE:
        rows_in, rows_out = _count(facts, source, came), _count(facts, stage, out)
        if found and rows_in is not None and rows_out is not None:
            found.append(_step(facts, stage, rows_in, rows_out))
    return found


def build_table(facts: Facts) -> list[tuple[str, str, str, str]]:
    """Build the table: stage, rows in, rows out, and what lies between."""
    return [
        (_LABELS.get(one.stage, one.stage), format_number(one.rows_in), format_number(one.rows_out), one.changes())
        for one in list_steps(facts)
    ]


def print_table(run_dir: Path) -> None:
    """Print the table of a run, if it has read rows."""
    told = render_text(run_facts.read_facts(run_dir))
    if told:
        console.print(told, markup=False, highlight=False, soft_wrap=True)


def render_text(facts: Facts) -> str:
    """Render the table for a terminal or a log; empty where no stage has read rows."""
    rows = [("rows", "in", "out", ""), *build_table(facts)]
    widest = max(len(row[0]) for row in rows)
    return "\n".join(f"{a:<{widest}} {b:>10} {c:>10}  {d}".rstrip() for a, b, c, d in rows) if len(rows) > 1 else ""


def _trained(facts: Facts, planted: int | None) -> list[Step]:
    came = [(stage, planted, _count(facts, stage, "rows")) for stage in TRAINED]
    return [
        _step(facts, stage, rows_in, rows_out, removed={TEST: "rows_test"})
        for stage, rows_in, rows_out in came
        if rows_in is not None and rows_out is not None
    ]


def _step(
    facts: Facts, stage: str, rows_in: int, rows_out: int,
    added: Mapping[str, str] = MappingProxyType({}), removed: Mapping[str, str] = MappingProxyType({}),
) -> Step:  # fmt: skip
    counts = facts.counts(stage)
    named = [{kind: _whole(counts.get(name)) for kind, name in kinds.items()} for kinds in (added, removed)]
    return Step(stage, rows_in, rows_out, _dropped(facts, stage), *named)


def _dropped(facts: Facts, stage: str) -> dict[str, int]:
    """By reason; what follows a colon in a reason is about single rows and stays out."""
    counts = facts.counts(stage)
    told = counts.get("dropped", counts.get("quarantined"))  # ingest's own name for it
    found: dict[str, int] = {}
    for reason, count in (told if isinstance(told, Mapping) else {}).items():
        short = format_value(str(reason).partition(":")[0].replace("_", " ").lower())
        found[short] = found.get(short, 0) + _whole(count)
    return found


def _count(facts: Facts, stage: str, name: str) -> int | None:
    found = facts.counts(stage).get(name)
    return None if to_finite(found) is None else _whole(found)


def _whole(count: Any) -> int:
    return int(to_finite(count) or 0)


def _listed(reasons: Mapping[str, int]) -> str:
    ranked = sorted(reasons.items(), key=lambda item: -item[1])
    said = [f"{format_number(count)} {reason}" for reason, count in ranked[:MOST_ITEMS]]
    rest = ranked[MOST_ITEMS:]
    return ", ".join(
        [*said, f"{format_number(sum(count for _, count in rest))} of {len(rest)} other kinds"] if rest else said
    )
