import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from speechpriv import cli
from speechpriv import corpus as corpora
from speechpriv.claim import ADJACENCY, Claim
from speechpriv.config import PipelineConfig, PrivacyConfig
from speechpriv.data import ingest, sources
from speechpriv.errors import BudgetError, ConfigError, LedgerError
from speechpriv.sections import DataConfig
from speechpriv.train import accounting, releases, spending
from speechpriv.train.ledger import Ledger, Limit

DELTA = 1e-3
PRIVACY = PrivacyConfig(units=100, epsilon=8, delta=DELTA, cohort=10, steps=10)
CLAIM = Claim(
    event="{}", epsilon=8.0, delta=DELTA, mu_gdp=1.5, max_tpr_at_1_percent_fpr=0.2, unit="speaker", cap_per_unit=8,
    sampling_rate=0.1, noise_multiplier=1.0, clip_norm=1.0, normalisation=10.0, steps=10, units=100,
    composed_epsilon=8.0,
)  # fmt: skip


def event(steps, records=1):
    return accounting.event_to_json(accounting.build_event(0.1, 1.0, steps, records))


def record(path, *runs, records=1, limit=None, first=0):
    with Ledger(path) as book:
        for number, (steps, unit, delta) in enumerate(runs, start=first):
            book.open_run(
                f"run-{number}", unit=unit, adjacency=ADJACENCY, event_json=event(steps, records),
                delta=delta, epsilon_limit=limit, compose=releases.compose_epsilon,
            )  # fmt: skip


def epsilon(steps, delta=DELTA):
    return accounting.epsilon(sampling_rate=0.1, noise_multiplier=1.0, steps=steps, delta=delta)


def test_runs_are_priced_one_by_one_and_together_at_the_smallest_delta(tmp_path):
    record(tmp_path / "l.sqlite", (10, "speaker", DELTA), (20, "speaker", 1e-5))
    found = spending.read_ledger(tmp_path / "l.sqlite")
    priced = [(one.run.planned_steps, one.epsilon) for one in found.runs]
    assert priced == [(10, epsilon(10)), (20, epsilon(20, 1e-5))]
    assert [one.so_far for one in found.runs] == pytest.approx([epsilon(10), epsilon(30, 1e-5)], rel=1e-3)
    assert found.delta == 1e-5
    assert found.composed == pytest.approx(epsilon(30, 1e-5), rel=1e-3)


def test_runs_for_different_units_have_no_sum(tmp_path):
    record(tmp_path / "l.sqlite", (10, "speaker", DELTA), (10, "utterance", DELTA))
    found = spending.read_ledger(tmp_path / "l.sqlite")
    assert len(found.runs) == 2
    assert found.composed is None
    assert [one.so_far is None for one in found.runs] == [False, True]


def test_nothing_recorded_is_nothing_spent(tmp_path):
    Ledger(tmp_path / "l.sqlite").__exit__()
    assert spending.read_ledger(tmp_path / "l.sqlite") == spending.Spending((), 0.0, 1e-5, None, None)


def test_what_is_left_is_enough_for_exactly_one_more_run(tmp_path):
    path = tmp_path / "l.sqlite"
    record(path, (10, "speaker", DELTA), limit=5.0)
    found = spending.read_ledger(path)
    assert found.limit == Limit(5.0, DELTA)
    assert found.room > 5.0 - found.composed > 0  # composition is sublinear
    for share, fits in ((0.99, True), (1.02, False)):
        sigma = accounting.noise_multiplier(sampling_rate=1.0, steps=1, epsilon=share * found.room, delta=DELTA)
        more = accounting.event_to_json(accounting.build_event(1.0, sigma, 1))
        assert (releases.compose_epsilon([event(10), more], DELTA) <= 5.0) == fits


def test_nothing_is_left_of_a_budget_that_is_used_up(tmp_path):
    path = tmp_path / "l.sqlite"
    record(path, (10, "speaker", DELTA), limit=epsilon(10) * 1.0000001)
    assert spending.read_ledger(path).room < 0.01


def test_units_and_utterances_drawn_from_the_same_people_share_one_budget(tmp_path):
    """A run over budget is refused before it starts, whichever way it draws."""
    path = tmp_path / "l.sqlite"
    both = releases.compose_epsilon([event(10), event(10, records=4)], DELTA)
    record(path, (10, "speaker", DELTA), limit=0.99 * both)
    assert releases.compose_epsilon([event(10, records=4)], DELTA) < 0.99 * both  # by itself it would fit
    with pytest.raises(BudgetError, match="over the corpus's budget"):
        record(path, (10, "speaker", DELTA), records=4, first=1)
    assert len(spending.read_ledger(path).runs) == 1
    record(path, (10, "speaker", DELTA), records=4, first=1, limit=1.01 * both)
    found = spending.read_ledger(path)
    assert found.composed == pytest.approx(both, rel=1e-6)
    assert [one.run.sampled for one in found.runs] == ["units", "utterances (4)"]


