"""End to end on a few synthetic people; the step by itself is taken apart in test_sabotage.py."""

import dataclasses
import functools
import inspect
import itertools
import json
import math
import shutil

import pytest
import torch

from speechpriv import corpus as corpora
from speechpriv import store
from speechpriv.claim import Claim
from speechpriv.config import PrivacyConfig, TrainConfig
from speechpriv.errors import BudgetError, ConfigError, LedgerError, ModelError
from speechpriv.models import asr, evaluate
from speechpriv.train import accounting, clipping, comparison, finetune, groups, noise, place, recordings, releases
from speechpriv.train.ledger import Ledger

KEY = bytes(range(32))
STEPS = 4
PRIVACY = {"units": 9, "epsilon": 8, "delta": 1e-2, "cohort": 6, "steps": STEPS, "cap_per_unit": 2}


@pytest.fixture(autouse=True, scope="module")
def quick_calibration():
    """The same question is asked by every run here, and answered once."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in (
            (accounting, "noise_multiplier"), (accounting, "second_opinion"), (comparison, "utterance_level"),
            (groups, "state_group_privacy"),
        ):  # fmt: skip
            patch.setattr(module, name, functools.cache(getattr(module, name)))
        yield


def config(base, **changes):
    train = {"base": str(base), "trainable": "all", "learning_rate": 1e-2}
    train |= {name: changes.pop(name) for name in list(changes) if name in TrainConfig.model_fields}
    return finetune.FinetuneConfig(privacy=PrivacyConfig(**PRIVACY | changes), train=TrainConfig(**train))


@pytest.fixture
def train(base, corpus_dir, tmp_path):
    """Train in `tmp_path`; one ledger for all."""

    def run(name="train", *, key=KEY, corpus=corpus_dir, on_step=lambda *_: None, checkpoint_every=2, **changes):
        return finetune.run(
            config(base, **changes), {"corpus": corpus}, tmp_path / name,
            key=key, ledger=tmp_path / "ledger.sqlite", checkpoint_every=checkpoint_every, on_step=on_step,
        ).directory  # fmt: skip

    return run


@pytest.fixture(scope="module")
def done(base, corpus_dir, tmp_path_factory):
    """One undisturbed run, and its ledger beside it."""
    directory = tmp_path_factory.mktemp("done")
    steps = []
    finetune.run(
        config(base), {"corpus": corpus_dir}, directory / "train",
        key=KEY, ledger=directory / "ledger.sqlite", on_step=lambda *told: steps.append(told),
    )  # fmt: skip
    assert [(step, total) for step, total, _ in steps] == [(step, STEPS) for step in range(1, STEPS + 1)]
    by_step = json.loads((directory / "train" / "public.json").read_text())["epsilon_by_step"]
    assert [seen["epsilon"] for _, _, seen in steps] == [epsilon for _, epsilon in by_step]
    return directory / "train"


@pytest.fixture
def spent(done, tmp_path):
    """The ledger of `train` holds the run `done` already."""
    shutil.copy(done.parent / "ledger.sqlite", tmp_path)
    return ledger_rows(done)


def weights(directory):
    return (directory / "model" / "model.safetensors").read_bytes()


def ledger_rows(directory):
    with Ledger(directory.parent / "ledger.sqlite") as book:
        return [(row.run_id, row.kind, row.step) for row in book.rows()]


def test_the_claim_says_what_was_done(done):
    claim = Claim.from_json((done / "claim.json").read_text())
    assert 0.98 * 8 < claim.epsilon <= 8
    assert (claim.delta, claim.steps, claim.units, claim.normalisation, claim.cap_per_unit) == (1e-2, STEPS, 9, 6, 2)
    assert claim.sampling_rate == 6 / 9
    assert claim.unit == "speaker"
    assert claim.other_releases == ()
    assert releases.compose_epsilon([claim.event], claim.delta) == claim.epsilon == claim.composed_epsilon
    assert claim.groups == groups.state_group_privacy((accounting.event_from_json(claim.event),), claim.delta, 1)
    assert [one.size for one in claim.groups] == [2, 5, 10]


def test_the_claim_names_the_ledger_s_newest_row_and_whom_it_was_kept_apart_from(done, train, tmp_path):
    claim = Claim.from_json((done / "claim.json").read_text())
    with Ledger(done.parent / "ledger.sqlite") as book:
        assert book.number_of(claim.ledger_head) == len(book.rows()) == STEPS + 2
    assert not any("stated" in item for item in claim.not_covered)
    shutil.copy(done.parent / "ledger.sqlite", tmp_path)
    told = {"names": ["a"], "marks": [1], "people": [2], "apart": ["/b.sqlite"]}
    (tmp_path / "ledger.json").write_text(json.dumps(told))
    again = Claim.from_json((train() / "claim.json").read_text())
    assert again.not_covered[:-1] == claim.not_covered
    assert "another ledger holds, of people with the same names: the trainer stated" in again.not_covered[-1]


def test_the_ledger_has_the_plan_each_step_and_the_end(done):
    rows = ledger_rows(done)
    assert [(kind, step) for _, kind, step in rows] == [
        ("open", None), *(("step", step) for step in range(STEPS)), ("close", None)
    ]  # fmt: skip
    assert len({run_id for run_id, _, _ in rows}) == 1


def test_epsilon_by_step_ends_at_the_claim(done):
    by_step = json.loads((done / "public.json").read_text())["epsilon_by_step"]
    assert [step for step, _ in by_step] == [1, 2, 3, 4]
    assert [epsilon for _, epsilon in by_step] == sorted(epsilon for _, epsilon in by_step)
    assert by_step[-1][1] == pytest.approx(8, rel=0.02)


def test_what_is_left_is_the_model_and_figures_without_a_word(done, corpus_dir):
    files = {str(path.relative_to(done)) for path in done.rglob("*") if path.is_file()}
    assert {name for name in files if not name.startswith("model/")} == {
        "claim.json", "public.json", "history.json", "manifest.json"
    }  # fmt: skip
    history = json.loads((done / "history.json").read_text())
    assert [row["step"] for row in history] == list(range(STEPS))
    assert all(set(row) == {"step", "cohort", "median_norm", "clipped", "unusable"} for row in history)
    assert all(value is None or isinstance(value, int | float) for row in history for value in row.values())
    said = set(corpora.read(corpus_dir).table["text"])
    names = {*corpora.read(corpus_dir).table["unit"], *corpora.read(corpus_dir).table["id"]}
    for name in ("claim.json", "public.json", "history.json", "manifest.json"):
        assert not any(secret in (done / name).read_text() for secret in said | names)


def test_nothing_that_is_written_holds_the_key(done):
    for path in [*done.rglob("*"), done.parent / "ledger.sqlite"]:
        if path.is_file():
            content = path.read_bytes()
            assert KEY not in content
            assert KEY.hex().encode() not in content


def test_statistics_stay_and_trained_weights_move(done, recogniser):
    before, after = recogniser.model.state_dict(), asr.load(str(done / "model")).model.state_dict()
    buffers = {name for name, _ in recogniser.model.named_buffers()}
    assert any("running_mean" in name for name in buffers)
    assert {name for name in before if not torch.equal(before[name], after[name])} == before.keys() - buffers


def test_only_what_is_asked_for_is_trained(train, recogniser):
    after = asr.load(str(train(trainable="head") / "model")).model.state_dict()
    before = recogniser.model.state_dict()
    assert {name for name in before if not torch.equal(before[name], after[name])} == {
        "ctc_head.weight", "ctc_head.bias"
    }  # fmt: skip


@pytest.mark.parametrize("which", ["head", "last_layer"])
def test_what_is_not_kept_is_heard_again(train, monkeypatch, which):
    kept = train("kept", trainable=which)
    monkeypatch.setattr(recordings, "_KEPT_BYTES", 0)
    assert weights(train("again", trainable=which)) == weights(kept)


class KilledError(Exception):
    pass


def kill_after(last):
    def on_step(step, *_):
        if step == last:
            raise KilledError

    return on_step


@pytest.mark.parametrize("checkpoint_every", [1, 3])
def test_a_run_killed_after_every_step_ends_in_the_same_weights_and_ledger(train, done, checkpoint_every):
    for last in range(1, STEPS + 1):
        with pytest.raises(KilledError):
            train(on_step=kill_after(last), checkpoint_every=checkpoint_every)
    directory = train(checkpoint_every=checkpoint_every)
    assert weights(directory) == weights(done)
    assert (directory / "history.json").read_bytes() == (done / "history.json").read_bytes()
    claims = [Claim.from_json((path / "claim.json").read_text()) for path in (directory, done)]
    assert len({claim.ledger_head for claim in claims}) == 2  # the ledger's rows hold times
    assert len({claim.model_copy(update={"ledger_head": None}) for claim in claims}) == 1
    assert ledger_rows(directory) == ledger_rows(done)
    assert not list(directory.glob("*.pt")) + list(directory.glob(".*"))


@pytest.mark.parametrize("moment", ["record_step", "close_run"])
def test_a_kill_around_the_ledger_spends_nothing_twice(train, done, monkeypatch, moment):
    original = getattr(Ledger, moment)

    def killed(self, *arguments):
        original(self, *arguments)
        if moment == "close_run" or arguments[1] == 2:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, moment, killed)
        with pytest.raises(KilledError):
            train()
    directory = train()
    assert weights(directory) == weights(done)
    assert ledger_rows(directory) == ledger_rows(done)


def test_a_step_is_in_the_ledger_before_it_is_taken(train, tmp_path, monkeypatch):
    def killed(self, step):
        if step == 2:
            raise KilledError
        original(self, step)

    original = finetune._Training.step
    monkeypatch.setattr(finetune._Training, "step", killed)
    with pytest.raises(KilledError):
        train()
    assert [step for _, kind, step in ledger_rows(tmp_path / "train") if kind == "step"] == [0, 1, 2]


def test_a_finished_run_is_not_run_again(train, done):
    directory = train()
    rows = ledger_rows(directory)
    train(on_step=lambda *_: pytest.fail("trained again"))
    assert ledger_rows(directory) == rows == ledger_rows(done)
    assert weights(directory) == weights(done)  # another directory, the same release


@pytest.mark.usefixtures("spent")
def test_another_key_is_another_release_and_both_compose(train, done):
    directory = train(key=bytes(32))
    first, second = (Claim.from_json((where / "claim.json").read_text()) for where in (done, directory))
    assert [other.epsilon for other in second.other_releases] == [first.epsilon]
    assert second.epsilon == first.epsilon < second.composed_epsilon < 2 * first.epsilon
    assert weights(done) != weights(directory)


def test_a_base_that_is_an_input_is_known_by_its_content_and_not_by_its_path(base, corpus_dir, tmp_path):
    """Else the same training, called from another folder, would be another release."""

    @store.stage(version=1)
    def begun(_config, _inputs, out_dir):
        shutil.copytree(base, out_dir / "model")
        return {}

    def train(start, key=KEY):
        asked = config("nowhere")
        inputs = {"corpus": corpus_dir, "base": start}
        return finetune.run(asked, inputs, tmp_path / "train", key=key, ledger=tmp_path / "ledger.sqlite")

    settings = config(base)
    first, other = (begun(settings, {}, tmp_path / name).directory for name in ("first", "other"))
    assert not train(first).up_to_date
    assert train(other, key=bytes(32)).up_to_date
    with Ledger(tmp_path / "ledger.sqlite") as book:
        assert len(book.spent()) == 1


def test_a_killed_run_with_a_lost_key_starts_over_and_both_are_counted(train):
    with pytest.raises(KilledError):
        train(on_step=kill_after(3), checkpoint_every=1)
    steps = []
    directory = train(key=bytes(32), on_step=lambda step, *_: steps.append(step))
    assert steps == [1, 2, 3, 4]
    kinds = [kind for _, kind, _ in ledger_rows(directory)]
    assert kinds.count("open") == 2
    assert kinds.count("step") == 3 + 4
    assert len(Claim.from_json((directory / "claim.json").read_text()).other_releases) == 1


UPGRADES = {
    "torch": ("torch.__version__", "99.0"),
    "a library": ("importlib.metadata.version", lambda name: f"{name} 99.0"),
    "processor": ("speechpriv.train.place._processor", lambda: "another"),
    "threads": ("torch.get_num_threads", lambda: 64),
}


@pytest.mark.parametrize("change", UPGRADES)
def test_sums_made_elsewhere_are_another_release(corpus_dir, recogniser, monkeypatch, change):
    """Its recordings, settings and weights are the same; float sums are not, and one key would noise them alike."""

    def keys():
        identity, corpus = b"identity", corpora.read(corpus_dir)
        return [
            releases.key_for(KEY, identity, corpus, finetune._weights(recogniser), place=place.describe_place("cpu")),
            releases.key_for(KEY, identity, corpus),
        ]

    here = keys()
    assert keys() == here
    monkeypatch.setattr(*UPGRADES[change])
    assert not set(keys()) & set(here)


def test_a_kind_of_gpu_is_a_place_of_its_own(monkeypatch):
    found = [place.describe_place("cpu"), place.describe_place("cpu", batch_s=1.0)]
    for name in ("H200", "A100"):
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _, name=name: name)
        found += [place.describe_place("cuda")]
    assert len({json.dumps(one) for one in found}) == 4


def test_a_killed_run_that_goes_on_elsewhere_says_that_it_is_another_release(train, monkeypatch, capsys):
    with pytest.raises(KilledError):
        train(on_step=kill_after(3), checkpoint_every=1)
    assert "another release" not in capsys.readouterr().err
    steps = []
    with monkeypatch.context() as patch:
        patch.setattr(*UPGRADES["processor"])
        directory = train(on_step=lambda step, *_: steps.append(step))
    told = capsys.readouterr().err
    for part in (
        f"made with device {place.describe_place()['device']}; now it is device cpu another.",
        "release",
        "counts both",
    ):
        assert part in told
    assert steps == [1, 2, 3, 4]
    assert [kind for _, kind, _ in ledger_rows(directory)].count("open") == 2
    claim = Claim.from_json((directory / "claim.json").read_text())
    assert claim.composed_epsilon > 1.2 * claim.epsilon


def test_a_killed_run_goes_on_where_it_was_in_spite_of_a_refusal_elsewhere(train, monkeypatch, capsys):
    limit = {"budget_epsilon": 10}
    with pytest.raises(KilledError):
        train(on_step=kill_after(3), checkpoint_every=1, **limit)
    with monkeypatch.context() as patch:
        patch.setattr(*UPGRADES["processor"])
        with pytest.raises(BudgetError):
            train(**limit)
    assert "another release" in capsys.readouterr().err
    steps = []
    train(on_step=lambda step, *_: steps.append(step), **limit)
    assert steps == [4]
    assert "another release" not in capsys.readouterr().err


def test_other_settings_recordings_or_weights_get_other_noise(corpus_dir, recogniser, tmp_path):
    shutil.copytree(corpus_dir, tmp_path / "same")
    shutil.copytree(corpus_dir, tmp_path / "altered")
    (table,) = (tmp_path / "altered" / "table").glob("*.arrow")
    content = bytearray(table.read_bytes())
    content[len(content) // 2] ^= 1  # neither name nor size nor time tells
    table.write_bytes(content)
    same, altered = corpora.read(tmp_path / "same"), corpora.read(tmp_path / "altered")

    def key(corpus, run_key=KEY, identity=b"identity"):
        return releases.key_for(run_key, identity, corpus, finetune._weights(recogniser))

    expected = key(corpora.read(corpus_dir))
    assert key(same) == expected
    others = [key(same, bytes(32)), key(same, identity=b"another"), key(altered)]
    with torch.no_grad():
        recogniser.model.ctc_head.bias[0] += 1e-3
    others.append(key(same))
    assert len({expected, *others}) == 5


def test_a_run_beyond_the_budget_is_refused_before_its_first_step(train, spent, tmp_path):
    with pytest.raises(BudgetError, match="budget"):
        train(key=bytes(32), budget_epsilon=10, on_step=lambda *_: pytest.fail("a step was taken"))
    assert ledger_rows(tmp_path / "train") == spent
    assert not (tmp_path / "train").exists()


def test_what_is_left_of_the_budget_is_told_even_by_a_run_that_set_none(train, done):
    def told(directory):
        return json.loads((directory / "public.json").read_text())["budget"]

    first = told(train(budget_epsilon=30))
    assert first["epsilon"] == 30
    assert first["left"] == pytest.approx(22, abs=0.2)
    second = train(key=bytes(32))
    together = Claim.from_json((second / "claim.json").read_text()).composed_epsilon
    assert told(second) == {"epsilon": 30, "delta": first["delta"], "left": pytest.approx(30 - together)}
    assert told(done) is None  # on its ledger nobody ever did


def test_a_run_for_another_unit_is_refused_before_its_first_step(train, spent, tmp_path):
    with pytest.raises(LedgerError, match="per speaker"):
        train(unit_name="utterance", on_step=lambda *_: pytest.fail("a step was taken"))
    assert ledger_rows(tmp_path / "train") == spent


def test_accountants_that_disagree_stop_the_run_before_it_spends(train, tmp_path, monkeypatch):
    monkeypatch.setattr(accounting, "second_opinion", lambda **_: 8.3)
    with pytest.raises(ModelError, match="disagree"):
        train()
    assert not (tmp_path / "ledger.sqlite").exists()


def test_a_short_key_is_refused(train):
    with pytest.raises(ConfigError, match="32"):
        train(key=b"short")


def test_weights_that_are_not_finite_are_never_saved(train, tmp_path, monkeypatch):
    def overflowing(total, *_, **__):
        return {name: torch.full(value.shape, torch.inf) for name, value in total.items()}

    monkeypatch.setattr(noise, "add_noise", overflowing)
    with pytest.raises(ModelError, match="not finite"):
        train()
    assert not (tmp_path / "train").exists()


VARIANTS = {
    "adapters": {"trainable": "lora", "lora_rank": 2},
    "bias, norm and head": {"trainable": "bias_norm_head"},
    "SGD": {"optimizer": "sgd"},
    "head, encoded once": {"trainable": "head"},
    "bf16": {"precision": "bf16"},
    "a cap of seconds": {"cap_seconds_per_unit": 1.0},
    "utterances": {"sampling": "utterances", "utterances": 18, "cohort": 9},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_trains_and_resumes_as_replay(train, recogniser, name):
    steps = []
    undisturbed = train("whole", on_step=lambda step, *_: steps.append(step), **VARIANTS[name])
    assert steps == [1, 2, 3, 4]
    with pytest.raises(KilledError):
        train("killed", on_step=kill_after(3), **VARIANTS[name])
    assert weights(train("killed", **VARIANTS[name])) == weights(undisturbed)
    after = asr.load(str(undisturbed / "model")).model.state_dict()
    before = recogniser.model.state_dict()
    assert after.keys() == before.keys()
    assert any(not torch.equal(before[key], after[key]) for key in before)
    claim = Claim.from_json((undisturbed / "claim.json").read_text())
    assert 0.95 * 8 < claim.epsilon <= 8


def test_dropout_as_the_family_has_it_is_replayed(base, corpus_dir, tmp_path):
    """The base has none; with some, a killed run still ends in the same weights, and in others than without."""
    lively = asr.load(str(base))
    for name in ("dropout", "activation_dropout", "attention_dropout", "layerdrop"):
        setattr(lively.model.config.encoder_config, name, 0.2)
    lively.save(tmp_path / "lively")

    said = [(row.samples(), row.text) for row in corpora.read(corpus_dir).rows("test")]

    def run(name, dropout="family", on_step=lambda *_: None, public=tuple):
        return finetune.run(
            config(tmp_path / "lively", dropout=dropout), {"corpus": corpus_dir}, tmp_path / name, key=KEY,
            ledger=tmp_path / f"{name}.sqlite", on_step=on_step, checkpoint_every=1, public=public,
        ).directory  # fmt: skip

    def heard(directory):
        return json.loads((directory / "public.json").read_text())["wer_by_step"]

    undisturbed = run("whole", public=lambda: said)
    with pytest.raises(KilledError):
        run("killed", on_step=kill_after(2), public=lambda: said)
    assert weights(run("killed", public=lambda: said)) == weights(undisturbed)
    assert weights(undisturbed) != weights(run("without", dropout="none"))
    # To listen on the way changes nothing, and is without dropout.
    assert weights(run("deaf")) == weights(undisturbed)
    assert heard(run("killed")) == heard(undisturbed)
    assert heard(undisturbed)[0] == [0, evaluate.word_error_rate(lively, said)]
    assert [step for step, _ in heard(undisturbed)] == [*range(STEPS + 1)]
    assert heard(run("deaf")) == []


def test_utterances_are_accounted_per_unit(train):
    """More noise than for units of one utterance, drawn as often: two of somebody may come together."""
    claim = Claim.from_json((train(**VARIANTS["utterances"]) / "claim.json").read_text())
    alone = accounting.noise_multiplier(sampling_rate=0.5, steps=STEPS, epsilon=8, delta=1e-2)
    assert claim.sampling_rate == 0.5
    assert claim.noise_multiplier > 1.2 * alone
    assert releases.compose_epsilon([claim.event], claim.delta) == claim.epsilon


def test_utterances_beyond_the_cap_are_never_used(base, corpus_dir):
    """Which the accounting counts on where utterances are drawn; drawing units, all take their turn."""
    corpus = corpora.read(corpus_dir)
    used = {}
    for sampling in ("units", "utterances"):
        changes = VARIANTS["utterances"] if sampling == "utterances" else {}
        found = recordings.Recordings(corpus, asr.load(str(base)), hear=None)
        plan = finetune._Plan(config(base, **changes), 1.0, KEY, found.units(), found)
        found.read = lambda row: row
        used[sampling] = {row for step in range(30) for member in plan.members(step) for row in member}
    by_unit = [len(set(rows) & used["utterances"]) for rows in corpus.units("train").values()]
    assert by_unit == [2] * 9
    assert used["units"] == {row for rows in corpus.units("train").values() for row in rows}


def test_steps_history_and_ledger_agree(done, base, corpus_dir, tmp_path):
    """And a step that nobody recorded would be seen."""
    assert unlogged_steps(done) == 0
    source = inspect.getsource(finetune.run)
    names = dict(vars(finetune))
    exec(source.replace("training.finish()", "training.step(privacy.steps); training.finish()"), names)
    mutant = names["run"](
        config(base), {"corpus": corpus_dir}, tmp_path / "train", key=KEY, ledger=tmp_path / "ledger.sqlite"
    )
    assert unlogged_steps(mutant.directory) == 1


def unlogged_steps(directory):
    history = json.loads((directory / "history.json").read_text())
    return len(history) - sum(kind == "step" for _, kind, _ in ledger_rows(directory))


def test_what_cannot_be_learned_from_is_left_out(recogniser, corpus_dir, tmp_path):
    """A unit whose words fit nowhere has no rows, and adds nothing."""
    unit, told = "unit-5", "a very long story " * 40
    changed = (
        dataclasses.replace(row, text=told) if row.unit == unit else row for row in corpora.read(corpus_dir).rows()
    )
    corpora.write(changed, tmp_path / "corpus", lineage="synthetic", order_key=bytes(32))
    read = recordings.Recordings(corpora.read(tmp_path / "corpus"), recogniser, hear=None)
    found = read.units()
    assert found[unit] == []
    assert read.counts() == {"rows": 24, "rows_test": 9, "dropped": {"not_alignable": 3}}
    assert all(rows for name, rows in found.items() if name != unit)


@pytest.fixture
def lopsided(corpus_dir, tmp_path):
    """Somebody with one utterance, and somebody with ten thousand; the table's rows share two recordings."""
    one, other = itertools.islice(corpora.read(corpus_dir).rows(), 2)
    many = (dataclasses.replace(other, id=f"{i:05d}", unit="much", split="train") for i in range(10_000))
    rows = itertools.chain([dataclasses.replace(one, unit="little", split="train")], many)
    return corpora.write(rows, tmp_path / "lopsided", lineage="synthetic")


