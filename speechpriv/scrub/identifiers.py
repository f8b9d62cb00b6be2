"""Numbers and codes that a carrier phrase names ("my account number is ..."), or that their own
shape gives away.

`CARRIERS` is the table to extend: a kind, the phrases that announce it, and how long it may be.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from speechpriv.scrub.letters import ALPHABET, letter_end
from speechpriv.scrub.numbers import NumberSpan, is_counting
from speechpriv.scrub.shapes import is_card, is_iban, kind_by_shape
from speechpriv.scrub.utterance import Hit, Utterance
from speechpriv.scrub.words import FUNCTION, MEASURES, MEDIA, word_set


class Carrier(NamedTuple):
    """What announces a kind.

    Attributes:
      kind: what is reported.
      phrases: a regular expression over lower-case words with single spaces.
      fewest: the fewest characters of a number for which the carrier is believed.
      most: the most.
      letters: whether letters may be among them.
    """

    kind: str
    phrases: str
    fewest: int
    most: int
    letters: bool = True


_NO = "(?:(?: identification)? (?:number|no|num|id|code|ending))"
_IS = "(?= (?:is|was|number|ending)|'s)"
CARRIERS = (
    Carrier(
        "SSN",
        "social security|social insurance|national insurance|ssn|s s n|nino|n ?i number|aadhaar|social",
        4,
        11,
    ),
    Carrier("HEALTH", f"nhs{_NO}?|medicare(?: beneficiary)?|medicaid|health card|national health|health{_NO}", 4, 14),
    Carrier(
        "HEALTH_PLAN",
        f"(?:policy|insurance|member(?:ship)?|subscriber|beneficiary|group|health plan|insurance card){_NO}|"
        f"health (?:plan|insurance)",
        4,
        20,
    ),
    Carrier("MEDICAL_RECORD", f"medical record|mrn|m r n|(?:patient|chart|hospital|record|encounter){_NO}", 4, 16),
    Carrier("ROUTING", "routing|aba|sort code|bsb|transit number|swift|bic|ifsc|branch code", 4, 12),
    Carrier("IBAN", "iban|i b a n", 8, 34),
    Carrier(
        "BANK_ACCOUNT",
        rf"(?:(?:bank|checking|savings|current|deposit) )?(?:account|acct){_NO}?|(?:checking|savings) account|banking",
        4,
        20,
    ),
    Carrier("PASSPORT", "passport", 5, 12),
    Carrier("DRIVING_LICENCE", r"(?:driver'?s |drivers |driving )?licen[cs]e(?! plate)|d l number|dl", 4, 20),
    Carrier("PLATE", "licen[cs]e plate|number plate|plates?|(?:car )?reg|(?:vehicle )?registration|tag number", 3, 10),
    Carrier(
        "TAX", f"(?:tax|taxpayer|vat|utr|itin|i t i n|tin|ein|e i n|pan){_NO}?|tax reference|unique taxpayer", 4, 14
    ),
    Carrier("VEHICLE", f"vin|v i n|vehicle(?: identification)?{_NO}|chassis{_NO}", 5, 20),
    Carrier("DEVICE", f"serial{_NO}?|imei|i m e i|(?:device|pacemaker|implant|meter){_NO}|udi", 5, 24),
    Carrier("POSTCODE", "zip ?code|zip|post ?code|postal code", 5, 9),
    Carrier(
        "PIN",
        "pin(?: code| number)?|p i n|pass ?code|password|cvv|c v v|cvc|otp|(?:one time|security|access|door|gate|alarm|"
        "entry|verification|unlock|lock|safe|pass|garage|authentication|authorization|login|two factor|sms|voicemail|"
        r"building|confirmation|keypad|screen) (?:code|combination)|(?<!area )(?<!country )(?<!error )"
        r"code(?= is| was| for| to| on| of|'s)|"
        "combination",
        3,
        12,
    ),
    Carrier(
        "CARD",
        "card|visa|mastercard|master card|amex|american express|discover card|debit|credit",
        4,
        19,
        letters=False,
    ),
    Carrier(
        "ACCOUNT",
        f"(?:customer|client|employee|student|badge|loyalty|rewards|frequent flyer|certificate|dea|npi|user|staff|"
        f"union|library card|card member){_NO}",
        4,
        24,
    ),
    Carrier(
        "NUMBER",
        f"(?:claim|case|booking|order|invoice|confirmation|reference|tracking|ticket|transaction|reservation)(?:{_NO}|{_IS})|"
        "last (?:four|4|six|6)(?: digits| numbers)?",
        4,
        34,
    ),
    Carrier("FAX", f"fax{_NO}?", 6, 15, letters=False),
    Carrier("PHONE", "extension|ext", 2, 6, letters=False),
    Carrier(
        "PHONE",
        "(?:tele)?phone|mobile|cell(?:phone)?|landline|pager|dial|call|ring|text|message|whatsapp|number|reach|"
        "digits are|texted|called|contact",
        6,
        15,
        letters=False,
    ),
)
_LINKS = (
    "is|was|are|it's|that's|number|numbers|number's|no|num|code|id|the|my|his|her|our|their|your|as|of|for|to|with|"
    "ending in|ends in|ending|ends with|digits|last|first|four|um|uh|er|erm|please|back|starting|plus|area|country|at|"
    "on|me|him|them|us|wife|husband|mother|father|son|daughter|mom|mum|dad|under|using|should be|actually|should|be|up|"
    "here|here's|saved|listed|card|or|via|reads|says|equals|like|star|hash|pound|it|issued|in|u s"
)
_VAGUE = ("PHONE", "FAX", "NUMBER")  # kinds whose carriers leave room for another
_GROUPS = {f"c{row}": carrier for row, carrier in enumerate(CARRIERS)}
_VAGUE_ANY = "|".join(f"(?P<{group}>{carrier.phrases})" for group, carrier in _GROUPS.items() if carrier.kind in _VAGUE)
_EXACT_ANY = "|".join(
    f"(?P<{group}>{carrier.phrases})" for group, carrier in _GROUPS.items() if carrier.kind not in _VAGUE
)
# "the number on the card is", "the code for the alarm is", "the social security number on file is"
_PLACED = r"(?: (?:on|for|of|in|at|from|with|to|we|you|i) (?:[a-z']+ ){1,4}?(?:is|was))"
_BEFORE = re.compile(
    rf"(?:^| )(?:(?:{_EXACT_ANY})(?:'s)?(?: number| code| id)?{_PLACED}?|(?:{_VAGUE_ANY})(?:'s)?)(?: (?:{_LINKS}))*$"
)
_AFTER = re.compile(
    rf"(?:is|was|that's|as) (?:(?:my|the|his|her|our|their|your) )?(?:[a-z']+ )?(?:{_EXACT_ANY}|{_VAGUE_ANY})(?= |$)"
)
_REMINDERS = word_set("alarm alarms wake timer timers remind reminder reminders snooze schedule")
_AMOUNTS = word_set("balance total bill limit owe cost costs price fee payment worth")
_FILLERS = word_set("dash hyphen then um uh er erm space and slash")
_MIXED = re.compile(r"(?=[a-z-]*[0-9])(?![0-9]+(?:st|nd|rd|th|am|pm)$)[a-z0-9]+(?:-[a-z0-9]+)*")
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}|[0-9]{1,2}-[0-9]{1,2}-(?:[0-9]{2}){1,2}")
_SPOKEN_POSTCODE = re.compile(r"[a-z]{1,2}[0-9][0-9a-z]?[0-9][abd-hjlnp-uw-z]{2}|[a-z][0-9][a-z][0-9][a-z][0-9]")


def find_identifiers(u: Utterance) -> Iterator[Hit]:
    """Find phone, card, social security, account and such numbers; hits may overlap; linear in the
    number of words.
    """
    for code in _codes(u):
        hit = _lettered(u, code)
        if hit:
            yield hit
            continue
        for spoken, run in groupby(code, key=lambda span: bool(span.parts)):
            hit = _identify(u, list(run)) if spoken else None
            if hit:
                yield hit


def _lettered(u: Utterance, code: Sequence[NumberSpan]) -> Hit | None:
    """What a code with letters is: by its carrier, or as a spoken postcode or bank account."""
    if all(span.parts for span in code):
        return None
    start, end = code[0].start, code[-1].end
    characters = _characters(u, code)
    carrier = _carrier(u.words, start, end)
    if carrier and carrier.letters and carrier.fewest <= len(characters) <= carrier.most:
        if carrier.kind == "PLATE" and len(u.word(end)) == 3 and u.words[end].isalpha():
            end += u.words[end] not in FUNCTION  # "ab12 cde"
        return start, end, carrier.kind, f"{carrier.kind.lower()}.carrier"
    if end - start > 3 and _SPOKEN_POSTCODE.fullmatch(characters):
        return start, end, "POSTCODE", "postcode.spoken"
    if is_iban(characters):
        return start, end, "IBAN", "iban.checksum"
    return None


def _identify(u: Utterance, run: Sequence[NumberSpan]) -> Hit | None:  # noqa: PLR0911  a reason each
    """What adjacent numbers are, by the words around them or else by themselves."""
    start, end = run[0].start, run[-1].end
    parts = [part for span in run for part in span.parts]
    size = sum(map(len, parts))
    carrier = _carrier(u.words, start, end)
    believed = carrier is not None and carrier.fewest <= size <= carrier.most
    if carrier and carrier.kind == "PHONE" and size < 7 and carrier.fewest > 2 and len(parts) < 3:
        believed = False  # "change the number to five hundred thousand"
    if carrier and not _AMOUNTS.isdisjoint(u.before(start, 8)):
        believed = False  # "the balance on my account is two thousand"
    if u.word(start - 1) in ("point", "dot") or u.word(end) in ("dot", "point"):
        return None
    if u.word(end) in MEASURES and not (believed and size > 5):
        return None
    plus = u.word(start - 1) == "plus"
    if carrier and believed and not (carrier.kind in _VAGUE and is_card("".join(parts))):
        if carrier.kind in _VAGUE and _DATE.fullmatch(u.words[start]):
            return None
        return start - (plus and carrier.kind in _VAGUE), end, carrier.kind, f"{carrier.kind.lower()}.carrier"
    if not _REMINDERS.isdisjoint(u.vocabulary) and max(map(len, parts)) <= 2:
        return None  # "set alarms for six fifteen six thirty and six forty five"
    if u.word(start - 1) in MEDIA:
        return None  # "play eight six seven five three oh nine"
    shape = kind_by_shape(parts, plus=plus or u.words[start].startswith("+"))
    if shape is None or _DATE.fullmatch(u.words[start]):
        return None
    return start - (plus and shape[0] == "PHONE"), end, *shape


def _codes(u: Utterance) -> Iterator[list[NumberSpan]]:
    """Numbers with the letters and mixed words around them ("s w one a", "ab12"), across "dash" and
    "um".

    Letters come as spans without parts. A code has at least one digit.
    """
    code: list[NumberSpan] = []
    cased = u.has_digits and not u.text.islower() and not u.text.isupper()
    at = 0
    while at <= len(u.words):
        word = u.word(at)
        span = u.number_at.get(at)
        if span is None and word:
            end = letter_end(u, at)
            if not end and (_MIXED.fullmatch(word) if not word.isalpha() else cased and _is_code_word(u, at)):
                end = at + 1
            span = NumberSpan(at, end, ()) if end else None
        if span is not None:
            code.append(span)
        elif code and not (word in _FILLERS and at < code[-1].end + 2):
            if any(each.parts or not u.words[each.start].isalpha() for each in code):
                yield code
            code = []
        at = span.end if span else at + 1


def _is_code_word(u: Utterance, i: int) -> bool:
    """Whether word i is two to four capitals beside digits, as in "AB 123456" and "AB12 CDE"."""
    start, end = u.bounds[i]
    beside = u.word(i - 1)[-1:].isdigit() or u.word(i + 1)[:1].isdigit()
    return beside and 2 <= end - start <= 4 and u.text[start:end].isupper()


def _characters(u: Utterance, code: Sequence[NumberSpan]) -> str:
    """The code as it would be written."""
    pieces = []
    for span in code:
        word = u.words[span.start]
        letter = u.words[span.start + 1] if word in ("capital", "uppercase", "lowercase") else word
        pieces.append(span.digits or (letter[0] if letter in ALPHABET else letter).replace("-", ""))
    return "".join(pieces)


def _carrier(words: Sequence[str], start: int, end: int) -> Carrier | None:
    """The carrier phrase right before words [start, end), or right after them."""
    found = _BEFORE.search(" ".join(words[max(0, start - 10) : start]))
    if found is None:
        found = _AFTER.match(" ".join(words[end : end + 6])) if end < len(words) else None
        return _GROUPS[found.lastgroup or ""] if found else None
    carrier = _GROUPS[found.lastgroup or ""]
    timed = words[start - 2 : start - 1] not in (["ends"], ["ending"]) and words[start - 1] in (
        "at",
        "on",
        "by",
        "in",
        "for",
        "or",
    )  # "change my password at seven thirty"
    return None if timed and carrier.kind not in ("PHONE", "FAX", "CARD") else carrier


def any_number(u: Utterance) -> Iterator[Hit]:
    """Return every number of four digits or more that is no amount, and every word that mixes
    letters and digits.
    """
    for span in u.numbers:
        if len(span.digits) >= 4 and u.word(span.end) not in MEASURES and not is_counting(span.parts):
            yield span.start, span.end, "NUMBER", "number.any"
    for i, word in enumerate(u.words):
        if len(word) >= 4 and not word.isalpha() and not word[0].isdigit() and _MIXED.fullmatch(word):
            yield i, i + 1, "NUMBER", "number.mixed"