def test_a_mechanism_nobody_knows_leaves_nothing(tmp_path):
    path = tmp_path / "l.sqlite"
    record(path, (10, "speaker", DELTA))
    odd = {"unit": "speaker", "adjacency": ADJACENCY, "event_json": '{"mechanism": "odd", "count": 3}', "delta": DELTA}
    with Ledger(path) as book:
        with pytest.raises(BudgetError, match="no finite epsilon"):
            book.open_run("odd", epsilon_limit=None, compose=releases.compose_epsilon, **odd)
        book.open_run("odd", epsilon_limit=None, compose=lambda *_: 0.0, **odd)  # as older versions let it
    assert spending.read_ledger(path).composed == math.inf
    with pytest.raises(BudgetError):
        record(path, (1, "speaker", DELTA), first=1, limit=1e9)


def pipeline(data, **privacy):
    return PipelineConfig(data=data, privacy=PRIVACY.model_copy(update=privacy))


def test_where_the_ledger_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Path("runs") / "assistant-1"
    real, demo = DataConfig(path="somewhere"), DataConfig(source="demo")
    assert spending.ledger_path(pipeline(real, ledger="mine.sqlite"), "other", run) == Path("mine.sqlite")
    assert spending.ledger_path(pipeline(demo), "abc", run) == run / "private" / "ledger.sqlite"
    assert spending.ledger_path(pipeline(real), "abc", run) == Path("ledgers/abc.sqlite")
    assert Path("ledgers").stat().st_mode & 0o777 == 0o700


def test_a_ledger_is_found_from_the_file_the_corpus_and_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "metadata.jsonl").write_text('{"file_name": "a.wav", "text": "go", "user": "p"}')
    data = DataConfig(path="corpus")
    run = tmp_path / "runs" / "assistant-1"
    (run / "private").mkdir(parents=True)
    config = pipeline(data)
    (run / "private" / "config.json").write_text(config.model_dump_json())
    path = spending.ledger_path(config, sources.name_lineage(data, config.seed), run)
    for where in (Path("corpus"), run, path):
        with pytest.raises(LedgerError, match="no ledger" if where != path else "."):
            spending.find_ledger(where)
    record(path, (10, "speaker", DELTA))
    assert spending.find_ledger(Path("corpus")) == spending.find_ledger(run) == spending.find_ledger(path) == path


def test_the_ledger_of_a_hub_id_is_found_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = DataConfig(source="hub", path="somebody/words")
    path = spending.ledger_path(pipeline(data), sources.name_lineage(data, 0), tmp_path / "run")
    record(path, (10, "speaker", DELTA))
    assert spending.find_ledger(Path("somebody/words")) == path


def recordings(root, first=0, name="p"):
    """A folder of short noises of six people."""
    root.mkdir()
    lines = []
    for number in range(first, first + 12):
        samples = (3000 * np.random.default_rng(number).standard_normal(4000)).astype(np.int16)
        soundfile.write(root / f"{number}.wav", samples, 16_000)
        lines.append(json.dumps({"file_name": f"{number}.wav", "text": "go", "user": f"{name}{number % 6}"}))
    (root / "metadata.jsonl").write_text("\n".join(lines))
    return root


def prepared(root, run, **privacy):
    """A run directory in which the first stage is done, and the ledger that a training would use."""
    config = pipeline(DataConfig(path=str(root), test_fraction=0.4), **privacy)
    (run / "private").mkdir(parents=True)
    (run / "private" / "config.json").write_text(config.model_dump_json())
    settings = ingest.IngestConfig(data=config.data, seed=config.seed)
    out, names = run / "private" / "ingest", spending.people_key(config)
    done = ingest.run(settings, sources.list_inputs(config.data), out, key=bytes(32), people_key=names)
    return spending.ledger_path(config, corpora.read(done.directory).lineage, run)


