"""Plots as inline SVG: pure functions from numbers to a picture and the table that says the same in
words.

Colours are classes, so that the page's light and dark style apply. A picture is 400 units wide,
narrow enough for its text to stay readable on a phone. Every mark has a <title>, which browsers
show on hover; no script is needed.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from markupsafe import Markup, escape

Tone = Literal["private", "baseline", "base", "plain"]
WIDTH = 400
_MAX_POINTS = 240  # of a line or a column of dots: more cannot be told apart and would only make the page large
_TABLE_ROWS = 24
_LARGEST = 1e100  # beyond it, as beyond infinity and for NaN, there is nothing to draw


@dataclass(frozen=True)
class Plot:
    """A picture and its data table."""

    svg: Markup
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Mark:
    """One labelled value.

    Attributes:
      label: what it is the value of.
      value: where to draw it; None where there is nothing to draw.
      text: how it reads.
      tone: its colour and shape.
      low: where its bar begins, if not at zero; or the lower end of its interval.
      high: the upper end of its interval.
    """

    label: str
    value: float | None
    text: str
    tone: Tone = "plain"
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Column:
    """A value with its interval, at a place on the horizontal axis, and the single values behind
    it.
    """

    label: str
    value: float
    low: float
    high: float
    singles: tuple[float, ...] = ()
    tone: Tone = "private"


@dataclass(frozen=True)
class Place:
    """A labelled point, with the interval of its height."""

    label: str
    x: float
    y: float
    low: float | None
    high: float | None
    text: str


@dataclass(frozen=True)
class Frame:
    """What every picture needs: an id unique on the page, a title, a one-sentence description, what
    is measured.
    """

    id: str
    title: str
    description: str
    measure: str = ""


def to_finite(value: Any) -> float | None:
    """Return the value as a float if it is a number that can be drawn, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
        return None
    return float(value)


def draw_bars(frame: Frame, marks: Sequence[Mark], maximum: float | None = None) -> Plot:
    """Draw horizontal bars, each under its label and its value; `maximum` defaults to the largest
    value.
    """
    scale = maximum or max((mark.value or 0 for mark in marks), default=0) or 1

    def x(value: float | None) -> float:
        return WIDTH * min(max(value or 0, 0) / scale, 1)

    body = []
    for index, mark in enumerate(marks):
        y = index * 42
        width = max(x(mark.value) - x(mark.low), 2.0 if mark.low is not None else 0.0)  # a small part is still seen
        body += [
            _tag("rect", y=y + 23, width=WIDTH, height=10, rx=3, **{"class": "track"}),
            _tag(
                "rect",
                x=min(x(mark.low), WIDTH - width),
                y=y + 23,
                width=width,
                height=10,
                rx=3,
                **{"class": f"fill {mark.tone}"},
            ),
            _text(0, y + 15, _short(mark.label, 40)),
            _text(WIDTH, y + 15, mark.text, anchor="end", style="value"),
            _hover(f"{mark.label}: {mark.text}", _tag("rect", y=y, width=WIDTH, height=40, **{"class": "hit"})),
        ]
    rows = tuple((mark.label, mark.text) for mark in marks)
    return Plot(_svg(frame, 42 * len(marks) - 6, body), ("", frame.measure or "value"), rows)


def draw_dots(frame: Frame, marks: Sequence[Mark], reference: Mark | None = None) -> Plot:
    """Draw one labelled dot a row, with its interval, on a shared axis from zero; `reference` is a
    dashed line.
    """
    everything = [*marks, reference] if reference else list(marks)
    ticks = _ticks(max((end or 0 for mark in everything for end in (mark.value, mark.high)), default=0))
    top, bottom = 26, 34 + 42 * len(marks)

    def x(value: float) -> float:
        return 10 + (WIDTH - 20) * min(max(value / ticks[-1], 0), 1)

    body = [_tag("line", x1=x(tick), x2=x(tick), y1=top, y2=bottom, **{"class": "grid"}) for tick in ticks]
    body += [_text(x(tick), bottom + 16, f"{tick:g}", anchor="middle", style="small") for tick in ticks]
    body.append(_text(WIDTH / 2, bottom + 36, frame.measure, anchor="middle", style="small"))
    if reference and reference.value is not None:
        at = x(reference.value)
        line = _tag("line", x1=at, x2=at, y1=top - 6, y2=bottom, **{"class": "reference"})
        side = "end" if at > WIDTH / 2 else "start"
        body += [
            _hover(f"{reference.label}: {reference.text}", line),
            _text(at, 12, f"{reference.label}: {reference.text}", anchor=side),
        ]
    for index, mark in enumerate(marks):
        y = top + 16 + 42 * index
        body.append(_text(10, y, f"{mark.label}: {mark.text}"))
        if mark.low is not None and mark.high is not None:
            ends = {"x1": x(mark.low), "x2": x(mark.high), "y1": y + 13, "y2": y + 13}
            body.append(_tag("line", **ends, **{"class": f"interval {mark.tone}"}))
        if mark.value is not None:
            body.append(_hover(f"{mark.label}: {mark.text}", _point(x(mark.value), y + 13, mark.tone, 6)))
    rows = tuple((mark.label, mark.text) for mark in everything)
    return Plot(_svg(frame, bottom + 42, body), ("", frame.measure), rows)


