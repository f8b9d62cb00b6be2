"""Publishing phrases and learning from them: in the ledger, replayed, counted in the claim, spoken by nobody real."""

import errno
import json
import math
import re

import numpy as np
import pytest

from speechpriv import corpus as corpora
from speechpriv import store
from speechpriv.claim import Claim
from speechpriv.config import PrivacyConfig, TrainConfig
from speechpriv.corpus import Row
from speechpriv.errors import BudgetError, ConfigError, LedgerError
from speechpriv.models import arpa, asr
from speechpriv.train import accounting, finetune, phrasebook, phrases, rehearse, releases
from speechpriv.train.ledger import Ledger

KEY = bytes(range(32))
PRIVACY = {"units": 9, "epsilon": 200, "delta": 1e-2, "cohort": 6, "steps": 3, "cap_per_unit": 2}


def privacy(phrases_epsilon=100, **changed):
    return PrivacyConfig(**PRIVACY | {"phrases": {"epsilon": phrases_epsilon}} | changed)


@pytest.fixture
def publish(corpus_dir, tmp_path):
    def run(name="phrases", *, key=KEY, corpus=corpus_dir, **changed):
        settings = phrasebook.PhrasebookConfig(privacy=privacy(**changed))
        return phrasebook.run(
            settings, {"corpus": corpus}, tmp_path / name, key=key, ledger=tmp_path / "ledger.sqlite"
        )  # fmt: skip

    return run


@pytest.fixture
def learn(base, tmp_path):
    def run(published, name="rehearsal", *, on_step=store.ignore_progress, **changed):
        train = TrainConfig(base=str(base), trainable="head", synthetic_steps=2, **changed)
        return rehearse.run(
            rehearse.RehearseConfig(train=train, seed=1), {"phrases": published}, tmp_path / name,
            fill=lambda kind, _: kind.lower(), on_step=on_step,
        ).directory  # fmt: skip

    return run


def rows(ledger):
    with Ledger(ledger) as book:
        return [(row.kind, row.run_id) for row in book.rows()]


def test_what_many_say_is_published_once_and_priced_as_planned(publish, tmp_path):
    stage = publish()
    table = arpa.sort_published(stage.directory)
    assert table[phrases.START, "turn"] > 1
    assert all(len(gram) == 2 for gram in table)
    run_id, event, cap = phrasebook.read_published(stage.directory)
    assert cap == privacy().phrases.cap
    assert 99 < releases.compose_epsilon([event], 1e-2) <= 100 == stage.counts["epsilon"]
    assert rows(tmp_path / "ledger.sqlite") == [("open", run_id), ("step", run_id), ("close", run_id)]


def test_phrases_leave_a_tenth_of_epsilon_for_the_recordings_at_least():
    for asked, spent in ((100, 100), (180, 180), (181, 180), (1e6, 180)):
        settings = privacy(asked)
        assert phrasebook.epsilon_of(settings, settings.phrases) == spent
    settings = privacy(1e6)
    event = accounting.event_to_json(phrasebook.event_of(settings, settings.phrases))
    assert 179 < releases.compose_epsilon([event], 1e-2) <= 180


def test_the_same_again_is_a_replay_and_another_key_or_setting_another_release(publish, tmp_path):
    first = publish("a")
    again = publish("b")
    assert arpa.sort_published(first.directory) == arpa.sort_published(again.directory)
    assert len(rows(tmp_path / "ledger.sqlite")) == 3
    other = publish("c", key=bytes(32))
    wider = publish("d", phrases_epsilon=90)
    assert len(rows(tmp_path / "ledger.sqlite")) == 9
    shared = phrases.START, "turn"
    assert len({arpa.sort_published(stage.directory)[shared] for stage in (first, other, wider)}) == 3


def test_only_the_train_split_is_read_and_slots_are_words(tmp_path, corpus_dir, publish):
    flac = next(iter(corpora.read(corpus_dir).rows())).flac
    said = [Row(f"r{i}", f"u{i}", "train", flac, "Call [NAME], now!", 1.0) for i in range(9)]
    said += [Row(f"t{i}", f"t{i}", "test", flac, "of the test people", 1.0) for i in range(9)]
    made = corpora.write(iter(said), tmp_path / "made", lineage="synthetic")
    assert phrasebook.collect_transcripts(made)["u3"] == [["call", "[NAME]", "now"]]
    table = arpa.sort_published(publish(corpus=tmp_path / "made").directory)
    words = {word for gram in table for word in gram}
    assert {"call", "[NAME]", "now"} <= words
    assert not {"of", "test", "people", "name"} & words


def slips(ledger):
    with Ledger(ledger) as book:
        return [json.loads(run.event_json).get("slip", 0.0) for run in book.spent()]


def test_ten_releases_of_phrases_from_one_corpus_have_a_finite_epsilon_together(publish, tmp_path):
    """Slips halve, and never add up to delta; four quarters of it did, when their budget was already spent."""
    ledger = tmp_path / "ledger.sqlite"
    for number in range(10):
        publish(str(number), key=bytes([number]) * 32)
        assert slips(ledger) == pytest.approx([0.01 / 2 ** (2 + earlier) for earlier in range(number + 1)], rel=1e-9)
        with Ledger(ledger) as book:
            assert releases.compose_epsilon([run.event_json for run in book.spent()], 1e-2) < math.inf
    assert 0.004 < sum(slips(ledger)) < 0.01 / 2


