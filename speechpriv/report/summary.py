"""The report in few words: Markdown for a pull request, JSON for programs, and several runs beside
one another.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from speechpriv.report import pictures
from speechpriv.report.facts import Facts
from speechpriv.report.plots import to_finite
from speechpriv.report.words import (
    format_duration,
    format_lines,
    format_number,
    format_percent,
    format_size,
    format_value,
)


@dataclass(frozen=True)
class Line:
    """One figure of several runs, as text."""

    label: str
    cells: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether the runs disagree."""
        return len(set(self.cells)) > 1


def collect_figures(facts: Facts) -> dict[str, Any]:
    """Collect all that the page shows in numbers, as plain values: counts, claim, accuracy, audit,
    what is shipped.
    """
    return {
        "run": facts.name,
        "verdict": facts.verdict.get("verdict"),
        "claim": facts.claim.model_dump(mode="json") if facts.claim else None,
        "sentence": facts.claim.sentence() if facts.claim else None,
        "accuracy": facts.figures,
        "audit": facts.verdict,
        "exposures": facts.exposures,
        "epsilon_by_step": facts.epsilon_by_step,
        "public_wer_by_step": facts.wer_by_step,
        "phrases": dict(pictures.draw_published(facts)),
        "rehearsal": facts.rehearsal,
        "counts": {stage: counts for stage in facts.stages if (counts := _told(facts.counts(stage)))},
        "seconds": _seconds(facts),
        "bundle": {**facts.bundle.get("counts", {}), "bytes": dict(facts.sizes_bytes)},
    }


def _told(counts: Mapping[str, Any]) -> dict[str, Any]:
    """Counts of a stage without its warnings, which are for the owner of the recordings."""
    return {name: value for name, value in counts.items() if name != "warnings"}


def to_json(facts: Facts) -> str:
    """Return `collect_figures` as JSON; what is infinite is null there."""
    return json.dumps(_plain(collect_figures(facts)), indent=2, allow_nan=False) + "\n"


def render_markdown(facts: Facts) -> str:
    """Render a summary for a pull request: verdict, claim, accuracy, audit, what is shipped."""
    verdict = format_value(facts.verdict.get("verdict", "NOT AUDITED"))
    rows = [(line.label, line.cells[0]) for line in compare_runs([facts])]
    told = [
        f"### {verdict}: {facts.name}",
        facts.claim.sentence() if facts.claim else "No privacy guarantee: private training has not run.",
        pictures.describe_cost(facts),
        "\n".join(f"- {reason}" for reason in format_lines(facts.verdict.get("reasons"))),
        "\n".join(["| | |", "|---|---|", *(f"| {label} | {_cell(value)} |" for label, value in rows)]),
    ]
    return "\n\n".join(part for part in told if part) + "\n"


def compare_runs(runs: Sequence[Facts]) -> list[Line]:
    """Return the figures that decide between runs, a line each; lines that no run has are left out."""
    found = [_figures(facts) for facts in runs]
    labels = dict.fromkeys(label for one in found for label in one)
    return [Line(label, tuple(one.get(label, "-") for one in found)) for label in labels]


def _figures(facts: Facts) -> dict[str, str]:
    """One run's lines, by label."""
    claim, private = facts.claim, facts.verdict.get("private") or {}
    told = {"verdict": format_value(facts.verdict.get("verdict", "NOT AUDITED"))}
    if claim:
        told |= {
            "epsilon, delta": f"{format_number(claim.epsilon)}, {format_number(claim.delta)}",
            "all releases from these recordings": f"epsilon {format_number(claim.composed_epsilon)}",
            "protected unit": format_value(claim.unit),
            "mu (Gaussian DP)": format_number(claim.mu_gdp),
            "members named at 1 % false alarms, at most": f"{claim.named_of_100()} %",
        }
    for name, label, _ in pictures.MODELS:
        if name in facts.figures:
            measure, value = ("AUROC", "auroc") if pictures.gives_labels(facts) else ("word error rate", "wer")
            told[f"{measure}, {label.lower()}"] = format_percent(facts.figures[name].get(value))
    if private:
        told["audit: AUC of planted phrases"] = format_number(private.get("auc"))
        told["audit: epsilon, lower bound"] = format_number(private.get("epsilon_lower_bound"))
    for stage, name, label in (
        ("ingest", "units_train", "units trained on"),
        ("ingest", "rows_kept", "recordings taken in"),
        ("scrub", "utterances_changed", "utterances with personal data"),
    ):
        if name in facts.counts(stage):
            told[label] = format_number(facts.counts(stage)[name])
    if facts.sizes_bytes:
        told["bundle"] = format_size(sum(facts.sizes_bytes.values()))
    seconds = [to_finite(taken) or 0.0 for taken in _seconds(facts).values()]
    return told | ({"time, all stages": format_duration(sum(seconds))} if seconds else {})


def _seconds(facts: Facts) -> dict[str, Any]:
    """How long each stage took; a release does not tell."""
    times = ((stage, manifest.get("duration_s")) for stage, manifest in facts.stages.items())
    return {stage: seconds for stage, seconds in times if seconds is not None}


def _plain(value: Any) -> Any:
    """JSON knows no infinity."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and to_finite(value) is None else value


def _cell(value: str) -> str:
    """Text that ends no table cell."""
    return value.replace("|", "\\|")