def draw_strip(
    frame: Frame, groups: Sequence[tuple[str, Sequence[float]]], *, tone: Tone, maximum: float, reference: Mark
) -> Plot:
    """Draw a column of dots a group, its median as a bar; the dashed `reference` is what to expect
    by chance.

    Args:
      frame: `measure` names the vertical axis.
      groups: label and finite values of each column, left to right.
      tone: colour and shape of the dots.
      maximum: upper end of the vertical axis, so that two plots can share it.
      reference: a level and its name.
    """
    left, top, height = 30, 26, 190
    ticks = _ticks(maximum)
    column = (WIDTH - left) / max(len(groups), 1)

    def y(value: float) -> float:
        return top + height * (1 - min(max(value / ticks[-1], 0), 1))

    body = _y_axis(frame, ticks, y, left)
    body += _level(reference, y, left)
    rows: list[tuple[str, ...]] = []
    for index, (label, values) in enumerate(groups):
        centre = left + column * (index + 0.5)
        body.append(_text(centre, top + height + 18, label, anchor="middle", style="small"))
        rows.append((label, str(len(values)), *(f"{f(values):.1f}" if values else "-" for f in (median, max))))
        if not values:
            continue
        for rank, value in enumerate(_thin(sorted(values))):
            shift = (rank * 7 % 11 / 10 - 0.5) * min(column * 0.6, 36)  # spread sideways so that dots do not hide dots
            body.append(_hover(f"{label}: {value:.1f} bits", _point(centre + shift, y(value), tone, 4)))
        level, half = y(median(values)), min(column * 0.38, 24)
        line = _tag("line", x1=centre - half, x2=centre + half, y1=level, y2=level, **{"class": f"median {tone}"})
        body.append(_hover(f"{label}: median {median(values):.1f} bits", line))
    body.append(_text((left + WIDTH) / 2, top + height + 38, "times planted", anchor="middle", style="small"))
    return Plot(_svg(frame, top + height + 44, body), ("times planted", "phrases", "median", "largest"), tuple(rows))


def draw_curve(
    frame: Frame, points: Sequence[tuple[float, float]], reference: Mark | None = None, *, stairs: bool = False
) -> Plot:
    """Draw a line through at least one point, against steps; `reference` is a dashed level.

    With `stairs` each value holds since the point before: what grows is at most that much in
    between.
    """
    left, top, height = 30, 26, 190
    points = _thin(sorted(points))
    ticks = _ticks(max((reference and reference.value) or 0, *(value for _, value in points)))
    last = points[-1][0] or 1

    def x(value: float) -> float:
        return left + (WIDTH - left - 8) * value / last

    def y(value: float) -> float:
        return top + height * (1 - min(max(value / ticks[-1], 0), 1))

    path = f"M{x(points[0][0]):.1f} {y(points[0][1]):.1f}" + "".join(
        f"V{y(value):.1f}H{x(step):.1f}" if stairs else f"L{x(step):.1f} {y(value):.1f}" for step, value in points[1:]
    )
    body = _y_axis(frame, ticks, y, left)
    body += _level(reference, y, left) if reference else []
    body.append(_tag("path", d=path, **{"class": "curve private"}))
    for step, value in points:
        dot = _tag("circle", cx=x(step), cy=y(value), r=7, **{"class": "hit"})
        body.append(_hover(f"step {step:,.0f}: {value:.3g}", dot))
    for tick in _ticks(last)[:-1]:
        body.append(_text(x(tick), top + height + 18, f"{tick:,.0f}", anchor="middle", style="small"))
    body.append(_text(x(last), top + height + 18, f"{last:,.0f}", anchor="end", style="small"))
    body.append(_text((left + WIDTH) / 2, top + height + 38, "step", anchor="middle", style="small"))
    rows = tuple((f"{step:,.0f}", f"{value:.3g}") for step, value in _thin(points, _TABLE_ROWS))
    return Plot(_svg(frame, top + height + 44, body), ("step", frame.measure), rows)


