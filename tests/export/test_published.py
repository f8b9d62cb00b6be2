import json

import pytest

from speechpriv import store
from speechpriv.config import PrivacyConfig
from speechpriv.errors import ModelError
from speechpriv.export import published
from speechpriv.train import phrasebook

EVENT = '{"noise_multiplier": 2.0, "slip": 1e-6}'


@pytest.fixture
def source(tmp_path):
    """What the stage that publishes leaves, by its own format."""
    table = [["<s>", "turn", 9.0], ["turn", "on", 8.0], ["call", "[NAME]", 7.0], ["on", "</s>", 6.0]]
    store.write_json(tmp_path / "phrases.json", table)
    store.write_json(tmp_path / "release.json", {"run_id": "x", "event": EVENT})
    return tmp_path


@pytest.fixture
def covered(claim):
    return claim.model_copy(update={"phrases": EVENT})


def test_the_files_hold_what_was_published(source, covered):
    assert published.write_published(source, covered, source)
    assert (source / published.HOTWORDS).read_text() == "turn on :1.5\n"  # nothing that nobody says, no single word
    model = (source / published.LANGUAGE_MODEL).read_text()
    assert "\tturn on" in model
    assert "\\2-grams:" in model


def test_an_empty_table_leaves_no_file(source, covered):
    store.write_json(source / "phrases.json", [])
    assert not published.write_published(source, covered, source)
    assert not (source / published.HOTWORDS).exists()
    assert not (source / published.LANGUAGE_MODEL).exists()


def test_phrases_that_no_claim_covers_are_not_written(source, claim, covered):
    for other in (None, claim, covered.model_copy(update={"phrases": EVENT.replace("2.0", "3.0")})):
        with pytest.raises(ModelError, match="does not cover"):
            published.write_published(source, other, source)
    assert not (source / published.LANGUAGE_MODEL).exists()


def test_a_table_from_the_stage_itself_is_read(tmp_path, corpus_dir, covered):
    privacy = PrivacyConfig(units=9, epsilon=40, delta=0.05, cohort=4, steps=2, phrases={"epsilon": 36})
    done = phrasebook.run(
        phrasebook.PhrasebookConfig(privacy=privacy), {"corpus": corpus_dir}, tmp_path / "phrases", key=bytes(32),
        ledger=tmp_path / "ledger.db",
    )  # fmt: skip
    event = json.loads((done.directory / "release.json").read_text())["event"]
    assert published.write_published(done.directory, covered.model_copy(update={"phrases": event}), tmp_path)
    assert (tmp_path / published.HOTWORDS).read_text()
