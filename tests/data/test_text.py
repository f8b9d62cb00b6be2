import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechpriv.data import text
from speechpriv.errors import ConfigError
from speechpriv.models import asr


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "zero"), (7, "seven"), (10, "ten"), (13, "thirteen"), (20, "twenty"), (42, "forty two"),
        (100, "one hundred"), (407, "four hundred seven"), (1984, "one thousand nine hundred eighty four"),
        (20_000, "twenty thousand"), (999_999, "nine hundred ninety nine thousand nine hundred ninety nine"),
    ],
)  # fmt: skip
def test_spoken_numbers(value, words):
    assert text.spoken_number(value) == words


def value_of(words):
    """The number back from its words."""
    small = {word: value for value, word in enumerate((*text.ONES, *text.TEENS))}
    small |= {word: 10 * value for value, word in enumerate(text.TENS, start=2)}
    total = current = 0
    for word in words.split():
        if word == "thousand":
            total, current = 1000 * current, 0
        elif word == "hundred":
            current *= 100
        else:
            current += small[word]
    return total + current


@given(st.integers(0, 999_999))
def test_spoken_numbers_are_read_back(value):
    assert value_of(text.spoken_number(value)) == value


@pytest.mark.parametrize("value", [-1, 1_000_000])
def test_numbers_out_of_range(value):
    with pytest.raises(ConfigError, match="outside"):
        text.spoken_number(value)


def test_spoken_digits():
    assert text.spoken_digits("407") == "four zero seven"
    assert text.spoken_digits("") == ""


def test_words_are_many_plain_and_commonest_first():
    words, probability = text.list_words()
    assert len(words) == len(set(words)) == text.VOCABULARY
    assert all(asr.normalise(word) == word for word in words)
    assert probability.sum() == pytest.approx(1)
    assert words[0] == "the"
    assert probability[0] == probability.max()
    assert probability.min() > 0


def test_names_are_plain():
    names = text.list_names()
    assert len(names) > 1000
    assert {"anna", "smith"} <= set(names)
    assert all(name.isascii() and name.islower() and name.isalpha() for name in names)


def test_flatness_makes_rare_words_frequent():
    common = set(text.list_words()[0][:100])

    def share(flatness):
        drawn = text.random_words(np.random.default_rng(0), 2000, flatness)
        return sum(word in common for word in drawn) / len(drawn)

    assert share(0.0) > 0.4
    assert 0.2 > share(0.5) > 0.02 > share(1.0)


def test_sentences_are_short_plain_and_varied():
    rng = np.random.default_rng(0)
    said = [text.draw_sentence(rng) for _ in range(500)]
    assert all(asr.normalise(sentence) == sentence != "" for sentence in said)
    lengths = [len(sentence.split()) for sentence in said]
    assert 3 < np.mean(lengths) < 7
    assert len(set(said)) > 400
    assert len({word for sentence in said for word in sentence.split()}) > 800
    numbers = {*text.ONES, *text.TEENS, *text.TENS}
    assert any(set(sentence.split()) <= numbers for sentence in said)
    assert any(sentence.startswith("my name is ") for sentence in said)


def test_a_seed_says_the_same():
    assert [text.draw_sentence(np.random.default_rng(3)) for _ in range(2)] == [
        text.draw_sentence(np.random.default_rng(3))
    ] * 2
