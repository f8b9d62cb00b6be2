"""Recall and false positives on the labelled sentences of the test part; rules are written on those of development."""

import collections
import re
import runpy
from pathlib import Path

import pytest

from speechpriv.scrub.detect import find

labelled = runpy.run_path(str(Path(__file__).with_name("labelled.py")))
TEST = labelled["read"]("test")
NUMERIC = (
    *("PHONE", "FAX", "CARD", "IBAN", "BANK_ACCOUNT", "ROUTING", "SSN", "PASSPORT", "DRIVING_LICENCE", "TAX", "HEALTH"),
    *("HEALTH_PLAN", "MEDICAL_RECORD", "DEVICE", "VEHICLE", "PIN", "PLATE", "POSTCODE", "IP", "MAC", "DATE_OF_BIRTH"),
    "AGE",
)
WANTED = dict.fromkeys(NUMERIC, 0.98) | {"EMAIL": 0.95, "ADDRESS": 0.95, "NAME": 0.9} | dict.fromkeys(
    ("URL", "USERNAME", "PASSWORD", "CITY", "SPELLED"), 0.9
)  # fmt: skip


def touched(text, ranges):
    """Indices of the words of text.split() that a range of characters touches."""
    words = [match.span() for match in re.finditer(r"\S+", text)]
    return {i for i, (a, b) in enumerate(words) if any(start < b and a < end for start, end, *_ in ranges)}


def found(sentence, profile="default"):
    return [(finding.start, finding.end, finding.kind) for finding in find(sentence.text, profile)]


@pytest.fixture(scope="module")
def recall():
    """Share of labels with every word covered, and of those reported as their kind, by (kind, form)."""
    covered, named = collections.defaultdict(list), collections.defaultdict(list)
    for sentence in TEST:
        findings = found(sentence)
        words = touched(sentence.text, findings)
        for label in sentence.spans:
            key = label[2], sentence.form
            covered[key].append(touched(sentence.text, [label]) <= words)
            named[key].append(any(a < label[1] and label[0] < b and kind == label[2] for a, b, kind in findings))
    return {key: (sum(hits) / len(hits), sum(named[key]) / len(hits)) for key, hits in covered.items()}


def test_size_and_parts():
    everything = [*TEST, *labelled["read"]("development")]
    assert len(everything) >= 5000
    assert {s.form for s in everything} == {"spoken", "written"}
    parts = [set(labelled["templates"](part)) for part in ("development", "test")]
    assert parts[0].isdisjoint(parts[1])
    assert labelled["FILE"].stat().st_size < 400_000
    assert {kind for s in TEST for *_, kind in s.spans} == set(WANTED)
    for sentence in everything:
        assert sentence.form == "written" or sentence.text.islower()
        assert all(0 <= a < b <= len(sentence.text) for a, b, _ in sentence.spans)


@pytest.mark.parametrize("form", ["spoken", "written"])
@pytest.mark.parametrize("kind", WANTED)
def test_recall(recall, kind, form):
    covered, named = recall[kind, form]
    assert covered >= WANTED[kind]
    assert named >= WANTED[kind] - 0.1


def test_commands_survive():
    """At most 0.5 % of the words of sentences without personal data, and of the words around labels."""
    wrong = total = around = beside = 0
    for sentence in TEST:
        words = touched(sentence.text, found(sentence))
        if sentence.spans:
            labels = touched(sentence.text, sentence.spans)
            around += len(words - labels)
            beside += len(sentence.text.split()) - len(labels)
        else:
            wrong += len(words)
            total += len(sentence.text.split())
    assert total > 5000
    assert wrong / total <= 0.005
    assert around / beside <= 0.02


def test_the_measure_would_notice():
    """Half the label is not found, and every word counts."""
    text = "call anna smith"
    assert touched(text, [(5, 15)]) == {1, 2}
    assert not touched(text, [(5, 15)]) <= touched(text, [(5, 9)])


@pytest.mark.parametrize("profile", ["hipaa", "strict"])
def test_a_wider_profile_finds_no_less(profile):
    for sentence in TEST[::5]:
        assert touched(sentence.text, found(sentence)) <= touched(sentence.text, found(sentence, profile))
