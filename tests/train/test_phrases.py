"""What many say is published, what one says is not, and one unit more or less moves the totals by 1 at most."""

import hashlib
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from speechpriv.errors import ConfigError
from speechpriv.train import phrases
from speechpriv.train.phrases import END, START

SENTENCES = st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=5), max_size=4)


def key_of(number):
    return hashlib.sha256(str(number).encode()).digest()


def released(units, seed=0, **changed):
    settings_ = {"order": 2, "cap": 8, "noise_multiplier": 1.0, "slip": 1e-6} | changed
    return phrases.release_ngrams(units, key_of(seed), **settings_)


def test_grams_have_starts_and_an_end():
    assert phrases.list_ngrams(["turn", "on"], 2) == [(START, "turn"), ("turn", "on"), ("on", END)]
    assert phrases.list_ngrams(["stop"], 3) == [(START, START, "stop"), (START, "stop", END)]


def test_what_many_say_is_published_with_its_weight():
    units = {f"u{i}": [["lights", "on"]] for i in range(400)}
    table = released(units)
    assert set(table) == {(START, "lights"), ("lights", "on"), ("on", END)}
    assert np.mean(list(table.values())) == pytest.approx(400 / math.sqrt(3), abs=3)
    assert list(table.values()) == sorted(table.values(), reverse=True)


def test_what_one_says_is_not_published_however_often_and_beside_whatever():
    units = {f"u{i}": [["lights", "on"]] for i in range(400)} | {"loud": [["my", "secret", "code"]] * 500}
    for seed in range(50):
        assert not {"my", "secret", "code"} & {word for gram in released(units, seed) for word in gram}


def test_what_one_unit_alone_says_slips_out_as_often_as_the_threshold_allows():
    """The true threshold keeps to its slip; one that is ten times as open does not, so this can tell them apart."""
    units = {f"u{i}": [[f"{i}-{j}" for j in range(4)]] for i in range(4000)}  # five n-grams each, nobody else's

    def share(slip):
        table = released(units, slip=slip, cap=5)
        return len({word.split("-")[0] for gram in table for word in gram if word not in (START, END)}) / len(units)

    allowed = stats.binom.ppf(0.9999, len(units), 0.05) / len(units)
    assert 0.005 < share(0.05) <= allowed
    assert share(0.5) > allowed


ASSISTANT = {"noise_multiplier": 0.8447816566839144, "slip": 2.5e-7, "cap": 32}


def test_what_few_alone_share_is_published_more_often_than_their_number_says():
    """Five people who share a phrase: .385, not five times a slip of 2.5e-7; counted in a thousand releases."""
    chance = [phrases.release_probability(**ASSISTANT, units=units) for units in (1, 2, 5, 10)]
    assert chance == pytest.approx([2.5e-7, 6.09e-5, 0.385, 1.0], rel=2e-3)
    totals = {(START, "ours"): 5 * phrases._ONE}  # all that each of them says
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phrases, "_totals", lambda *_: totals)
        seen = sum(bool(released({}, seed, **ASSISTANT)) for seed in range(1000))
    assert abs(seen - 1000 * chance[2]) < 4 * math.sqrt(1000 * chance[2])
    assert phrases.release_probability(**ASSISTANT, units=6) == 1  # that a phrase of theirs weighs more than that


def ways_to_share(units, cap, said):
    """Every choice of up to `cap` of so many n-grams by each of so many units."""
    sets = [set(one) for size in range(1, cap + 1) for one in itertools.combinations(range(said), size)]
    return itertools.combinations_with_replacement(sets, units)


@pytest.mark.parametrize("sigma", [0.3, 0.8, 3.5])
@pytest.mark.parametrize("slip", [1e-5, 1e-2])
@pytest.mark.parametrize(("units", "cap", "said"), [(2, 3, 6), (3, 2, 6), (4, 2, 4)])
def test_no_way_to_share_is_published_more_often_than_is_said(sigma, slip, units, cap, said):
    least, most = phrases.compute_threshold(sigma, slip, cap), 0.0
    for sets in ways_to_share(units, cap, said):
        weights = [sum(1 / math.sqrt(len(own)) for own in sets if gram in own) for gram in set().union(*sets)]
        most = max(most, 1 - math.prod(stats.norm.cdf((least - weight) / sigma) for weight in weights))
    bound = phrases.release_probability(sigma, slip, cap, units)
    assert most <= bound * (1 + 1e-9)
    assert bound == 1 or bound <= 1.6 * most


@given(st.dictionaries(st.sampled_from(["u", "v", "w"]), SENTENCES), SENTENCES, st.integers(1, 6), st.integers(2, 3))
@settings(deadline=None, max_examples=80)
def test_one_unit_more_moves_the_totals_by_at_most_one(units, own, cap, order):
    key = key_of(1)
    without = phrases._totals(units, key, order, cap)
    with_it = phrases._totals(units | {"new": own}, key, order, cap)
    moved = [total - without.get(gram, 0) for gram, total in with_it.items()]
    assert math.hypot(*moved) <= phrases._ONE
    assert set(without) <= set(with_it)


def test_the_noise_is_normal_and_a_word_s_own():
    drawn = np.array([phrases._normal(key_of(1), (str(i), "x")) for i in range(4000)])
    assert stats.kstest(drawn, "norm").pvalue > 1e-4
    assert stats.kstest(drawn * 1.15, "norm").pvalue < 1e-4  # the test sees a sigma that is wrong by 15 %
    assert phrases._normal(key_of(1), ("7", "x")) == drawn[7]
    assert phrases._normal(key_of(2), ("7", "x")) != drawn[7]


def test_the_noise_multiplier_is_what_is_added():
    """Totals of phrases that all say, over keys: their spread is the noise's, and two thirds of it would be seen."""
    units = {f"u{i}": [["on"]] for i in range(200)}
    totals = np.array([released(units, seed, noise_multiplier=3.0)[START, "on"] for seed in range(600)])
    low, high = stats.chi2.ppf([1e-5, 1 - 1e-5], 599)
    assert low < 599 * totals.var(ddof=1) / 9 < high
    assert not low < 599 * totals.var(ddof=1) / 4 < high


def test_more_noise_or_less_slip_asks_for_more():
    assert phrases.compute_threshold(1.0, 1e-6, 8) > phrases.compute_threshold(1.0, 1e-3, 8)
    assert phrases.compute_threshold(2.0, 1e-6, 8) > phrases.compute_threshold(1.0, 1e-6, 8)
    assert phrases.compute_threshold(1.0, 1e-6, 64) >= phrases.compute_threshold(1.0, 1e-6, 8)
    assert phrases.compute_threshold(1.0, 1e-6, 1) == pytest.approx(1 + stats.norm.isf(1e-6))


WRONG = [
    {"order": 1},
    {"cap": 0},
    {"noise_multiplier": 0.0},
    {"noise_multiplier": math.nan},
    {"slip": 0.0},
    {"slip": 1},
]


@pytest.mark.parametrize("wrong", WRONG)
def test_arguments_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match="expected an"):
        released({}, **wrong)
    with pytest.raises(ConfigError, match="32"):
        phrases.release_ngrams({}, b"short", order=2, cap=8, noise_multiplier=1.0, slip=1e-6)
