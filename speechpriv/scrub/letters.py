"""Single letters as people say them: "s", "double s", "s as in sierra", "m for mike", "capital b",
"bravo".
"""

import itertools
from collections.abc import Iterator

from speechpriv.scrub.utterance import Hit, Utterance
from speechpriv.scrub.words import word_set

# The alphabets of NATO (ICAO) radio and of the telephone.
ALPHABET = word_set(
    "alpha alfa bravo charlie delta echo foxtrot golf hotel india juliet juliett kilo lima mike november oscar papa "
    "quebec romeo sierra tango uniform victor whiskey xray x-ray yankee zulu"
)
_PREFIXES = word_set("capital uppercase lowercase double triple")
_ANNOUNCERS = word_set("spelled spelt spell spelling name surname name's spells")
# Said letter by letter by everybody.
_ACRONYMS = word_set(
    "usa uk bbc cnn nbc abc cbs espn nba nfl nhl mlb mtv hbo fbi cia nasa ibm dvd rsvp asap faq diy gps usb html http "
    "https atm ceo tv dj ac pm am led lcd ufo vip abba nypd nyc ibuprofen api url pdf mri ecg ekg icu bp dna rna hiv "
    "aids bmw kfc tlc ymca nsync ufc wwe pbs npr itv hdmi wifi"
)


_SAID = ALPHABET | _PREFIXES | frozenset("abcdefghijklmnopqrstuvwxyz")


def letter_end(u: Utterance, i: int) -> int:
    """Index after the letter that is said at word i; 0 where there is none."""
    word = u.word(i)
    if word not in _SAID:
        return 0
    if word in _PREFIXES:
        return i + 2 if len(u.word(i + 1)) == 1 and u.words[i + 1].isalpha() else 0
    if len(word) == 1:
        if u.word(i + 1) == "as" and u.word(i + 2) == "in" and u.word(i + 3):
            return i + 4
        if u.word(i + 1) == "for" and u.word(i + 2)[:1] == word and len(u.words[i + 2]) > 1:
            return i + 3
        return i + 1
    return i + 1 if word in ALPHABET else 0


LETTERS = ALPHABET | frozenset(chr(code) for code in range(ord("b"), ord("z") + 1) if chr(code) != "i")


def find_spelled(u: Utterance) -> Iterator[Hit]:
    """Find words that are spelled out: four letters, or three after "spelled"."""
    at = 0
    while at < len(u.words):
        start, letters, said = at, "", 0
        while end := letter_end(u, at):
            letters += u.words[at] if len(u.words[at]) == 1 else u.words[at][0]
            said += len(u.words[at]) == 1 or u.words[at] in ALPHABET
            at = end
        announced = not _ANNOUNCERS.isdisjoint(u.before(start, 4))
        singles = sum(len(word) == 1 for word in u.words[start:at])
        if len(letters) >= (3 if announced else 4) and (singles >= 2 or said >= 3) and not _is_common(letters):
            yield start, at, "SPELLED", "spelled.letters"
        at = max(at, start + 1)


def find_joined(u: Utterance) -> Iterator[Hit]:
    """Find words that are spelled out with signs between: "s-m-i-t-h", "S.M.I.T.H."."""
    for i, word in enumerate(u.words):
        if len(word) >= 7 and word[1] in "-." and (letters := _joined(word)) and not _is_common(letters):
            yield i, i + 1, "SPELLED", "spelled.joined"


def _joined(word: str) -> str:
    """The letters of "s-m-i-t-h" or "s.m.i.t.h", at least four."""
    if len(word) < 7 or word[1] not in "-." or not word[0].isalpha():
        return ""
    letters = word.split(word[1])
    return "".join(letters) if all(len(letter) == 1 and letter.isalpha() for letter in letters) else ""


def _is_common(letters: str) -> bool:
    """An acronym, letters in order of the alphabet, or one letter again and again."""
    steps = {ord(b) - ord(a) for a, b in itertools.pairwise(letters)}
    return letters in _ACRONYMS or steps <= {1} or steps <= {0} or steps <= {-1}