def test_one_utterance_and_ten_thousand_weigh_the_same(recogniser, base, lopsided):
    found = recordings.Recordings(lopsided, recogniser, hear=None)
    units = found.units()
    assert {unit: len(rows) for unit, rows in units.items()} == {"little": 1, "much": 10_000}
    plan = finetune._Plan(config(base, cap_per_unit=3, units=400, cohort=400, delta=1e-3), 1.0, KEY, units, found)
    members = list(plan.members(0))
    assert sorted(len(utterances) for utterances in members) == [1, 3]
    norms = []
    for utterances in members:
        total = clipping.clipped_sum(recogniser, [utterances], 0.01, observe=norms.append)
        assert math.sqrt(sum(float((value**2).sum()) for value in total.values())) == pytest.approx(0.01, rel=1e-4)
    assert min(norms) > 0.01


def test_a_cohort_larger_than_the_corpus_divides_by_what_was_said_and_says_nothing_of_the_corpus(train, corpus_dir):
    """Nine people are there; `units` and `cohort` are public, need not be right, and are what the claim rests on."""
    directory = train(units=400, cohort=300, steps=2, delta=1e-3)
    claim = Claim.from_json((directory / "claim.json").read_text())
    assert (claim.sampling_rate, claim.normalisation, claim.units) == (0.75, 300, 400)
    assert all(step["cohort"] <= 9 for step in json.loads((directory / "history.json").read_text()))
