"""The audit stage: score the canaries on the model, its non-private baseline and the base, and give
a verdict.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from speechpriv import corpus as corpora
from speechpriv import store
from speechpriv.audit import record, released, verdict  # fmt: skip
from speechpriv.audit.attacks import published, scores, stranger  # fmt: skip
from speechpriv.audit.attacks.published import Published
from speechpriv.audit.canaries import canary, survival  # fmt: skip
from speechpriv.audit.canaries.canary import Canary
from speechpriv.audit.canaries.survival import Survival
from speechpriv.audit.inference import onerun, power, statistics  # fmt: skip
from speechpriv.audit.record import Past
from speechpriv.claim import Claim
from speechpriv.config import AuditConfig
from speechpriv.errors import AuditError
from speechpriv.models import asr
from speechpriv.sections import Section

_BATCH = 16
_ADD_REMOVE = re.compile(r"add( or |/)remove one ")  # what a canary's coin does


class AuditStageConfig(Section):
    """How sure, and against which base model losses are measured."""

    audit: AuditConfig
    base: str


@store.stage(version=8)
def run(
    config: AuditStageConfig,
    inputs: Mapping[str, Path],
    out_dir: Path,
    *,
    device: str = "cpu",
    on_model: Callable[[str], None] = store.ignore_progress,
) -> dict[str, Any]:
    """Audit a model.

    Args:
      config: see `AuditStageConfig`.
      inputs: `plant` (the plant stage), `model` (a directory with `model/` or an exported bundle,
        and its `claim.json`) and `baseline` (the non-private baseline's stage); `survival`, if
        canaries were seen to survive; `people`, a corpus of people who took part and others, all
        treated alike, if membership is to be told; `phrases`, if a table of phrases was published.
      out_dir: gets `verdict.json`, `exposures.json` and `released.json`, the part of the verdict
        that may leave (see released.py); none holds a phrase. The audit is counted in audits.json
        beside the plant stage.
      device: where models live.
      on_model: told each model's name when it has been scored.

    Raises:
      AuditError: canaries, corpus and models do not belong together, a bundle's weights are not
        those that its audit.json is about, or a phrase cannot be scored.
    """
    registry, phrases = canary.read(inputs["plant"])
    trained_on = corpora.read(inputs["plant"] / "corpus")
    canary.check_planted(registry, trained_on)
    audited = {"private": inputs["model"], "baseline": inputs["baseline"]}
    for name, directory in audited.items():
        _check_trained_on(inputs["plant"] / "corpus", name, directory)
    claim = _claim(inputs["model"] / "claim.json")
    sources = {name: str(_model(directory)) for name, directory in audited.items()}
    weights = {name: store.hash_weights(Path(source)) for name, source in sources.items()}
    _check_bundle(inputs["model"], weights["private"])
    found = scores.score_phrases(sources, config.base, phrases, device=device, on_model=on_model)
    canaries = store.sha256(inputs["plant"] / canary.REGISTRY)
    same = record.identify_audit(
        models=[[*digests.values()] for digests in weights.values()], base=config.base,
        claim=claim.to_json() if claim else None, settings=config.audit.model_dump(),
    )  # fmt: skip
    audits = inputs["plant"].parent / record.NAME
    past = record.find_past(audits, canaries, same)
    survived = survival.read(inputs["survival"]) if "survival" in inputs else None
    told = published.check_published(inputs["phrases"], registry, phrases, trained_on) if "phrases" in inputs else None
    judged = judge(
        registry, found["private"], found["baseline"], claim, config.audit, past=past, survived=survived, told=told
    )
    record.add_audit(audits, canaries, same, judged["verdict"])
    models = {name: asr.load(source, device) for name, source in sources.items()}
    base = asr.load(config.base, device)
    judged["extraction"] = stranger.extract_words(models, base, registry, phrases)
    on_model("extraction")
    if "people" in inputs:
        judged["membership"] = stranger.infer_membership(models, base, corpora.read(inputs["people"]), trained_on)
        on_model("membership")
    judged["weights"] = weights
    store.write_json(out_dir / "verdict.json", judged)
    store.write_json(out_dir / released.FILE, released.select_released(judged))
    store.write_json(out_dir / "exposures.json", {n: _exposures(registry, s) for n, s in found.items()})
    return {"verdict": judged["verdict"], "baseline": judged["baseline"]["verdict"]}


def judge(
    registry: Sequence[Canary],
    scores: np.ndarray,
    baseline: np.ndarray,
    claim: Claim | None,
    config: AuditConfig,
    *,
    past: Past = record.FIRST,
    survived: Survival | None = None,
    told: Published | None = None,
) -> dict[str, Any]:
    """Return the verdict as plain values: words, p-values, bounds; no phrase.

    Args:
      registry: canaries in the order of the scores.
      scores: of the model under audit, shape (len(registry),): loss minus the base model's, lower
        is better known.
      baseline: the same for the non-private baseline.
      claim: of the model under audit; None: the bounds are on pure epsilon (delta 0), and compared
        with nothing.
      config: alpha and confidence.
      past: audits of the same canaries before this one, which have spent their shares of alpha.
      survived: what became of the canaries until training; None: nobody looked.
      told: what a table of phrases tells; None: there is none.

    Raises:
      AuditError: too few canaries, scores that are not finite or not of the registry, or a claim
        about another adjacency than the coins'.
    """
    # A coin that moves several units, or part of one, says nothing of a claim about one unit: a
    # stress test beside it.
    planted = np.array([c.planted and c.adds_one_unit for c in registry], dtype=bool)
    candidate = np.array([c.repeats > 0 and c.adds_one_unit for c in registry], dtype=bool)
    reference = np.array([c.repeats == 0 for c in registry], dtype=bool)
    stress = np.array([c.planted and not c.adds_one_unit for c in registry], dtype=bool)
    _check_enough(int(planted.sum()), int((candidate & ~planted).sum()), int(reference.sum()))
    for name, values in (("private", scores), ("baseline", baseline)):
        if values.shape != (len(registry),) or not np.isfinite(values).all():
            raise AuditError(
                f"scores of the {name} model: shape {values.shape}, {np.count_nonzero(~np.isfinite(values))} of them "
                f"not finite; expected {len(registry)} finite numbers, one a canary. Score the phrases again."
            )
    if claim and not _ADD_REMOVE.match(claim.adjacency):
        raise AuditError(
            f"the claim's adjacency is {claim.adjacency!r}; the canaries' coins add or remove one unit, so that what "
            "they prove cannot be compared with it. Audit a model whose claim is about adding or removing one unit."
        )
    delta, mu = (claim.delta, claim.mu_gdp) if claim else (0.0, 0.0)
    alpha = past.share(config.alpha)
    level = alpha / verdict.TESTS
    kept_out, references = scores[candidate & ~planted], scores[reference]
    leakage = {
        "private": statistics.measure_leakage(scores[planted], references, mu, config.confidence),
        "baseline": statistics.measure_leakage(baseline[planted], baseline[reference], 0.0, config.confidence),
    }
    caught = {  # what must be caught before a model may pass: the baseline, held to the same claim
        "private": statistics.measure_leakage(baseline[planted], baseline[reference], mu),
        "baseline": leakage["baseline"],
    }
    proved = {
        "private": _proved(scores[candidate], planted[candidate], delta, level),
        "baseline": _proved(baseline[candidate], planted[candidate], delta, level),
    }
    negative = statistics.measure_leakage(kept_out, references)
    reverse = statistics.measure_leakage(references, kept_out)
    least = {
        name: power.find_minimum_effect(int(planted.sum()), found[reference], allowed, level)
        for name, found, allowed in (("private", scores, mu), ("baseline", baseline, 0.0))
    }
    wrong = [reason for part in (survived, told) if part for reason in part.failures()]
    decisions = {
        name: verdict.decide(
            model=found, positive=caught[name], negative=negative, reverse=reverse, planted=int(planted.sum()),
            proved=proved[name], detectable=least[name], claim=claim if name == "private" else None, alpha=alpha,
            failures=wrong if name == "private" else (),
            doubts=survived.doubts() if survived and name == "private" else (),
        )
        for name, found in leakage.items()
    }  # fmt: skip
    shown = {name: {**asdict(leakage[name]), **_bounds(proved[name])} for name in leakage}
    return {
        "verdict": decisions["private"].word,
        "reasons": list(decisions["private"].reasons),
        "unit": claim.unit if claim else None,
        "adjacency": claim.adjacency if claim else None,
        "claimed_epsilon": claim.epsilon if claim else None,
        "claimed_mu": claim.mu_gdp if claim else None,
        "claimed_named": claim.max_tpr_at_1_percent_fpr if claim else None,
        "delta": delta,
        "alpha": alpha,
        "alpha_of_all_audits": config.alpha,
        "audit": past.number,
        "earlier_verdicts": list(past.verdicts),
        "confidence": config.confidence,
        "confidence_of_bounds": 1 - level,
        "canaries": {
            "candidates": int(candidate.sum()),
            "planted": int(planted.sum()),
            "references": len(references),
            "repeats": sorted({c.repeats for c in registry} - {0}),
        },
        "private": shown["private"],
        "baseline": {"verdict": decisions["baseline"].word, **shown["baseline"]},
        "negative_control": {**asdict(negative), "p_reverse": reverse.p_value},
        "stress": {
            name: asdict(statistics.measure_leakage(values[stress], values[reference], 0.0, config.confidence))
            for name, values in (("private", scores), ("baseline", baseline))
            if stress.any()
        },
        "survival": asdict(survived) if survived else None,
        "published": asdict(told) if told else None,
        "detectable": asdict(least["private"]),
    }


def _check_enough(planted: int, kept_out: int, references: int) -> None:
    if not (planted >= 1 and kept_out >= 1 and references >= verdict.MIN_REFERENCES):
        raise AuditError(
            f"{planted} canaries planted, {kept_out} kept out, {references} references; expected at least 1, 1 and "
            f"{verdict.MIN_REFERENCES} (a PASS needs {verdict.MIN_PLANTED} planted). Make the canaries again with more."
        )


def _check_trained_on(corpus: Path, name: str, model: Path) -> None:
    """See that a model comes from the corpus that holds the canaries, where its manifest says from
    what it comes.
    """
    done = store.read_manifest(model)
    trained_on = done.get("inputs", {}).get("corpus") if done else None
    if trained_on is not None and trained_on != store.fingerprint(corpus):
        raise AuditError(
            f"the {name} model was not trained on the corpus that these canaries were planted in, so they can show "
            "nothing about it. Audit it in its own run."
        )


def check_weights(directory: Path, model: Path) -> None:
    """See that a verdict is about the weights that are there now.

    Args:
      directory: what `run` left.
      model: the `model` it was given.

    Raises:
      AuditError: it is about others.
    """
    scored = store.read_json(directory / "verdict.json")["weights"]["private"]
    if scored != store.hash_weights(_model(model)):
        raise AuditError(
            f"{directory}: the verdict is about other weights than those in {model}, which were "
            "changed after the audit. Put them back, or remove the first directory and audit again."
        )


def _check_bundle(model: Path, weights: Mapping[str, str]) -> None:
    """See that the weights of a bundle are those that its own audit.json and claim are about."""
    path = model / "audit.json"
    if not path.is_file():
        return
    try:
        audited = store.read_json(path)
    except ValueError as error:
        raise AuditError(f"{path}: not JSON ({type(error).__name__}). Export again.") from error
    if isinstance(audited, dict) and audited.get("weights") not in (None, {"private": weights}):
        raise AuditError(
            f"{model}: its weights are not those that its audit.json is about: they were changed "
            "after the export, and its claim says nothing about them. Export again."
        )


def _model(directory: Path) -> Path:
    """Where the weights are: in `model/` of a training's stage, or beside the claim in a bundle."""
    return directory / "model" if (directory / "model").is_dir() else directory


def _proved(scores: np.ndarray, planted: np.ndarray, delta: float, level: float) -> verdict.Proved:
    """One-run bounds; fixed beforehand: the quarter with the lowest scores is guessed in, the
    highest quarter out.
    """
    quarter = len(scores) // 4
    order = np.argsort(scores, kind="stable")  # ties in the registry's order, of which the coins know nothing
    correct = int(planted[order[:quarter]].sum() + (~planted[order[len(order) - quarter :]]).sum())
    guessed = {"canaries": len(scores), "guesses": 2 * quarter, "correct": correct}
    return verdict.Proved(
        guesses=2 * quarter,
        correct=correct,
        epsilon=onerun.epsilon_lower_bound(**guessed, delta=delta, confidence=1 - level),
        mu=onerun.mu_lower_bound(**guessed, confidence=1 - level),
    )


def _bounds(proved: verdict.Proved) -> dict[str, float]:
    return {
        "guesses": proved.guesses,
        "correct": proved.correct,
        "epsilon_lower_bound": _floor(proved.epsilon),
        "mu_lower_bound": _floor(proved.mu),
    }


def _floor(bound: float) -> float:
    """Four decimals, rounded down: a rounded lower bound is still one."""
    return math.floor(bound * 1e4) / 1e4


def _exposures(registry: Sequence[Canary], scores: np.ndarray) -> list[dict[str, Any]]:
    references = scores[[c.repeats == 0 for c in registry]]
    bits = statistics.compute_exposures(statistics.rank_p_values(scores, references))
    return [
        {"repeats": c.repeats, "planted": c.planted, "exposure_bits": round(float(b), 3)}
        for c, b in zip(registry, bits, strict=True)
        if c.repeats > 0
    ]


def _claim(path: Path) -> Claim | None:
    return Claim.from_json(path.read_text()) if path.is_file() else None
