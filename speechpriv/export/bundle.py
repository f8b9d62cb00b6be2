"""Stage: a trained model as a bundle that can be shipped, or a refusal that says why."""

import functools
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from speechpriv import corpus, store
from speechpriv.claim import Claim
from speechpriv.config import ExportConfig
from speechpriv.errors import GateError
from speechpriv.export import card, gate, int8, labels, onnx, published, registry, screening_card
from speechpriv.export.compare import compare_with_torch
from speechpriv.export.runtime import Transcriber
from speechpriv.models import arpa, asr
from speechpriv.sections import Positive, Section
from speechpriv.store import stage

_WEIGHTS = "model.safetensors"


class BundleConfig(Section):
    """What the gate asks for, and what the model was to stay within."""

    export: ExportConfig
    epsilon: Positive
    budget_epsilon: Positive | None


@stage(version=5, timed=False)
def run(
    config: BundleConfig,
    inputs: Mapping[str, Path],
    out_dir: Path,
    *,
    phrases: gate.Phrases | None = None,
    literals: gate.Literals | None = None,
) -> dict[str, Any]:
    """Export, compare with torch, pass the gate and write card and privacy.yaml;
    `signature.sign_bundle` comes afterwards.

    Args:
      config: see `BundleConfig`.
      inputs: `model` (from the train stage: model/, and claim.json unless it was trained without
        privacy), `audit` (released.json, the part of the verdict that may leave), `figures`
        (figures.json), `corpus` (its test part is decoded for comparison), and `phrases` (what was
        published of what many say) if that is to be shipped.
      out_dir: becomes the bundle.
      phrases: sentences that must not be in it, by kind, beside all transcripts of `corpus`:
        planted phrases, names.
      literals: keys and paths that must not be in it, by kind, beside the paths of this machine.

    Raises:
      DataError: the corpus has no test part.
      ModelError: the runtime cannot use the exported file, or the claim does not cover the phrases.
      ConfigError: the publisher's facts make no valid privacy.yaml.
      GateError: the model may not leave; every reason is given, and nothing is left of the bundle.
    """
    claim = _claim(inputs["model"] / "claim.json")
    released = inputs["audit"] / "released.json"
    verdict = _read(released)
    in_force = (_read(inputs["model"] / "public.json") or {}).get("budget") or {}  # an earlier run may have stated it
    recordings = corpus.read(inputs["corpus"])

    recogniser = asr.load(str(inputs["model"] / "model"))
    recogniser.save(out_dir)
    shipped = config.export.phrases == "shipped" and published.write_published(inputs["phrases"], claim, out_dir)
    if shipped and isinstance(recogniser, asr.CtcRecogniser):  # as what is shipped decodes
        recogniser = replace(recogniser, language=arpa.read(out_dir / published.LANGUAGE_MODEL))
    is_classifier = isinstance(recogniser, asr.Classifier)
    files = _files(recogniser, out_dir)
    audited = out_dir / "audit.json"
    if verdict:
        shutil.copyfile(released, audited)  # the very file, so that its digest is the audit's
    else:
        store.write_json(audited, {"verdict": "missing"})
    facts = card.Facts(
        claim=claim,
        verdict=verdict,
        audit_sha256=store.sha256(audited),
        figures=_read(inputs["figures"] / "figures.json") or {},
        comparison=compare_with_torch(recogniser, files, recordings),
        layout=onnx.choose_layout(recogniser),
        obstacle=labels.find_obstacle(recogniser)
        if isinstance(recogniser, asr.Classifier)
        else onnx.find_obstacle(recogniser),
        int8_limit=config.export.max_int8_wer_increase,
        publisher=config.export.publisher,
        phrases_shipped=shipped,
    )
    if not facts.int8_shipped:
        (out_dir / int8.MODEL).unlink(missing_ok=True)
    if claim is not None:
        (out_dir / "claim.json").write_text(claim.to_json() + "\n", encoding="utf-8")
        today = datetime.now(UTC).date()
        (out_dir / "privacy.yaml").write_text(registry.render_entry(claim, facts.publisher, today), encoding="utf-8")

    parity = next(iter(facts.comparison.files.values())).parity  # of the file that is not quantised
    decide = functools.partial(
        gate.decide_release,
        claim=claim,
        verdict=verdict,
        weights=store.hash_weights(out_dir),
        planned_epsilon=config.epsilon,
        budget_epsilon=config.budget_epsilon or in_force.get("epsilon"),
        parity=parity,
        min_parity=config.export.min_parity,
        override_reason=config.export.override_reason,
    )
    # The card is searched for leaks too, so it is written first; a leak is never overridden, so the
    # card is right.
    decision = decide(leaks=())
    written = screening_card.render_card if is_classifier else card.render_card
    text = written(replace(facts, override=decision.override, reasons=decision.reasons))
    (out_dir / "README.md").write_text(text, encoding="utf-8")
    # The manifest is written after the search and holds the config: a draft of it is searched in
    # its place.
    store.write_json(out_dir / store.MANIFEST, {"config": config.model_dump(mode="json")})
    # A directory right under the root tells nothing, and names of so few bytes are found by chance.
    parents = {path.resolve().parent for path in inputs.values()}
    literals = {"path": [str(path) for path in parents if len(path.parts) > 2], **(literals or {})}
    decision = decide(leaks=gate.find_leaks(out_dir, recordings, phrases=phrases, literals=literals))
    if not decision.allowed:
        shutil.rmtree(out_dir)  # what was refused must not lie beside what was released
        raise GateError(_refusal(decision, config.export))
    for path in out_dir.iterdir():
        path.chmod(0o644)  # the weights are made readable by their owner alone; a server may be another user
    return {
        "verdict": verdict["verdict"] if verdict else "missing",
        "audit_sha256": facts.audit_sha256,
        "epsilon": claim.epsilon if claim else None,
        "layout": facts.layout,
        "parity": parity,
        "compared": facts.comparison.compared,
        "torch_wer": facts.comparison.torch_wer,
        "files": {name: asdict(heard) for name, heard in facts.comparison.files.items()},
        "int8": "shipped" if facts.int8_shipped else "not shipped",
        "size_bytes": sum(path.stat().st_size for path in out_dir.iterdir()),
        "override": decision.override,
        "overridden": list(decision.reasons),
    }


def _files(recogniser: asr.Recogniser, out_dir: Path) -> dict[str, Transcriber]:
    """Write what the runtime decodes with, and open it: each file by name, the one that is not
    quantised first.
    """
    if isinstance(recogniser, asr.Classifier) and not labels.find_obstacle(recogniser):
        labels.export_classifier(recogniser, out_dir)
        return {onnx.MODEL: Transcriber(out_dir)}
    if not isinstance(recogniser, asr.CtcRecogniser) or onnx.find_obstacle(recogniser):
        return {_WEIGHTS: Transcriber(out_dir)}
    onnx.export_recogniser(recogniser, out_dir)
    int8.quantise_weights(out_dir / onnx.MODEL, out_dir / int8.MODEL)
    return {onnx.MODEL: Transcriber(out_dir), int8.MODEL: Transcriber(out_dir, "model.int8.onnx")}


def _refusal(decision: gate.Decision, config: ExportConfig) -> str:
    lines = "\n".join(f"  - {reason}" for reason in decision.reasons)
    how = "" if config.override_reason else "\nTo export it all the same, say why: export.override_reason='...'."
    return f"The export gate refuses this model:\n{lines}{how}"


def _claim(path: Path) -> Claim | None:
    return Claim.from_json(path.read_text(encoding="utf-8")) if path.is_file() else None


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
