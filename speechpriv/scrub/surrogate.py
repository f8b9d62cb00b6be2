"""Synthetic values in place of real ones: another of the same kind, in words and spoken by a
synthetic voice.

A recogniser that never hears a name or a number said learns to hear none; with synthetic ones in
their place it keeps them (arXiv:2207.05469). What is made up depends on the key and the utterance
alone, and never on the real value, its length included. It is nobody's, as far as there are ranges
for that: telephone numbers kept for fiction (555-01xx), names and addresses of the internet kept
for examples (RFC 2606, 5737, 7042), numbers that no authority gives out.
"""

import hmac
import re
from collections.abc import Callable, Sequence

import numpy as np

from speechpriv.data import text, voices

# Words are said as they are, {slots} are filled, and the rest is said sign by sign: # is any digit,
# @ any letter.
_PATTERNS: dict[str, tuple[str, ...]] = {
    "NAME": ("{first}", "{first} {last}"),
    "FAX": ("2##55501##",),
    "PHONE": ("2##55501##", "4##55501##", "7##55501##"),
    "CARD": ("9999############",),  # no issuer has it
    "IBAN": ("@@00############",),  # check digits are 02 to 98
    "BANK_ACCOUNT": ("0000####",),
    "ROUTING": ("99#######",),  # no Federal Reserve district has it
    "SSN": ("666######",),  # an area that is never given out
    "PASSPORT": ("000######",),
    "DRIVING_LICENCE": ("@0000####",),
    "TAX": ("9##00####",),  # a group that is never given out
    "HEALTH_PLAN": ("@@@000####",),
    "MEDICAL_RECORD": ("000#####",),
    "HEALTH": ("999#######",),  # the NHS keeps it for tests
    "DATE_OF_BIRTH": ("{month} {day} nineteen {year}",),
    "DATE": ("{month} {day}",),
    "AGE": ("{age}",),
    "EMAIL": ("{first} dot {last} at {domain}",),
    "URL": ("{domain} slash {thing}",),
    "USERNAME": ("{thing} {thing} ##",),
    "PASSWORD": ("{thing} @@ ###",),
    "PIN": ("####",),
    "ADDRESS": ("{house} {street} {road}",),
    "POSTCODE": ("000##",),
    "CITY": ("{town}",),
    "PLATE": ("@@@ 00#",),
    "SPELLED": ("@@@@@", "@@@@@@"),
    "IP": ("192 dot 0 dot 2 dot #", "192 dot 0 dot 2 dot 1##"),
    "VEHICLE": ("@@@0000####",),
    "DEVICE": ("@@0000####",),
    "ACCOUNT": ("0000####",),
    "MAC": ("00005e0053##",),
    "NUMBER": ("######",),
}
_OTHER = ("{first}",)  # something that may stand where a proper name stood


def _numbers(first: int, end: int) -> tuple[str, ...]:
    return tuple(text.spoken_number(number) for number in range(first, end))


_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_SLOTS: dict[str, Callable[[], Sequence[str]]] = {
    "first": lambda: text.list_names("first_names"),
    "last": lambda: text.list_names("last_names"),
    "month": lambda: _MONTHS,
    "day": lambda: _numbers(1, 29),
    "year": lambda: _numbers(20, 100),
    "age": lambda: _numbers(18, 90),
    "house": lambda: _numbers(1, 400),
    "street": lambda: ("larch", "harrow", "orchard", "willow", "quarry", "juniper", "maple", "station", "mill"),
    "road": lambda: ("street", "road", "avenue", "lane"),
    "town": lambda: ("port averil", "greater hamsey", "lake orrin", "north wexley", "saint belmont", "tulsen"),
    "thing": lambda: ("garden", "river", "orange", "window", "button", "silver", "rocket", "candle", "forest"),
    "domain": lambda: ("example dot com", "example dot org", "example dot net"),
}
_SLOT = re.compile(r"\{(\w+)\}")
_SIGNS = re.compile(r"\S*[#@0-9]\S*")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def make_generator(key: bytes, utterance_id: str) -> np.random.Generator:
    """Return what an utterance's values and voice are drawn with: the same in whatever order, by
    however many workers.
    """
    seed = hmac.digest(key, b"surrogate\0" + utterance_id.encode(), "sha256")
    return np.random.default_rng(np.frombuffer(seed, dtype=np.uint32))


def draw_value(kind: str, rng: np.random.Generator) -> str:
    """Draw a synthetic value of `kind` in the words in which it is said: lower-case a-z, apart by
    single spaces.

    A kind that is not known here gets a first name.
    """
    pattern = str(rng.choice(_PATTERNS.get(kind, _OTHER)))
    signs = _SIGNS.sub(lambda found: " ".join(_sign(sign, rng) for sign in found[0]), pattern)
    return _SLOT.sub(lambda slot: str(rng.choice(_SLOTS[slot[1]]())), signs)


def speak_values(values: Sequence[str], rng: np.random.Generator) -> list[np.ndarray]:
    """Speak each of `values` as float32 samples of shape (N,) at 16 kHz, all in one synthetic
    voice, without silent ends.

    Raises:
      ConfigError: the synthesiser is not installed.
    """
    voice = voices.random_voice(rng)
    return [_trimmed(voices.speak(words, voice).samples) for words in values]


def _sign(sign: str, rng: np.random.Generator) -> str:
    """One sign of a number as it is said."""
    if sign == "@":
        return str(rng.choice(list(_ALPHABET)))
    return sign if sign in _ALPHABET else text.ONES[int(rng.integers(10)) if sign == "#" else int(sign)]


def _trimmed(samples: np.ndarray) -> np.ndarray:
    """The synthesiser is silent before and after what it says."""
    loud = np.flatnonzero(np.abs(samples) > 1e-3 * np.abs(samples).max(initial=0.0))
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples
