"""One written word with digits, as it is said: amounts, times, prices, dates, telephone numbers.

American words without "and" ("one hundred five"), as this package's synthetic text has them; zero
is "zero". What has two readings gets the likelier one: 5/2/2019 is in May, and 1984 reads as a year
unless something is counted.
"""

import functools
import re
from collections.abc import Callable

from speechpriv.models.tags import split_entries

_ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_SHORT_MONTHS = {month[:3]: month for month in MONTHS} | {"sept": "september"}
_MONEY = {"$": ("dollar", "cent"), "£": ("pound", "penny"), "€": ("euro", "cent"), "¥": ("yen", ""), "₹": ("rupee", "")}
SCALES = {"k": "thousand", "m": "million", "mn": "million", "bn": "billion", "b": "billion", "tn": "trillion"} | {
    name: name for name in ("hundred", "thousand", "million", "billion", "trillion")
}
_PLURALS = {"penny": "pence", "yen": "yen", "foot": "feet", "inch": "inches", "hertz": "hertz"}
# Said in full beside a number; those of one letter only where they touch it.
UNITS = {
    "km": "kilometer", "cm": "centimeter", "mm": "millimeter", "kg": "kilogram", "mg": "milligram", "lb": "pound",
    "lbs": "pound", "oz": "ounce", "ft": "foot", "mi": "mile", "yd": "yard", "ml": "milliliter", "min": "minute",
    "mins": "minute", "hr": "hour", "hrs": "hour", "sec": "second", "secs": "second", "ms": "millisecond",
    "kb": "kilobyte", "mb": "megabyte", "gb": "gigabyte", "tb": "terabyte", "hz": "hertz", "khz": "kilohertz",
    "mhz": "megahertz", "ghz": "gigahertz", "kw": "kilowatt", "kwh": "kilowatt hour", "mph": "mile per hour",
    "km/h": "kilometer per hour", "kmh": "kilometer per hour", "kph": "kilometer per hour", "°c": "degree celsius",
    "°f": "degree fahrenheit", "°": "degree",
}  # fmt: skip
_TOUCHING = UNITS | {"m": "meter", "g": "gram", "h": "hour", "in": "inch", "l": "liter", "w": "watt", "v": "volt"}
_PARTS = {2: "half", 3: "third", 4: "quarter"}
_IN_YEARS = split_entries(
    "in, since, by, from, until, till, before, after, of, year, circa, around, during, early, late, mid, to"
)
_COUNTED = split_entries("""
    people, dollars, pounds, euros, miles, meters, metres, feet, kilometers, kilometres, kilograms
    grams, calories, steps, points, times, days, years, hours, minutes, seconds, watts, units, words
    pages, votes, degrees, percent
""")
_DIALLED = split_entries("call, dial, dialing, ring, phone")
_WHOLE = r"\d{1,3}(?:,\d{3})+|\d+"
AMOUNT = rf"(?:(?:{_WHOLE})(?:\.\d+)?|\.\d+)"


def spell_cardinal(value: int) -> str:
    """Spell 123 -> "one hundred twenty three"."""
    return _spoken(value, "cardinal")


def spell_ordinal(value: int) -> str:
    """Spell 22 -> "twenty second"."""
    return _spoken(value, "ordinal")


def spell_year(value: int) -> str:
    """Spell 1984 -> "nineteen eighty four"."""
    return _spoken(value, "year")


def spell_digits(text: str) -> str:
    """Spell every digit of a text by itself; all else is left out."""
    return " ".join(_ONES[int(sign)] for sign in text if "0" <= sign <= "9")


def is_year(value: int) -> bool:
    """Return whether a number of four digits reads as a year, which is how most such numbers are
    said.
    """
    return 1100 <= value < 2000 or 2010 <= value < 2100


def spell_amount(text: str) -> str:
    """Spell digits with commas or a decimal point: "1,500.5" -> "one thousand five hundred point
    five".
    """
    whole, point, part = text.replace(",", "").partition(".")
    said = (
        ""
        if not whole
        else spell_digits(whole)
        if len(whole) > 15 or _has_zeros_before(whole)
        else spell_cardinal(int(whole))
    )
    return f"{said} point {spell_digits(part)}".strip() if point and part else said


