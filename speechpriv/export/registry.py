"""privacy.yaml: the claim as an entry of the differential privacy deployments registry (OpenDP).

The schema beside this file is our own writing of the registry's; it names its source.
"""

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from speechpriv.claim import Claim
from speechpriv.config import PublisherConfig
from speechpriv.errors import ConfigError
from speechpriv.export import points

_SCHEMA = Path(__file__).with_name("deployments-schema.json")


def render_entry(claim: Claim, publisher: PublisherConfig, published: date) -> str:
    """Render the text of privacy.yaml: a draft, as complete as the registry's third tier.

    Raises:
      ConfigError: what was given of the publisher makes no valid entry.
    """
    answers = points.list_answers(claim)
    basic: dict[str, Any] = {
        "name": publisher.name,
        "data_curators": list(publisher.curators),
        "intended_use": publisher.intended_use,
        "data_product_type": "Machine learning model",
        "data_product_region": publisher.region,
        "description": f"A speech recogniser, fine-tuned on recordings of people. {claim.sentence()}",
        "publication_date": published.isoformat(),
    }
    if publisher.sector:
        basic["data_product_sector"] = publisher.sector
    together = f" Together with them: epsilon {claim.composed_epsilon:.4g}." if claim.other_releases else ""
    composed = "all steps, and of the published phrases," if claim.phrases else "all steps"
    found = {
        "url_slug": re.sub(r"[^a-z0-9]+", "-", f"{publisher.name} {published.year}".lower()).strip("-"),
        "status": "Draft",
        "tier": 3,
        "deployment": {
            "basic": basic,
            "dp_variant": {
                "variant_name": "Approximate DP",
                "data_domain": f"Recordings of speech with transcripts, grouped by {claim.unit}.",
                "unprotected_quantities": " ".join(claim.not_covered),
            },
            "privacy_loss": {
                "privacy_unit": f"One {claim.unit}",
                "privacy_unit_details": f"Neighbouring data: {claim.adjacency}.",
                "privacy_parameters": {"epsilon": claim.epsilon, "delta": claim.delta},
                "privacy_parameters_details": f"{answers['Variant']}. {answers['Parameters']}.",
            },
            "deployment_model": {
                "model_name": "Central",
                "model_name_details": f"{claim.trust_model}.",
                "actors": (
                    "Whoever trains hears the recordings and is trusted. Whoever gets the model, or talks to a server "
                    "that runs it, is not, and may know every recording but one unit's."
                ),
                "release_type": "Many releases" if claim.other_releases else "One release",
                "release_type_details": f"Other releases: {answers['Other releases from the same data']}.",
                "data_source_type": "Static",
                "access_type": "Non-interactive",
            },
            "accounting": {
                "post_processing": points.POST_PROCESSING,
                "composition": (
                    f"Privacy loss distributions of {composed} are composed numerically, and a second accountant must "
                    f"agree; releases from the same recordings are added up in a ledger.{together}"
                ),
            },
            "implementation": {
                "preprocessing_and_hyperparameter_tuning": (
                    "Personal words are cut from transcripts and sound, and voices disguised, one unit at a time. "
                    + points.TUNING
                ),
                "mechanisms": " ".join(
                    (
                        f"{answers['Mechanism']}.",
                        points.FLOATING_POINT,
                        points.RANDOMNESS,
                        points.TIMING,
                        points.ACCESS,
                    )
                ),
                "justification": f"{points.AUDIT} {points.BIAS}",
            },
            "administrative": {
                "notes": "Written by speechpriv from claim.json, which holds all that is needed to compute it again.",
                "registry_authors": list(publisher.curators),
            },
        },
    }
    text = yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=110)
    if problems := problems_of(text):
        raise ConfigError(f"export.publisher: privacy.yaml would not be valid: {'; '.join(problems)}.")
    return text


def problems_of(text: str) -> list[str]:
    """Return what keeps a text from being a valid registry entry, each with where it is; empty if
    nothing does.
    """
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return [f"not YAML ({type(error).__name__})"]
    validator = jsonschema.Draft202012Validator(json.loads(_SCHEMA.read_text(encoding="utf-8")))
    return sorted(f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(found))
