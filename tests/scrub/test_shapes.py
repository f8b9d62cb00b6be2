import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv.scrub.shapes import find_codes, find_ibans, is_iban, kind_by_shape
from speechpriv.scrub.utterance import read_utterance

UNTIMED = settings(deadline=None)  # the first phone number loads tables, and machines are shared


def luhn_by_the_book(digits: str) -> bool:
    doubled = [int(d) * 2 if i % 2 else int(d) for i, d in enumerate(digits[::-1])]
    return sum(sum(map(int, str(value))) for value in doubled) % 10 == 0


@UNTIMED
@given(st.text("123456789", min_size=13, max_size=19))
def test_card_by_checksum(digits):
    assert (kind_by_shape([digits]) == ("CARD", "card.luhn")) == luhn_by_the_book(digits)


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        (["078", "05", "1120"], "SSN"),
        (["666", "05", "1120"], "NUMBER"),
        (["415", "555", "2671"], "PHONE"),
        (["020", "7946", "0958"], "PHONE"),
        (list("5550123"), "PHONE"),
        (list("555012"), None),
        (["7", "30", "8", "30", "9", "30"], None),
        (["1984"], None),
        (["10", "9", "8", "7", "6", "5", "4"], None),
        (["12", "12345678901234567890"], "NUMBER"),
    ],
)
def test_kind_by_shape(parts, kind):
    shape = kind_by_shape(parts)
    assert (shape and shape[0]) == kind


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("de89370400440532013000", [(0, 1, "IBAN")]),
        ("de88370400440532013000", []),  # one check digit off
        ("meet in ec1v 9nr", [(2, 4, "POSTCODE")]),
        ("meet in k1a 0b1", [(2, 4, "POSTCODE")]),
        ("with mp3 4gb of it", []),
        ("ab123456c", [(0, 1, "SSN")]),
        ("bg123456c", []),  # a prefix that is never issued
        ("1hgbh41jxmn109186", [(0, 1, "VEHICLE")]),
        ("12345678901234567", []),
    ],
)
def test_written_codes(text, expected):
    u = read_utterance(text)
    assert [hit[:3] for hit in (*find_ibans(u), *find_codes(u))] == expected


@UNTIMED
@given(st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=11, max_size=30), st.sampled_from(["de", "gb", "tr"]))
def test_exactly_one_pair_of_check_digits_holds(account, country):
    assert sum(is_iban(f"{country}{check:02}{account}") for check in range(2, 99)) == 1


def test_iban_in_groups_ends_where_its_checksum_holds():
    u = read_utterance("it is gb82 west 1234 5698 7654 32 is it")
    assert (2, 8, "IBAN") in [hit[:3] for hit in find_ibans(u)]
