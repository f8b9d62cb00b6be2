import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv.models import beam
from speechpriv.models.ctc import ctc_losses

BLANK = 0


def naive(log_probs):
    """The probability of every token list: all paths, collapsed and added up."""
    frames, symbols = log_probs.shape
    found = {}
    for path in itertools.product(range(symbols), repeat=frames):
        collapsed = tuple(symbol for symbol, _ in itertools.groupby(path) if symbol != BLANK)
        probability = float(np.exp(sum(float(log_probs[t, s]) for t, s in enumerate(path))))
        found[collapsed] = found.get(collapsed, 0.0) + probability
    return found


def drawn(seed, frames, symbols, sharpness=1.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.log_softmax(sharpness * torch.randn(frames, symbols, generator=generator), -1)


@given(st.integers(0, 1000), st.integers(1, 5), st.integers(2, 4))
@settings(max_examples=40, deadline=None)
def test_wide_enough_it_is_exact(seed, frames, symbols):
    log_probs = drawn(seed, frames, symbols)
    truth = naive(log_probs)
    found = beam.search_prefixes(log_probs.numpy(), BLANK, 10_000)
    assert set(found) == set(truth)
    probabilities = [truth[prefix] for prefix in found]
    assert probabilities == sorted(probabilities, reverse=True) or np.allclose(
        probabilities, sorted(probabilities, reverse=True), rtol=1e-9
    )


def test_it_finds_what_the_best_path_misses():
    """Two frames of blank .6 and token .4: the best path says nothing (.36), the token in all is likelier (.64)."""
    log_probs = torch.tensor([[0.6, 0.4], [0.6, 0.4]]).log()
    assert list(beam.search_prefixes(log_probs.numpy(), BLANK, 2)) == [(1,), ()]


@pytest.mark.parametrize("seed", range(5))
def test_a_narrow_beam_is_no_worse_than_greedy(seed):
    log_probs = drawn(seed, 40, 20, sharpness=4.0)
    path = torch.unique_consecutive(log_probs.argmax(-1)).tolist()
    greedy = [token for token in path if token != BLANK]
    best = next(iter(beam.search_prefixes(log_probs.numpy(), BLANK, 8)))
    both = ctc_losses(log_probs.expand(2, -1, -1), torch.tensor([40, 40]), [best, greedy], BLANK)
    assert both[0] <= both[1]


def test_long_recordings_do_not_underflow():
    found = beam.search_prefixes(drawn(0, 1_500, 20).numpy(), BLANK, 2)
    assert len(found) == 2
    assert all(len(prefix) > 250 for prefix in found)


def test_nothing_is_heard_in_nothing():
    assert beam.search_prefixes(np.empty((0, 5)), BLANK, 4) == {(): 0.0}