def spell_month(word: str, *, certain: bool = False) -> str:
    """Spell the month that a word names, or ""; `certain`: not where it may be a verb ("may",
    "march").
    """
    low = word.lower()
    if certain and word == low and low in ("may", "march", "mar", "dec", "sep", "jan"):
        return ""
    return low if low in MONTHS else _SHORT_MONTHS.get(low, "")


def spell_written(word: str, beside: tuple[str, str]) -> str | None:
    """Return how a written word is said, if all of it is one of the forms known here.

    Args:
      word: without edge punctuation, ASCII but for signs of currency and degrees.
      beside: the words before and after it as written, "" where there is none.
    """
    for pattern, spoken in _FORMS:
        if match := pattern.fullmatch(word):
            found = spoken(match, beside)
            if found is not None:
                return found
    return None


@functools.lru_cache(maxsize=4096)
def _spoken(value: int, to: str) -> str:
    from num2words import num2words  # noqa: PLC0415  a tenth of a second, and most texts have no digits

    words = str(num2words(value, to=to)).replace(",", "").replace("-", " ").split()
    return " ".join(word for word in words if word != "and")


def _has_zeros_before(whole: str) -> bool:
    return len(whole) > 1 and whole[0] == "0"


def _plural(noun: str, count: str) -> str:
    """The noun for so many, given as a text."""
    if count in ("1", "one"):
        return noun
    head, _, rest = noun.partition(" ")
    if head == "kilowatt":
        return f"{noun}s" if rest else "kilowatts"
    plural = head if head.endswith("hertz") else _PLURALS.get(head, f"{head}s")
    return f"{plural} {rest}".strip()


def spell_unit(word: str, count: str) -> str:
    """Spell a unit of measure beside a number: ("km", "5") -> "kilometers"; "" if it is none."""
    return _plural(UNITS[word.lower()], count) if word.lower() in UNITS else ""


def spell_currency(word: str, count: str = "") -> str:
    """Spell the name of a sign of currency, "" if it is none."""
    if word in ("¢", "c"):
        return _plural("cent", count)
    return _plural(_MONEY[word][0], count) if word in _MONEY else ""


def _integer(match: re.Match[str], beside: tuple[str, str]) -> str:
    text, (before, after) = match[0], beside
    value = int(text) if len(text) <= 15 else -1
    if 1 <= value <= 31 and len(text) <= 2:
        if spell_month(after.strip(".,"), certain=True):
            return f"{'' if before.lower() == 'the' else 'the '}{spell_ordinal(value)} of"
        if spell_month(before.strip(".,"), certain=True):
            return spell_ordinal(value)
    if _has_zeros_before(text) or value < 0 or (len(text) >= 3 and before.lower() in _DIALLED):
        return spell_digits(text)
    if len(text) == 4 and is_year(value) and (before.lower() in _IN_YEARS or after.lower() not in _COUNTED):
        return spell_year(value)
    # Five digits and more without commas are a code or a telephone number, unless they are round.
    return spell_cardinal(value) if len(text) <= 4 or value % 1000 == 0 else spell_digits(text)


def _ordinal(match: re.Match[str], beside: tuple[str, str]) -> str:
    found, (before, after) = spell_ordinal(int(match[1])), beside
    if spell_month(after.strip(".,"), certain=True):
        return f"{'' if before.lower() == 'the' else 'the '}{found} of"
    return found


def _time(match: re.Match[str], beside: tuple[str, str]) -> str | None:
    hour, minute, second, half = match.groups()
    if not (int(hour) <= 24 and int(minute) < 60 and int(second or 0) < 60):
        return None
    halved = bool(half) or beside[1].lower().replace(".", "") in ("am", "pm")
    if second or minute != "00":
        said = f"{spell_cardinal(int(hour))} {_minutes(minute)}"
    elif halved:
        said = spell_cardinal(int(hour))
    else:
        said = f"{spell_cardinal(int(hour))} hundred" if int(hour) > 12 else f"{spell_cardinal(int(hour))} o'clock"
    return " ".join([said, *([_minutes(second)] if second else []), *([_half(half)] if half else [])])


