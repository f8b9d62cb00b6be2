import copy
import json
from datetime import date

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv.config import PublisherConfig
from speechpriv.errors import ConfigError
from speechpriv.export import points, registry

DAY = date(2026, 11, 26)
PUBLISHER = PublisherConfig(name="Lamp & Co. Dictation", curators=("Lamp & Co.",), region="Norway", sector="Healthcare")


@pytest.fixture
def found(claim):
    return yaml.safe_load(registry.render_entry(claim, PUBLISHER, DAY))


def test_the_entry_is_valid_and_says_what_the_claim_says(claim, found):
    assert registry.problems_of(yaml.safe_dump(found)) == []
    deployment = found["deployment"]
    assert (found["url_slug"], found["status"], found["tier"]) == ("lamp-co-dictation-2026", "Draft", 3)
    assert deployment["basic"]["publication_date"] == "2026-11-26"  # a string, as the registry has it
    assert deployment["basic"]["data_curators"] == deployment["administrative"]["registry_authors"] == ["Lamp & Co."]
    assert deployment["basic"]["data_product_sector"] == "Healthcare"
    assert deployment["privacy_loss"]["privacy_parameters"] == {"epsilon": claim.epsilon, "delta": claim.delta}
    assert claim.adjacency in deployment["privacy_loss"]["privacy_unit_details"]
    assert deployment["deployment_model"]["release_type"] == "Many releases"  # the ledger holds another
    assert f"{claim.composed_epsilon:.4g}" in deployment["accounting"]["composition"]


def test_every_field_of_the_schema_but_rho_and_optional_details_is_filled(found):
    """So that a field that is added to the schema is thought of."""
    schema = json.loads(registry._SCHEMA.read_text())
    left_out = set()

    def walk(part, value, where):
        for name, inner in part.get("properties", {}).items():
            if name not in value:
                left_out.add(f"{where}{name}")
            else:
                walk(inner, value[name], f"{where}{name}.")

    walk(schema, found, "")
    assert left_out == {
        "deployment.privacy_loss.privacy_parameters.rho",
        "deployment.deployment_model.data_source_type_details",
        "deployment.deployment_model.access_type_details",
        "deployment.administrative.sources",
    }


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("status", "Done"),
        ("tier", 4),
        ("extra", "field"),
        ("deployment.basic.extra", "field"),
        ("deployment.basic.publication_date", "yesterday"),
        ("deployment.basic.data_curators", []),
        ("deployment.dp_variant.variant_name", "Very private"),
        ("deployment.privacy_loss.privacy_parameters", {"epsilon": "eight"}),
        ("deployment.deployment_model.model_name", "central"),
        ("deployment.administrative", {}),
    ],
)
def test_the_schema_refuses_what_the_registry_would(found, path, value):
    broken = copy.deepcopy(found)
    *parents, last = path.split(".")
    part = broken
    for name in parents:
        part = part[name]
    part[last] = value
    assert registry.problems_of(yaml.safe_dump(broken))


@pytest.mark.parametrize("name", ["url_slug", "status", "tier", "deployment"])
def test_the_schema_misses_what_must_be_there(found, name):
    del found[name]
    assert any(name in problem for problem in registry.problems_of(yaml.safe_dump(found)))


def test_an_entry_that_would_not_be_valid_is_an_error(claim, monkeypatch):
    monkeypatch.setattr(registry, "problems_of", lambda _: ["$.url_slug: bad"])
    with pytest.raises(ConfigError, match=r"export\.publisher: .*url_slug"):
        registry.render_entry(claim, PUBLISHER, DAY)


def test_phrases_that_were_learned_first_are_in_the_entry(claim):
    event = '{"noise_multiplier": 2.5, "slip": 2.5e-07}'
    found = yaml.safe_load(registry.render_entry(claim.model_copy(update={"phrases": event}), PUBLISHER, DAY))
    assert "noise of 2.5 on the weights of word n-grams" in found["deployment"]["implementation"]["mechanisms"]
    assert "n-grams" not in registry.render_entry(claim, PUBLISHER, DAY)


@given(text=st.text())
@settings(max_examples=100, deadline=None)
def test_no_text_is_more_than_a_problem(text):
    assert isinstance(registry.problems_of(text), list)


def test_every_point_of_the_guidelines_is_answered(claim):
    answers = points.list_answers(claim)
    assert len(answers) == 18
    assert all(answers.values())
    assert "epsilon 7.5, delta 1e-05" in answers["Parameters"]
    assert "delta is within the advised 1/units^2 = 2.5e-05" in answers["Parameters"]
    assert "run earlier: epsilon 2" in answers["Other releases from the same data"]


def test_a_delta_that_is_larger_than_advised_is_said(claim):
    loose = claim.model_copy(update={"delta": 1e-3})
    assert "above the advised" in points.list_answers(loose)["Parameters"]
    secret = claim.model_copy(update={"units": None})
    assert "cannot be said" in points.list_answers(secret)["Parameters"]
