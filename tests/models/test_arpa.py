"""The language model adds up to one after every context, and says of a word what the table says."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv.errors import ModelError
from speechpriv.models.arpa import build_language_model as language_of
from speechpriv.models.arpa import read as read_file
from speechpriv.models.arpa import render_arpa


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
    st.lists(st.lists(st.sampled_from(["a", "b", "c", "[NAME]"]), min_size=1, max_size=4), min_size=1, max_size=6),
    st.integers(2, 4),
    st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=60)
def test_every_context_adds_up_to_one(said, order, chance):
    """Of a table that holds all that was said, and of one that lacks some, as one behind a threshold does.

    All unknown words are one, and so is what was scrubbed.
    """
    whole = table_of(said, order)
    table = {gram: weight for gram, weight in whole.items() if chance.random() < 0.6} or whole
    chances, chance_of = read(render_arpa(table))
    # Readers such as KenLM's refuse words that no 1-gram has, and a model without an end.
    assert {word for gram in chances for word in gram} == {gram[0] for gram in chances if len(gram) == 1}
    assert ("</s>",) in chances
    words = [gram[0] for gram in chances if len(gram) == 1 and gram != ("<s>",)]
    for size in range(order):
        for context in itertools.product([gram[0] for gram in chances if len(gram) == 1], repeat=size):
            if "</s>" not in context and "<s>" not in context[1:]:
                assert math.fsum(chance_of(word, context) for word in words) == pytest.approx(1, abs=1e-3)


def test_the_table_decides_and_something_is_left_for_the_rest():
    _, chance_of = read(
        render_arpa({("<s>", "on"): 6.0, ("<s>", "off"): 2.0, ("on", "</s>"): 6.0, ("off", "</s>"): 2.0})
    )
    assert chance_of("on", ("<s>",)) == pytest.approx(0.8 * 0.75 + 0.2 * 0.8 * 6 / 16, abs=1e-4)
    assert 0 < chance_of("zebra", ("<s>",)) < 0.05


def test_who_is_named_is_an_unknown_word(tmp_path):
    table = {("<s>", "call"): 4.0, ("call", "[NAME]"): 3.0, ("call", "home"): 1.0, ("[NAME]", "now"): 3.0}
    text = render_arpa(table)
    assert "NAME" not in text
    (tmp_path / "phrases.arpa").write_text(text)
    language = read_file(tmp_path / "phrases.arpa")
    assert language == language_of(table)
    assert language.chance(("<s>", "call"), "zoe") > language.chance(("<s>", "home"), "zoe")
    assert language.chance(("call", "zoe"), "now") > language.chance(("call", "home"), "now")
    # Each of many unknown words is much less likely than all of them together.
    assert language.chance(("call",), "home") > language.chance(("call",), "zoe") + math.log(1_000)


@given(
    st.lists(st.lists(st.sampled_from(["a", "b", "c", "[NAME]"]), min_size=1, max_size=4), min_size=1, max_size=6),
    st.integers(2, 4),
)
@settings(deadline=None, max_examples=60)
def test_a_model_reads_as_it_was_written(tmp_path_factory, said, order):
    """Every known word after every context has the chance that the format's rules give it."""
    path = tmp_path_factory.mktemp("arpa") / "phrases.arpa"
    path.write_text(render_arpa(table_of(said, order)))
    language, (chances, chance_of) = read_file(path), read(path.read_text())
    words = [gram[0] for gram in chances if len(gram) == 1 and gram[0] not in ("<s>", "<unk>")]
    for context in itertools.product(["<s>", *words], repeat=order - 1):
        for word in words:
            assert math.exp(language.chance(context, word)) == pytest.approx(chance_of(word, context), rel=1e-3)


def test_what_is_no_model_is_refused(tmp_path):
    path = tmp_path / "phrases.arpa"
    for text in ("", "\\data\\\n-1.0\thello\n", "-nan\t<unk>\n-1\t</s>\n", "one\t<unk>\n"):
        path.write_text(text)
        with pytest.raises(ModelError, match="not a language model"):
            read_file(path)


def test_an_empty_table_is_refused():
    with pytest.raises(ModelError, match="no phrase was published"):
        render_arpa({})
