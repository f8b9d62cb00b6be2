"""What is said of several units together, against what can be computed by other means."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from speechpriv import config
from speechpriv.claim import Claim
from speechpriv.train import accounting, finetune, groups, phrasebook
from tests.train.test_accounting import gaussian_epsilon
from tests.train.test_accounting_utterances import densities, exact_delta

ROOT = Path(__file__).parents[2]
# configs/assistant.yaml: phrases, and 40 steps at one half.
PHRASES = accounting.build_event(1.0, 0.8447816566839144, 1, slip=2.5e-7)
TRAINING = accounting.build_event(0.5, 3.459500098450817, 40)


def by_size(events, delta, cap=32):
    return {one.size: one for one in groups.state_group_privacy(events, delta, cap)}


def test_they_grow_with_the_group_and_faster_than_it():
    found = by_size([TRAINING, PHRASES], 1e-6)
    assert list(found) == [2, 5, 10]
    epsilons = [8.0, *(one.epsilon for one in found.values())]
    assert epsilons == pytest.approx([8.0, 18.6, 64.5, 187.2], rel=1e-3)
    assert [one.published for one in found.values()] == pytest.approx([6.09e-5, 0.385, 1.0], rel=2e-3)
    # No multiple of one unit's: not epsilon, and delta not by far.
    assert all(one.epsilon > size * 8 for size, one in found.items())
    assert found[5].delta > 1e5 * 1e-6


def test_without_phrases_delta_is_the_claims():
    found = by_size([TRAINING], 1e-6, cap=1)
    assert {(one.delta, one.published) for one in found.values()} == {(1e-6, 0.0)}
    mechanism = accounting.of_group([TRAINING], 5)
    assert found[5].epsilon == accounting.epsilon_of(mechanism, 1e-6)


@pytest.mark.parametrize("size", groups.SIZES)
def test_of_everybody_in_every_step_it_is_one_gaussian(size):
    """Where nothing is drawn, k units are k times as far from what is without them; nothing else is so simple."""
    whole = accounting.build_event(1.0, 10.0, 25)
    exact = gaussian_epsilon(size * math.sqrt(25) / 10, 1e-6)
    assert exact <= by_size([whole], 1e-6)[size].epsilon <= 1.003 * exact


def drawn_alone(rate, sigma, size):
    """Densities of a step without and with a group whose members are drawn one by one, all pointing one way."""
    coins = [[int(bit) for bit in np.binary_repr(number, size)] for number in range(2**size)]
    chances = [math.prod(rate if bit else 1 - rate for bit in one) for one in coins]

    def present(x):
        return sum(p * stats.norm.pdf(x, sum(one), sigma) for p, one in zip(chances, coins, strict=True))

    return (lambda x: stats.norm.pdf(x, 0, sigma)), present


@pytest.mark.parametrize(("rate", "sigma", "size"), [(0.3, 1.0, 2), (0.1, 2.0, 5), (0.7, 5.0, 6)])
def test_one_step_by_enumeration_of_all_coins(rate, sigma, size):
    """Also of utterances, of which each member has two: as many coins as the group has utterances."""
    absent, present = drawn_alone(rate, sigma, size)
    grid = [0.1, 0.5, 1.0, 2.0]
    found = accounting.privacy_profile(accounting.of_group([accounting.build_event(rate, sigma, 1)], size), grid)
    low, high = -10 * sigma, size + 10 * sigma
    exact = [max(exact_delta(e, present, absent, low, high), exact_delta(e, absent, present, low, high)) for e in grid]
    assert found == pytest.approx(exact, rel=0.01, abs=1e-9)
    assert (found >= np.array(exact) * (1 - 1e-6)).all()
    of_two = accounting.of_group([accounting.build_event(rate, sigma, 1, records=2)], size)
    assert accounting.privacy_profile(of_two, grid) == pytest.approx(
        accounting.privacy_profile([accounting.build_event(rate, sigma, 1, records=2 * size)], grid)
    )


@pytest.mark.parametrize("size", groups.SIZES)
def test_a_second_accountant_agrees(size):
    """A Fourier transform of the densities, which shares no code with it."""
    found = by_size([TRAINING, PHRASES], 1e-6)[size].epsilon
    theirs = accounting.second_opinion(
        sampling_rate=0.5, noise_multiplier=TRAINING.noise_multiplier, steps=40, delta=7.5e-7, records=size,
        beside=size / PHRASES.noise_multiplier,
    )  # fmt: skip
    assert found == pytest.approx(theirs, rel=0.01)


def test_what_is_published_of_theirs_comes_on_top_whatever_epsilon_is():
    """One step and a phrase that a group alone says, joined as they are: the statement is no smaller than the truth."""
    sigma, slip, size, delta = 1.5, 1e-3, 2, 0.01
    both = [accounting.build_event(0.3, sigma, 1), accounting.build_event(1.0, 3.0, 1, slip=slip)]
    stated = by_size(both, delta, cap=4)[size]
    assert 0 < stated.published < stated.delta < 1
    # The totals of phrases are left out, which only makes the truth smaller.
    absent, present = densities(0.3, sigma, size)
    low, high = -10 * sigma, size + 10 * sigma
    hidden = 1 - stated.published
    removed = stated.published + exact_delta(stated.epsilon, lambda x: hidden * present(x), absent, low, high)
    added = exact_delta(stated.epsilon, absent, lambda x: hidden * present(x), low, high)
    assert max(removed, added) <= stated.delta
    assert removed > stated.delta - delta  # that part is none that could be left out


def test_what_cannot_be_priced_is_left_out_and_never_said_to_be_nothing():
    assert groups.state_group_privacy([None], 1e-6) == ()
    many = accounting.build_event(0.02, 30.0, 10, records=400)
    assert [one.size for one in groups.state_group_privacy([many], 1e-6)] == [
        2
    ]  # 2,000 records are more than can be priced


def test_a_claim_counts_phrases_and_training_and_the_cap_of_the_table():
    settings = config.load(ROOT / "configs" / "assistant.yaml").privacy
    both = [accounting.event_to_json(event) for event in (TRAINING, PHRASES)]
    table = phrasebook.Published("a", both[1], cap=1000)
    claim = finetune._claim(settings, TRAINING.noise_multiplier, both[0], table, [], {})
    assert claim.groups == groups.state_group_privacy([TRAINING, PHRASES], settings.delta, 1000)
    assert claim.groups != groups.state_group_privacy([TRAINING, PHRASES], settings.delta, 32)


def test_the_claim_says_it_in_words():
    plain = Claim.model_construct(groups=groups.state_group_privacy([TRAINING], 1e-6), phrases=None)
    assert plain.of_groups().startswith("2: epsilon 1")
    assert "published" not in plain.of_groups()
    told = Claim.model_construct(groups=groups.state_group_privacy([TRAINING, PHRASES], 1e-6, 32), phrases="{}")
    assert "5: epsilon 64.6, delta 0.39; 10: epsilon 188, delta 1. In delta is the chance" in told.of_groups()
    assert Claim.model_construct(groups=()).of_groups() == "not stated"
