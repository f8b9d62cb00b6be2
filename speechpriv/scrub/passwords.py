"""Passwords that are words: "the wifi password is blue horse ninety nine"."""

import re
from collections.abc import Iterator

from speechpriv.scrub.utterance import Hit, Utterance
from speechpriv.scrub.words import FUNCTION, QUESTIONS, word_set

CARRIERS = word_set("password password's passphrase passwords passkey")
_LINK = re.compile(
    r"(?: (?:for|on|of|to|at) (?:(?:my|the|our|his|her|their|this|that) )?(?:[a-z0-9-]+ )?[a-z0-9-]+"
    r"(?= (?:is|was|to|it's)))?"
    r"(?: (?:is|was|to|it's|it is|as|should be|will be|equals|um|uh))+ "
)
# What is said of a password that is not the password.
_ABOUT = word_set(
    "strong weak expired secure safe stored saved encrypted reset changed protected working forgotten compromised "
    "wrong incorrect case something anything hacked stolen longer going needed required missing mandatory invalid "
    "correct too hard easy short unknown right"
)
_SIGNS = word_set("at dot underscore dash hyphen plus and")  # between parts


def find_passwords(u: Utterance) -> Iterator[Hit]:
    """Find the words after "password is" up to the end of the phrase, eight words and their numbers
    at most.
    """
    if u.words[0] in QUESTIONS:
        return
    for i, word in enumerate(u.words):
        if word not in CARRIERS or u.word(i - 1) == "no":
            continue
        link = _LINK.match(f" {' '.join(u.words[i + 1 : i + 10])} ")
        start = i + 1 + (link[0].count(" ") - 1 if link else 0)
        linked = link or word.endswith("'s") or u.text[u.bounds[i][1] : u.bounds[i][1] + 1] == ":"
        if start < len(u.words) and (linked or not u.words[start].isalpha()) and not _is_about(u, start):
            end = _end(u, start)
            if end > start:
                yield start, end, "PASSWORD", "password.carrier"


def _is_about(u: Utterance, i: int) -> bool:
    """Whether word i tells of the password and is not it: "is wrong", but "is correct horse battery
    staple".
    """
    return u.words[i] in _ABOUT and (i + 1 == len(u.words) or u.words[i + 1] in FUNCTION or u.ends_phrase(i))


def _end(u: Utterance, start: int) -> int:
    at, words = start, 0
    while at < len(u.words) and words < 8:
        word = u.words[at]
        span = u.number_at.get(at)
        joins = word in _SIGNS and at > start and u.word(at + 1) and u.words[at + 1] not in FUNCTION
        if (
            word in FUNCTION
            and not span
            and not (joins and word != "and")
            and not (len(word) == 1 and word == "a" and at > start)
        ):
            break
        at = span.end if span else at + 1
        words += not span
        if u.ends_phrase(at - 1):
            break
    return at
