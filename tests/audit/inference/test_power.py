import numpy as np
import pytest
import scipy.special

from speechpriv.audit.inference import power, statistics

LEVEL = 0.004


@pytest.fixture(scope="module")
def references():
    return np.random.default_rng(8).normal(size=2000)


def test_textbook():
    """200 canaries, 1,000 references, alpha 0.05: .556 (REFERENCE.md)."""
    assert power.find_minimum_effect(200, np.arange(1000.0), 0.0, 0.05).auc == pytest.approx(0.556, abs=0.001)


@pytest.mark.parametrize(("planted", "mu"), [(30, 0.0), (200, 0.0), (200, 1.0)])
def test_an_area_of_so_much_is_seen_four_times_in_five(planted, mu):
    rng = np.random.default_rng(9)
    area = power.find_minimum_effect(planted, rng.normal(size=1000), mu, LEVEL).auc
    shift = np.sqrt(2) * scipy.special.ndtri(area)
    seen = [
        statistics.measure_leakage(rng.normal(size=planted) - shift, rng.normal(size=1000), mu).p_mann_whitney < LEVEL
        for _ in range(300)
    ]
    assert 0.7 < np.mean(seen) < 0.92


@pytest.mark.parametrize("mu", [0.0, 1.7])
@pytest.mark.parametrize("far", [False, True])
def test_so_many_memorised_phrases_are_seen_and_one_fewer_is_not(references, mu, far):
    found = power.find_minimum_effect(200, references, mu, LEVEL)
    least = found.memorised_far if far else found.memorised
    median, lowest = np.median(references), references.min()

    def p_value(count):
        scores = np.full(200, median)
        scores[:count] = median - 10 * (median - lowest) if far else np.nextafter(lowest, -np.inf)
        leakage = statistics.measure_leakage(scores, references, mu)
        return min(leakage.p_simes, leakage.p_counts)

    assert p_value(least) < LEVEL
    assert least == 1 or p_value(least - 1) >= LEVEL


def test_a_large_claim_hides_more(references):
    found = [power.find_minimum_effect(100, references, mu, LEVEL) for mu in (0.0, 1.0, 2.0)]
    assert found[0].auc < found[1].auc < found[2].auc
    assert found[0].memorised < found[1].memorised < found[2].memorised


def test_what_cannot_be_seen_is_none(references):
    found = power.find_minimum_effect(10, references, 6.0, LEVEL)
    assert (found.auc, found.memorised) == (None, None)
