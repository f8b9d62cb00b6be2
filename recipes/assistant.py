"""The whole pipeline, for a voice assistant's recordings or any corpus of people speaking.

    speechpriv run configs/assistant.yaml                                          made-up people, nothing to download
    speechpriv run configs/commands.yaml data.path=../shared/data/commands         real volunteers

Copy it (`speechpriv cp assistant.py mine.py`) and change what you like: each stage reads directories and writes one.
"""

from pathlib import Path
from typing import Literal

from speechpriv import corpus, progress, store
from speechpriv.anonymize import stage as anonymize
from speechpriv.anonymize.rows import make_imitation, make_imitations
from speechpriv.audit import stage as audit
from speechpriv.audit.canaries import canary, personal, survival
from speechpriv.audit.voices import attackers
from speechpriv.config import PipelineConfig
from speechpriv.data import ingest, madeup, sources
from speechpriv.export import bundle, gate, signature
from speechpriv.models import evaluate
from speechpriv.report import page, samples
from speechpriv.scrub import clean, surrogate
from speechpriv.train import finetune, ordinary, phrasebook, rehearse, spending

Until = Literal["prepare", "plant", "train", "audit", "export", "report"]


def main(config: PipelineConfig, run_dir: Path, until: Until = "report") -> None:
    """Run the stages in order; what is done and unchanged is skipped, what was killed is taken up again."""
    private, release = run_dir / "private", run_dir / "release"
    keys, speed, base = private / "keys", config.performance, config.train.base
    store.write_json(private / "config.json", config.model_dump(mode="json"))
    curves = progress.curves_in(private / "tensorboard", kind=speed.curves)
    signing_key = signature.load_signing_key(config.export.signing_key) if until in ("export", "report") else None

    # Prepare: pseudonyms and checks, personal words cut from text and audio, voices disguised.
    with progress.show_bar("ingest") as update:
        settings, source = ingest.IngestConfig(data=config.data, seed=config.seed), sources.list_inputs(config.data)
        secrets = {"key": store.read_secret(keys / "ids"), "people_key": spending.people_key(config)}
        raw = progress.show_summary(
            "ingest", ingest.run(settings, source, private / "ingest", on_row=update, **secrets)
        )
    probed = progress.show_summary("personal", personal.run(  # made-up, and scrubbing must find it; taken out before training
        config.canary, {"corpus": raw.directory}, private / "personal", key=store.read_secret(keys / "ids")
    ))  # fmt: skip
    rows, probed_corpus = probed.counts["rows"], {"corpus": probed.directory / "corpus"}
    with progress.show_bar("scrub", rows) as update:
        scrubbed = progress.show_summary("scrub", clean.run(
            clean.CleanConfig(scrub=config.scrub), probed_corpus, private / "scrub",
            key=store.read_secret(keys / "voices"), device=speed.device, on_row=update,
        ))  # fmt: skip
    with progress.show_bar("anonymize", rows) as update:
        disguised = progress.show_summary("anonymize", anonymize.run(
            config.anonymize, {"corpus": scrubbed.directory}, private / "anonymize",
            key=store.read_secret(keys / "voices"), device=speed.device, workers=speed.workers, on_row=update,
        ))  # fmt: skip
    if until == "prepare":
        return

    # Plant canaries, see that they can be learned, train privately, and train the twin that the audit must catch.
    with progress.show_bar("plant"):
        planted = progress.show_summary("plant", canary.run(
            config.canary,
            {"corpus": disguised.directory, "personal": probed.directory, **canary.list_inputs(config.canary)},
            private / "plant", key=store.read_secret(keys / "canaries"),
        ))  # fmt: skip
    training = {"corpus": planted.directory / "corpus"}
    survived = progress.show_summary("survival", survival.run(
        survival.SurvivalConfig(base=base),
        {"plant": planted.directory, "personal": probed.directory, "scrubbed": scrubbed.directory, **training},
        private / "survival", device=speed.device,
    ))  # fmt: skip
    if until == "plant":
        return
    ledger = spending.ledger_path(config, corpus.read(raw.directory).lineage, run_dir)
    learned = learn(config, training, private, keys, ledger)
    with progress.show_bar("twin", curves=curves) as update:
        ordinary_config = ordinary.OrdinaryConfig(train=config.train, seed=config.seed)
        twin = ordinary.run(ordinary_config, training, private / "twin", device=speed.device, on_step=update)
    progress.show_summary("twin", twin)
    if until == "train":
        return

    # Audit: what people not trained on get, and what attackers get: of the disguised voices, and of the model.
    tested = {"corpus": disguised.directory, "twin": twin.directory, **learned}
    figures = evaluate.run(evaluate.EvaluateConfig(base=base), tested, private / "evaluate", device=speed.device)
    progress.show_summary("evaluate", figures)
    with progress.show_bar("attackers") as update:
        settings = attackers.StageConfig(attackers=config.attackers, anonymize=config.anonymize)
        voices, say = (
            {"before": scrubbed.directory, "after": disguised.directory},
            make_imitation(config.anonymize, speed),
        )
        progress.show_summary("attackers", attackers.run(
            settings, voices, private / "attackers", disguise=say, device=speed.device, on_row=update
        ))  # fmt: skip
    audited = {"plant": planted.directory, "survival": survived.directory, "people": scrubbed.directory}
    with progress.show_bar("audit"):
        asked, models = audit.AuditStageConfig(audit=config.audit, base=base), learned | {"twin": twin.directory}
        verdict = audit.run(asked, audited | models, private / "audit", device=speed.device)
    progress.show_summary("audit", verdict)
    if until == "audit":
        return

    # Export, behind the gate: no word or name of anybody, no planted phrase and no key may be in a file that leaves.
    recordings = corpus.read(raw.directory)
    canaries, people = (
        corpus.read(planted.directory / "phrases").table["text"],
        clean.list_names(recordings.table["text"]),
    )
    phrases = {"canary": canaries, "name": people, "term": config.scrub.terms}
    literals = {"key": [path.read_bytes() for path in keys.iterdir()]}
    limits = {"epsilon": config.privacy.epsilon, "budget_epsilon": config.privacy.budget_epsilon}
    exported = progress.show_summary("export", bundle.run(
        bundle.BundleConfig(export=config.export, **limits),
        {"audit": verdict.directory, "figures": figures.directory, **training, **learned},
        release / "bundle", phrases=phrases, literals=literals,
    ))  # fmt: skip
    signed_by = signature.sign_bundle(exported.directory, signing_key)
    progress.console.print(f"bundle signed by {signed_by}; public key beside it", highlight=False, soft_wrap=True)
    if until == "export":
        return

    # Report, and one last look at all that leaves.
    made_up = samples.write_samples(private, make_imitations()) if config.data.made_up else ""
    report = page.write_report(run_dir)
    gate.check_release(release, public=made_up, recordings=recordings, phrases=phrases, literals=literals)
    for name in ("voices", "canaries"):
        (keys / name).unlink(missing_ok=True)
    progress.console.print(f"report: {report}", highlight=False, soft_wrap=True)


