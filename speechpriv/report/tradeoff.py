"""Privacy against accuracy: figures with intervals by epsilon, from what each training got of each
test unit.
"""

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from speechpriv import store
from speechpriv.errors import DataError
from speechpriv.report import plots
from speechpriv.report.plots import Column, Frame, Mark

_DRAWS = 2000
_CONFIDENCE = 0.95

Statistic = Callable[[np.ndarray], float]  # of pairs, shape (U, 2), one a test unit


@dataclass(frozen=True)
class Point:
    """One training: what it got of each test unit, as a pair of numbers that the statistic
    understands.

    Epsilon 0 is the base as it is, infinity ordinary training.
    """

    epsilon: float
    seed: int
    units: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Level:
    """The figure at one epsilon: the mean over seeds, its interval over test units, and each seed's
    own.
    """

    epsilon: float
    mean: float
    low: float
    high: float
    by_seed: tuple[float, ...]
    units: int


def word_error_rate(counts: np.ndarray) -> float:
    """Return errors per word of units with (errors, words) each, shape (U, 2)."""
    errors, words = counts.sum(axis=0)
    return float(errors / words) if words else math.nan


def group_by_epsilon(points: Sequence[Point], statistic: Statistic, draws: int = _DRAWS) -> list[Level]:
    """Return the points by epsilon, smallest first.

    The interval is a percentile bootstrap over test units, the same units drawn for every seed: it
    says how the mean over these seeds would vary with other test people. What another training
    would get, the seeds themselves show.

    Raises:
      DataError: points of one epsilon were measured on different units, or on none.
    """
    rng, found = np.random.default_rng(0), []
    for epsilon in sorted({point.epsilon for point in points}):
        same = [point for point in points if point.epsilon == epsilon]
        units = sorted(same[0].units)
        if not units or any(sorted(point.units) != units for point in same):
            raise DataError(
                f"epsilon {epsilon:g}: {len(units)} test units in one training and others in another; expected the "
                "same ones, at least one. Delete the cached points and draw the curve again."
            )
        measured = np.array([[point.units[unit] for unit in units] for point in same], dtype=float)  # (S, U, 2)
        by_seed = tuple(statistic(counts) for counts in measured)
        drawn = [
            np.mean([statistic(counts) for counts in measured[:, rng.integers(len(units), size=len(units))]])
            for _ in range(draws)
        ]
        tail = (1 - _CONFIDENCE) / 2
        # A drawing may hold one class only, of which some statistics are not defined.
        low, high = np.nanquantile(drawn, [tail, 1 - tail])
        found.append(Level(epsilon, float(np.mean(by_seed)), float(low), float(high), by_seed, len(units)))
    return found


def write_curve(directory: Path, found: Sequence[Level], measure: str, title: str) -> None:
    """Write `curve.csv` and `curve.svg`, each whole or not at all."""
    directory.mkdir(parents=True, exist_ok=True)
    temporary = directory / ".curve.csv.new"
    with temporary.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("epsilon", "measure", "mean", "low", "high", "seeds", "least", "most", "test_units"))
        for level in found:
            shown = (f"{value:.4f}" for value in (level.mean, level.low, level.high))
            ends = (f"{end(level.by_seed):.4f}" for end in (min, max))
            rows.writerow((f"{level.epsilon:g}", measure, *shown, len(level.by_seed), *ends, level.units))
    temporary.replace(directory / "curve.csv")
    temporary = directory / ".curve.svg.new"
    temporary.write_text(draw_picture(found, measure, title), encoding="utf-8")
    temporary.replace(directory / "curve.svg")


def draw_picture(found: Sequence[Level], measure: str, title: str) -> str:
    """Draw the curve as a file of its own, light and dark as its reader has it."""
    base = next((level for level in found if level.epsilon == 0), None)
    columns = [
        Column(
            "none" if level.epsilon == math.inf else f"{level.epsilon:g}", level.mean, level.low, level.high,
            level.by_seed, "baseline" if level.epsilon == math.inf else "private",
        )
        for level in found if level.epsilon > 0
    ]  # fmt: skip
    seeds, units = max(len(level.by_seed) for level in found), max(level.units for level in found)
    said = f"{measure} against epsilon; 95 % over {units} test units, a small dot a training, up to {seeds} each"
    reference = Mark("base", base.mean, f"{base.mean:.3f}") if base else Mark("base", None, "-")
    plot = plots.draw_whiskers(Frame("curve", title, f"{said}.", measure), columns, "epsilon", reference)
    return plots.make_standalone(plot, resources.files("speechpriv.report").joinpath("style.css").read_text())


def read_point(path: Path, identity: str) -> Point | None:
    """Read a point that was kept, if it is there and the same."""
    found = store.read_json(path) if path.is_file() else {}
    if found.get("identity") != identity:
        return None
    units = {unit: (float(one), float(two)) for unit, (one, two) in found["units"].items()}
    return Point(float(found["epsilon"]), int(found["seed"]), units)


def keep_point(path: Path, identity: str, point: Point) -> None:
    """Keep a point, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    units = {unit: list(map(float, pair)) for unit, pair in point.units.items()}
    store.write_json(path, {"identity": identity, "epsilon": f"{point.epsilon:g}", "seed": point.seed, "units": units})
