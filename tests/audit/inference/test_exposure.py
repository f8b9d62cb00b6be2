import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv.audit.inference.statistics import compute_exposures, exposure_bits, rank_p_values
from speechpriv.errors import AuditError

scores = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=30)


@pytest.mark.parametrize("references", range(1, 8))
def test_the_null_is_uniform_on_the_ranks(references):
    """Exchangeable scores without ties, all orders counted: P(p <= k / (R + 1)) is exactly k / (R + 1)."""
    orders = itertools.permutations(range(references + 1))
    found = Counter(rank_p_values(np.array([first]), rest)[0] for first, *rest in orders)
    assert found == {k / (references + 1): math.factorial(references) for k in range(1, references + 2)}


@pytest.mark.parametrize("values", list(itertools.combinations_with_replacement(range(3), 5)), ids=str)
def test_with_ties_the_null_is_never_better_than_uniform(values):
    each = [exposure_bits(value, values[:i] + values[i + 1 :]) for i, value in enumerate(values)]
    for exposed in each:
        assert np.mean(np.array(each) >= exposed) <= 2**-exposed * (1 + 1e-12)


@settings(deadline=None)
@given(scores, scores)
def test_p_values_count_references_one_by_one(canaries, references):
    naive = [(1 + sum(reference <= canary for reference in references)) / (len(references) + 1) for canary in canaries]
    assert rank_p_values(np.array(canaries), references).tolist() == naive
    np.testing.assert_allclose(compute_exposures(np.array(naive)), [-math.log2(p) for p in naive], atol=1e-12)


@settings(deadline=None)
@given(scores, st.integers(-5, 5))
def test_exposure_depends_on_ranks_alone(references, canary):
    assert exposure_bits(np.exp(canary), np.exp(references)) == exposure_bits(canary, references)


def test_a_thousand_references_show_at_most_ten_bits():
    assert exposure_bits(-1.0, np.zeros(1000)) == pytest.approx(9.967, abs=1e-3)
    assert exposure_bits(-1.0, np.zeros(1023)) == 10


def test_what_was_never_learned_has_a_bit_and_a_half():
    """Mean 1/ln 2 = 1.443 bits, median 1, over the uniform ranks of the null."""
    null = compute_exposures(np.arange(1, 2002) / 2001)
    assert null.mean() == pytest.approx(1.443, abs=0.005)
    assert np.median(null) == pytest.approx(1, abs=1e-3)


def test_equal_scores_expose_nothing():
    found = exposure_bits(0.0, np.zeros(1000))
    assert found == 0
    assert math.copysign(1, found) == 1  # -0.0 would be printed


def test_an_infinite_loss_difference_has_a_rank_too():
    assert exposure_bits(-math.inf, [0.0, 1.0, 2.0]) == 2
    assert exposure_bits(math.inf, [0.0, 1.0, math.inf]) == 0


@pytest.mark.parametrize(
    ("canary", "references"),
    [(math.nan, [1.0]), (0.0, [1.0, math.nan]), (0.0, []), (0.0, [[1.0, 2.0]]), (0.0, 1.0)],
    ids=["canary not a number", "reference not a number", "no reference", "matrix", "scalar"],
)
def test_what_cannot_be_ranked_is_an_error(canary, references):
    with pytest.raises(AuditError, match="exposure"):
        exposure_bits(canary, references)


def test_a_matrix_of_canaries_is_an_error():
    with pytest.raises(AuditError, match="shape"):
        rank_p_values(np.zeros((2, 2)), [1.0])
