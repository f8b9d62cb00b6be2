import math
import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv.report import plots
from speechpriv.report.plots import Frame, Mark, to_finite

FRAME = Frame("plot", "A title", "A description.", "measure")
CHANCE = Mark("chance", 1.0, "1 bit")
LEVELS = st.floats(0, 1e9, allow_nan=False)


def parsed(plot):
    return ET.fromstring(plot.svg)


def drawn(plot, name, style):
    return [element for element in parsed(plot).iter(name) if style in element.get("class", "").split()]


def test_finite_takes_numbers_only():
    assert [to_finite(value) for value in (3, 2.5, -1)] == [3.0, 2.5, -1.0]
    assert [to_finite(value) for value in (None, "3", True, math.nan, math.inf, [], 10**400)] == [None] * 7


def test_bars_are_as_long_as_their_values():
    plot = plots.draw_bars(
        FRAME, [Mark("a", 10, "ten"), Mark("b", 5, "five"), Mark("c", None, "?"), Mark("d", -3, "-3")]
    )
    assert [float(bar.get("width")) for bar in drawn(plot, "rect", "fill")] == [400, 200, 0, 0]
    assert plot.rows == (("a", "ten"), ("b", "five"), ("c", "?"), ("d", "-3"))


def test_bars_stay_inside_a_given_scale():
    plot = plots.draw_bars(FRAME, [Mark("a", 0.25, "25 %"), Mark("b", 1.5, "150 %")], maximum=1)
    assert [float(bar.get("width")) for bar in drawn(plot, "rect", "fill")] == [100, 400]


def test_bars_of_nothing_are_empty():
    assert drawn(plots.draw_bars(FRAME, [Mark("a", 0, "0")]), "rect", "fill")[0].get("width") == "0.0"


def test_dots_stand_on_one_axis_with_the_reference():
    plot = plots.draw_dots(FRAME, [Mark("a", 2, "2", "private"), Mark("b", None, "?")], Mark("claim", 8.0, "claimed"))
    (dot,), (line,) = drawn(plot, "circle", "fill"), drawn(plot, "line", "reference")
    assert float(dot.get("cx")) == pytest.approx(10 + 380 * 2 / 8)
    assert float(line.get("x1")) == pytest.approx(390)
    assert plot.rows[-1] == ("claim", "claimed")


def test_strip_shows_every_value_and_the_median():
    plot = plots.draw_strip(FRAME, [("1", [1.0, 2.0, 9.0]), ("2", [])], tone="private", maximum=10, reference=CHANCE)
    heights = sorted(float(dot.get("cy")) for dot in drawn(plot, "circle", "fill"))
    assert heights == pytest.approx([45, 178, 197])  # the axis runs from 216 for 0 up to 26 for 10
    assert [float(bar.get("y1")) for bar in drawn(plot, "line", "median")] == pytest.approx([178])
    assert plot.rows == (("1", "3", "2.0", "9.0"), ("2", "0", "-", "-"))


def test_the_baseline_has_another_shape_not_only_another_colour():
    plot = plots.draw_strip(FRAME, [("1", [1.0])], tone="baseline", maximum=2, reference=CHANCE)
    assert not drawn(plot, "circle", "fill")
    assert len(drawn(plot, "path", "outline")) == 1


def test_stairs_never_show_less_than_is_spent():
    points = [(10, 4.0), (0, 0.0), (5, 2.0)]
    plot = plots.draw_curve(FRAME, points, Mark("claim", 4.0, "4"), stairs=True)
    (curve,) = drawn(plot, "path", "curve")
    assert curve.get("d") == "M30.0 216.0V121.0H211.0V26.0H392.0"  # between two steps, what the later one has
    assert plot.rows == (("0", "0"), ("5", "2"), ("10", "4"))
    (curve,) = drawn(plots.draw_curve(FRAME, points), "path", "curve")
    assert curve.get("d") == "M30.0 216.0L211.0 121.0L392.0 26.0"


def test_a_bar_may_begin_where_another_ended():
    plot = plots.draw_bars(
        FRAME, [Mark("all", 100, "100"), Mark("lost", 100, "- 25", low=75), Mark("few", 75, "0", low=75)]
    )
    bars = drawn(plot, "rect", "fill")
    assert [(float(bar.get("x")), float(bar.get("width"))) for bar in bars] == [(0, 400), (300, 100), (300, 2)]


def test_an_interval_is_drawn_from_its_lower_to_its_upper_end():
    plot = plots.draw_dots(FRAME, [Mark("a", 0.5, "half", low=0.25, high=1.0), Mark("b", 0.5, "half")])
    (line,) = drawn(plot, "line", "interval")
    assert (float(line.get("x1")), float(line.get("x2"))) == (105, 390)


