"""Where the ledger of a corpus is, and what has been spent on it."""

from dataclasses import dataclass
from pathlib import Path

from speechpriv.config import DataConfig, PipelineConfig
from speechpriv.data import sources
from speechpriv.errors import LedgerError
from speechpriv.train import finetune
from speechpriv.train.ledger import Ledger, RunSummary

_FOLDER = Path("ledgers")  # beside runs/, so that deleting runs does not forget what they spent


@dataclass(frozen=True)
class Spending:
    """What one corpus's ledger says: each run with its own epsilon, and all of them together."""

    runs: tuple[tuple[RunSummary, float], ...]
    composed: float | None  # None if the runs protect different units, whose guarantees do not add up
    delta: float


def ledger_path(config: PipelineConfig, lineage: str, run_dir: Path) -> Path:
    """The ledger of a lineage: what the config names, else `ledgers/`; a made-up corpus lives and dies with its run."""
    if config.privacy.ledger is not None:
        return Path(config.privacy.ledger)
    if config.data.source == "demo":
        return run_dir / "private" / "ledger.sqlite"
    _FOLDER.mkdir(mode=0o700, exist_ok=True)
    return _FOLDER / f"{lineage}.sqlite"


def find(corpus: Path) -> Path:
    """The ledger of a run directory, of a corpus's folder or hub id, or the file itself.

    Raises:
      LedgerError: nothing was spent there yet, as far as is known here.
    """
    if corpus.is_file() and corpus.suffix == ".sqlite":
        return corpus
    settings = corpus / "private" / "config.json"
    if settings.is_file():
        config = PipelineConfig.model_validate_json(settings.read_text())
        path = ledger_path(config, sources.lineage(config.data, config.seed), corpus)
    else:
        path = _FOLDER / f"{sources.lineage(DataConfig(path=str(corpus)), 0)}.sqlite"
    if not path.is_file():
        raise LedgerError(f"{corpus}: no ledger at {path}; no private run on this corpus is recorded here.")
    return path


def read(path: Path) -> Spending:
    """Check a ledger's chain and price its runs.

    Raises:
      LedgerError: the ledger was altered.
    """
    with Ledger(path) as book:
        runs = book.spent()
    delta = min((run.delta for run in runs), default=1e-5)
    alike = len({(run.unit, run.adjacency) for run in runs}) <= 1
    priced = tuple((run, finetune.compose([run.event_json], run.delta)) for run in runs)
    return Spending(priced, finetune.compose([r.event_json for r in runs], delta) if alike else None, delta)
