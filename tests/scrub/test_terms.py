import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv.scrub.detect import find
from speechpriv.scrub.terms import NOTHING, find_custom
from speechpriv.sections import ScrubConfig

UNTIMED = settings(deadline=None)


def kinds(text, **settings):
    return [(text[f.start : f.end], f.kind) for f in find(text, "default", find_custom(ScrubConfig(**settings)))]


def test_terms_in_any_case_and_with_a_possessive_ending():
    terms = ["Project Falcon", "Zorblax"]
    assert kinds("is PROJECT falcon done", terms=terms) == [("PROJECT falcon", "TERM")]
    assert kinds("zorblax's plan, and Zorblax.", terms=terms) == [("zorblax's", "TERM"), ("Zorblax", "TERM")]
    assert kinds("the project is done", terms=terms) == []


def test_the_longest_term_is_taken():
    assert kinds("open new york times", terms=["new york", "new york times"]) == [("new york times", "TERM")]


def test_kept_words_are_cut_off_the_edges_of_a_finding():
    assert kinds("call jasper smith", keep=["jasper"]) == [("smith", "NAME")]
    assert kinds("call jasper", keep=["jasper"]) == []
    assert kinds("my name is anna jasper smith", keep=["jasper"]) == [("anna jasper smith", "NAME")]
    assert kinds("call jasper", keep=["jaspers"]) == [("jasper", "NAME")]


def test_what_is_removed_by_name_is_not_kept():
    assert kinds("call anna smith", terms=["anna smith"], keep=["smith"]) == [("anna smith", "TERM")]


def test_patterns_take_whole_words_and_ignore_case():
    patterns = {"EMPLOYEE": "emp[0-9]{3}", "WARD": "ward [a-d]"}
    assert kinds("badge EMP123-x on Ward B.", patterns=patterns) == [("EMP123-x", "EMPLOYEE"), ("Ward B", "WARD")]


def test_patterns_after_letters_of_more_than_a_byte():
    assert kinds("café über emp123", patterns={"EMPLOYEE": "emp[0-9]+"}) == [("emp123", "EMPLOYEE")]


def test_a_pattern_that_hangs_backtracking_engines_does_not_hang():
    text = "a" * 50_000 + "!"
    assert kinds(text, patterns={"X": "(a+)+$", "Y": "(a|aa)+b"}) == []


@UNTIMED
@given(st.lists(st.sampled_from(["call", "anna", "smith", "jasper", "on", "five", "7", "new", "york"])).map(" ".join))
def test_nothing_given_changes_nothing(text):
    assert find(text, "default", find_custom(ScrubConfig())) == find(text, "default", NOTHING) == find(text)


@UNTIMED
@given(st.text())
def test_any_text(text):
    settings = find_custom(ScrubConfig(terms=["a", "b c"], keep=["d"], patterns={"X": "[0-9]+|ß"}))
    findings = find(text, "strict", settings)
    edges = [edge for finding in findings for edge in (finding.start, finding.end)]
    assert edges == sorted(edges)


@pytest.mark.parametrize("kind", ["TERM", "NAME"])
def test_a_pattern_may_stand_for_a_kind_that_is_there(kind):
    assert kinds("zq1", patterns={kind: "zq[0-9]"}) == [("zq1", kind)]
