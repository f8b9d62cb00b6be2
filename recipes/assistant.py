"""The whole pipeline, for a voice assistant's recordings or any corpus of people speaking.

    speechpriv run configs/assistant.yaml                                    synthetic people, nothing to download
    speechpriv run configs/commands.yaml data.path=../shared/data/commands   real volunteers

Copy it (`speechpriv cp assistant.py mine.py`) and change what you like: each stage reads directories and writes one.
"""

from pathlib import Path

from speechpriv import corpus, steps
from speechpriv.anonymize import stage as anonymize
from speechpriv.anonymize.rows import make_imitation, make_imitations
from speechpriv.audit import stage as audit
from speechpriv.audit.canaries import canary, personal, survival
from speechpriv.audit.voices import attackers
from speechpriv.config import PipelineConfig
from speechpriv.data import synthetic_speech
from speechpriv.models import evaluate
from speechpriv.report import samples
from speechpriv.rundir import Run
from speechpriv.scrub import clean, surrogate
from speechpriv.store import Summary
from speechpriv.train import finetune, phrasebook, rehearse


def main(config: PipelineConfig, run_dir: Path, until: steps.Until = "report") -> None:
    """Run the stages in order; what is done and unchanged is skipped, what was killed is taken up again."""
    run, base = steps.begin_run(config, run_dir, until), config.train.base

    # Prepare: pseudonyms and checks, personal words cut from text and audio, voices disguised.
    raw = steps.take_in(run, config)
    # Synthetic personal data, which scrubbing must find; it is taken out before training.
    probed = run.stage("personal", personal.run, config.canary, {"corpus": raw}, key="ids")
    rows = probed.counts["rows"]
    settings = clean.CleanConfig(scrub=config.scrub)
    scrubbed = run.stage("scrub", clean.run, settings, {"corpus": probed / "corpus"}, key="voices", total=rows)
    disguised = run.stage("anonymize", anonymize.run, config.anonymize, {"corpus": scrubbed}, key="voices", total=rows)
    if until == "prepare":
        return

    # Plant canaries, see that they can be learned, train privately, and train the baseline that the audit must catch.
    people = {"corpus": disguised, "personal": probed, **canary.list_inputs(config.canary)}
    planted = run.stage("plant", canary.run, config.canary, people, key="canaries")
    training = {"corpus": planted / "corpus"}
    checked = {"plant": planted, "personal": probed, "scrubbed": scrubbed, **training}
    survived = run.stage("survival", survival.run, survival.SurvivalConfig(base=base), checked)
    if until == "plant":
        return
    learned = learn(run, config, training, steps.find_ledger(run, config, raw))
    models = {"baseline": steps.train_baseline(run, config, training), **learned}
    if until == "train":
        return

    # Audit: what people not trained on get, and what attackers get: of the disguised voices, and of the model.
    tested = {"corpus": disguised, **models}
    figures = run.stage("evaluate", evaluate.run, evaluate.EvaluateConfig(base=base), tested)
    attack = attackers.StageConfig(attackers=config.attackers, anonymize=config.anonymize)
    imitate = make_imitation(config.anonymize, config.performance)
    run.stage("attackers", attackers.run, attack, {"before": scrubbed, "after": disguised}, disguise=imitate)
    audited = {"plant": planted, "survival": survived, "people": scrubbed, **models}
    verdict = run.stage("audit", audit.run, audit.AuditStageConfig(audit=config.audit, base=base), audited)
    if until == "audit":
        return

    # Export, behind the gate: no word or name of anybody, no planted phrase and no key may be in a file that leaves.
    canaries, transcripts = corpus.read(planted / "phrases"), corpus.read(raw.directory).table["text"]
    forbidden = {
        "canary": canaries.table["text"], "name": clean.list_names(transcripts), "term": config.scrub.terms,
    }  # fmt: skip
    steps.export_bundle(run, config, {"audit": verdict, "figures": figures, **training, **learned}, forbidden)
    if until == "export":
        return
    said = samples.write_samples(run.folder.private, make_imitations()) if config.data.synthetic else ""
    steps.write_report(run, raw, forbidden, public=said)


def learn(run: Run, config: PipelineConfig, training: dict[str, Path], ledger: Path) -> dict[str, Summary]:
    """Train privately: the `model`, and the `phrases` if any were published. `speechpriv curve` calls it."""
    learned: dict[str, Summary] = {}
    begun: dict[str, Summary] = {}
    if config.privacy.phrases:  # what many say is published, spoken by synthetic voices, and learned first
        asked = phrasebook.PhrasebookConfig(privacy=config.privacy)
        learned["phrases"] = run.stage("phrases", phrasebook.run, asked, training, key="phrases", ledger=ledger)
        spoken = rehearse.RehearseConfig(train=config.train, seed=config.seed)
        begun["start"] = run.stage("rehearse", rehearse.run, spoken, learned, fill=surrogate.draw_value)
    settings = finetune.FinetuneConfig(privacy=config.privacy, train=config.train)
    learned["model"] = run.stage(
        "train", finetune.run, settings, {**training, **begun}, key="noise", total=config.privacy.steps,
        ledger=ledger, public=synthetic_speech.generate_public,
    )  # fmt: skip
    run.folder.destroy("noise", "phrases")  # nobody, not even their owner, can strip the noise from now on
    return learned
