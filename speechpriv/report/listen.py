"""The second page, for those who may hear the recordings: what was done to them, and how training
went on them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speechpriv import store
from speechpriv.report import plots, samples, view
from speechpriv.report.plots import Frame, Mark, Plot, to_finite
from speechpriv.report.words import format_number

Curve = tuple[str, str, Plot]  # title, caption, picture


def build_page(private: Path, name: str, unit: str, clip_norm: float | None) -> dict[str, Any]:
    """Build everything that the page shows, of the private directory of the run `name`."""
    history = private / "train" / "history.json"
    seen = store.read_json(history) if history.is_file() else []
    return {
        "name": name,
        "unit": unit,
        "samples": view.list_players(samples.pick_samples(private)),
        "curves": read_curves(seen, clip_norm),
    }


def read_curves(history: Sequence[Mapping[str, Any]], clip_norm: float | None) -> list[Curve]:
    """Return what private training saw by step: the share of its cohort that was cut, and how long
    gradients were.

    Args:
      history: a mapping a step, see `train.finetune`.
      clip_norm: to which the gradients were cut, where it is known.
    """
    clipped, norms, sizes = [], [], []
    for step, row in enumerate(history, start=1):
        cohort, cut, norm = (to_finite(row.get(name)) for name in ("cohort", "clipped", "median_norm"))
        if cohort is not None:
            sizes.append((float(step), cohort))
        if cohort and cut is not None:
            clipped.append((float(step), cut / cohort))
        if norm is not None:
            norms.append((float(step), norm))
    level = None if clip_norm is None else Mark("clip norm", clip_norm, format_number(clip_norm))
    drawn = (
        ("clipped", "Share that was cut", "Of each step's cohort", "share", clipped, None),
        ("norms", "Size of gradients", "Median of each step's cohort, before it is cut", "L2 norm", norms, level),
        ("cohorts", "Cohort", "How many were drawn for each step", "units", sizes, None),
    )
    return [
        (
            title,
            caption,
            plots.draw_curve(Frame(name, title, f"{caption}: {_ends(points)}.", measure), points, reference),
        )
        for name, title, caption, measure, points, reference in drawn
        if points
    ]


def _ends(points: Sequence[tuple[float, float]]) -> str:
    return f"{format_number(points[0][1])} at the first step, {format_number(points[-1][1])} at the last"
