"""Screening: recordings of patients predict a label, and no patient can be told to have been in training.

    speechpriv run clinic_risk                                               synthetic patients, nothing to download
    speechpriv run clinic_risk data.source=folder data.path=PATH canary...   your own; `text` is the label

The same private training, ledger, audit and gate as for words; the label is the only word there is. Canaries are
synthetic patients with the wrong label. Recordings are not scrubbed, since nobody knows their words, and disguised
only if `anonymize.method` says so: a disguise takes away what a voice disorder is heard by.
"""

import functools
from pathlib import Path

from speechpriv import steps
from speechpriv.anonymize import stage as anonymize
from speechpriv.audit import screening
from speechpriv.audit import stage as audit
from speechpriv.audit.canaries import canary, mislabelled
from speechpriv.config import PipelineConfig, TrainConfig
from speechpriv.models import labelled
from speechpriv.rundir import Run
from speechpriv.store import Summary
from speechpriv.train import finetune

# For `speechpriv curve`: what is measured of each person, and what it comes to.
MEASURE, measured, statistic = "AUROC", screening.by_person, screening.compute_auroc


def main(config: PipelineConfig, run_dir: Path, until: steps.Until = "report") -> None:
    """Run the stages in order; what is done and unchanged is skipped, what was killed is taken up again."""
    run = steps.begin_run(config, run_dir, until)

    # Prepare: pseudonyms and checks, and voices disguised if that is asked for.
    raw = steps.take_in(run, config)
    rows = raw.counts["rows_kept"]
    clean = run.stage("anonymize", anonymize.run, config.anonymize, {"corpus": raw}, key="voices", total=rows)
    if until == "prepare":
        return

    # Plant patients with the wrong label, train privately, and train the baseline that the audit must catch.
    speak = functools.partial(mislabelled.speak_mislabelled, labels=config.train.labels)
    planted = run.stage("plant", canary.run, config.canary, {"corpus": clean}, key="canaries", speak=speak)
    training = {"corpus": planted / "corpus"}
    if until == "plant":
        return
    learned = learn(run, config, training, steps.find_ledger(run, config, raw))
    models = {"baseline": learn_openly(run, config, training), **learned}
    if until == "train":
        return

    # Audit: how well patients not trained on are screened, and what an attacker gets of those who were.
    base, _ = begin(run, config)
    tested = {"corpus": clean, **models}
    figures = run.stage("evaluate", screening.run, screening.ScreeningConfig(base=base), tested)
    audited = {"plant": planted, "people": raw, **models}
    verdict = run.stage("audit", audit.run, audit.AuditStageConfig(audit=config.audit, base=base), audited)
    if until == "audit":
        return

    # Export, behind the gate, and the report.
    steps.export_bundle(run, config, {"audit": verdict, "figures": figures, **training, **learned}, {})
    if until == "export":
        return
    steps.write_report(run, raw, {})


def learn(run: Run, config: PipelineConfig, training: dict[str, Path], ledger: Path) -> dict[str, Summary]:
    """Train privately: the `model`. `speechpriv curve` calls it."""
    # The base is an input, known by its content: a path in the settings, spelled otherwise, would be another release.
    inputs = training | {"base": Path(begin(run, config)[0]).parent}
    settings = finetune.FinetuneConfig(privacy=config.privacy, train=config.train)
    model = run.stage("train", finetune.run, settings, inputs, key="noise", total=config.privacy.steps, ledger=ledger)
    run.folder.destroy("noise")  # nobody, not even its owner, can strip the noise from now on
    return {"model": model}


def learn_openly(run: Run, config: PipelineConfig, training: dict[str, Path]) -> Summary:
    """Train without privacy. `speechpriv curve` calls it."""
    _, train = begin(run, config)
    return steps.train_baseline(run, config.model_copy(update={"train": train}), training)


def begin(run: Run, config: PipelineConfig) -> tuple[str, TrainConfig]:
    """Return the base with an output layer for the labels, and the settings of a training that starts there."""
    settings = labelled.LabelledConfig(base=config.train.base, labels=config.train.labels)
    base = str(labelled.run(settings, {}, run.folder.stage("base")) / "model")
    return base, config.train.model_copy(update={"base": base})