def test_a_replay_has_the_slip_that_it_was_opened_with(publish, tmp_path):
    first = publish("a")
    publish("b", key=bytes(32))
    again = publish("c")  # as the first, whose slip went by what came before it
    assert phrasebook.read_published(again.directory) == phrasebook.read_published(first.directory)
    assert arpa.sort_published(again.directory) == arpa.sort_published(first.directory)
    assert slips(tmp_path / "ledger.sqlite") == [0.01 / 4, 0.01 / 8]


def test_a_smaller_delta_than_what_may_have_slipped_is_refused_before_anything_is_reserved(
    publish, base, corpus_dir, tmp_path
):
    publish()
    before = rows(tmp_path / "ledger.sqlite")
    with pytest.raises(BudgetError, match=r"privacy\.delta = 0\.001: .* probability of 0\.0025.* more than 0\.005"):
        publish("b", key=bytes(32), delta=1e-3)
    settings = finetune.FinetuneConfig(privacy=privacy(delta=1e-3), train=TrainConfig(base=str(base)))
    with pytest.raises(BudgetError, match=r"no finite epsilon.*larger privacy\.delta"):
        finetune.run(
            settings, {"corpus": corpus_dir}, tmp_path / "train", key=KEY, ledger=tmp_path / "ledger.sqlite"
        )  # fmt: skip
    assert rows(tmp_path / "ledger.sqlite") == before


def test_phrases_are_not_published_where_the_training_after_them_will_not_fit(publish, tmp_path):
    with pytest.raises(BudgetError, match="asks for 200"):
        publish(budget_epsilon=190)  # enough for the phrases
    assert rows(tmp_path / "ledger.sqlite") == []
    publish(budget_epsilon=210)


FAULTS = {
    "before anything is reserved": (accounting, "noise_multiplier", "nothing new"),
    "once it is reserved": (phrases, "release_ngrams", r"run [0-9a-f]{16}, whose whole plan counts as spent"),
    "while it is written": (store, "_seal", r"run [0-9a-f]{16}, whose whole plan counts as spent"),
}


@pytest.mark.parametrize("case", FAULTS)
@pytest.mark.parametrize("kind", [RuntimeError, LedgerError, lambda _: OSError(errno.ENOSPC, "odd")])
def test_any_error_tells_what_lies_on_the_disk_and_what_to_do(publish, tmp_path, monkeypatch, case, kind):
    def fail(*_, **__):
        raise kind("odd")

    module, name, reserved = FAULTS[case]
    key = tmp_path / "keys" / "phrases"
    store.read_secret(key)
    with monkeypatch.context() as patch:
        patch.setattr(module, name, fail)
        with pytest.raises(Exception, match="odd") as caught:
            publish()
    (told,) = caught.value.__notes__
    assert str(tmp_path / ".phrases.partial") in told
    assert str(key) in told
    assert re.search(rf"in the ledger ledger\.sqlite, {reserved}", told)
    assert "run the same command again" in told
    publish()
    assert len(rows(tmp_path / "ledger.sqlite")) == 3


def test_a_release_that_the_gate_will_not_let_leave_is_announced_before_it_is_made(publish, capsys):
    publish("a")
    assert "gate" not in capsys.readouterr().err
    publish("b", key=bytes(32))
    said = capsys.readouterr().err
    assert "The 1 recorded releases" in said
    assert "above privacy.epsilon = 200" in said
    assert "privacy.budget_epsilon" in said
    publish("c", key=bytes(32))  # a replay
    publish("d", key=bytes([1]) * 32, budget_epsilon=1000)
    assert "gate" not in capsys.readouterr().err


def test_killed_and_published_elsewhere_it_is_another_release_and_says_so(publish, tmp_path, monkeypatch, capsys):
    class KilledError(Exception):
        pass

    def killed(*_, **__):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(phrases, "release_ngrams", killed)
        with pytest.raises(KilledError):
            publish()
        with pytest.raises(KilledError):
            publish()
    assert [kind for kind, _ in rows(tmp_path / "ledger.sqlite")] == ["open", "step"]
    assert "another release" not in capsys.readouterr().err
    monkeypatch.setattr("speechpriv.train.place._processor", lambda: "another")
    publish()
    assert "this is another release" in capsys.readouterr().err
    assert [kind for kind, _ in rows(tmp_path / "ledger.sqlite")] == ["open", "step", "open", "step", "close"]


def test_over_the_budget_nothing_is_published(publish, tmp_path):
    with pytest.raises(BudgetError):
        publish(budget_epsilon=50)
    assert rows(tmp_path / "ledger.sqlite") == []
    assert not (tmp_path / "phrases").exists()


