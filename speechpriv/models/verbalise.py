"""Written words as they are said: what is written in other signs than letters is read aloud."""

import functools
import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from speechpriv.models import numerals
from speechpriv.models.numerals import SCALES
from speechpriv.models.tags import SLOT, split_entries

# Shortened in writing, never in speech; small letters need the full stop to be told from a word.
SHORT = {
    "mr": "mister", "mrs": "missus", "dr": "doctor", "prof": "professor", "mt": "mount", "jr": "junior",
    "sr": "senior", "ave": "avenue", "rd": "road", "blvd": "boulevard", "vs": "versus", "etc": "et cetera",
    "capt": "captain", "sgt": "sergeant", "gen": "general", "gov": "governor", "sen": "senator", "rev": "reverend",
}  # fmt: skip
TITLES = ("Mr", "Mrs", "Dr", "MR", "MRS", "DR", "St", "ST")
_SIGNS = {
    "&": " and ", "@": " at ", "+": " plus ", "=": " equals ", "%": " percent ", "°": " degrees ", "×": " times ",
    "÷": " divided by ", "±": " plus or minus ", "$": " dollars ", "£": " pounds ", "€": " euros ", "¥": " yen ",
    "₹": " rupees ", "¢": " cents ",
}  # fmt: skip
_SIGN = re.compile("|".join(map(re.escape, _SIGNS)))
_ADDRESS_SIGNS = {".": " dot ", "@": " at ", "/": " slash ", "_": " underscore ", "-": " dash ", ":": " colon "}
_ADDRESS = re.compile(
    r"\S*[A-Za-z0-9]@[A-Za-z]\S*|https?://\S+|www\.\S+|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*"
    r"\.(?:com|org|net|edu|gov|io|info|biz|uk|de|fr|eu|ca|au|us|tv|me|co)(?:/\S*)?",
    re.IGNORECASE,
)
_LABELLED = re.compile(r"([A-Za-z]*)(#|(?<=[A-Za-z]):)([0-9].*)", re.DOTALL)
_RUN = re.compile(r"[0-9]+|[^0-9]+")
_GROUP = re.compile(r"\+?\(?[0-9]{2,6}\)?(?:-[0-9]{3,4})*|\+[0-9]{1,3}|1")
# Lengths of the groups in which telephone and card numbers are written.
_GROUPS = {
    (3, 4), (3, 3, 4), (1, 3, 3, 4), (4, 4, 4, 4), (3, 2, 4), (5, 6), (5, 3, 3), (4, 3, 4), (3, 4, 4), (2, 4, 4),
    (4, 6, 5),
}  # fmt: skip
_OPENING, _CLOSING = '"“”„‚«»‹›([{¿¡', '"“”«»‹›)]},;:!?.'
_LONGEST = 64  # no number is longer, and no pattern is asked of more
# Words that begin or end with an apostrophe; elsewhere at an edge it is a quotation mark.
_BEGINNING = split_entries("""
    'tis, 'twas, 'twere, 'twill, 'em, 'cause, 'bout, 'til, 'till, 'n, 'round, 'neath, 'gainst, 'cos
    'cuz, 's, 're, 'll, 'd, 've, 'm, 't, 'er, 'im, 'ere, 'ave
""")
_ENDING = split_entries("o', th', ol', an', wi', lil', d', l', y', po', mo', ha', t'")


class _Word(NamedTuple):
    core: str  # without edge punctuation
    closing: str  # the punctuation after it


def verbalise_words(words: Sequence[str]) -> list[str]:
    """Spell each of `words` as it is said: a-z, apostrophes and spaces, "" where nothing is said.

    What cannot be said is left in it, sign by sign; see `spelling.find_unspellable`.

    Args:
      words: of one text, folded (`spelling.fold`), without white space; neighbours tell how a
        number is read.
    """
    parts = [_parted(word) for word in words]
    found: list[str] = []
    dialled = _dialled(parts)
    for at, part in enumerate(parts):
        before = parts[at - 1].core if at and "," not in parts[at - 1].closing else ""
        after = parts[at + 1].core if at + 1 < len(parts) and not part.closing.strip(".") else ""
        found.append(numerals.spell_digits(part.core) if at in dialled else _said(part, before, after))
    return found


def _parted(word: str) -> _Word:
    if SLOT.fullmatch(word):
        return _Word("", "")
    bare = word.lstrip(_OPENING)
    core = bare.rstrip(_CLOSING)
    if bare[len(core) : len(core) + 1] == ")" and "(" in core:
        core += ")"
    if any(map(str.isalnum, core)):
        core = core.strip("*_") if core.count("*") != 1 else core  # *word*: emphasis
    return _Word(core, bare[len(core) :])


def _said(part: _Word, before: str, after: str) -> str:
    core = part.core
    if _has_digit(core):
        # An apostrophe within is of "5'10".
        return _number(core if "'" in core[1:] else core.strip("'"), before, after)
    return (
        _after_number(core, before)
        or _shortened(core, before, after, stopped=part.closing[:1] == ".")
        or (_address(core) if len(core) <= _LONGEST and _ADDRESS.fullmatch(core) else _letters(core))
    )


