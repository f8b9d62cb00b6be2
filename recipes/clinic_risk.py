"""Screening: recordings of patients predict a label, and no patient can be told to have been in training.

    speechpriv run clinic_risk                                                     made-up patients, nothing to download
    speechpriv run clinic_risk data.source=folder data.path=PATH canary...         your own; `text` is the label

The same private training, ledger, audit and gate as for words; the label is the only word there is. Canaries are
made-up patients with the wrong label. Recordings are not scrubbed, since nobody knows their words, and disguised only
if `anonymize.method` says so: a disguise takes away what a voice disorder is heard by.
"""

import functools
from pathlib import Path
from typing import Any, Literal

from speechpriv import corpus, progress, store
from speechpriv.anonymize import stage as anonymize
from speechpriv.audit import screening
from speechpriv.audit import stage as audit
from speechpriv.audit.canaries import canary, mislabelled
from speechpriv.config import PipelineConfig, TrainConfig
from speechpriv.data import ingest, sources
from speechpriv.export import bundle, gate, signature
from speechpriv.models import labelled
from speechpriv.report import page
from speechpriv.train import finetune, ordinary, spending

Inputs = dict[str, Path]
Until = Literal["prepare", "plant", "train", "audit", "export", "report"]

# For `speechpriv curve`: what is measured of each person, and what it comes to.
MEASURE, measured, statistic = "AUROC", screening.by_person, screening.compute_auroc


def main(config: PipelineConfig, run_dir: Path, until: Until = "report") -> None:
    """Run the stages in order; what is done and unchanged is skipped, what was killed is taken up again."""
    private, release = run_dir / "private", run_dir / "release"
    keys, speed = private / "keys", config.performance
    store.write_json(private / "config.json", config.model_dump(mode="json"))
    signing_key = signature.load_signing_key(config.export.signing_key) if until in ("export", "report") else None

    # Prepare: pseudonyms and checks, and voices disguised if that is asked for.
    with progress.show_bar("ingest") as update:
        settings, source = ingest.IngestConfig(data=config.data, seed=config.seed), sources.list_inputs(config.data)
        secrets = {"key": store.read_secret(keys / "ids"), "people_key": spending.people_key(config)}
        raw = progress.show_summary(
            "ingest", ingest.run(settings, source, private / "ingest", on_row=update, **secrets)
        )
    with progress.show_bar("anonymize", raw.counts["rows_kept"]) as update:
        clean = progress.show_summary("anonymize", anonymize.run(
            config.anonymize, {"corpus": raw.directory}, private / "anonymize",
            key=store.read_secret(keys / "voices"), device=speed.device, workers=speed.workers, on_row=update,
        ))  # fmt: skip
    if until == "prepare":
        return

    # Plant patients with the wrong label, train privately, and train the twin that the audit must catch.
    speak = functools.partial(mislabelled.speak_mislabelled, labels=config.train.labels)
    with progress.show_bar("plant"):
        planted = progress.show_summary("plant", canary.run(
            config.canary, {"corpus": clean.directory}, private / "plant",
            key=store.read_secret(keys / "canaries"), speak=speak,
        ))  # fmt: skip
    training = {"corpus": planted.directory / "corpus"}
    if until == "plant":
        return
    ledger = spending.ledger_path(config, corpus.read(raw.directory).lineage, run_dir)
    learned = learn(config, training, private, keys, ledger)
    base, train = begin(config, private)
    with progress.show_bar("twin") as update:
        settings = ordinary.OrdinaryConfig(train=train, seed=config.seed)
        twin = ordinary.run(settings, training, private / "twin", device=speed.device, on_step=update)
    progress.show_summary("twin", twin)
    if until == "train":
        return

    # Audit: how well patients not trained on are screened, and what an attacker gets of those who were.
    tested = {"corpus": clean.directory, "twin": twin.directory, **learned}
    figures = screening.run(screening.ScreeningConfig(base=base), tested, private / "evaluate", device=speed.device)
    progress.show_summary("evaluate", figures)
    with progress.show_bar("audit"):
        asked = audit.AuditStageConfig(audit=config.audit, base=base)
        models = {"plant": planted.directory, "people": raw.directory, "twin": twin.directory, **learned}
        verdict = progress.show_summary("audit", audit.run(asked, models, private / "audit", device=speed.device))
    if until == "audit":
        return

    # Export, behind the gate, and the report.
    literals = {"key": [path.read_bytes() for path in keys.iterdir()]}
    limits = {"epsilon": config.privacy.epsilon, "budget_epsilon": config.privacy.budget_epsilon}
    exported = progress.show_summary("export", bundle.run(
        bundle.BundleConfig(export=config.export, **limits),
        {"audit": verdict.directory, "figures": figures.directory, **training, **learned},
        release / "bundle", literals=literals,
    ))  # fmt: skip
    signed_by = signature.sign_bundle(exported.directory, signing_key)
    progress.console.print(f"bundle signed by {signed_by}; public key beside it", highlight=False, soft_wrap=True)
    if until == "export":
        return
    report = page.write_report(run_dir)
    gate.check_release(release, recordings=corpus.read(raw.directory), literals=literals)
    for name in ("voices", "canaries"):
        (keys / name).unlink(missing_ok=True)
    progress.console.print(f"report: {report}", highlight=False, soft_wrap=True)


def learn(config: PipelineConfig, training: Inputs, out_dir: Path, keys: Path, ledger: Path) -> Inputs:
    """Train privately: where the `model` is. `speechpriv curve` calls it."""
    speed, (base, _) = config.performance, begin(config, out_dir)
    # An input, known by its content: a path in the settings, spelled otherwise, would be another release.
    training = training | {"base": Path(base).parent}
    with progress.show_bar("train", config.privacy.steps) as update:
        trained = finetune.run(
            finetune.FinetuneConfig(privacy=config.privacy, train=config.train), training, out_dir / "train",
            key=store.read_secret(keys / "noise"), ledger=ledger, device=speed.device,
            checkpoint_every=speed.checkpoint_every, batch_s=speed.batch_s, on_step=update,
        )  # fmt: skip
    (keys / "noise").unlink(missing_ok=True)  # nobody, not even its owner, can strip the noise from now on
    progress.show_summary("train", trained)
    return {"model": trained.directory}


def learn_openly(config: ordinary.OrdinaryConfig, training: Inputs, out_dir: Path, **told: Any) -> store.Summary:
    """Train without privacy, for `speechpriv curve`."""
    begun = labelled.run(
        labelled.LabelledConfig(base=config.train.base, labels=config.train.labels), {}, out_dir.parent / "base"
    )
    train = config.train.model_copy(update={"base": str(begun.directory / "model")})
    return ordinary.run(config.model_copy(update={"train": train}), training, out_dir, **told)


def begin(config: PipelineConfig, out_dir: Path) -> tuple[str, TrainConfig]:
    """The base with an output layer for the labels, and the settings of a training that starts there."""
    asked = labelled.LabelledConfig(base=config.train.base, labels=config.train.labels)
    base = str(labelled.run(asked, {}, out_dir / "base").directory / "model")
    return base, config.train.model_copy(update={"base": base})
