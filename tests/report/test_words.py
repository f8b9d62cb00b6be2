import math

import pytest

from speechpriv.report.words import (
    MOST_ITEMS,
    format_cost,
    format_duration,
    format_lines,
    format_number,
    format_percent,
    format_size,
    format_value,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (3194, "3,194"), (7.9, "7.9"), (8.0, "8"), (2.8714, "2.87"), (1e-5, "1e-5"), (2e-09, "2e-9"),
        (12345.6, "12,346"), (-0.25, "-0.25"), (math.inf, "infinite"), (math.nan, "nan"),
        (None, "not measured"), (True, "True"), ("a\n b", "a b"), ({"a": 1.0, "b": None}, "a: 1, b: not measured"),
        ([1, "x"], "1, x"), (10**400, f"1{'0' * 398}…"),
    ],
)  # fmt: skip
def test_numbers_read_as_people_write_them(value, text):
    assert format_number(value) == text


@pytest.mark.parametrize(("share", "text"), [(0.763, "76.3 %"), (1, "100.0 %"), (None, "not measured"), ("?", "?")])
def test_percent(share, text):
    assert format_percent(share) == text


def test_size_and_duration():
    assert [format_size(n) for n in (0, 999, 1_000, 2_318, 7_340_032)] == ["0 B", "999 B", "1.0 kB", "2.3 kB", "7.3 MB"]
    assert [format_duration(s) for s in (0.04, 59.94, 61, 4_000)] == ["0.0 s", "59.9 s", "1 min 1 s", "66 min 40 s"]


def test_lists_and_texts_are_bounded():
    assert format_lines(None) == format_lines("") == format_lines([]) == []
    assert format_lines("one") == ["one"]
    assert format_lines(range(0)) == []
    assert format_lines([str(i) for i in range(1_000)])[MOST_ITEMS:] == [f"and {1_000 - MOST_ITEMS} more"]
    assert len(format_value("x" * 10_000)) == 400


def test_price_says_which_of_the_cases_it_is():
    assert format_cost(0.6, 0.9, 0.75) == (
        "Privacy costs 15.0 points of word accuracy. "
        "The private model keeps 50 % of what training without privacy gains."
    )
    assert "gained nothing" in format_cost(0.6, 0.9, 0.6)
    assert "gained nothing" in format_cost(0.6, 0.5, 0.55)  # worse than before, though better than the baseline
    assert "nothing measurable" in format_cost(0.6, 0.9, 0.9)
    assert "not known" in format_cost(0.6, None, 0.7)
