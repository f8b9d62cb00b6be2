"""Values as people read them; whatever a stage wrote, the result is short text."""

import math
import re
from collections.abc import Mapping
from typing import Any

from speechpriv.progress import format_clock
from speechpriv.report.plots import to_finite

MOST_ITEMS = 12  # of a list or chart whose length the data decides
_MOST_LETTERS = 400


def format_number(value: Any, digits: int = 3) -> str:
    """Format a number to `digits` significant digits, integers whole; text as it is; None as "not
    measured".
    """
    if value is None:
        return "not measured"
    if isinstance(value, float) and math.isinf(value):
        return "infinite" if value > 0 else "minus infinite"
    found = to_finite(value)
    if found is None:
        return format_value(value)
    if found.is_integer() or abs(found) >= 1_000:
        return f"{found:,.0f}"
    return re.sub(r"e([+-])0*", lambda power: f"e{power[1].strip('+')}", f"{found:.{digits}g}")


def format_percent(share: Any, digits: int = 1) -> str:
    """Format a share of 1 as a percentage."""
    found = to_finite(share)
    return format_number(share) if found is None else f"{100 * found:.{digits}f} %"


def format_size(n_bytes: int) -> str:
    """Format a file's size in decimal units."""
    if n_bytes < 1_000:
        return f"{n_bytes} B"
    return f"{n_bytes / 1e3:.1f} kB" if n_bytes < 1_000_000 else f"{n_bytes / 1e6:.1f} MB"


def format_duration(seconds: float) -> str:
    """Format a time as minutes and seconds where it is longer than a minute."""
    return f"{seconds:.1f} s" if seconds < 60 else format_clock(seconds)


def format_value(value: Any) -> str:
    """Format any value as one short line."""
    if isinstance(value, Mapping):
        text = ", ".join(f"{key}: {format_number(item)}" for key, item in value.items())
    elif isinstance(value, list | tuple):
        text = ", ".join(format_number(item) for item in value)
    else:
        text = " ".join(str(value).split())
    return text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 1]}…"


def format_lines(values: Any) -> list[str]:
    """Format a list, or one value, as short lines; the first of them where there are too many."""
    items = list(values) if isinstance(values, list | tuple) else [values] if values else []
    more = [f"and {len(items) - MOST_ITEMS} more"] if len(items) > MOST_ITEMS else []
    return [format_value(item) for item in items[:MOST_ITEMS]] + more


def format_cost(
    base: float | None, baseline: float | None, private: float | None, measure: str = "word accuracy"
) -> str:
    """Return what privacy cost, by a measure (shares of 1) before, without and with privacy."""
    if base is None or baseline is None or private is None:
        return "The three models have not all been measured, so the price is not known."
    if private <= base:
        return (
            f"Training with privacy gained nothing: {measure} {format_percent(private)}, "
            f"{format_percent(base)} before it. Without privacy it would be {format_percent(baseline)}."
        )
    if private >= baseline:
        return (
            f"Privacy cost nothing measurable: {measure} {format_percent(private)} with it, "
            f"{format_percent(baseline)} without."
        )
    return (
        f"Privacy costs {100 * (baseline - private):.1f} points of {measure}. The private model keeps "
        f"{format_percent((private - base) / (baseline - base), 0)} of what training without privacy gains."
    )


def format_gain(base: float | None, private: float | None, measure: str = "word accuracy") -> str:
    """Return what training with privacy gained, by a measure (shares of 1) before it and after it."""
    if base is None or private is None:
        return "The models have not all been measured, so what training gained is not known."
    return f"Training with privacy took {measure} from {format_percent(base)} to {format_percent(private)}."
