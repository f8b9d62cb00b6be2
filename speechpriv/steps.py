"""What every recipe begins and ends with: it takes recordings in, and lets a model and a report
out.

Only recipes and the command line compose stages; this is the part of the recipes that they share.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from speechpriv import corpus, progress, store
from speechpriv.config import PipelineConfig
from speechpriv.data import ingest, sources
from speechpriv.export import bundle, gate, signature
from speechpriv.models import asr
from speechpriv.report import page
from speechpriv.rundir import Run, RunDir
from speechpriv.store import Summary
from speechpriv.train import baseline, spending

Until = Literal["prepare", "plant", "train", "audit", "export", "report"]


def begin_run(config: PipelineConfig, run_dir: Path, until: Until) -> Run:
    """Note the config of a run; see now that its base can learn, and that its bundle can be signed.

    Raises:
      ModelError: the base cannot be read, or its parts do not belong together.
      ConfigError: the signing key cannot be used, or TensorBoard is wanted and not installed.
    """
    if until != "prepare":
        asr.load(config.train.base)
    folder = RunDir.at(run_dir)
    store.write_json(folder.config, config.model_dump(mode="json"))
    if until in ("export", "report"):
        signature.load_signing_key(config.export.signing_key)
    curves = progress.curves_in(folder.curves, kind=config.performance.curves)
    return Run(folder, config.performance, curves)


def take_in(run: Run, config: PipelineConfig) -> Summary:
    """Run `ingest`: pseudonyms, checks, and a sketch by which people are known again."""
    settings = ingest.IngestConfig(data=config.data, seed=config.seed)
    source, people_key = sources.list_inputs(config.data), spending.people_key(config)
    return run.stage("ingest", ingest.run, settings, source, key="ids", people_key=people_key)


def find_ledger(run: Run, config: PipelineConfig, raw: Summary) -> Path:
    """Return the ledger of the recordings, which is to be made now if there is none."""
    lineage = corpus.read(raw.directory).lineage
    return spending.ledger_path(config, lineage, run.folder.private.parent)


def train_baseline(run: Run, config: PipelineConfig, training: Mapping[str, Path]) -> Summary:
    """Train the non-private baseline on the same corpus as the private model."""
    settings = baseline.BaselineConfig(train=config.train, seed=config.seed)
    return run.stage("baseline", baseline.run, settings, training)


def export_bundle(
    run: Run, config: PipelineConfig, inputs: Mapping[str, Summary | Path], forbidden: gate.Phrases
) -> None:
    """Export the model, behind the gate, and sign what leaves.

    Args:
      run: of the recipe.
      config: its config.
      inputs: of `export.bundle.run`.
      forbidden: sentences that may be in no file, by kind; transcripts and keys never are.

    Raises:
      GateError: the model may not leave.
    """
    settings = bundle.BundleConfig(
        export=config.export, epsilon=config.privacy.epsilon, budget_epsilon=config.privacy.budget_epsilon
    )
    exported = run.stage(
        "export", bundle.run, settings, inputs, out_dir=run.folder.bundle, phrases=forbidden, literals=_keys(run)
    )
    signed_by = signature.sign_bundle(exported.directory, signature.load_signing_key(config.export.signing_key))
    progress.console.print(f"bundle signed by {signed_by}; public key beside it", highlight=False, soft_wrap=True)


def write_report(run: Run, raw: Summary, forbidden: gate.Phrases, public: str = "") -> None:
    """Write the report, look once more at all that leaves, and destroy the keys that are left.

    Args:
      run: of the recipe.
      raw: the recordings as they were taken in.
      forbidden: as for `export_bundle`.
      public: words that may leave, since nobody real said them.

    Raises:
      GateError: private data is in a file that would be released.
    """
    release = run.folder.release
    report = page.write_report(release.parent)
    recordings = corpus.read(raw.directory)
    gate.check_release(release, recordings, phrases=forbidden, literals=_keys(run), public=public)
    run.folder.destroy("voices", "canaries")
    progress.console.print(f"report: {report}", highlight=False, soft_wrap=True)


def _keys(run: Run) -> gate.Literals:
    return {"key": [path.read_bytes() for path in run.folder.keys.iterdir()]}
