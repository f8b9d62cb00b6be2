"""Facts of a run as it might have been: numbers made up, shapes as the stages write them."""

import json
import random
from typing import Any

import pytest

from speechpriv.audit import released
from speechpriv.claim import Claim, OtherRelease
from speechpriv.report.facts import STAGES, Facts

VERSIONS = {"speechpriv": "0.1.0", "torch": "2.11.0", "torchaudio": "2.11.0", "transformers": "5.3.0",
            "datasets": "5.0.1", "opacus": "1.6.0", "dp-accounting": "0.6.0", "numpy": "2.3.1"}  # fmt: skip
COUNTS: dict[str, dict[str, Any]] = {
    "ingest": {"rows_read": 3194, "rows_kept": 3142, "units_train": 153, "units_test": 38, "hours": 0.87,
               "quarantined": {"silent": 21, "too_long": 17, "unreadable": 9, "duplicate": 4, "empty transcript": 1}},
    "personal": {"rows": 3167, "rows_added": 25, "phone": 5, "name": 20},
    "scrub": {"rows": 3120, "utterances_changed": 412, "dropped": {"low_confidence": 22, "nothing_left": 25},
              "findings": {"PHONE": 180, "PERSON": 121, "EMAIL": 48, "CARD": 37, "DATE": 26}},
    "anonymize": {"rows": 3120, "method": "mcadams", "dropped": {}},
    "plant": {"candidates": 60, "planted": 31, "references": 1000, "rows": 3309, "rows_removed": 25,
              "rows_planted": 214, "units": 184},
    "survival": {"planted": 31, "whole": 31, "dropped": {}},
    "phrases": {"epsilon": 4.0, "phrases": 310, "words": 190},
    "rehearse": {"steps": 600},
    "train": {"epsilon": 7.9, "rows": 2680, "rows_test": 629, "dropped": {}},
    "baseline": {"steps": 400, "rows": 2680, "rows_test": 629, "dropped": {}},
    "evaluate": {"utterances": 629},
    "attackers": {"method": "mcadams", "voiceprint": "statistics", "equal_error_rate": 0.022, "rows_in": 902,
                  "rows": 900, "dropped": {"low_confidence": 2}},
    "audit": {},
}  # fmt: skip
CLAIM = Claim(
    event='{"mechanism": "made up"}', epsilon=7.9, delta=1e-5, mu_gdp=1.62, max_tpr_at_1_percent_fpr=0.243,
    unit="speaker", cap_per_unit=8, sampling_rate=0.4, noise_multiplier=2.871, clip_norm=1.0, normalisation=64.0,
    steps=300, units=160, other_releases=(OtherRelease(run_id="5f5f5f5f-0a1b2c3d", epsilon=2.0),), composed_epsilon=8.6,
)  # fmt: skip
FIGURES = {
    "base": {"wer": 0.384, "word_accuracy": 0.616, "utterances": 629, "words": 629, "speakers": 38},
    "baseline": {"wer": 0.112, "word_accuracy": 0.888, "utterances": 629, "words": 629, "speakers": 38},
    "private": {"wer": 0.237, "word_accuracy": 0.763, "utterances": 629, "words": 629, "speakers": 38},
}
VERDICT: dict[str, Any] = {
    "verdict": "PASS",
    "reasons": [
        "positive control: the baseline is caught (p = 2e-9, below 0.05).",
        "Negative control is quiet (p = 0.61).",
        "Private model: no leakage found (p = 0.41), and the lower bound 0.31 is within the claim 7.9.",
    ],
    "unit": CLAIM.unit, "adjacency": CLAIM.adjacency, "alpha": 0.05,
    "canaries": {"candidates": 60, "planted": 31, "references": 1000, "repeats": [1, 2, 4, 8, 16]},
    "private": {"p_value": 0.41, "p_mann_whitney": 0.37, "p_simes": 0.52, "auc": 0.523,
                "median_exposure_bits": 1.12, "epsilon_lower_bound": 0.31},
    "baseline": {"verdict": "FAIL", "p_value": 2e-9, "p_mann_whitney": 1e-9, "p_simes": 8e-4, "auc": 0.961,
             "median_exposure_bits": 7.4, "epsilon_lower_bound": 3.4},
    "negative_control": {"p_value": 0.61}, "claimed_epsilon": 7.9,
    "detectable": {"auc": 0.913, "memorised": None, "memorised_far": 3},
    "extraction": {
        model: [{"attack": "masked by noise", "planted": {"tries": 28, "hits": hits, "at_most": high},
                 "controls": {"tries": 28, "hits": 0, "at_most": 0.1015}}]
        for model, hits, high in (("private", 0, 0.1015), ("baseline", 9, 0.494))
    },
    "membership": {
        model: {"members": 150, "others": 38, "notes": ["members have 400 s of speech and others 300 s"],
                **{attacker: {"auc": auc, "auc_low": auc - 0.06, "auc_high": auc + 0.06, "named": auc - 0.45,
                              "named_at_most": auc - 0.35}
                   for attacker in ("with_labels", "pseudo_labels", "confidence")}}
        for model, auc in (("private", 0.53), ("baseline", 0.71))
    },
    "published": {"phrases": 310, "of_one_unit": 0, "units": 184, "slip": 2.5e-6, "planted": 31, "planted_seen": 0,
                  "spread": 4, "spread_seen": 1},
    "stress": {"private": {"auc": 0.55, "median_exposure_bits": 1.4}},
    "survival": {"whole": 29, "lost": 2, "altered": 0, "left_out": 0, "unscored": 0,
                 "personal": {"name": 5, "phone": 5}, "missed": {"name": 1, "phone": 0}},
}  # fmt: skip
CLIPPING = {"median_bits": [4.9, 6.6], "auc": 0.95, "verdict": "FAIL"}
COMPARISON = {"repeats": [1, 16], "ways": {"clipping alone": CLIPPING}}


