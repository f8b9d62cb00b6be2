"""The language model adds up to one after every context, and says of a word what the table says."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv.errors import ModelError
from speechpriv.models.arpa import arpa


def table_of(said, order):
    table = {}
    for sentence in said:
        words = ["<s>"] * (order - 1) + sentence + ["</s>"]
        for start in range(len(words) - order + 1):
            gram = tuple(words[start : start + order])
            table[gram] = table.get(gram, 0.0) + 1.0
    return table


def read(text):
    """Probabilities and back-off weights, by a reader of our own that follows the format's rules."""
    chances, weights, announced, found = {}, {}, {}, {}
    for line in text.splitlines():
        if line.startswith("ngram "):
            size, count = line.removeprefix("ngram ").split("=")
            announced[int(size)] = int(count)
        elif "\t" in line:
            chance, words, *weight = line.split("\t")
            gram = tuple(words.split(" "))
            chances[gram] = 10 ** float(chance)
            found[len(gram)] = found.get(len(gram), 0) + 1
            if weight:
                weights[gram] = 10 ** float(weight[0])
    assert announced == found
    assert text.startswith("\\data\\\n")
    assert text.endswith("\\end\\\n")

    def chance_of(word, context):
        gram = (*context, word)
        if gram in chances:
            return chances[gram]
        return weights.get(context, 1.0) * chance_of(word, context[1:]) if context else chances["<unk>",]

    return chances, chance_of


@given(
    st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=4), min_size=1, max_size=6),
    st.integers(2, 4),
    st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=60)
def test_every_context_adds_up_to_one(said, order, chance):
    """Of a table that holds all that was said, and of one that lacks some, as one behind a threshold does."""
    whole = table_of(said, order)
    table = {gram: weight for gram, weight in whole.items() if chance.random() < 0.6} or whole
    chances, chance_of = read(arpa(table))
    # Readers such as KenLM's refuse words that no 1-gram has, and a model without an end.
    assert {word for gram in chances for word in gram} == {gram[0] for gram in chances if len(gram) == 1}
    assert ("</s>",) in chances
    words = [gram[0] for gram in chances if len(gram) == 1 and gram != ("<s>",)]
    for size in range(order):
        for context in itertools.product([gram[0] for gram in chances if len(gram) == 1], repeat=size):
            if not {"</s>", "<unk>"} & set(context) and "<s>" not in context[1:]:
                assert math.fsum(chance_of(word, context) for word in words) == pytest.approx(1, abs=1e-3)


def test_the_table_decides_and_something_is_left_for_the_rest():
    _, chance_of = read(arpa({("<s>", "on"): 6.0, ("<s>", "off"): 2.0, ("on", "</s>"): 6.0, ("off", "</s>"): 2.0}))
    assert chance_of("on", ("<s>",)) == pytest.approx(0.8 * 0.75 + 0.2 * 0.8 * 6 / 16, abs=1e-4)
    assert 0 < chance_of("zebra", ("<s>",)) < 0.05


def test_an_empty_table_is_refused():
    with pytest.raises(ModelError, match="no phrase was published"):
        arpa({})
