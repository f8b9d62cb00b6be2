import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechpriv.data import people
from speechpriv.data.people import People


@pytest.mark.parametrize(
    "spellings",
    [
        ("Zoë", "Zoe\u0308"), ("anna", "an\u200bna", "\ufeffanna"), ("7", "7.0", " 7 ", "７"),
        ("maria", "maria\u00a0", " maria"), ("anna b", "anna  b", "anna\tb"), ("ﬁona", "fiona"), ("-3", "-3.00"),
    ],
)  # fmt: skip
def test_spellings_that_people_do_not_tell_apart_are_one_name(spellings):
    assert len({people.normalise_unit(name) for name in spellings}) == 1


@pytest.mark.parametrize(
    "names", [("7", "8"), ("1.5", "1"), ("1.10", "1.1"), ("anna", "Anna"), ("7", "07"), ("a b", "ab")]
)
def test_other_names_stay_apart(names):
    assert len({people.normalise_unit(name) for name in names}) == 2


@given(st.text())
def test_a_normalised_name_is_its_own_normal_form(name):
    assert people.normalise_unit(people.normalise_unit(name)) == people.normalise_unit(name)


def warnings(names):
    found = People()
    for name in names:
        found.add(name)
    return found.warnings()


def test_names_that_differ_by_case_or_zeros_are_counted():
    (warning,) = warnings(["Anna", "anna", "s07", "s7", "ben", "ben", "10", "100"])
    assert "4 of 7 unit names" in warning


def test_placeholders_are_counted():
    (warning,) = warnings(["unknown", "unknown", "NaN", "-", "ben", "ben"])
    assert warning.startswith("4 utterances have a placeholder")


def test_names_of_recordings_instead_of_people_are_seen():
    (warning,) = warnings([f"utterance {i}" for i in range(30)])
    assert "30 of 30 units have one utterance" in warning


def test_nothing_is_said_of_usual_names():
    assert warnings(["anna", "ben", "cy"]) == []
    assert warnings([name for name in map(str, range(1, 101)) for _ in range(3)]) == []
    assert warnings([f"p{i}" for i in range(100) for _ in range(1 + i % 2)]) == []


def test_no_warning_holds_a_name():
    told = " ".join(warnings(["Marisol", "marisol", "unknown", *(f"x{i}y" for i in range(40))]))
    assert "marisol" not in told.lower()
    assert "x1y" not in told