def voices(eer: float) -> dict[str, Any]:
    """What attackers get, the semi-informed so much."""
    rates = {"undisguised": 0.01, "ignorant": 0.39, "lazy_informed": 0.21, "semi_informed": eer}
    return {
        "method": "mcadams", "voiceprint": "statistics", "people": 150, "recordings": 900, "guessing": 1 / 75,
        "linked": {"eer": 0.11, "low": 0.09, "high": 0.13},
        **{name: {"named": 1 - rate, **{
            measure: {"eer": rate, "low": rate * 0.8, "high": rate * 1.2, "too_weak": False}
            for measure in ("single", "pooled")}} for name, rate in rates.items()},
    }  # fmt: skip


DISGUISES = [
    {**voices(eer), "method": method, "voiceprint": voiceprint, "wer": wer}
    for method, eer, wer in (("none", 0.009, 0.31), ("mcadams", 0.0225, 0.36), ("resynth", 0.4975, 0.43))
    for voiceprint in ("statistics", "network")
]
CONFIG: dict[str, Any] = {
    "recipe": "assistant", "seed": 1, "data": {"source": "demo", "path": "/home/somebody/secret corpus"},
    "privacy": {"unit_name": "speaker", "units": 160, "epsilon": 8.0},
    "train": {"base": "/home/somebody/tiny-en"}, "export": {"override_reason": None}, "performance": {"threads": 2},
}  # fmt: skip
SAMPLES = [
    {"title": f"Recording {place}", "versions": [
        {"moment": moment, "text": text, "flac_base64": "ZkxhQw=="} for moment, text in versions
    ]}
    for place, versions in enumerate((
        [("as recorded", "call me on five five five one two"), ("words taken out", "call me on [PHONE]"),
         ("voice disguised", "call me on [PHONE]")],
        [("as recorded", "my name is made up"), ("voice disguised", "my name is [NAME]")],
    ), start=1)
]  # fmt: skip
PHRASES = [["<s>", "turn", 93.4], ["the", "lights", 88.1], ["lights", "</s>", 60.2]]
HEARD = {
    "model.onnx": {"parity": 0.995, "wer": 0.241, "wer_increase": 0.0, "times_real_time": 93.1},
    "model.int8.onnx": {"parity": 0.96, "wer": 0.248, "wer_increase": 0.007, "times_real_time": 121.4},
}


