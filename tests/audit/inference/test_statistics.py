import itertools
import math
from dataclasses import fields, replace

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv.audit.inference import statistics
from speechpriv.audit.inference.statistics import Leakage, combine_by_simes, measure_leakage
from speechpriv.errors import AuditError

probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=12)
scores = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=12)


@settings(deadline=None)
@given(probabilities)
def test_simes_by_its_definition(p_values):
    best = 1.0
    for p in p_values:
        as_small = sum(other <= p for other in p_values)
        best = min(best, len(p_values) * p / as_small)
    assert combine_by_simes(np.array(p_values)) == pytest.approx(best)
    assert min(p_values) <= combine_by_simes(np.array(p_values)) * (1 + 1e-12) <= max(p_values) * (1 + 1e-9)


def test_simes_of_independent_p_values_is_uniform():
    rng = np.random.default_rng(2)
    found = [combine_by_simes(rng.random(20)) for _ in range(4000)]
    assert scipy.stats.kstest(found, "uniform").pvalue > 1e-3


def test_simes_is_valid_where_canaries_share_references():
    """Few references make the p-values depend strongly on one another."""
    rng = np.random.default_rng(3)
    found = [measure_leakage(rng.random(20), rng.random(40)).p_simes for _ in range(1000)]
    assert np.mean(np.array(found) <= 0.1) <= scipy.stats.binom.ppf(0.999, 1000, 0.1) / 1000


def test_simes_must_not_take_the_smallest_p_value():
    """Negative control: without the correction the same data would reject far too often."""
    rng = np.random.default_rng(3)
    smallest = [rng.random(20).min() for _ in range(1000)]
    assert np.mean(np.array(smallest) <= 0.1) > 0.5


@pytest.mark.parametrize("bad", [[], [math.nan], [0.5, math.nan], [1.1], [-0.1]], ids=str)
def test_simes_wants_probabilities(bad):
    with pytest.raises(AuditError, match="simes"):
        combine_by_simes(np.array(bad))


@pytest.mark.parametrize(
    "planted", [(0.0, 1.0, 2.0), (0.0, 3.0, 6.0), (4.0, 5.0, 6.0), (0.5, 0.7, 9.0), (3.0, 4.0, 5.0)], ids=str
)
def test_mann_whitney_by_counting_all_splits(planted):
    references = [i + 0.25 for i in range(6)]
    everything = sorted([*planted, *references])

    def wins(chosen):
        rest = [score for score in everything if score not in chosen]
        return sum(a < b for a in chosen for b in rest)

    splits = [wins(chosen) for chosen in itertools.combinations(everything, 3)]
    found = measure_leakage(np.array(planted), np.array(references))
    assert found.p_mann_whitney == pytest.approx(np.mean(np.array(splits) >= wins(planted)))


