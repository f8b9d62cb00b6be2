"""How words are spelled wherever they are compared; needs no torch, since a server that only answers has none."""

import re
import unicodedata

_SLOT = re.compile(r"(\[[A-Z][A-Z0-9_]*\])")
_NOT_SPOKEN = re.compile(r"[^a-z' ]+")


def normalise(text: str) -> str:
    """The words as a recogniser learns them: lower-case a-z and apostrophes; scrubbed slots (`[NAME]`) are gone."""
    spelled = unicodedata.normalize("NFKD", _SLOT.sub(" ", text).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    plain = "".join(letter for letter in spelled if not unicodedata.combining(letter))  # "café" is "cafe"
    return " ".join(_NOT_SPOKEN.sub(" ", plain.lower()).split())


def is_slot(word: str) -> bool:
    """Whether a word stands for what was scrubbed, as `[NAME]`."""
    return _SLOT.fullmatch(word) is not None


def without_slots(text: str) -> str:
    """The text as it is but for scrubbed slots."""
    return _SLOT.sub(" ", text)


def words_and_slots(text: str) -> list[str]:
    """The words as `normalise` has them, with scrubbed slots (`[NAME]`) where they are."""
    parts = _SLOT.split(text)
    return [word for part in parts for word in ([part] if is_slot(part) else normalise(part).split())]
