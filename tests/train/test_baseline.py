import threading
import time

import numpy as np
import pytest
import torch

from speechpriv import corpus as corpora
from speechpriv.config import TrainConfig
from speechpriv.corpus import Row
from speechpriv.errors import DataError
from speechpriv.models import asr
from speechpriv.train import baseline


def mean_loss(recogniser, units):
    with torch.inference_mode():
        return float(torch.cat([recogniser.losses(unit) for unit in units]).mean())


def config(base, **changes):
    train = TrainConfig(base=str(base), baseline_epochs=3, baseline_learning_rate=5e-3)
    return baseline.BaselineConfig(train=train, seed=1, **changes)


@pytest.fixture(scope="module")
def trained(base, corpus_dir, tmp_path_factory):
    seen = []
    stage = baseline.run(
        config(base),
        {"corpus": corpus_dir},
        tmp_path_factory.mktemp("baseline") / "baseline",
        on_step=lambda *s: seen.append(s),
    )
    return stage, seen


def test_it_learns_what_it_trains_on(trained, base, units):
    before, after = (mean_loss(asr.load(str(where)), units) for where in (base, trained[0].directory / "model"))
    assert after < 0.8 * before


def test_every_step_is_told(trained):
    stage, seen = trained
    steps = stage.counts["steps"]
    assert [(step, total) for step, total, _ in seen] == [(step + 1, steps) for step in range(steps)]
    assert seen[-1][2]["loss"] < 0.9 * seen[0][2]["loss"]
    assert stage.counts["rows"] == 27


def test_all_weights_move_and_no_statistics(trained, recogniser):
    before = recogniser.model.state_dict()
    after = asr.load(str(trained[0].directory / "model")).model.state_dict()
    buffers = {name for name, _ in recogniser.model.named_buffers()}
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert any("running_mean" in name for name in buffers)
    assert not moved & buffers
    assert len(moved) > 0.9 * len(dict(recogniser.model.named_parameters()))


def test_one_row_that_cannot_be_learned_does_not_ruin_the_weights(base, corpus_dir, tmp_path):
    def rows():
        for number, row in enumerate(corpora.read(corpus_dir).rows("train")):
            yield Row(row.id, row.unit, row.split, row.flac, "a b c " * 99 if number == 1 else row.text, row.seconds)

    corpora.write(rows(), tmp_path / "corpus", lineage="synthetic")
    stage = baseline.run(config(base), {"corpus": tmp_path / "corpus"}, tmp_path / "baseline")
    assert (stage.counts["rows"], stage.counts["rows_test"], stage.counts["dropped"]) == (26, 0, {"not_alignable": 1})
    weights = asr.load(str(stage.directory / "model")).model.parameters()
    assert all(torch.isfinite(weight).all() for weight in weights)


def test_the_learning_rate_warms_up_and_fades(recogniser, units, monkeypatch):
    rates = []
    real = torch.optim.AdamW.step
    monkeypatch.setattr(
        torch.optim.AdamW, "step", lambda self: (rates.append(self.param_groups[0]["lr"]), real(self))[1]
    )
    baseline.fit_baseline(recogniser, [units[0][:1]] * 20, steps=20, learning_rate=1.0)
    assert rates[0] == 0.5
    assert rates[1] == rates[2] == 1.0
    assert np.all(np.diff(rates[2:]) < 0)
    assert 0 < rates[-1] < 0.1


def test_an_epoch_is_every_row_once_in_batches_of_a_minute():
    rng = np.random.default_rng(0)
    seconds = rng.uniform(0.5, 12, 300)
    rows = list(range(0, 300, 2))
    batches = baseline._epoch(rows, seconds, rng)
    assert sorted(row for batch in batches for row in batch) == rows
    assert all(len(batch) * max(seconds[batch]) <= 60 * 1.5 for batch in batches)  # lengths are jittered by up to 1.25
    assert batches != baseline._epoch(rows, seconds, rng)
    padded = sum(len(batch) * max(seconds[batch]) for batch in batches)
    assert padded < 1.3 * sum(seconds[rows])


def test_a_row_longer_than_a_batch_is_a_batch_of_its_own():
    assert baseline._epoch([0, 1], [100.0, 100.0], np.random.default_rng(0)) in ([[0], [1]], [[1], [0]])


def test_batches_are_made_ahead_in_order_and_no_more_of_them_than_asked(recogniser, units):
    made, learned = [], []

    def batches():
        for unit in units[:3] * 4:
            made.append(len(made))
            yield unit[:1]

    def on_step(done, total, _seen):
        learned.append((done, total))
        while len(made) < done + baseline._AHEAD:  # they come without being asked for
            time.sleep(0.01)
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        baseline.fit_baseline(recogniser, batches(), steps=12, learning_rate=0.0, on_step=on_step)
    assert learned == [(1, 12), (2, 12)]
    assert made == list(range(2 + baseline._AHEAD))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]


def test_what_goes_wrong_with_a_batch_is_told(recogniser, units):
    def batches():
        yield units[0][:1]
        raise DataError("no sound")

    with pytest.raises(DataError, match="no sound"):
        baseline.fit_baseline(recogniser, batches(), steps=2, learning_rate=0.0)
