"""What digits and codes are, judged by themselves: a checksum, or a shape that commands do not
have.
"""

import re
from collections.abc import Iterator, Sequence

import phonenumbers

from speechpriv.scrub.numbers import is_counting
from speechpriv.scrub.utterance import Hit, Utterance

_POSTCODE = re.compile(r"[a-z]{1,2}[0-9][0-9a-z]? ?[0-9][abd-hjlnp-uw-z]{2}")
_UNIT = re.compile(r".*[0-9](?:st|nd|rd|th|gb|tb|lb|ft|hz)")  # "mp3 4gb" is none, "M3 4GB" is
_CANADIAN = re.compile(r"[abceghj-nprstvxy][0-9][a-z] ?[0-9][a-z][0-9]")
_IBAN_HEAD = re.compile(r"[a-z]{2}[0-9]{2}")
_INSURANCE = re.compile(r"(?!bg|gb|kn|nk|nt|tn|zz)[a-ceghj-prstw-z][a-ceghj-nprstw-z][0-9]{6}[a-d]")
_PLATE = re.compile(r"[a-hj-pr-y]{2}[0-9]{2}[a-hj-pr-z]{3}")
_VIN = re.compile(r"(?=[a-z]*[0-9])(?=[0-9]*[a-z])[a-hj-npr-z0-9]{11}[0-9]{6}")
_WALLET = re.compile(r"[13][1-9a-hj-np-z]{25,34}|bc1[02-9ac-hj-np-z]{11,71}|0x[0-9a-f]{40}")


def kind_by_shape(parts: Sequence[str], *, plus: bool = False) -> tuple[str, str] | None:
    """Return what digits are, judged by themselves; None for what a command may hold (years, times,
    amounts, counting).

    Args:
      parts: the groups of digits as they were said or written.
      plus: whether a plus sign came first, as in international phone numbers.

    Returns:
      (kind, rule), or None.
    """
    digits = "".join(parts)
    lengths = [len(part) for part in parts]
    one_by_one = len(digits) >= 7 and lengths.count(1) >= 4
    if is_card(digits):
        return "CARD", "card.luhn"
    if is_counting(parts):
        return None
    if lengths == [3, 2, 4] and parts[0] not in ("000", "666") and parts[2] != "0000":
        return "SSN", "ssn.shape"
    if (plus and 8 <= len(digits) <= 15) or _is_phone(digits, lengths):
        return "PHONE", "phone.shape"
    if one_by_one and len(digits) in (7, 8, 10, 11, 12, 13, 14, 15):
        return "PHONE", "phone.spoken"
    return ("NUMBER", "number.long") if one_by_one or (len(digits) >= 9 and max(lengths) >= 3) else None


def is_card(digits: str) -> bool:
    """Return whether digits have the length and the checksum of payment cards (ISO/IEC 7812-1,
    annex B).
    """
    if not 13 <= len(digits) <= 19:
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) << (place % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0 and digits.strip("0") != ""


def _is_phone(digits: str, lengths: Sequence[int]) -> bool:
    """A number of the length and grouping of a United States or British phone number, or a valid
    one.
    """
    if lengths[-2:] == [3, 4] and len(digits) in (7, 10, 11):
        return True
    if not 9 <= len(digits) <= 15:
        return False
    if digits[0] == "0" and len(digits) == 11:
        return True  # British with its trunk zero; ranges kept for drama are not "valid" but look the same
    for region in ("US", "GB"):
        try:
            if phonenumbers.is_valid_number(phonenumbers.parse(digits, region)):
                return True
        except phonenumbers.NumberParseException:
            return False
    return False


def find_ibans(u: Utterance) -> Iterator[Hit]:
    """Find account numbers of ISO 13616: country, check digits and account, written in groups of
    any size; the checksum (mod 97) is 1.
    """
    for i, word in enumerate(u.words):
        if not _IBAN_HEAD.match(word):
            continue
        code = ""
        for j in range(i, min(i + 10, len(u.words))):
            code += u.words[j]
            if len(code) > 34 or not (code.isascii() and code.isalnum()):
                break
            if is_iban(code):
                yield i, j + 1, "IBAN", "iban.checksum"


def is_iban(code: str) -> bool:
    """Return whether letters and digits are an account number with the right check digits."""
    if not (15 <= len(code) <= 34 and code.isascii() and code.isalnum() and _IBAN_HEAD.match(code)):
        return False
    return int("".join(str(int(sign, 36)) for sign in code[4:] + code[:4])) % 97 == 1


# What one written word is by its letters and digits.
_WRITTEN = (
    (_INSURANCE, "SSN", "ssn.insurance"),
    (_PLATE, "PLATE", "plate.shape"),
    (_VIN, "VEHICLE", "vehicle.shape"),
    (_WALLET, "ACCOUNT", "account.wallet"),
)


def find_codes(u: Utterance) -> Iterator[Hit]:
    """Find postcodes, whole or in two halves, and single words with the shape of a known code.

    Sources: postcodes, BS 7666; national insurance numbers, HM Revenue & Customs NIM39110; vehicle
    numbers, ISO 3779.
    """
    for i, word in enumerate(u.words):
        if len(word) < 2 or word.isalpha() or not word.isalnum() or not word.isascii():
            continue
        for kind in _WRITTEN:
            if kind[0].fullmatch(word):
                yield i, i + 1, *kind[1:]
        if len(word) <= 7 and not word[0].isdigit():
            for end in (i + 1, i + 2):
                code = " ".join(u.words[i:end])
                capitals = u.text[u.bounds[i][0]].isupper()
                if _CANADIAN.fullmatch(code) or (_POSTCODE.fullmatch(code) and (capitals or not _UNIT.fullmatch(code))):
                    yield i, end, "POSTCODE", "postcode.shape"
                    break
