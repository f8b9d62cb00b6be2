"""Sentences hold nothing that was not published."""

import collections
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv.train import phrases, sentences
from speechpriv.train.phrases import END, START


def table_of(said, order):
    table = {}
    for sentence in said:
        for gram in phrases.list_ngrams(sentence.split(), order):
            table[gram] = table.get(gram, 0.0) + 1.0
    return table


@given(
    st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=5).map(" ".join), min_size=1, max_size=6),
    st.integers(2, 4),
    st.integers(0, 1000),
)
@settings(deadline=None, max_examples=60)
def test_every_n_gram_of_a_sentence_was_published(said, order, seed):
    table = table_of(said, order)
    for dropped in list(table)[::3]:
        del table[dropped]
    for sentence in itertools.islice(sentences.sample_sentences(table, np.random.default_rng(seed)), 20):
        words = sentence.split()
        assert {tuple(words[i : i + order]) for i in range(len(words) - order + 1)} <= set(table)
        assert set(words) <= {word for gram in table for word in gram}


def test_weights_are_followed():
    table = table_of(["on"] * 3 + ["off"], 2)
    found = list(itertools.islice(sentences.sample_sentences(table, np.random.default_rng(0)), 2000))
    assert found.count("on") / 2000 == pytest.approx(0.75, abs=0.04)


@pytest.mark.parametrize("order", [2, 3])
def test_whatever_was_published_is_said_as_often_as_it_weighs(order):
    """Also what no way from a start leads to, and what no way leads on from."""
    table = table_of(["a b c", "a b d e", "f b c d", "e a"] * 3, order)
    for dropped in list(table)[::4]:
        del table[dropped]
    # A sentence does not show whether it begins where people begin or is cut off there: what lies within counts.
    within = {gram: weight for gram, weight in table.items() if START not in gram and END not in gram}
    found = collections.Counter()
    for sentence in itertools.islice(sentences.sample_sentences(table, np.random.default_rng(0)), 20_000):
        words = sentence.split()
        found.update(tuple(words[i : i + order]) for i in range(len(words) - order + 1))
    assert set(found) == set(within)
    for gram, weight in within.items():
        assert found[gram] / found.total() == pytest.approx(weight / sum(within.values()), abs=0.02)


def test_a_table_of_dead_ends_still_gives_sentences():
    table = {(START, "a"): 999.0, ("a", "b"): 1.0, ("c", "d"): 3.0, ("d", END): 9.0}
    found = collections.Counter(itertools.islice(sentences.sample_sentences(table, np.random.default_rng(0)), 20_000))
    assert set(found) == {"a", "a b", "c d", "d"}
    assert found["a"] / found["a b"] == pytest.approx(998, rel=0.7)
    assert found["d"] / found["c d"] == pytest.approx(2, rel=0.3)


def test_a_walk_ends():
    table = {(START, "a"): 1.0, ("a", "a"): 1e6, ("a", END): 1.0}
    assert len(next(sentences.sample_sentences(table, np.random.default_rng(0))).split()) == 24


@pytest.mark.parametrize("table", [{}, {(START, END): 1.0}, {(START, START, END): 1.0}, {("a", "a"): 1.0}])
def test_a_table_in_which_nothing_begins_gives_none(table):
    assert list(sentences.sample_sentences(table, np.random.default_rng(0))) == []


def test_slots_are_filled_and_words_are_left():
    assert sentences.fill_slots("call [NAME] at [DATE_OF_BIRTH]", str.lower) == "call name at date_of_birth"
    assert sentences.fill_slots("turn it on", str.upper) == "turn it on"
