import math

import numpy as np
import pytest
import scipy.special
import scipy.stats

from speechpriv.audit.inference import statistics


@pytest.mark.parametrize(
    ("planted", "references", "rank", "told"), [(10, 1999, 2, 1), (30, 999, 1, 2), (5, 199, 20, 3)]
)
def test_without_a_claim_it_is_the_count_of_all_orders(planted, references, rank, told):
    """mu = 0: `told` or more of the phrases below the rank-th lowest reference, among all orders of both."""
    weights, chances = statistics._chances(references, rank, rank / (references + 1), 0.0)
    found = scipy.stats.binom.sf(told - 1, planted, chances) @ weights
    orders = math.comb(planted + references, planted)
    fewer = sum(
        math.comb(n + rank - 1, n) * math.comb(planted - n + references - rank, planted - n) for n in range(told)
    )
    assert found == pytest.approx(1 - fewer / orders, rel=1e-6)


@pytest.mark.parametrize("mu", [0.0, 1.0, 2.5])
def test_by_simulation(mu):
    """Phrases at the edge of mu-GDP, measured with references of which each audit draws its own."""
    rng = np.random.default_rng(4)
    planted, references, rank = 40, 999, 10
    told = []
    for _ in range(4000):
        lowest = np.partition(rng.normal(size=references), rank - 1)[rank - 1]
        told.append(np.count_nonzero(rng.normal(size=planted) - mu <= lowest))
    weights, chances = statistics._chances(references, rank, 0.01, mu)
    limit = int(np.quantile(told, 0.9))
    expected = scipy.stats.binom.sf(limit - 1, planted, chances) @ weights
    assert np.mean(np.array(told) >= limit) == pytest.approx(expected, abs=4 * math.sqrt(expected / 4000))
    if mu == 1:  # negative control: one binomial, as if the references told the level exactly, expects fewer
        tail = int(np.quantile(told, 0.995))
        exact = scipy.stats.binom.sf(tail - 1, planted, scipy.special.ndtr(scipy.special.ndtri(0.01) + mu))
        assert np.mean(np.array(told) >= tail) > 1.5 * exact


@pytest.mark.parametrize("mu", [0.0, 1.7])
def test_it_fires_no_more_often_than_its_level(mu):
    rng = np.random.default_rng(5)
    found = []
    for _ in range(800):
        p_values = statistics.rank_p_values(rng.normal(size=60) - mu, rng.normal(size=1000))
        found.append(statistics.test_counts(p_values, 1000, mu))
    assert np.count_nonzero(np.array(found) < 0.05) <= scipy.stats.binom.ppf(0.999, 800, 0.05)


def test_a_few_in_many_are_seen_where_no_single_one_is():
    p_values = np.full(200, 0.5)
    p_values[:10] = 1 / 1001  # the least that 1,000 references can tell
    assert statistics.test_counts(p_values, 1000, 0.0) < 1e-6
    assert statistics.test_counts(p_values, 1000, 1.7) > 0.5
    p_values[:10] = 1e-7
    assert statistics.test_counts(p_values, 1000, 1.7) < 1e-6