def _minutes(text: str) -> str:
    value = int(text)
    return spell_cardinal(value) if value >= 10 else f"oh {spell_cardinal(value)}" if value else "zero zero"


def _half(text: str) -> str:
    return f"{text[0].lower()} m"


def _hour(match: re.Match[str], _: tuple[str, str]) -> str | None:
    return f"{spell_cardinal(int(match[1]))} {_half(match[2])}" if 0 < int(match[1]) <= 12 else None


def _price(sign: str, text: str, scale: str, beside: tuple[str, str]) -> str:
    main, small = _MONEY[sign]
    whole, point, part = text.replace(",", "").partition(".")
    if scale:
        return f"{spell_amount(text)} {SCALES[scale.lower()]} {_plural(main, '')}"
    if beside[1].lower() in SCALES and len(beside[1]) > 2:  # $3 million: whoever reads that word says the currency
        return spell_amount(text)
    if not (point and len(part) == 2 and small):
        return f"{spell_amount(text)} {_plural(main, text)}"
    cents = f"{spell_cardinal(int(part))} {_plural(small, str(int(part)))}" if int(part) else ""
    if not int(whole or 0):
        return cents or f"zero {_plural(main, '')}"
    dollars = f"{spell_amount(whole)} {_plural(main, whole)}"
    return f"{dollars} and {cents}" if cents else dollars


def _price_first(match: re.Match[str], beside: tuple[str, str]) -> str:
    return _price(match[1], match[2], match[3] or "", beside)


def _price_last(match: re.Match[str], beside: tuple[str, str]) -> str:
    if match[2] == "¢":
        return f"{spell_amount(match[1])} {_plural('cent', match[1])}"
    return _price(match[2], match[1], "", beside)


def _measure(match: re.Match[str], _: tuple[str, str]) -> str | None:
    name = _TOUCHING.get(match[2].lower())
    return f"{spell_amount(match[1])} {_plural(name, match[1])}" if name else None


def _plural_number(match: re.Match[str], _: tuple[str, str]) -> str:
    value = int(match[1])
    *first, last = (spell_year(value) if len(match[1]) == 4 and value >= 1100 else spell_cardinal(value)).split()
    last = f"{last[:-1]}ies" if last.endswith("y") else f"{last}es" if last.endswith("x") else f"{last}s"
    return " ".join([*first, last])


def _fraction(match: re.Match[str], beside: tuple[str, str]) -> str:
    top, bottom = int(match[1]), int(match[2])
    if bottom not in (*range(2, 11), 12, 16, 32, 64, 100) or top >= bottom:
        return (
            f"{spell_cardinal(top)} {'over ' if top > bottom > 7 else ''}{spell_cardinal(bottom)}"  # 120/80; 24/7, 9/11
        )
    part = _PARTS.get(bottom, spell_ordinal(bottom))
    count = "and a" if top == 1 and _is_whole(beside[0]) else spell_cardinal(top)
    lead = "and " if top > 1 and _is_whole(beside[0]) else ""
    plural = part if top == 1 else "halves" if bottom == 2 else f"{part}s"
    return f"{lead}{count} {plural}"


def _is_whole(word: str) -> bool:
    return word.isascii() and word.isdigit()


def _date(day: int, month_: int, year_: str, *, spoken_day_first: bool = False) -> str | None:
    if not (1 <= day <= 31 and 1 <= month_ <= 12):
        return None
    name = MONTHS[month_ - 1]
    start = f"the {spell_ordinal(day)} of {name}" if spoken_day_first else f"{name} {spell_ordinal(day)}"
    return f"{start} {spell_year(int(year_)) if len(year_) == 4 else _minutes(year_)}"