def draw_whiskers(frame: Frame, columns: Sequence[Column], axis: str, reference: Mark) -> Plot:
    """Draw values with intervals, evenly apart whatever their labels say; those of the tone
    `private` are joined.

    Args:
      frame: `measure` names the vertical axis.
      columns: left to right; values are finite.
      axis: what the labels are.
      reference: a level and its name, dashed.
    """
    left, top, height = 30, 26, 190
    ends = [value for column in columns for value in (column.high, *column.singles)]
    ticks = _ticks(max([reference.value or 0, *ends]))
    wide = (WIDTH - left) / max(len(columns), 1)

    def x(index: int) -> float:
        return left + wide * (index + 0.5)

    def y(value: float) -> float:
        return top + height * (1 - min(max(value / ticks[-1], 0), 1))

    body = _y_axis(frame, ticks, y, left) + _level(reference, y, left)
    joined = [f"{x(i):.1f} {y(column.value):.1f}" for i, column in enumerate(columns) if column.tone == "private"]
    if joined:
        body.append(_tag("path", d="M" + "L".join(joined), **{"class": "curve private"}))
    rows = []
    for index, column in enumerate(columns):
        text = f"{column.value:.3f} ({column.low:.3f} to {column.high:.3f})"
        at = x(index)
        body += [_point(at + 10, y(value), column.tone, 1.5) for value in column.singles]
        body.append(
            _tag("path", d=f"M{at:.1f} {y(column.low):.1f}V{y(column.high):.1f}", **{"class": f"curve {column.tone}"})
        )
        body.append(_hover(f"{axis} {column.label}: {text}", _point(at, y(column.value), column.tone, 4)))
        body.append(_text(at, top + height + 18, column.label, anchor="middle", style="small"))
        rows.append((column.label, text))
    body.append(_text((left + WIDTH) / 2, top + height + 38, axis, anchor="middle", style="small"))
    return Plot(_svg(frame, top + height + 44, body), (axis, frame.measure), tuple(rows))


