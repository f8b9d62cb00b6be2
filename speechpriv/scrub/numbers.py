"""Spoken numbers to digits: "double seven oh nineteen eighty four" -> "7701984", with the words they came from.

Transcripts spell numbers out, and people say one number in many ways: digit by digit, in pairs, with repeats,
with hundreds. The reading chosen is the one people mean when they dictate an identifier, so nothing is summed across
a pause between groups: "twenty five" is 25, but "nineteen eighty four" is 19 and 84, which makes 1984.

What kind of identifier the digits are is here too: by the words around them ("my account number is"), by checksum,
or by a shape that commands do not have.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import phonenumbers

Hit = tuple[int, int, str, str]  # words [start, end), kind, rule

_ONE_TO_NINETEEN = (
    *("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen"),
    *("fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TWENTY_TO_NINETY = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SMALL = {word: str(value) for value, word in enumerate(_ONE_TO_NINETEEN, start=1)}
_UNITS = {word: text for word, text in _SMALL.items() if len(text) == 1}
_TENS = {word: f"{value}0" for value, word in enumerate(_TWENTY_TO_NINETY, start=2)}
_BASES = _SMALL | _TENS | dict.fromkeys(["zero", "oh", "o", "nought", "naught"], "0")
_REPEATS = {"double": 2, "triple": 3, "treble": 3, "quadruple": 4}
_WORDS = frozenset(_BASES) | frozenset(_REPEATS) | {"hundred", "thousand", "and"}
_EDGES = ".,;:!?\"'()[]{}…"
# 415-555-2671, +1.415.555.2671, 415)555-2671: digits joined by what people write between the groups of one number.
_WRITTEN = re.compile(r"\+?[0-9]+(?:[-()]+[0-9]+)*|\+?[0-9]+(?:\.[0-9]+){2,}")
_GROUP = re.compile(r"[0-9]+")
_END = ""  # an atom that belongs to no number


def word_set(words: str) -> frozenset[str]:
    """The words of a literal, for vocabularies that read better as text than as lists."""
    return frozenset(words.split())


@dataclass(frozen=True, slots=True)
class NumberSpan:
    """Consecutive number words.

    Attributes:
      start: index of the first word.
      end: index after the last word.
      parts: the digit string of each group as it was said: ("19", "84") for "nineteen eighty four".
    """

    start: int
    end: int
    parts: tuple[str, ...]

    @property
    def digits(self) -> str:
        """The digit string that the words stand for."""
        return "".join(self.parts)


def spans(words: Sequence[str]) -> list[NumberSpan]:
    """Every maximal run of number words, in order; linear in the number of words.

    Args:
      words: the words of an utterance in any case; edge punctuation is ignored, hyphens join number words
        ("twenty-five", "555-2671"). Decimals, prices, clock times and slashed dates are not number words.

    Returns:
      Non-overlapping spans with word ranges [start, end). A lone "oh" is an exclamation, not a zero.
    """
    atoms: list[str] = []
    owners: list[int] = []  # the word each atom came from
    for index, word in enumerate(words):
        pieces = _pieces(word)
        atoms.extend(pieces)
        owners.extend([index] * len(pieces))
    atoms.extend([_END] * 3)  # so that looking ahead needs no bounds check
    found = []
    at = 0
    while at < len(owners):
        if atoms[at] == _END:
            at += 1
            continue
        first = at
        parts: list[str] = []
        group, after = _group(atoms, at)
        while group:
            parts.extend(group)
            at = after
            group, after = _group(atoms, at)
        if parts and any(atom not in ("oh", "o") for atom in atoms[first:at]):
            found.append(NumberSpan(owners[first], owners[at - 1] + 1, tuple(parts)))
        at = max(at, first + 1)
    return found


def is_counting(parts: Sequence[str]) -> bool:
    """True for a countdown, a count or a times table: four numbers or more, three steps in four alike and not 0."""
    if len(parts) < 4:
        return False
    values = [int(part[-9:]) for part in parts]  # the tail is enough to see a step, and bounds the cost of int()
    steps = [b - a for a, b in pairwise(values)]
    common = sorted(steps)[len(steps) // 2]  # a majority is the median
    return common != 0 and 4 * steps.count(common) >= 3 * len(steps)


def _pieces(word: str) -> list[str]:
    """The number atoms of one written word, or [_END] where it is no number."""
    if word.isalpha():  # most words, so this comes first
        word = word.lower()
        return [word] if word in _WORDS else [_END]
    word = word.strip(_EDGES).lower()
    label, _, rest = word.rpartition(":")
    word = rest if label.isalpha() else word  # "tel:555-0123"
    if word in _WORDS:
        return [word]
    if _WRITTEN.fullmatch(word):
        groups = _GROUP.findall(word)
        dotted_other = "." in word and (sum(map(len, groups)) < 9 or (len(groups) == 4 and max(map(len, groups)) <= 3))
        return [_END] if dotted_other else groups  # a date, a version or an internet address
    if "-" in word:
        pieces = word.split("-")
        if all(piece in _WORDS or (piece.isascii() and piece.isdigit()) for piece in pieces):
            return pieces
    return [_END]


def _group(atoms: Sequence[str], at: int) -> tuple[tuple[str, ...], int]:
    """The digits of the group said at `at` and the index after it; no digits where none starts there."""
    times = _REPEATS.get(atoms[at])
    if times is not None:
        digit, after = _base(atoms, at + 1)
        return ((digit,) * times, after) if len(digit) == 1 else ((), at)
    text, after, _ = _hundreds(atoms, at)
    if atoms[after] == "thousand" and _scales(text):
        rest, after = _rest(atoms, after + 1)
        text = str(int(text) * 1000 + rest)
    return ((text,) if text else (), after)


def _base(atoms: Sequence[str], at: int) -> tuple[str, int]:
    """A digit, a teen, tens with their unit, or written digits."""
    atom = atoms[at]
    if atom in _TENS:
        unit = _UNITS.get(atoms[at + 1])
        return (_TENS[atom][0] + unit, at + 2) if unit else (_TENS[atom], at + 1)
    if atom[:1].isdigit():
        return atom, at + 1
    text = _BASES.get(atom, "")
    return text, at + 1 if text else at


def _hundreds(atoms: Sequence[str], at: int) -> tuple[str, int, bool]:
    """A base with its hundreds; whether there were hundreds."""
    text, after = _base(atoms, at)
    if atoms[after] != "hundred" or not _scales(text):
        return text, after, False
    rest, after = _rest(atoms, after + 1, hundreds=False)
    return str(int(text) * 100 + rest), after, True


def _rest(atoms: Sequence[str], at: int, *, hundreds: bool = True) -> tuple[int, int]:
    """What is added after a hundred or a thousand, and the index after it; 0 if what follows starts a new group."""
    linked = atoms[at] == "and"
    start = at + linked
    text, after, scaled = _hundreds(atoms, start) if hundreds else (*_base(atoms, start), False)
    if not text or atoms[after] == "hundred" or (hundreds and atoms[after] == "thousand"):
        return 0, at
    if not scaled:
        # "eight hundred five five five": a digit among digits is dictated, not added.
        dictated = len(text) == 1 and not linked and (atoms[after] in _REPEATS or _base(atoms, after)[0] != "")
        if dictated or len(text) > 2 or text[0] == "0":
            return 0, at
    return int(text), after


def _scales(text: str) -> bool:
    """Whether a hundred or a thousand can follow: 1 to 999, said without a leading zero."""
    return 0 < len(text) <= 3 and text[0] != "0"


# -- what a run of digits is

# After these words a number is an amount.
MEASURES = word_set(
    "seconds minute minutes min mins hour hours day days week weeks month months year years o'clock am pm a.m p.m "
    "degrees degree celsius fahrenheit percent dollars dollar bucks pounds euros cents pence miles mile meters metres "
    "feet foot inches kilometers kilometres km kilograms kilos grams ounces liters litres calories times plus minus "
    "divided multiplied point people steps million billion trillion star way blocks"
)
# Digits are what the carrier says they are.
_ID_NOUNS = (
    "routing|policy|member(?:ship)?|patient|nhs|medicare|medicaid|insurance|tax|taxpayer|claim|case|booking|order|"
    "customer|client|employee|student|badge|registration|invoice|national insurance|vehicle"
)
_IDS = "account|passport|(?:driver'?s |driving )?licen[cs]e|plate|medical record|mrn|confirmation|reference|tracking"
_CARRIERS = (
    r"(?P<SSN>social security|ssn|s s n|my social)|(?P<CARD>card|visa|mastercard|amex|american express)|"
    r"(?P<POSTCODE>zip ?code|zip|post ?code|postal code)|"
    r"(?P<PIN>pin|p i n|pass ?code|password|cvv|cvc|otp|(?:security|access|door|gate|alarm|entry|verification) code)|"
    rf"(?P<ID>iban|sort code|(?:{_IDS}|{_ID_NOUNS}) (?:number|no|num|id|code|ending)|(?:{_IDS}) (?:is|was))|"
    r"(?P<PHONE>(?:tele)?phone|mobile|cell(?:phone)?|landline|fax|dial|call|ring|text|message|whatsapp|number|reach)"
)
_LINKS = (
    "is|was|are|it's|that's|number|numbers|number's|no|num|code|id|the|my|his|her|our|their|your|as|of|to|with|"
    "ending in|ends in|ending|digits|last|first|four|um|uh|please|back|starting|plus|area|country|at|on|me|him|them|us"
)
_BEFORE = re.compile(rf"(?:^| )(?:{_CARRIERS})(?:'s)?(?: (?:{_LINKS}))*$")
_AFTER = re.compile(rf"(?:is|was|that's|as) (?:(?:my|the|his|her|our|their|your) )?(?:[a-z]+ )?(?:{_CARRIERS})(?= |$)")
_LENGTHS = {  # kind to report, and the fewest and the most characters for which the carrier is believed
    "SSN": ("SSN", 4, 9),
    "CARD": ("CARD", 4, 19),
    "POSTCODE": ("POSTCODE", 5, 9),
    "PIN": ("NUMBER", 3, 12),
    "ID": ("NUMBER", 4, 34),
    "PHONE": ("PHONE", 6, 15),
}
_FILLERS = word_set("dash hyphen then um uh er erm")
_MIXED = re.compile(r"(?=[a-z-]*[0-9])(?![0-9]+(?:st|nd|rd|th|am|pm)$)[a-z0-9]+(?:-[a-z0-9]+)*")
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}|[0-9]{1,2}-[0-9]{1,2}-(?:[0-9]{2}){1,2}")
_POSTCODE = re.compile(r"[a-z]{1,2}[0-9][0-9a-z]? ?[0-9](?!st|nd|rd|th|gb|tb|lb|ft|hz)[abd-hjlnp-uw-z]{2}")
_IBAN_HEAD = re.compile(r"[a-z]{2}[0-9]{2}")


def identifiers(words: Sequence[str], numbers: Sequence[NumberSpan]) -> Iterator[Hit]:
    """Phone, card, social security, account and such numbers among the words of an utterance.

    Args:
      words: lower case, without edge punctuation.
      numbers: what `spans` finds in them.

    Yields:
      (start, end, kind, rule) over word ranges that may overlap; linear in the number of words.
    """
    yield from _ibans(words)
    yield from _postcodes(words)
    for code in _codes(words, numbers):
        start, end = code[0].start, code[-1].end
        size = sum(len(span.digits) or len(words[span.start]) for span in code)
        carrier = _carrier(words, start, end)
        if carrier in ("ID", "PIN", "POSTCODE") and _LENGTHS[carrier][1] <= size <= _LENGTHS[carrier][2]:
            yield start, end, _LENGTHS[carrier][0], f"{carrier.lower()}.carrier"
            continue
        for spoken, run in groupby(code, key=lambda span: bool(span.parts)):
            hit = _identify(words, list(run)) if spoken else None
            if hit:
                yield hit


def kind_by_shape(parts: Sequence[str], *, plus: bool = False) -> tuple[str, str] | None:
    """What digits are, judged by themselves; None for what a command may hold (years, times, amounts, counting).

    Args:
      parts: the groups of digits as they were said or written.
      plus: whether a plus sign came first, as in international phone numbers.

    Returns:
      (kind, rule), or None.
    """
    digits = "".join(parts)
    lengths = [len(part) for part in parts]
    one_by_one = len(digits) >= 7 and lengths.count(1) >= 4
    if 13 <= len(digits) <= 19 and _luhn(digits):
        return "CARD", "card.luhn"
    if is_counting(parts):
        return None
    if lengths == [3, 2, 4] and parts[0] not in ("000", "666") and parts[0] < "900" and parts[2] != "0000":
        return "SSN", "ssn.shape"
    if (plus and 8 <= len(digits) <= 15) or _is_phone(digits, lengths):
        return "PHONE", "phone.shape"
    if one_by_one and len(digits) in (7, 8, 10, 11, 12, 13, 14, 15):
        return "PHONE", "phone.spoken"
    return ("NUMBER", "number.long") if one_by_one or (len(digits) >= 10 and max(lengths) >= 3) else None


def _luhn(digits: str) -> bool:
    """The checksum of payment cards (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) << (place % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0 and digits.strip("0") != ""


def _is_phone(digits: str, lengths: Sequence[int]) -> bool:
    """A number of the length and grouping of a United States or British phone number, or a valid one."""
    if lengths[-2:] == [3, 4] and len(digits) in (10, 11):
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


def _identify(words: Sequence[str], run: Sequence[NumberSpan]) -> Hit | None:
    """What adjacent numbers are, by the words around them or else by themselves."""
    start, end = run[0].start, run[-1].end
    parts = [part for span in run for part in span.parts]
    size = sum(map(len, parts))
    carrier = _carrier(words, start, end)
    believed = carrier is not None and _LENGTHS[carrier][1] <= size <= _LENGTHS[carrier][2]
    if carrier == "PHONE" and size < 7 and len(parts) < 3:
        believed = False  # "change the number to five hundred thousand"
    if start > 0 and words[start - 1] == "point":
        return None
    if (end < len(words) and words[end] in MEASURES and not (believed and size > 5)) or _DATE.fullmatch(words[start]):
        return None
    plus = words[start].startswith("+") or (start > 0 and words[start - 1] == "plus")
    shape = kind_by_shape(parts, plus=plus)
    if carrier and believed and not (shape and shape[0] == "CARD"):
        return start, end, _LENGTHS[carrier][0], f"{carrier.lower()}.carrier"
    return (start, end, *shape) if shape else None


def _codes(words: Sequence[str], numbers: Sequence[NumberSpan]) -> Iterator[list[NumberSpan]]:
    """Numbers with the single letters and mixed words around them ("s w one a", "ab12"), across "dash" and "um".

    Letters come as spans without parts. A code has at least one digit.
    """
    starts = {span.start: span for span in numbers}
    code: list[NumberSpan] = []
    at = 0
    while at <= len(words):
        word = words[at] if at < len(words) else ""
        span = starts.get(at)
        if span is None and (len(word) == 1 if word.isalpha() else _MIXED.fullmatch(word)):
            span = NumberSpan(at, at + 1, ())
        if span is not None:
            code.append(span)
        elif code and not (word in _FILLERS and at < code[-1].end + 2):
            if any(each.parts or len(words[each.start]) > 1 for each in code):
                yield code
            code = []
        at = span.end if span else at + 1


def _carrier(words: Sequence[str], start: int, end: int) -> str | None:
    """The carrier phrase right before words [start, end), or right after them."""
    before = _BEFORE.search(" ".join(words[max(0, start - 8) : start]))
    if before is None:
        after = _AFTER.match(" ".join(words[end : end + 6]))
        return after.lastgroup if after else None
    timed = words[start - 1] in ("at", "on", "by")  # "change my password at seven thirty"
    return None if timed and before.lastgroup in ("PIN", "ID") else before.lastgroup


def _ibans(words: Sequence[str]) -> Iterator[Hit]:
    """ISO 13616: country, check digits and account, written in groups of any size; the checksum (mod 97) is 1."""
    for i, word in enumerate(words):
        if not _IBAN_HEAD.match(word):
            continue
        code = ""
        for j in range(i, min(i + 10, len(words))):
            code += words[j]
            if len(code) > 34 or not (code.isascii() and code.isalnum()):
                break
            if len(code) >= 15 and int("".join(str(int(c, 36)) for c in code[4:] + code[:4])) % 97 == 1:
                yield i, j + 1, "IBAN", "iban.checksum"


def _postcodes(words: Sequence[str]) -> Iterator[Hit]:
    """British postcodes, whole or in two halves. Source: the format in BS 7666, letters that the inward half skips."""
    for i, word in enumerate(words):
        if len(word) <= 7 and word.isalnum() and not word.isalpha() and not word[0].isdigit():
            for end in (i + 1, i + 2):
                if _POSTCODE.fullmatch(" ".join(words[i:end])):
                    yield i, end, "POSTCODE", "postcode.shape"
                    break
