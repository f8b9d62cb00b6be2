import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv.train import mechanism

RUN = mechanism.build_event(0.1, 0.7, 40)
UTTERANCES = mechanism.build_event(0.1, 0.7, 40, records=8)
PHRASES = mechanism.build_event(1.0, 0.7, 1, slip=1e-6)
KEYS = ["mechanism", "sampling_rate", "noise_multiplier", "count", "records", "slip", "x"]
NAMES = [
    "poisson_sampled_gaussian", "poisson_sampled_gaussian_per_utterance", "gaussian_counts_above_a_threshold",
]  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(
    rate=st.floats(0, 1, exclude_min=True),
    sigma=st.floats(0.01, 1e6),
    steps=st.integers(1, 10**6),
    records=st.integers(1, 1000),
)
def test_json_round_trip(rate, sigma, steps, records):
    event = mechanism.build_event(rate, sigma, steps, records)
    text = mechanism.event_to_json(event)
    assert mechanism.event_from_json(text) == event
    assert json.loads(text)["count"] == steps  # the ledger reads this


def test_a_slip_is_kept_and_is_not_for_several_records():
    text = mechanism.event_to_json(PHRASES)
    assert json.loads(text) == {
        "mechanism": "gaussian_counts_above_a_threshold", "sampling_rate": 1.0, "noise_multiplier": 0.7, "count": 1,
        "slip": 1e-6,
    }  # fmt: skip
    assert mechanism.event_from_json(text) == PHRASES
    assert not mechanism.is_understood(mechanism.build_event(0.1, 0.7, 40, records=8, slip=1e-6))


def test_what_ledgers_hold_stays_readable():
    old = '{"count": 40, "mechanism": "poisson_sampled_gaussian", "noise_multiplier": 0.7, "sampling_rate": 0.1}'
    assert mechanism.event_from_json(old) == RUN
    assert mechanism.event_to_json(RUN) == old


@settings(deadline=None, max_examples=200)
@given(
    text=st.text()
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5) | st.sampled_from(NAMES),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
        max_leaves=8,
    ).map(json.dumps)
)
def test_reading_never_crashes_and_never_invents(text):
    event = mechanism.event_from_json(text)
    assert event is None or mechanism.event_from_json(mechanism.event_to_json(event)) == event


@pytest.mark.parametrize("event", [RUN, UTTERANCES, PHRASES], ids=["units", "utterances", "phrases"])
@pytest.mark.parametrize(
    "change",
    [
        {"mechanism": "gaussian"},
        {"count": 0},
        {"count": 2.5},
        {"count": True},
        {"sampling_rate": "0.1"},
        {"sampling_rate": 1},
        {"records": 1},
        {"records": 2.0},
        {"records": None},
        {"more": 1},
    ],
)
def test_altered_json_is_not_understood(event, change):
    plain = json.loads(mechanism.event_to_json(event)) | change
    assert mechanism.event_from_json(json.dumps(plain)) is None


def test_records_cannot_be_dropped_from_an_event():
    """Or eight utterances would be priced as one."""
    plain = json.loads(mechanism.event_to_json(UTTERANCES))
    assert mechanism.event_from_json(json.dumps({k: v for k, v in plain.items() if k != "records"})) is None


def test_a_step_is_the_binomial_mixture():
    found = mechanism.step_event(mechanism.build_event(0.25, 3.0, 9, records=2))
    assert found.standard_deviation == 3.0
    assert found.sensitivities == [0.0, 1.0, 2.0]
    assert found.sampling_probs == pytest.approx([0.5625, 0.375, 0.0625])