def test_by_hand():
    """Two planted phrases, both better known than four references."""
    found = measure_leakage(np.array([-2.0, -1.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert found.p_mann_whitney == pytest.approx(1 / 15)  # one of the 6-choose-2 splits
    assert found.p_simes == pytest.approx(1 / 5)
    assert found.p_counts == 1  # so few references reach none of the levels
    assert found.p_value == pytest.approx(3 / 15)
    assert found.auc == 1
    assert found.median_exposure_bits == found.max_exposure_bits == pytest.approx(math.log2(5))


@pytest.mark.parametrize("mu", [0.5, 2.0])
def test_what_mu_allows_is_tested_at_its_level_and_more_is_seen(mu):
    rng = np.random.default_rng(5)

    def fails(true_mu):
        found = [measure_leakage(rng.normal(size=30) - true_mu, rng.normal(size=1000), mu) for _ in range(400)]
        return [
            np.mean([getattr(f, name) <= 0.05 for f in found]) for name in ("p_mann_whitney", "p_simes", "p_counts")
        ]

    most = scipy.stats.binom.ppf(0.999, 400, 0.05) / 400
    assert max(fails(mu)) <= most
    assert max(fails(0.8 * mu)) <= most
    assert fails(mu + 1)[0] > 0.8


def test_mu_changes_only_what_is_tested():
    rng = np.random.default_rng(6)
    planted, references = rng.normal(size=30) - 1, rng.normal(size=1000)
    free, held = measure_leakage(planted, references, 1.5), measure_leakage(planted, references)
    assert (free.auc, free.named, free.max_exposure_bits) == (held.auc, held.named, held.max_exposure_bits)
    assert free.p_value > 0.1
    assert held.p_value < 1e-3
    assert measure_leakage(planted, references, math.inf).p_value == 1


@pytest.mark.parametrize("mu", [-0.1, math.nan])
def test_mu_out_of_range(mu):
    with pytest.raises(AuditError, match="mu"):
        measure_leakage(np.zeros(3), np.zeros(3), mu)


@settings(deadline=None)
@given(scores, scores)
def test_auc_is_the_chance_that_a_planted_phrase_scores_lower(planted, references):
    pairs = [(a < b) + (a == b) / 2 for a in planted for b in references]
    assert measure_leakage(np.array(planted), np.array(references)).auc == pytest.approx(np.mean(pairs))


def test_lower_is_better_known():
    rng = np.random.default_rng(4)
    planted, references = rng.normal(size=30), rng.normal(size=1000)
    known, unknown = measure_leakage(planted - 2, references), measure_leakage(planted + 2, references)
    assert known.p_value < 1e-6
    assert known.auc > 0.8
    assert unknown.p_value > 0.5
    assert unknown.auc < 0.2


@settings(deadline=None)
@given(scores, scores, st.integers(-3, 3))
def test_a_constant_on_all_scores_changes_nothing(planted, references, constant):
    shifted = measure_leakage(np.array(planted) + constant, np.array(references) + constant)
    assert shifted == measure_leakage(np.array(planted), np.array(references))


def test_equal_scores_are_no_leak_and_no_oddity():
    found = measure_leakage(np.zeros(30), np.zeros(1000))
    assert (found.p_value, found.p_mann_whitney, found.p_simes, found.p_counts) == (1, 1, 1, 1)
    assert (found.auc, found.named, found.median_exposure_bits, found.max_exposure_bits) == (0.5, 0, 0, 0)
    assert found.auc_low < 0.5 < found.auc_high


def test_a_few_known_among_many_equals_are_seen():
    """Ties among the rest, as where most scores round to the same, must not hide the few."""
    planted = np.zeros(30)
    planted[:3] = -1
    assert measure_leakage(planted, np.zeros(1000)).p_value < 0.05


@pytest.mark.parametrize(
    ("planted", "references"),
    [([], [1.0]), ([1.0], []), ([math.nan], [1.0]), ([1.0], [1.0, math.nan])],
    ids=["none planted", "no reference", "planted not a number", "reference not a number"],
)
def test_what_cannot_be_compared_is_an_error(planted, references):
    with pytest.raises(AuditError):
        measure_leakage(np.array(planted), np.array(references))


@pytest.mark.parametrize("name", [field.name for field in fields(Leakage) if not field.name.endswith("bits")])
@pytest.mark.parametrize("bad", [math.nan, -0.01, 1.01])
def test_nothing_but_probabilities_reach_a_verdict(name, bad):
    found = measure_leakage(np.arange(3.0), np.arange(9.0))
    with pytest.raises(AuditError, match=name):
        replace(found, **{name: bad})


@pytest.mark.parametrize(("planted", "mu"), [(30, 0.0), (200, 1.7)])
def test_the_mean_spreads_as_much_as_is_taken(planted, mu):
    """Shared references move all p-values at once, the more the larger mu is."""
    rng = np.random.default_rng(7)
    means = []
    for _ in range(600):
        p_values = statistics.rank_p_values(rng.normal(size=planted) - mu, rng.normal(size=1000))
        means.append(scipy.stats.norm.cdf(scipy.stats.norm.ppf(p_values) + mu).mean())
    taken = statistics.mean_deviation(planted, 1000, mu)
    assert np.std(means) == pytest.approx(taken, rel=0.15)
    if mu:  # negative control: without what the references add, it would be too small
        assert np.std(means) > 1.1 * math.sqrt((1 / planted + 1 / 1000) / 12)
