"""Sentences that rules were written on, among them some that no rule finds yet."""

import re
from pathlib import Path

from speechpriv.scrub.detect import find

LINES = [
    line
    for line in Path(__file__).with_name("sentences.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]


def words(line):
    """How many words are marked, and which of them and of the others are found."""
    text = re.sub("[‹›]", "", line)
    marked, inside = [], False
    for character in line:
        if character in "‹›":
            inside = character == "‹"
        else:
            marked.append(inside)
    found = [False] * len(text)
    for finding in find(text):
        found[finding.start : finding.end] = [True] * (finding.end - finding.start)
    for match in re.finditer(r"\S+", text):
        yield any(marked[slice(*match.span())]), any(found[slice(*match.span())])


def test_most_marked_words_are_found_and_few_others():
    flags = [pair for line in LINES if "‹" in line for pair in words(line)]
    marked = [found for personal, found in flags if personal]
    others = [found for personal, found in flags if not personal]
    assert len(marked) > 1500
    assert sum(marked) / len(marked) >= 0.96
    assert sum(others) / len(others) <= 0.005


def test_commands_survive():
    flags = [found for line in LINES if "‹" not in line for _, found in words(line)]
    assert len(flags) > 2500
    assert sum(flags) / len(flags) <= 0.002