def test_hundred_fills_as_many_as_it_says():
    for marked in (0, 1, 25, 100):
        plot = plots.draw_hundred(FRAME, marked)
        assert (len(drawn(plot, "circle", "one")), len(drawn(plot, "circle", "none"))) == (marked, 100 - marked)


def test_labels_are_text_not_markup():
    mark = Mark("<b>&\"'", 1.0, "</svg><script>")
    for plot in (
        plots.draw_bars(Frame('"', "<i>", "&amp;", "<u>"), [mark]),
        plots.draw_dots(Frame('"', "<i>", "&amp;", "<u>"), [mark], mark),
        plots.draw_strip(
            Frame('"', "<i>", "&amp;", "<u>"), [("<s>", [1.0])], tone="baseline", maximum=2, reference=mark
        ),
    ):
        assert {element.tag for element in parsed(plot).iter()} <= {
            "svg", "title", "desc", "g", "rect", "line", "circle", "path", "text"
        }  # fmt: skip
        assert parsed(plot).find("desc").text == "&amp;"


def test_title_and_description_are_named_for_screen_readers():
    svg = parsed(plots.draw_hundred(FRAME, 3))
    assert [svg[0].tag, svg[1].tag] == ["title", "desc"]
    assert svg.get("aria-labelledby").split() == [svg[0].get("id"), svg[1].get("id")]


@settings(max_examples=50, deadline=None)
@given(st.lists(LEVELS, max_size=30), st.lists(LEVELS, min_size=1, max_size=30))
def test_whatever_the_values_marks_stay_inside(values, line):
    strip = plots.draw_strip(FRAME, [("1", values)], tone="private", maximum=max([*values, 1]), reference=CHANCE)
    steps = plots.draw_curve(FRAME, list(enumerate(line)), CHANCE)
    for plot in (strip, steps):
        _, _, width, height = map(float, parsed(plot).get("viewBox").split())
        for dot in parsed(plot).iter("circle"):
            assert 0 <= float(dot.get("cx")) <= width
            assert 0 <= float(dot.get("cy")) <= height


def test_long_series_are_thinned():
    strip = plots.draw_strip(FRAME, [("1", [1.0] * 1_000)], tone="private", maximum=2, reference=CHANCE)
    steps = plots.draw_curve(FRAME, [(float(i), float(i)) for i in range(1_000)], CHANCE)
    assert [len(list(parsed(plot).iter("circle"))) for plot in (strip, steps)] == [240, 240]
    assert strip.rows == (("1", "1000", "1.0", "1.0"),)  # of all, not of those that are drawn
    assert len(steps.rows) == 24


@given(st.floats(1e-6, 1e12))
def test_axes_have_few_round_ticks(maximum):
    ticks = plots._ticks(maximum)
    assert ticks[0] == 0
    assert ticks[-1] >= maximum * (1 - 1e-9)
    assert ticks[-2] < maximum
    assert 4 <= len(ticks) <= 8
    assert re.fullmatch(r"[125]0*", f"{ticks[1] / 10 ** math.floor(math.log10(ticks[1]) + 1e-9):.0f}")


@given(st.lists(st.integers(), max_size=100), st.integers(2, 30))
def test_thinning_keeps_order_and_both_ends(values, most):
    thinned = plots._thin(values, most)
    assert len(thinned) == min(len(values), most)
    assert thinned[:1] == values[:1]
    assert thinned[-1:] == values[-1:]
    remaining = iter(values)
    assert all(value in remaining for value in thinned)


def test_whiskers_reach_from_low_to_high_and_only_private_values_are_joined():
    columns = [
        plots.Column("1", 0.5, 0.4, 0.6, (0.45, 0.55)),
        plots.Column("8", 0.3, 0.2, 0.4),
        plots.Column("none", 0.1, 0.05, 0.15, tone="baseline"),
    ]
    plot = plots.draw_whiskers(FRAME, columns, "epsilon", Mark("base", 0.6, "0.6"))
    line, *bars = [path.get("d") for path in drawn(plot, "path", "curve")]
    assert line.count("L") == 1
    heights = [float(bar.split("V")[0].split()[1]) - float(bar.split("V")[1]) for bar in bars]
    assert heights[0] == pytest.approx(heights[1], abs=0.2)
    assert heights[0] == pytest.approx(2 * heights[2], abs=0.3)
    assert plot.rows[0] == ("1", "0.500 (0.400 to 0.600)")
    assert len(drawn(plot, "line", "reference")) == 1


def test_a_picture_can_stand_alone():
    plot = plots.draw_whiskers(FRAME, [plots.Column("1", 0.5, 0.4, 0.6)], "epsilon", Mark("base", None, "-"))
    root = ET.fromstring(plots.make_standalone(plot, "circle { fill: red; }"))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "fill: red" in root.find("{http://www.w3.org/2000/svg}style").text