def test_without_the_setting_it_is_refused(corpus_dir, tmp_path):
    settings = phrasebook.PhrasebookConfig(privacy=PrivacyConfig(**PRIVACY))
    with pytest.raises(ConfigError, match=r"privacy\.phrases"):
        phrasebook.run(settings, {"corpus": corpus_dir}, tmp_path / "x", key=KEY, ledger=tmp_path / "ledger.sqlite")


def test_a_model_learns_from_them_and_the_claim_counts_both(publish, learn, base, corpus_dir, tmp_path):
    published = publish().directory
    start = learn(published)
    before, after = asr.load(str(base)), asr.load(str(start / "model"))
    assert any((a != b).any() for a, b in zip(before.model.parameters(), after.model.parameters(), strict=True))
    settings = finetune.FinetuneConfig(
        privacy=privacy(), train=TrainConfig(base=str(base), trainable="head", learning_rate=1e-9)
    )
    ledger = tmp_path / "ledger.sqlite"
    done = finetune.run(settings, {"corpus": corpus_dir, "start": start}, tmp_path / "train", key=KEY, ledger=ledger)
    claim = Claim.from_json((done.directory / "claim.json").read_text())
    own = [claim.event, claim.phrases]
    assert 199 < claim.epsilon <= 200
    assert claim.epsilon == claim.composed_epsilon == releases.compose_epsilon(own, claim.delta)
    assert claim.other_releases == ()
    alone = accounting.noise_multiplier(sampling_rate=6 / 9, steps=3, epsilon=200, delta=1e-2)
    assert claim.noise_multiplier > 1.02 * alone
    assert claim.mu_gdp == accounting.mu_gdp([accounting.event_from_json(event) for event in own])
    with Ledger(ledger) as book:
        assert releases.compose_epsilon([run.event_json for run in book.spent()], 1e-2) == pytest.approx(claim.epsilon)
    by_step = json.loads((done.directory / "public.json").read_text())["epsilon_by_step"]
    assert by_step[0][0] == 0
    assert 99 < by_step[0][1] <= 100
    # It goes on from what was learned, whose weights a rate this small leaves as they were.
    found = asr.load(str(done.directory / "model")).model.state_dict()
    for name, weights in after.model.state_dict().items():
        np.testing.assert_allclose(found[name], weights, atol=1e-6)


def test_a_ledger_that_does_not_hold_the_phrases_is_refused(publish, learn, base, corpus_dir, tmp_path):
    start = learn(publish().directory)
    settings = finetune.FinetuneConfig(privacy=privacy(), train=TrainConfig(base=str(base)))
    with pytest.raises(LedgerError, match="would not be counted"):
        finetune.run(
            settings, {"corpus": corpus_dir, "start": start}, tmp_path / "train", key=KEY, ledger=tmp_path / "other"
        )


def test_two_accountants_are_asked_about_both(publish, learn, base, corpus_dir, tmp_path, monkeypatch):
    start = learn(publish().directory)
    asked = {}

    def opinion(**arguments):
        asked.update(arguments)
        return 150.0

    monkeypatch.setattr(accounting, "second_opinion", opinion)
    settings = finetune.FinetuneConfig(privacy=privacy(), train=TrainConfig(base=str(base)))
    with pytest.raises(finetune.ModelError, match="disagree"):
        finetune.run(
            settings, {"corpus": corpus_dir, "start": start}, tmp_path / "train", key=KEY,
            ledger=tmp_path / "ledger.sqlite",
        )  # fmt: skip
    assert asked["beside"] > 0
    assert asked["delta"] == 0.75e-2


def test_a_table_that_makes_no_sentence_leaves_the_base_as_it_is(publish, learn, base):
    published = publish(phrases_epsilon=0.02).directory
    assert arpa.sort_published(published) == {}
    learned = learn(published)
    assert store.read_json(learned / rehearse.CURVE) == []
    found = asr.load(str(learned / "model")).model.state_dict()
    for name, weights in asr.load(str(base)).model.state_dict().items():
        np.testing.assert_array_equal(found[name], weights)


def test_the_curve_has_the_mean_loss_of_each_stretch(publish, learn):
    told = []
    directory = learn(publish().directory, on_step=lambda done, total, seen: told.append((done, total, seen["loss"])))
    losses = [loss for _, _, loss in told]
    assert [done for done, _, _ in told] == list(range(1, told[0][1] + 1))
    assert store.read_json(directory / rehearse.CURVE) == [[i, round(loss, 4)] for i, loss in enumerate(losses, 1)]
    long = rehearse._curve([float(step) for step in range(1, 601)])
    assert (len(long), long[0], long[-1]) == (20, (30, 15.5), (600, 585.5))


def test_sentences_are_spoken_between_general_speech(recogniser):
    rng = np.random.default_rng(0)
    (batch,) = [next(rehearse.generate_batches(iter(["stop the music"] * 500), recogniser, rng, 0.25))]
    made = rehearse.generate_batches(iter(["stop the music"] * 5000), recogniser, rng, 0.25)
    texts = [utterance.text for _ in range(12) for utterance in next(made)]
    assert 0.6 < texts.count("stop the music") / len(texts) < 0.9
    assert all(np.abs(utterance.samples).max() <= 1 for utterance in batch)
