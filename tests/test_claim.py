import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from speechpriv import claim as claims
from speechpriv.claim import Claim, OtherRelease
from speechpriv.errors import ConfigError
from speechpriv.train import accounting

FACTS = {
    "event": json.dumps({"mechanism": "m", "sampling_rate": 0.1, "noise_multiplier": 0.7, "count": 40}),
    "epsilon": 7.8954,
    "delta": 1e-5,
    "mu_gdp": 1.6,
    "max_tpr_at_1_percent_fpr": 0.241,
    "unit": "volunteer",
    "cap_per_unit": 8,
    "sampling_rate": 0.1,
    "noise_multiplier": 0.7,
    "clip_norm": 1.0,
    "normalisation": 100,
    "steps": 40,
    "units": 1000,
    "composed_epsilon": 7.8954,
}


def make(**changes):
    return Claim(**FACTS | changes)


def test_the_sentence():
    assert make().sentence() == (
        "The best possible attacker who holds this model and accepts 1 false alarm in 100 recognises, on average, at "
        "most 25 of 100 volunteers who took part; epsilon 7.9, delta 1e-5, per volunteer with all recordings."
    )


def test_the_sentence_names_what_else_was_released():
    one = make(composed_epsilon=10.011, other_releases=[OtherRelease(run_id="a", epsilon=4.0)])
    assert "epsilon 7.9 (together with 1 other release from the same recordings: epsilon 10.1), delta" in one.sentence()
    two = make(composed_epsilon=12, other_releases=[OtherRelease(run_id=name, epsilon=4.0) for name in "ab"])
    assert "2 other releases from the same recordings: epsilon 12)" in two.sentence()


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        ("speaker", "of 100 speakers who took part"),
        ("household", "of 100 households who"),
        ("family", "of 100 families who"),
        ("essay", "of 100 essays who"),
        ("class", "of 100 classes who"),
        ("person", "of 100 people who"),
        ("patient", "per patient with all recordings."),
        ("utterance", "per utterance."),
    ],
)
def test_units_read_well(unit, text):
    assert text in make(unit=unit).sentence()


@given(value=st.floats(0, 1e9, allow_subnormal=False), digits=st.integers(1, 5))
def test_numbers_are_only_rounded_up(value, digits):
    shown = float(claims._up(value, digits))
    assert value <= shown <= value * (1 + 10 ** (1 - digits)) * (1 + 1e-12)


@pytest.mark.parametrize(
    ("value", "shown"), [(1e-5, "1e-5"), (2.338e-4, "0.00024"), (1.01e-9, "1.1e-9"), (100.0, "100"), (0.0, "0")]
)
def test_numbers_are_short(value, shown):
    assert claims._up(value, 2) == shown


def test_json_round_trip():
    claim = make(other_releases=[OtherRelease(run_id="a", epsilon=1.0)], composed_epsilon=9.0, units=None)
    assert Claim.from_json(claim.to_json()) == claim
    assert json.loads(claim.to_json())["adjacency"] == "add or remove one unit with all its utterances"


def test_a_claim_of_drawn_utterances():
    event = accounting.event_to_json(accounting.build_event(0.1, 0.7, 40, records=8))
    claim = make(event=event, sampling="utterances", utterance_level=[{"utterances": 16, "epsilon": 122.0}])
    assert Claim.from_json(claim.to_json()) == claim
    assert "per volunteer with all recordings" in claim.sentence()


def test_claims_from_before_there_was_a_choice_are_of_units():
    plain = {name: value for name, value in json.loads(make().to_json()).items() if name in FACTS}
    assert Claim.from_json(json.dumps(plain)).sampling == "units"


def test_numpy_numbers_become_plain_ones():
    claim = make(epsilon=np.float64(7.0), max_tpr_at_1_percent_fpr=np.float64(0.3))
    assert Claim.from_json(claim.to_json()) == claim
    assert "np." not in claim.sentence()


NUMBERS = [name for name, value in FACTS.items() if isinstance(value, int | float)]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [math.inf, math.nan, -1.0])
def test_what_is_not_finite_or_negative_is_refused(name, value):
    with pytest.raises(ValidationError):
        make(**{name: value})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"delta": 0.0}, "delta"),
        ({"delta": 1.0}, "delta"),
        ({"max_tpr_at_1_percent_fpr": 1.1}, "max_tpr_at_1_percent_fpr"),
        ({"sampling_rate": 0.0}, "sampling_rate"),
        ({"steps": 0}, "steps"),
        ({"unit": ""}, "unit"),
        ({"event": "no json"}, "JSON object"),
        ({"event": "[]"}, "JSON object"),
        ({"event": '{"count": 41}'}, "differ in count"),
        ({"noise_multiplier": 0.9, "sampling_rate": 0.2}, "differ in sampling_rate, noise_multiplier"),
        ({"composed_epsilon": 5.0}, "below epsilon"),
        ({"more": 1}, "more"),
        ({"sampling": "household"}, "sampling"),
        ({"sampling": "utterances"}, "1 records of a unit, and the claim 8"),
        ({"event": json.dumps({"records": 8})}, "8 records of a unit, and the claim 1"),
        ({"event": json.dumps({"records": 4}), "sampling": "utterances"}, "4 records of a unit, and the claim 8"),
        ({"utterance_level": [{"utterances": 0, "epsilon": 1.0}]}, "utterances"),
        ({"utterance_level": [{"utterances": 4, "epsilon": math.inf}]}, "finite"),
        ({"groups": [{"size": 1, "epsilon": 8.0, "delta": 1e-5}]}, "size"),
        ({"groups": [{"size": 2, "epsilon": math.inf, "delta": 1e-5}]}, "finite"),
        ({"groups": [{"size": 2, "epsilon": 20.0, "delta": 0.3, "published": 0.4}]}, "above delta"),
    ],
)
def test_a_claim_that_does_not_hold_together_is_refused(change, text):
    with pytest.raises(ValidationError, match=text):
        make(**change)


@pytest.mark.parametrize("name", list(FACTS))
def test_every_fact_must_be_given(name):
    with pytest.raises(ValidationError, match=name):
        Claim(**{key: value for key, value in FACTS.items() if key != name})


def test_a_claim_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        make().epsilon = 1.0


@pytest.mark.parametrize(
    "text", ["", "[]", "null", '{"epsilon": Infinity}', json.dumps(FACTS | {"epsilon": 1e999}), "\x00"]
)
def test_reading_anything_else_is_a_config_error(text):
    with pytest.raises(ConfigError, match=r"claim\.json"):
        Claim.from_json(text)


def test_what_is_not_covered_is_said():
    said = " ".join(make().not_covered)
    assert "mentioned" in said
    assert "outside the ledger" in said
    assert make().trust_model.startswith("central")
