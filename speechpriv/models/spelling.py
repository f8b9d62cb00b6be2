"""The one text front end: labels, references and what a model writes are spelled alike.

Needs no torch, since a server that only answers has none. A corpus keeps its texts as they were
written, for the scrubber finds more in them
(docs/experiments/scrub.md#scrub-first-spell-afterwards); they are spelled where labels are made and
where words are compared.
"""

import html
import re
import unicodedata

from speechpriv.models import numerals, tags, verbalise

LETTERS = "abcdefghijklmnopqrstuvwxyz'"  # all signs of normalised text, but for the space
_SLOT = re.compile(rf"({tags.SLOT.pattern})")
_OTHER = re.compile(r"[^a-z' ]+")
_PARTING = re.compile(r"[\u2014\u2015\u2e3a\u00a6]|\.{2,}")  # between clauses, and what stands for a tag
_PART = "\N{BROKEN BAR}"
# What makes a text more than letters, punctuation that nobody says, and apostrophes within words.
_NOT_PLAIN = re.compile(r"[^A-Za-z' \t\n,;:!?\"-]")
_QUOTED = re.compile(r"(?<![A-Za-z])'|'(?![A-Za-z])")
_TITLED = re.compile(rf"\b(?:{'|'.join(verbalise.TITLES)})\b")
_SHORTENED = {*verbalise.SHORT, "st", *numerals.MONTHS, *(month[:3] for month in numerals.MONTHS), "sept"}
_PLAIN = str.maketrans(dict.fromkeys(',.;:!?"-', " "))
_UNSEEN = re.compile("[\xad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff™®©℠]")
_ENTITY = re.compile(r"&(?:#[0-9]{1,6}|#x[0-9a-fA-F]{1,5}|amp|quot|apos|nbsp|lt|gt);")
_FRACTIONS = {
    "½": "1/2",
    "⅓": "1/3",
    "⅔": "2/3",
    "¼": "1/4",
    "¾": "3/4",
    "⅛": "1/8",
    "⅜": "3/8",
    "⅝": "5/8",
    "⅞": "7/8",
}
_ALIKE = str.maketrans(
    dict.fromkeys("\u2019\u2018\u201b\u02bc\u02b9\u02bb\u02c8\uff07\u2032\u00b4`", "'")
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d", "-")
    | {sign: f" {text}" for sign, text in _FRACTIONS.items()}
    | {"²": " squared", "³": " cubed", "№": "No. ", "\N{FRACTION SLASH}": "/", "\N{DIVISION SLASH}": "/"}
)
_LETTERS = str.maketrans(
    {"ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"}
    | {"đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ı": "i"}
)


def normalise(text: str) -> str:
    """Spell a text as it is said and as a recogniser learns it: small letters a-z and apostrophes.

    "Café at 7:30!" is "cafe at seven thirty"; scrubbed slots (`[NAME]`), tags and what cannot be
    spelled are gone.
    """
    if is_plain(text):
        return " ".join(text.translate(_PLAIN).lower().split())
    return " ".join(word for word in words_and_slots(text) if not is_slot(word))


def is_plain(text: str) -> bool:
    """Return whether a text is letters and punctuation that nobody says: it is said as it is
    written.
    """
    text = text.rstrip()
    if text.endswith("."):
        text = text[:-1]
        if text[text.rfind(" ") + 1 :].strip('"').lower() in _SHORTENED:
            return False
    return not (
        _NOT_PLAIN.search(text)
        or ("'" in text and _QUOTED.search(text))
        or (not text.islower() and _TITLED.search(text))
    )


def spell_words(text: str) -> list[str]:
    """Spell each white-space separated word of `text` by itself, "" where nothing of it is said.

    Together they are `normalise(text)`, so what was said leads back to what was written.
    """
    if is_plain(text):
        return [" ".join(word.translate(_PLAIN).lower().split()) for word in text.split()]
    words: list[list[str]] = [[] for _ in text.split()]
    for owner, token, said in _tokens(text):
        if not is_slot(token):
            words[owner] += _plain(said)
    return [" ".join(found) for found in words]


def words_and_slots(text: str) -> list[str]:
    """Return the words as `normalise` has them, with scrubbed slots (`[NAME]`) where they are."""
    if is_plain(text):
        return text.translate(_PLAIN).lower().split()
    return [word for _, token, said in _tokens(text) for word in ([token] if is_slot(token) else _plain(said))]


def find_unspellable(text: str) -> str:
    """Find why `text` has a word of which a sign would be lost; "" if it has none."""
    for _, _, said in _tokens(text):
        for sign in "".join(_OTHER.findall(said)):
            if not verbalise.is_harmless(sign):
                kind = unicodedata.category(sign)[0]
                script = {"L": "letters", "M": "letters", "N": "figures"}.get(kind)
                return f"{script} of another script" if script else "a symbol that is not said, or in several ways"
    return ""


def canonicalise(text: str) -> str:
    """Bring a text into one form of Unicode (NFKC), with one apostrophe, and no signs of no width."""
    if text.isascii():
        return _ENTITY.sub(_character, text).replace("`", "'")
    text = _UNSEEN.sub("", _ENTITY.sub(_character, text)).translate(_ALIKE)
    return unicodedata.normalize("NFKC", text)


def is_slot(word: str) -> bool:
    """Return whether a word stands for what was scrubbed, as `[NAME]`."""
    return _SLOT.fullmatch(word) is not None


def _tokens(text: str) -> list[tuple[int, str, str]]:
    """The index of a word of `text.split()`, a part of it, and how that is said."""
    parts = [
        (owner, part)
        for owner, word in enumerate(_masked(text).split())
        for whole in canonicalise(word).translate(_LETTERS).split()
        for piece in _SLOT.split(whole)
        for part in ([piece] if is_slot(piece) else _PARTING.split(piece))
    ]
    said = verbalise.verbalise_words([part for _, part in parts])
    return [(owner, part, words) for (owner, part), words in zip(parts, said, strict=True)]


def _masked(text: str) -> str:
    """`text` with tags made signs that say nothing; slots stay, and so does the number of words."""
    pieces, at = [], 0
    for start, end, _ in tags.find_tags(text):
        tag = text[start:end]
        pieces += [text[at:start], tag if is_slot(tag) else re.sub(r"\S", _PART, tag)]
        at = end
    return "".join([*pieces, text[at:]])


def _plain(said: str) -> list[str]:
    """The words that can be spelled."""
    return [word for found in _OTHER.sub(" ", said).split() if (word := verbalise.without_quotes(found))]


def _character(entity: re.Match[str]) -> str:
    """What an HTML entity stands for."""
    return html.unescape(entity[0])
