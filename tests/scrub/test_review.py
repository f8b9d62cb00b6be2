"""A review shows rows of each outcome with their words, at random, and nothing of synthetic probes."""

import numpy as np
import pytest
from typer.testing import CliRunner

from speechpriv import audio, cli
from speechpriv import corpus as corpora
from speechpriv.corpus import Row
from speechpriv.scrub import clean, review
from speechpriv.sections import ScrubConfig

ROWS = {f"name-{i}": "my name is anna smith and i like music" for i in range(6)}
ROWS |= {f"plain-{i}": "turn on the lights" for i in range(5)} | {f"only-{i}": "555 123 4567" for i in range(3)}


@pytest.fixture(scope="module")
def run_dir(base, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "assistant-1a2b3c4d"
    rng = np.random.default_rng(0)

    def rows(said):
        for name, text in said.items():
            samples = rng.normal(0, 0.1, 64_000).clip(-1, 1).astype(np.float32)
            yield Row(name, name, "train", audio.encode_flac(samples), text, 4.0)

    probes = {f"probe-{i}": "my name is peter jones and i like tea" for i in range(4)}
    corpora.write(rows(ROWS), run / "private" / "ingest", lineage="synthetic")
    corpora.write(rows(ROWS | probes), run / "private" / "probed", lineage="synthetic")
    config = clean.CleanConfig(scrub=ScrubConfig(min_word_confidence=0.0, aligner=str(base)))
    clean.run(config, {"corpus": run / "private" / "probed"}, run / "private" / "scrub", key=b"k" * 32)
    return run


def test_rows_of_every_outcome_are_shown(run_dir):
    found = review.sample_rows(run_dir / "private", rows=4, seed=1)
    assert [row.outcome for row in found] == ["changed"] * 4 + ["nothing_left", "unchanged"]
    first = found[0]
    assert " ".join(first.words) == ROWS[first.id]
    assert first.found == ((3, 5, "NAME", first.found[0][3]),)
    assert first.after == "my name is [NAME] and i like music"
    assert found[-2].after is None
    assert found[-1].found == ()


def test_another_look_shows_other_rows_and_probes_never(run_dir):
    seen = {row.id for seed in range(30) for row in review.sample_rows(run_dir / "private", rows=4, seed=seed)}
    assert seen == set(ROWS)


def test_the_terminal_shows_words_only_if_asked(run_dir):
    def shown(*options):
        done = CliRunner().invoke(cli.app, ["scrub", str(run_dir), *options], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    assert "NAME 10" in shown()
    assert "anna" not in shown()
    asked = shown("--review", "3")
    assert asked.count("anna smith") == 3
    assert "found   NAME at words 4 to 5" in asked
    evidence = (run_dir / "private" / "scrub" / "scrub.jsonl").read_text()
    assert "anna" not in evidence
    assert len(evidence.splitlines()) == 3 + 6 + 4