def draw_scatter(frame: Frame, places: Sequence[Place], axis: str, reference: Mark) -> Plot:
    """Draw named points on two axes from zero.

    Args:
      frame: `measure` names the vertical axis.
      places: in any order; the picture numbers them by their place from the left, and names each.
      axis: the horizontal one.
      reference: a level of the vertical one and its name, dashed.
    """
    left, top, height = 30, 26, 190
    rising = _ticks(max([reference.value or 0, *(end or 0 for place in places for end in (place.y, place.high))]))
    across = _ticks(max(place.x for place in places))

    def x(value: float) -> float:
        return left + (WIDTH - left - 14) * min(max(value / across[-1], 0), 1)

    def y(value: float) -> float:
        return top + height * (1 - min(max(value / rising[-1], 0), 1))

    body = _y_axis(frame, rising, y, left) + _level(reference, y, left)
    body += [_text(x(tick), top + height + 18, f"{tick:g}", anchor="middle", style="small") for tick in across]
    ordered = sorted(places, key=lambda place: (place.x, place.y))
    for index, place in enumerate(ordered, start=1):
        at = x(place.x)
        if place.low is not None and place.high is not None:
            ends = {"x1": at, "x2": at, "y1": y(place.low), "y2": y(place.high)}
            body.append(_tag("line", **ends, **{"class": "interval private"}))
        body.append(_hover(f"{place.label}: {place.text}", _point(at, y(place.y), "private", 5)))
        body.append(_text(at - 9, y(place.y) + 4, str(index), anchor="end", style="small"))
    body.append(_text((left + WIDTH) / 2, top + height + 38, axis, anchor="middle", style="small"))
    for index, place in enumerate(ordered):
        name = f"{index + 1} {_short(place.label, 24)}"
        body.append(_text(left + (index % 2) * WIDTH / 2, top + height + 62 + 18 * (index // 2), name, style="small"))
    rows = tuple((f"{index} {place.label}", place.text) for index, place in enumerate(ordered, start=1))
    return Plot(_svg(frame, top + height + 62 + 18 * ((len(ordered) + 1) // 2), body), ("", frame.measure), rows)


def make_standalone(plot: Plot, style: str) -> str:
    """Return the picture as a file of its own, with the page's style sheet in it."""
    own = f"<style>{style}\nsvg {{ background: var(--page); font: 16px/1.55 system-ui, sans-serif; }}</style>"
    first, rest = str(plot.svg).split(">", 1)
    # On a page there is room around it.
    first = re.sub(r'viewBox="0 0 (\d+) (\d+)"', lambda v: f'viewBox="-10 -8 {int(v[1]) + 20} {int(v[2]) + 12}"', first)
    return f'{first} xmlns="http://www.w3.org/2000/svg">{own}{rest}\n'


def draw_hundred(frame: Frame, marked: int) -> Plot:
    """Draw one hundred dots, `marked` of them (0 to 100) filled: a chance that can be counted."""
    body = [
        _tag(
            "circle", cx=20 + 40 * (i % 10), cy=20 + 40 * (i // 10), r=13, **{"class": "one" if i < marked else "none"}
        )
        for i in range(100)
    ]
    return Plot(_svg(frame, 400, body), ("", frame.measure), (("filled dots", str(marked)), ("all dots", "100")))


def _svg(frame: Frame, height: float, body: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg viewBox="0 0 {} {}" role="img" aria-labelledby="{id}-title {id}-description">'
        '<title id="{id}-title">{}</title><desc id="{id}-description">{}</desc>{}</svg>'
    ).format(WIDTH, round(height), frame.title, frame.description, Markup("\n").join(body), id=frame.id)


def _y_axis(frame: Frame, ticks: Sequence[float], y: Any, left: float) -> list[Markup]:
    lines = [_tag("line", x1=left, x2=WIDTH, y1=y(tick), y2=y(tick), **{"class": "grid"}) for tick in ticks]
    labels = [_text(left - 6, y(tick) + 4, f"{tick:g}", anchor="end", style="small") for tick in ticks]
    return [*lines, *labels, _text(0, 12, frame.measure, style="small")]


def _level(mark: Mark, y: Any, left: float) -> list[Markup]:
    """A dashed level, explained in the corner: beside the line its name would lie on the marks."""
    if mark.value is None:
        return []
    at = y(mark.value)
    line = _tag("line", x1=left, x2=WIDTH, y1=at, y2=at, **{"class": "reference"})
    name = _text(WIDTH, 12, f"dashed: {mark.label}, {mark.text}", anchor="end", style="small")
    return [_hover(f"{mark.label}: {mark.text}", line), name]


def _point(x: float, y: float, tone: Tone, size: float) -> Markup:
    """A filled circle; the baseline gets a hollow diamond, so that colour is never the only
    difference.
    """
    if tone != "baseline":
        return _tag("circle", cx=x, cy=y, r=size, **{"class": f"fill {tone}"})
    corners = f"M{x:.1f} {y - size - 1:.1f}l{size + 1} {size + 1}l{-size - 1} {size + 1}l{-size - 1} {-size - 1}z"
    return _tag("path", d=corners, **{"class": f"outline {tone}"})


def _hover(text: str, mark: Markup) -> Markup:
    return Markup("<g>{}<title>{}</title></g>").format(mark, text)


def _text(x: float, y: float, text: str, *, anchor: str = "start", style: str = "label") -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}</text>').format(x, y, anchor, style, text)


def _tag(name: str, **attributes: float | str) -> Markup:
    shown = {key: f"{value:.1f}" if isinstance(value, float) else escape(value) for key, value in attributes.items()}
    return Markup("<{} {}/>").format(name, Markup(" ").join(Markup('{}="{}"').format(*pair) for pair in shown.items()))


def _ticks(maximum: float) -> list[float]:
    """From 0 to at least `maximum` in three to six round steps."""
    top = maximum if maximum > 0 else 1.0
    magnitude = 10.0 ** math.floor(math.log10(top))
    step = next(unit * magnitude for unit in (0.2, 0.5, 1, 2) if top <= 6 * unit * magnitude)
    return [round(step * index, 10) for index in range(math.ceil(round(top / step, 9)) + 1)]


def _thin(values: Sequence[Any], most: int = _MAX_POINTS) -> list[Any]:
    """At most `most` of the values, evenly spread, first and last kept."""
    if len(values) <= most:
        return list(values)
    return [values[round(index * (len(values) - 1) / (most - 1))] for index in range(most)]


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
