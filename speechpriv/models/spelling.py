"""How words are spelled wherever they are compared; needs no torch, since a server that only answers has none."""

import re
import unicodedata

_MASK_TOKEN = re.compile(r"\[[A-Z_]+\]")
_NOT_SPOKEN = re.compile(r"[^a-z' ]+")


def normalise(text: str) -> str:
    """The words as a recogniser learns them: lower-case a-z and apostrophes; scrubbed slots (`[NAME]`) are gone."""
    spelled = unicodedata.normalize("NFKD", _MASK_TOKEN.sub(" ", text).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    plain = "".join(letter for letter in spelled if not unicodedata.combining(letter))  # "café" is "cafe"
    return " ".join(_NOT_SPOKEN.sub(" ", plain.lower()).split())
