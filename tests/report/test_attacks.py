"""What the page says of attacks: every figure that a reader asks for, and nothing where nothing was done."""

import pytest

from speechpriv.report import attacks


@pytest.fixture
def told(synthetic):
    return attacks.build_section(synthetic())


def test_words_that_came_out_are_given_with_their_bound_and_their_controls(told):
    assert told["extraction"] == [
        ("masked by noise", "0 of 28 (at most 10.2 %)", "0 of 28 (at most 10.2 %)", "9 of 28 (at most 49.4 %)")
    ]


def test_each_attacker_on_people_is_given_with_a_bound(told):
    assert len(told["membership"]) == 3
    assert told["membership"][0] == (
        "recordings and what is said in them", "8.0 % (at most 18.0 %)", "26.0 % (at most 36.0 %)"
    )  # fmt: skip
    assert told["membership_note"].startswith("150 who took part, 38 who did not. But members have 400 s")


def test_too_few_people_are_said_so(synthetic):
    verdict = {**synthetic().verdict, "membership": {"not_measured": "5 members, of 10 that are needed"}}
    found = attacks.build_section(synthetic(verdict=verdict))
    assert (found["membership"], found["membership_note"]) == ([], "5 members, of 10 that are needed")


def test_phrases_on_their_way_and_personal_data_left(told):
    assert told["survival"] == [
        "29 of 31 planted phrases reached training whole; 2 missing or doubled.",
        "Synthetic personal data, planted before scrubbing and left after it: name 1 of 5, phone 0 of 5.",
        "310 phrases of many were published; 0 of them one unit alone says.",
        "Planted phrases seen among them: 0 of 31.",
        "Of those spread over several units each: 1 of 4.",
    ]


def test_other_ways_to_train(told):
    assert told["comparison"]["header"] == ["training", "1 ×", "16 ×", "AUC", "verdict"]
    assert told["comparison"]["rows"] == [("clipping alone", "4.9", "6.6", "0.95", "FAIL")]


def test_nothing_measured_is_nothing_said(synthetic):
    found = attacks.build_section(synthetic(verdict={}, comparison={}))
    assert not any(found.values())