def _after_number(core: str, before: str) -> str:
    """A word that is said otherwise because a number is before it, else ""."""
    if not _ends_in_digit(before):
        return ""
    low, count = core.lower(), before.strip("'")
    if low in ("am", "pm", "a.m", "p.m"):
        return f"{low[0]} m"
    if low in SCALES and len(low) > 2 and before[0] in "$£€¥₹":
        return f"{low} {numerals.spell_currency(before[0])}"
    return numerals.spell_unit(core, count) or numerals.spell_currency(core, count)


def _shortened(core: str, before: str, after: str, *, stopped: bool) -> str:
    """The whole word for a shortened one, else ""; `stopped`: a full stop is after it."""
    low = core.lower()
    if low == "no" and stopped and _has_digit(after[:1]):
        return "number"
    if core in TITLES or (stopped and (low == "st" or low in SHORT)):
        return SHORT[low] if low != "st" else "saint" if after[:1].isupper() else "street"
    dated = stopped or _ends_in_digit(before) or _has_digit(after)
    return numerals.spell_month(core, certain=True) if dated else ""  # "Jan 5"


def _number(core: str, before: str, after: str) -> str:
    """A word with digits."""
    if labelled := _LABELLED.fullmatch(core):  # "#5", "MRN:00123456"
        label, sign, rest = labelled.groups()
        number = numerals.spell_digits(rest) if label and rest.isdigit() else _said(_Word(rest, ""), "", after)
        return " ".join([*_letters(label).split(), *(["number"] if sign == "#" else []), number])
    if len(core) <= _LONGEST:
        if (found := numerals.spell_written(core, (before, after))) is not None:
            return found
        if _ADDRESS.fullmatch(core):
            return _address(core)
    said = []
    for run in _RUN.findall(core):
        if not run[0].isascii() or not run[0].isdigit():
            said.append(_letters(run))
        else:
            said.append(
                numerals.spell_cardinal(int(run)) if len(run) < 3 and run[0] != "0" else numerals.spell_digits(run)
            )
    return " ".join(" ".join(said).split())


def _address(core: str) -> str:
    """A mailbox or a page, sign by sign where people say it so."""
    said = []
    for run in _RUN.findall(core):
        spaced = "".join(_ADDRESS_SIGNS.get(sign, sign) for sign in run)
        said.append(numerals.spell_digits(run) if run[0].isdigit() else _letters(spaced))
    words = " ".join(said).split()
    return " ".join("w w w" if word == "www" else word for word in words)


@functools.lru_cache(maxsize=1 << 14)
def _letters(core: str) -> str:
    """Small letters without accents, signs with one name as it; all other punctuation parts words."""
    pieces = core.split("&")
    if len(pieces) > 1 and all(piece.isalpha() and piece.isupper() and len(piece) <= 2 for piece in pieces):
        core = "&".join(" ".join(piece) for piece in pieces)  # AT&T
    spaced = _SIGN.sub(lambda sign: _SIGNS[sign[0]], core)
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", spaced) if not unicodedata.combining(sign))
    parted = "".join(sign if sign == "'" or not is_harmless(sign) else " " for sign in plain.lower())
    return " ".join(filter(None, map(without_quotes, re.sub("''+", " ", parted).split())))


def is_harmless(sign: str) -> bool:
    """Return whether a sign is punctuation that nobody says."""
    return sign.isspace() or (sign not in "#*\\[]{}" and unicodedata.category(sign)[0] in "PCZ")


def without_quotes(word: str) -> str:
    """Return a word without quotation marks; a repeated call changes nothing."""
    core = word.strip("'")
    if word == core or not core:
        return core
    begins, ends = word[0] == "'", word[-1] == "'"
    if begins and ends:
        return f"'{core}'" if core == "n" else core
    if begins:
        return word if word in _BEGINNING else core
    return word if core[-1] == "s" or core.endswith("in") or word in _ENDING else core


def _dialled(parts: Sequence[_Word]) -> set[int]:
    """The words of telephone and card numbers that are written in several."""
    found: set[int] = set()
    at = 0
    while at < len(parts):
        end, sizes = at, list[int]()
        while end < len(parts) and _GROUP.fullmatch(parts[end].core):
            sizes += [len(group) for group in re.findall("[0-9]+", parts[end].core)]
            end += 1
            if parts[end - 1].closing.strip(")"):
                break
        first = parts[at].core[:1]
        if end - at > 1 and (tuple(sizes) in _GROUPS or (first in ("+", "0") and sum(sizes) >= 9)):
            found.update(range(at, end))
        at = max(end, at + 1)
    return found


def _has_digit(word: str) -> bool:
    return any("0" <= sign <= "9" for sign in word)


def _ends_in_digit(word: str) -> bool:
    return "0" <= word.strip("'")[-1:] <= "9"