def _iso_date(match: re.Match[str], _: tuple[str, str]) -> str | None:
    return _date(int(match[3]), int(match[2]), match[1])


def _slashed_date(match: re.Match[str], _: tuple[str, str]) -> str | None:
    first, second, year_ = int(match[1]), int(match[3]), match[4]
    return _date(first, second, year_, spoken_day_first=True) if first > 12 else _date(second, first, year_)


def _named_date(match: re.Match[str], _: tuple[str, str]) -> str | None:
    name = spell_month(match[2])
    return _date(int(match[1]), MONTHS.index(name) + 1, match[3], spoken_day_first=True) if name else None


def _dotted(match: re.Match[str], _: tuple[str, str]) -> str:
    """Internet addresses are said digit by digit; versions are not."""
    groups = match[0].split(".")
    if len(groups) == 4 and all(len(group) <= 3 for group in groups) and max(map(len, groups)) == 3:
        return " dot ".join(map(spell_digits, groups))
    return " point ".join(spell_amount(group) for group in groups)


def _range(match: re.Match[str], _: tuple[str, str]) -> str | None:
    first, second = match[1], match[2]
    parts = spell_written(first, ("", "")), spell_written(second, ("in" if len(first) == 4 else "", ""))
    if parts[0] is None or parts[1] is None:
        return None
    rises = not (_is_whole(first) and _is_whole(second)) or int(first) < int(second)
    return f"{parts[0]} {'to ' if rises else ''}{parts[1]}"  # 10-15; 3-1 is a score


_SLASHED = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|(?<=/)\d{2})", re.ASCII)
_AM_PM = r"(am|pm|a\.m\.?|p\.m\.?)"
_SIGNS = "".join(_MONEY)
_FORMS: list[tuple[re.Pattern[str], Callable[[re.Match[str], tuple[str, str]], str | None]]] = [
    (re.compile(pattern, re.ASCII | re.IGNORECASE), spoken)
    for pattern, spoken in (
        (r"\d+", _integer),
        (AMOUNT, lambda match, _: spell_amount(match[0])),
        (rf"(\d{{1,2}}):(\d{{2}})(?::(\d{{2}}))?{_AM_PM}?", _time),
        (rf"(\d{{1,2}}){_AM_PM}", _hour),
        (r"(\d{1,3}):(\d{1,3})", lambda match, _: f"{spell_amount(match[1])} to {spell_amount(match[2])}"),
        (r"(\d{1,9})(?:st|nd|rd|th)", _ordinal),
        (r"(\d{1,4})'?s", _plural_number),
        (rf"([{_SIGNS}])({AMOUNT})(k|mn?|bn?|tn)?", _price_first),
        (rf"({AMOUNT})([{_SIGNS}¢])", _price_last),
        (rf"({AMOUNT})%", lambda match, _: f"{spell_amount(match[1])} percent"),
        (rf"({AMOUNT})-?([a-z°/]+)", _measure),
        (r"(\d)'(\d{1,2})\"?", lambda match, _: f"{spell_amount(match[1])} foot {spell_amount(match[2])}"),
        (r"(\d{4})-(\d{2})-(\d{2})", _iso_date),
        (_SLASHED.pattern, _slashed_date),
        (r"(\d{1,2})-([a-z]+)-(\d{4}|\d{2})", _named_date),
        (r"(\d{1,3})/(\d{1,3})", _fraction),
        (r"\d+(?:\.\d+){2,}", _dotted),  # a version or an internet address
        (r"\d{3}-\d{4}|\+?\d+(?:[-.()]+\d+){2,}|\+\d+", lambda match, _: spell_digits(match[0])),
        (r"-(\S+)", lambda match, beside: _negative(match[1], beside)),
        (r"([^-]*\d[^-]*)-([^-]*\d[^-]*)", _range),
    )
]


def _negative(rest: str, beside: tuple[str, str]) -> str | None:
    found = spell_written(rest, beside) if rest[0] in "0123456789.$£€" else None
    return f"minus {found}" if found else None
