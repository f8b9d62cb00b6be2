import pytest

from speechpriv.scrub.identifiers import CARRIERS, any_number, find_identifiers
from speechpriv.scrub.utterance import read_utterance


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("my sort code is 12-34-56", (4, 5, "ROUTING")),
        ("passport number a b one two three four", (2, 8, "PASSPORT")),
        ("passport number alpha bravo one two three four", (2, 8, "PASSPORT")),
        ("my pin is four eight two one", (3, 7, "PIN")),
        ("change my pin at four thirty one", None),
        ("the number on my passport is five oh one two three", (6, 11, "PASSPORT")),  # not a phone number
        ("my account pin is one two three four", (4, 8, "PIN")),  # the nearest carrier names it
        ("four eight two one is my pin", (0, 4, "PIN")),
        ("my visa is four eight two one", (3, 7, "CARD")),
        ("the serial number is 49927398716", (4, 5, "DEVICE")),
        ("the balance on my account is two thousand", None),
        ("change the number to five hundred thousand", None),
        ("order two thousand napkins", None),
    ],
)
def test_a_number_is_what_its_carrier_says(text, expected):
    hits = [hit[:3] for hit in find_identifiers(read_utterance(text))]
    assert hits == ([expected] if expected else [])


@pytest.mark.parametrize("carrier", CARRIERS, ids=lambda carrier: carrier.kind)
def test_too_short_for_its_carrier(carrier):
    """A carrier in front of one digit carries nothing."""
    phrase = {"SSN": "my ssn", "NUMBER": "booking number", "ACCOUNT": "customer id"}.get(
        carrier.kind, carrier.kind.lower()
    )
    assert list(find_identifiers(read_utterance(f"{phrase} is five"))) == []


def test_any_number_takes_what_the_others_leave():
    u = read_utterance("take 4711 and ab12cd to nineteen eighty four but not 2500 dollars")
    assert [hit[:2] for hit in any_number(u)] == [(1, 2), (5, 8), (3, 4)]
    assert list(find_identifiers(u)) == []