def test_a_moved_corpus_goes_on_with_its_ledger(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = prepared(recordings(Path("one")), Path("runs/a"))
    record(first, (10, "speaker", DELTA))
    shutil.move("one", "two")
    assert spending.find_ledger(Path("two")) == first  # by its sound alone
    assert prepared(Path("two"), Path("runs/b")) == first
    for where in (Path("runs/a"), Path("runs/b"), Path("runs/b/private/ingest"), Path("two")):
        assert spending.find_ledger(where) == first
    assert sorted(path.name for path in Path("ledgers").glob("*.sqlite")) == [first.name]


def test_a_ledger_that_is_named_does_not_reset_what_was_spent(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    known = prepared(recordings(Path("one")), Path("runs/a"))
    record(known, (10, "speaker", DELTA))
    shutil.copytree("one", "two")
    with pytest.raises(LedgerError, match=rf"privacy.ledger = fresh.sqlite: .* known to {known.name}"):
        prepared(Path("two"), Path("runs/b"), ledger="fresh.sqlite")
    assert prepared(Path("two"), Path("runs/c"), ledger=str(known)) == known


def test_a_ledger_that_was_named_once_is_found_again_without_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("elsewhere").mkdir()
    named = prepared(recordings(Path("one")), Path("runs/a"), ledger="elsewhere/mine.sqlite")
    record(named, (10, "speaker", DELTA))
    shutil.move("one", "two")
    assert prepared(Path("two"), Path("runs/b")).samefile(named)
    assert spending.find_ledger(Path("two")).samefile(named)


def test_the_key_of_names_is_made_once_and_for_people_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert spending.people_key(pipeline(DataConfig(source="demo"))) is None
    assert not Path("ledgers").exists()
    keys = {spending.people_key(pipeline(DataConfig(path=name))) for name in ("one", "two")}
    assert {len(key) for key in keys} == {32}
    assert {path.stat().st_mode & 0o777 for path in Path("ledgers").glob("*.key")} == {0o600}


def test_next_months_recordings_of_the_same_people_share_their_ledger(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    first = prepared(recordings(Path("january")), Path("runs/a"))
    record(first, (10, "speaker", DELTA))
    later = recordings(Path("february"), first=100)
    assert spending.find_ledger(later) == first
    assert prepared(later, Path("runs/b")) == first
    said = " ".join(capsys.readouterr().err.split())
    assert f"6 of 6 names of people here are also in {first.name}" in said
    assert "privacy.ledger" in said
    assert prepared(recordings(Path("strangers"), first=200, name="q"), Path("runs/c")) != first


def test_a_bundle_knows_whether_an_older_copy_of_the_ledger_was_put_back(tmp_path):
    path, bundle = tmp_path / "l.sqlite", tmp_path / "bundle"
    record(path, (10, "speaker", DELTA))
    shown = CliRunner().invoke(cli.app, ["budget", str(path), "--backup", str(tmp_path / "older.sqlite")])
    assert shown.exit_code == 0
    assert (tmp_path / "older.sqlite").stat().st_mode & 0o777 == 0o600
    record(path, (10, "speaker", DELTA), first=1)
    bundle.mkdir()
    with Ledger(path) as book:
        (bundle / "claim.json").write_text(CLAIM.model_copy(update={"ledger_head": book.head()}).to_json())
    asked = ["budget", str(path), "--bundle", str(bundle)]
    assert "row 2 is the newest" in CliRunner().invoke(cli.app, asked).output
    shutil.copy(tmp_path / "older.sqlite", path)
    refused = CliRunner().invoke(cli.app, asked)
    assert isinstance(refused.exception, LedgerError)
    assert "an older copy was put back" in str(refused.exception)
    (bundle / "claim.json").write_text(CLAIM.to_json())
    with pytest.raises(ConfigError, match="that names a row"):
        spending.row_of(path, bundle)


def test_the_table(tmp_path):
    path = tmp_path / "l.sqlite"
    record(path, (10, "speaker", DELTA), limit=9.0)
    record(path, (1, "speaker", DELTA), first=1)
    shown = CliRunner().invoke(cli.app, ["budget", str(path)], env={"COLUMNS": "120"})
    assert shown.exit_code == 0
    found = spending.read_ledger(path)
    for part in (
        "run-0", "run-1", "speaker", "units", "0/10", "0.001", "open",
        f"{epsilon(10):.3f}", f"all together: epsilon {found.composed:.3f} at delta 0.001",
        f"left {9 - found.composed:.3f}", f"epsilon of {found.room:.3f} by itself",
    ):  # fmt: skip
        assert part in shown.output, part


def test_the_table_of_a_corpus_without_a_budget_or_with_different_units(tmp_path):
    record(tmp_path / "l.sqlite", (1, "speaker", DELTA), (1, "utterance", DELTA), records=4)
    shown = CliRunner().invoke(cli.app, ["budget", str(tmp_path / "l.sqlite")], env={"COLUMNS": "120"})
    assert "utterances (4)" in shown.output
    assert "no one epsilon holds for all" in shown.output
    assert "no budget is set" in shown.output
