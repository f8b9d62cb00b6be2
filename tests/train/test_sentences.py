"""Sentences hold nothing that was not published."""

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
        for gram in phrases.grams(sentence.split(), order):
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
    for sentence in itertools.islice(sentences.sample(table, np.random.default_rng(seed)), 20):
        assert set(phrases.grams(sentence.split(), order)) <= set(table)


def test_weights_are_followed():
    table = table_of(["on"] * 3 + ["off"], 2)
    found = list(itertools.islice(sentences.sample(table, np.random.default_rng(0)), 2000))
    assert found.count("on") / 2000 == pytest.approx(0.75, abs=0.04)


def test_a_table_of_dead_ends_still_gives_sentences():
    """One walk in a thousand comes to an end here: those that do are what is sampled, as by trying again and again."""
    table = {(START, "a"): 999.0, ("a", "b"): 1.0, (START, "c"): 1.0, ("c", "d"): 3.0, ("c", END): 1.0, ("d", END): 9.0}
    found = list(itertools.islice(sentences.sample(table, np.random.default_rng(0)), 2000))
    assert set(found) == {"c", "c d"}
    assert found.count("c d") / 2000 == pytest.approx(0.75, abs=0.04)


def test_a_walk_that_would_not_end_in_time_is_not_begun():
    table = {(START, "a"): 1.0, ("a", "a"): 1e6, ("a", END): 1.0}
    found = list(itertools.islice(sentences.sample(table, np.random.default_rng(0)), 50))
    assert 10 < sum(len(sentence.split()) for sentence in found) / 50 <= 23


@pytest.mark.parametrize(
    "table", [{}, {("a", END): 1.0}, {(START, "a"): 1.0}, {(START, END): 1.0}, {(START, "a"): 1.0, ("a", "a"): 1.0}]
)
def test_a_table_without_a_way_through_gives_none(table):
    assert list(sentences.sample(table, np.random.default_rng(0))) == []


def test_slots_are_filled_and_words_are_left():
    assert sentences.filled("call [NAME] at [DATE_OF_BIRTH]", str.lower) == "call name at date_of_birth"
    assert sentences.filled("turn it on", str.upper) == "turn it on"