def exposures() -> dict[str, list[dict[str, Any]]]:
    """Sixty canaries: noise for the private model, growing with repeats for the baseline."""
    draw = random.Random(1)
    canaries: dict[str, list[dict[str, Any]]] = {"private": [], "baseline": []}
    for index in range(60):
        repeats, planted = (1, 2, 4, 8, 16)[index % 5], draw.random() < 0.5
        for model, gain in (("private", 0.0), ("baseline", 0.45 * repeats + 1)):
            bits = draw.expovariate(0.69) + (gain if planted else 0)
            canaries[model].append({"repeats": repeats, "planted": planted, "exposure_bits": min(bits, 9.97)})
    return canaries


def stages() -> dict[str, dict[str, Any]]:
    """Manifests of all stages."""
    return {
        name: {"counts": COUNTS[name], "versions": VERSIONS, "duration_s": 3.5 * 2**place}
        for place, name in enumerate(STAGES)
    }


def facts(**changed: Any) -> Facts:
    """A whole run; what is given replaces what is made up."""
    sizes = {
        "model.onnx": 7_340_032,
        "model.int8.onnx": 2_340_032,
        "tokens.txt": 2_318,
        "model.safetensors": 6_912_004,
        "README.md": 5_120,
    }
    return Facts(**{
        "name": "assistant-1a2b3c4d", "config": CONFIG, "stages": stages(), "claim": CLAIM,
        "epsilon_by_step": [[15 * i, round(7.9 * (i / 20) ** 0.55, 3)] for i in range(1, 21)],
        "figures": FIGURES, "verdict": VERDICT, "exposures": exposures(), "comparison": COMPARISON,
        "released_verdict": released.select_released(VERDICT), "voices": voices(0.0225), "disguises": DISGUISES,
        "bundle": {"files": dict.fromkeys(sizes, "5f" * 32), "counts": {
            "parity": 0.995, "compared": 200, "torch_wer": 0.241, "files": HEARD, "int8": "shipped",
        }},
        "sizes_bytes": sizes, "samples": SAMPLES, "phrases": PHRASES, "rehearsal": [[10, 3.2], [20, 1.1], [30, 0.7]],
        "wer_by_step": [[0, 0.31], [150, 0.34], [300, 0.33]], "budget": {"epsilon": 10.0, "delta": 1e-5, "left": 1.4},
        **changed,
    })  # fmt: skip


@pytest.fixture
def synthetic():
    """`facts` above: a whole run, any part of it replaced."""
    return facts


@pytest.fixture
def run_dir(tmp_path):
    """The files of a whole run, as the stages leave them."""
    run = tmp_path / "runs" / "assistant-1a2b3c4d"
    whole = facts()
    files: dict[str, Any] = {
        "private/config.json": whole.config,
        "private/train/claim.json": json.loads(CLAIM.to_json()),
        "private/train/public.json": {
            "epsilon_by_step": whole.epsilon_by_step,
            "wer_by_step": whole.wer_by_step,
            "budget": whole.budget,
        },
        "private/train/history.json": [
            {"step": step, "cohort": 61 + step, "median_norm": 424.2424, "clipped": 60, "unusable": 0}
            for step in (0, 1)
        ],
        "private/phrases/phrases.json": whole.phrases,
        "private/rehearse/curve.json": whole.rehearsal,
        "private/evaluate/figures.json": whole.figures,
        "private/audit/verdict.json": whole.verdict,
        "private/audit/released.json": whole.released_verdict,
        "private/audit/exposures.json": whole.exposures,
        "private/exposure_comparison.json": whole.comparison,
        "private/disguise_comparison.json": whole.disguises,
        "private/attackers/attackers.json": whole.voices,
        "private/report_samples.json": whole.samples,
        "release/bundle/manifest.json": whole.bundle,
        **{f"private/{stage}/manifest.json": manifest for stage, manifest in whole.stages.items()},
    }
    for name, content in files.items():
        path = run / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    (run / "release" / "bundle" / "model.onnx").write_bytes(bytes(12_345))
    return run
