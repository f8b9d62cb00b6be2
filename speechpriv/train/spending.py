"""Where the ledger of a corpus is, what has been spent on it, and what is left."""

import math
from dataclasses import dataclass
from pathlib import Path

from scipy import optimize

from speechpriv import corpus as corpora
from speechpriv import progress
from speechpriv.claim import Claim
from speechpriv.config import PipelineConfig
from speechpriv.data import lineage as kin
from speechpriv.data import recordings, sources
from speechpriv.errors import ConfigError, LedgerError
from speechpriv.sections import DataConfig
from speechpriv.train import accounting, releases
from speechpriv.train.ledger import Ledger, Limit, RunSummary

_FOLDER = Path("ledgers")  # beside runs/, so that deleting runs does not forget what they spent
_PRECISION = 0.005  # of the logarithm of a noise multiplier


@dataclass(frozen=True)
class Spent:
    """One run: its own epsilon, and that of all runs so far together, both at the run's delta."""

    run: RunSummary
    epsilon: float
    so_far: float | None  # None once runs protect different units, whose guarantees do not add up


@dataclass(frozen=True)
class Spending:
    """What one corpus's ledger says."""

    runs: tuple[Spent, ...]
    composed: float | None  # of all runs, at `delta`
    delta: float  # of the budget, or else the smallest of all runs
    limit: Limit | None  # the budget in force
    room: float | None  # epsilon that one more run may have by itself; None without a budget


def ledger_path(config: PipelineConfig, lineage: str, run_dir: Path) -> Path:
    """Return the ledger for a run, which is to be made now if there is none.

    What the config names; a synthetic corpus's own, which lives and dies with its run; or the one
    in `ledgers/` that belongs to this lineage, or to recordings or people that this corpus shares.

    Raises:
      LedgerError: the corpus shares recordings or people with those of two ledgers, or recordings
        with those of another ledger than the config names.
    """
    named = None if config.privacy.ledger is None else Path(config.privacy.ledger)
    if config.data.synthetic:
        return named or run_dir / "private" / "ledger.sqlite"
    _FOLDER.mkdir(mode=0o700, exist_ok=True)
    sketch = kin.read(run_dir / "private" / "ingest" / kin.SKETCH)
    return kin.join(_FOLDER, lineage, sketch, named, _tell)


def people_key(config: PipelineConfig) -> bytes | None:
    """Return the key under which the first stage hashes people's names, made once for all runs
    here; None for synthetic ones.
    """
    if config.data.synthetic:
        return None
    _FOLDER.mkdir(mode=0o700, exist_ok=True)
    return kin.people_key(_FOLDER)


def _tell(said: str) -> None:
    progress.console.print(said, style="yellow", markup=False, highlight=False, soft_wrap=True)


def find_ledger(corpus: Path) -> Path:
    """Find the ledger of a run directory, of a prepared corpus, of recordings' folder or hub id, or
    the file itself.

    Raises:
      LedgerError: nothing was spent there yet, as far as is known here, or two ledgers were.
      DataError: there is no such corpus.
    """
    if corpus.suffix == ".sqlite":
        return _there(corpus, corpus)
    settings, taken_in = corpus / "private" / "config.json", corpus / "private" / "ingest"
    data, seed = DataConfig(path=str(corpus), source="auto" if corpus.exists() else "hub"), 0
    if settings.is_file():
        config = PipelineConfig.model_validate_json(settings.read_text())
        data, seed = config.data, config.seed
    if settings.is_file() and config.privacy.ledger is not None:
        path = Path(config.privacy.ledger)
    elif settings.is_file() and config.data.synthetic:
        path = ledger_path(config, "", corpus)
    elif found := [folder for folder in (corpus, taken_in) if (folder / "corpus.json").is_file()]:
        path = kin.find(_FOLDER, corpora.read(found[0]).lineage, kin.read(found[0] / kin.SKETCH))
    else:
        name = sources.name_lineage(data, seed)
        path = kin.find(_FOLDER, name, kin.Sketch())
        if not path.is_file() and _FOLDER.is_dir() and sources.list_inputs(data):  # moved or copied, or the same people
            heard = recordings.sketch_corpus(sources.open_source(data), data, kin.people_key(_FOLDER))
            path = kin.find(_FOLDER, name, heard, _tell)
    return _there(path, corpus)


def _there(path: Path, corpus: Path) -> Path:
    if not path.is_file():
        raise LedgerError(
            f"{corpus}: no ledger at {path}; no private run on these recordings is recorded here. Ledgers are looked "
            "for in ledgers/ of the current folder; a ledger kept elsewhere can be given itself."
        )
    return path


def read_ledger(path: Path) -> Spending:
    """Check a ledger's chain and price its runs.

    Raises:
      LedgerError: the ledger was altered.
    """
    with Ledger(path) as book:
        runs, limit = book.spent(), book.limit()
    priced = []
    for number, run in enumerate(runs, start=1):
        events = [one.event_json for one in runs[:number]]
        so_far = releases.compose_epsilon(events, run.delta) if _alike(runs[:number]) else None
        priced.append(Spent(run, releases.compose_epsilon(events[-1:], run.delta), so_far))
    delta = limit.delta if limit else min((run.delta for run in runs), default=1e-5)
    events = [run.event_json for run in runs]
    composed = releases.compose_epsilon(events, delta) if _alike(runs) else None
    room = _room(events, limit) if limit and composed is not None else None
    return Spending(tuple(priced), composed, delta, limit, room)


def back_up_ledger(path: Path, to: Path) -> None:
    """Copy a ledger whole, also while a run writes to it; see `Ledger.backup`."""
    with Ledger(path) as book:
        book.backup(to)


def row_of(path: Path, bundle: Path) -> int:
    """Return number of the row that was the ledger's newest when a bundle's model was trained.

    Raises:
      LedgerError: the ledger does not hold that row, so that it was replaced or cut, or is another
        corpus's.
      ConfigError: the bundle has no claim, or one of an older version that names no row.
    """
    claim = Claim.from_json(claims.read_text()) if (claims := bundle / "claim.json").is_file() else None
    if claim is None or claim.ledger_head is None:
        raise ConfigError(f"{bundle}: no claim.json that names a row of the ledger. Give a bundle with a claim.")
    with Ledger(path) as book:
        book.verify()
        number = book.number_of(claim.ledger_head)
    if number is None:
        raise LedgerError(
            f"{path.name}: does not hold the row that {bundle} was trained under: an older copy was put back, the file "
            "was made anew, or the bundle is of other recordings. Restore the newest copy, and find what it lacks."
        )
    return number


def _alike(runs: list[RunSummary]) -> bool:
    return len({(run.unit, run.adjacency) for run in runs}) <= 1


def _room(events: list[str], limit: Limit) -> float:
    """The epsilon of one more run that fits, at most 2 % below the largest; the run is taken to be
    one Gaussian.

    It is more than the difference of epsilons, since composition is sublinear.
    """
    spent = [accounting.event_from_json(event) for event in events]

    def excess(log_sigma: float) -> float:
        together = accounting.epsilon_of([*spent, accounting.build_event(1.0, math.exp(log_sigma), 1)], limit.delta)
        return min(together / limit.epsilon, 10.0) - 1

    least, most = math.log(0.01), math.log(1e4)
    if excess(most) > 0:
        return 0.0
    root = optimize.brentq(excess, least, most, xtol=_PRECISION) + _PRECISION
    return accounting.epsilon_of([accounting.build_event(1.0, math.exp(root), 1)], limit.delta)
