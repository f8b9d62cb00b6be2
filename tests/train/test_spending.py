from pathlib import Path

import pytest

from speechpriv.config import DataConfig, PipelineConfig, PrivacyConfig
from speechpriv.data import sources
from speechpriv.errors import LedgerError
from speechpriv.train import accounting, finetune, spending
from speechpriv.train.ledger import Ledger

DELTA = 1e-3
PRIVACY = PrivacyConfig(units=100, epsilon=8, delta=DELTA, cohort=10, steps=10)


def event(steps):
    return accounting.event_to_json(accounting.event(0.1, 1.0, steps))


def record(path, *runs):
    with Ledger(path) as book:
        for number, (steps, unit, delta) in enumerate(runs):
            book.open_run(
                f"run-{number}", unit=unit, adjacency=finetune.ADJACENCY, event_json=event(steps), delta=delta,
                epsilon_limit=None, compose=finetune.compose,
            )  # fmt: skip


def epsilon(steps, delta=DELTA):
    return accounting.epsilon(sampling_rate=0.1, noise_multiplier=1.0, steps=steps, delta=delta)


def test_runs_are_priced_one_by_one_and_together_at_the_smallest_delta(tmp_path):
    record(tmp_path / "l.sqlite", (10, "speaker", DELTA), (20, "speaker", 1e-5))
    found = spending.read(tmp_path / "l.sqlite")
    assert [(run.planned_steps, price) for run, price in found.runs] == [(10, epsilon(10)), (20, epsilon(20, 1e-5))]
    assert found.delta == 1e-5
    assert found.composed == pytest.approx(epsilon(30, 1e-5), rel=1e-3)


def test_runs_for_different_units_have_no_sum(tmp_path):
    record(tmp_path / "l.sqlite", (10, "speaker", DELTA), (10, "utterance", DELTA))
    found = spending.read(tmp_path / "l.sqlite")
    assert len(found.runs) == 2
    assert found.composed is None


def test_nothing_recorded_is_nothing_spent(tmp_path):
    Ledger(tmp_path / "l.sqlite").__exit__()
    assert spending.read(tmp_path / "l.sqlite") == spending.Spending((), 0.0, 1e-5)


def pipeline(data, **privacy):
    return PipelineConfig(data=data, privacy=PRIVACY.model_copy(update=privacy))


def test_where_the_ledger_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Path("runs") / "assistant-1"
    real, demo = DataConfig(path="somewhere"), DataConfig(source="demo")
    assert spending.ledger_path(pipeline(real, ledger="mine.sqlite"), "abc", run) == Path("mine.sqlite")
    assert spending.ledger_path(pipeline(demo), "abc", run) == run / "private" / "ledger.sqlite"
    assert spending.ledger_path(pipeline(real), "abc", run) == Path("ledgers/abc.sqlite")
    assert Path("ledgers").stat().st_mode & 0o777 == 0o700


def test_a_ledger_is_found_from_the_file_the_corpus_and_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "metadata.jsonl").write_text("{}")
    data = DataConfig(path="corpus")
    run = tmp_path / "runs" / "assistant-1"
    (run / "private").mkdir(parents=True)
    config = pipeline(data)
    (run / "private" / "config.json").write_text(config.model_dump_json())
    path = spending.ledger_path(config, sources.lineage(data, config.seed), run)
    for where in (Path("corpus"), run, path):
        with pytest.raises(LedgerError, match="no ledger" if where != path else "."):
            spending.find(where)
    record(path, (10, "speaker", DELTA))
    assert spending.find(Path("corpus")) == spending.find(run) == spending.find(path) == path
