"""The curve of privacy against accuracy: its intervals, its files, what is kept."""

import csv
import math
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from speechpriv.errors import DataError
from speechpriv.report import tradeoff
from speechpriv.report.tradeoff import Point


def points(units=80, seeds=2, epsilons=(0.0, 1.0, 8.0, math.inf)):
    """Units with ten words each, of which more are wrong where epsilon is small."""
    rng = np.random.default_rng(0)
    rates = dict(zip(epsilons, np.linspace(0.7, 0.2, len(epsilons)), strict=True))
    return [
        Point(epsilon, seed, {f"u{unit}": (float(rng.binomial(10, rate)), 10.0) for unit in range(units)})
        for epsilon, rate in rates.items()
        for seed in range(1 if epsilon == 0 else seeds)
    ]


def test_the_figure_is_the_mean_over_seeds_of_the_pooled_rate():
    few = [Point(1.0, 0, {"a": (1, 10), "b": (9, 30)}), Point(1.0, 1, {"a": (4, 10), "b": (16, 30)})]
    (level,) = tradeoff.group_by_epsilon(few, tradeoff.word_error_rate, draws=50)
    assert level.by_seed == (0.25, 0.5)
    assert level.mean == 0.375
    assert level.low <= level.mean <= level.high
    assert level.units == 2


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """And one of a tenth of the width does not: the test can fail."""
    rng, covered, narrow = np.random.default_rng(1), [], []
    for _ in range(120):
        units = {f"u{i}": (float(rng.binomial(10, 0.4)), 10.0) for i in range(60)}
        (level,) = tradeoff.group_by_epsilon([Point(1.0, 0, units)], tradeoff.word_error_rate, draws=200)
        covered.append(level.low <= 0.4 <= level.high)
        narrow.append(abs(level.mean - 0.4) <= (level.high - level.low) / 20)
    assert np.mean(covered) > 0.88
    assert np.mean(narrow) < 0.5


def test_other_statistics_of_pairs_are_drawn_too():
    """As the area under the curve of (label, score), which is not defined where a drawing has one class."""

    def auroc(pairs):
        positive, negative = pairs[pairs[:, 0] == 1, 1], pairs[pairs[:, 0] == 0, 1]
        return float((positive[:, None] > negative).mean()) if len(positive) and len(negative) else math.nan

    (level,) = tradeoff.group_by_epsilon(
        [Point(2.0, 0, {"a": (1, 0.9), "b": (0, 0.2), "c": (0, 0.3)})], auroc, draws=100
    )
    assert level.mean == level.low == level.high == 1


def test_unlike_units_are_refused():
    unlike = [Point(1.0, 0, {"a": (1, 2)}), Point(1.0, 1, {"b": (1, 2)})]
    with pytest.raises(DataError, match="epsilon 1"):
        tradeoff.group_by_epsilon(unlike, tradeoff.word_error_rate)
    with pytest.raises(DataError, match="0 test units"):
        tradeoff.group_by_epsilon([Point(1.0, 0, {})], tradeoff.word_error_rate)


def test_files_say_the_same_as_the_levels(tmp_path):
    found = tradeoff.group_by_epsilon(points(), tradeoff.word_error_rate, draws=100)
    tradeoff.write_curve(tmp_path, found, "word error rate", "A title")
    rows = list(csv.DictReader((tmp_path / "curve.csv").read_text().splitlines()))
    assert [float(row["epsilon"]) for row in rows] == [0, 1, 8, math.inf]
    assert [int(row["seeds"]) for row in rows] == [1, 2, 2, 2]
    assert [float(row["mean"]) for row in rows] == pytest.approx([level.mean for level in found], abs=1e-4)
    assert all(float(row["low"]) <= float(row["mean"]) <= float(row["high"]) for row in rows)
    svg = (tmp_path / "curve.svg").read_text()
    root = ET.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    labels = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"1", "8", "none"} <= set(labels)
    assert not {"u1", "u2"} & set(svg.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curve.csv", "curve.svg"]


def test_one_point_alone_can_be_drawn(tmp_path):
    found = tradeoff.group_by_epsilon(points()[:1], tradeoff.word_error_rate, draws=20)
    tradeoff.write_curve(tmp_path, found, "word error rate", "A title")
    ET.fromstring((tmp_path / "curve.svg").read_text())


@pytest.mark.parametrize("epsilon", [0.0, 0.5, math.inf])
def test_a_point_is_read_as_it_was_kept_and_no_other_is(tmp_path, epsilon):
    point, path = Point(epsilon, 2, {"a": (1.0, 10.0)}), tmp_path / "curve" / "point.json"
    assert tradeoff.read_point(path, "same") is None
    tradeoff.keep_point(path, "same", point)
    assert tradeoff.read_point(path, "same") == point
    assert tradeoff.read_point(path, "another") is None