def learn(
    config: PipelineConfig, training: dict[str, Path], out_dir: Path, keys: Path, ledger: Path
) -> dict[str, Path]:
    """Train privately: where the `model` is, and the `phrases` if any were published. `speechpriv curve` calls it."""
    speed, before, told = config.performance, {}, {}
    curves = progress.curves_in(out_dir / "tensorboard", kind=speed.curves)
    if config.privacy.phrases:  # what many say is published, spoken by made-up voices, and learned first
        asked, key = phrasebook.PhrasebookConfig(privacy=config.privacy), store.read_secret(keys / "phrases")
        published = phrasebook.run(asked, training, out_dir / "phrases", key=key, ledger=ledger)
        progress.show_summary("phrases", published)
        told = {"phrases": published.directory}
        with progress.show_bar("rehearse", curves=curves) as update:
            rehearsed = progress.show_summary("rehearse", rehearse.run(
                rehearse.RehearseConfig(train=config.train, seed=config.seed), told, out_dir / "rehearse",
                fill=surrogate.draw_value, device=speed.device, on_step=update,
            ))  # fmt: skip
        before = {"start": rehearsed.directory}
    with progress.show_bar("train", config.privacy.steps, curves=curves) as update:
        trained = finetune.run(
            finetune.FinetuneConfig(privacy=config.privacy, train=config.train), training | before, out_dir / "train",
            key=store.read_secret(keys / "noise"), ledger=ledger, public=madeup.generate_public,
            device=speed.device, checkpoint_every=speed.checkpoint_every, batch_s=speed.batch_s, on_step=update,
        )  # fmt: skip
    for name in ("noise", "phrases"):  # nobody, not even their owner, can strip the noise from now on
        (keys / name).unlink(missing_ok=True)
    progress.show_summary("train", trained)
    return {"model": trained.directory, **told}
