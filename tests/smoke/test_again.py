"""The same command again: nothing is spent for recordings that are the same, and nothing damaged is used."""

import json
import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from speechpriv import audio, cli, store
from speechpriv.data import voices
from speechpriv.errors import StageError
from speechpriv.train import spending

pytestmark = pytest.mark.timeout(900)  # a whole pipeline, on a machine that may be busy
SMALL = (
    "data.test_fraction=0.5", "canary.candidates=40", "canary.references=1000", "privacy.phrases=null",
    "export.phrases=left_out", "privacy.units=20", "privacy.cohort=10", "privacy.steps=2", "privacy.delta=0.01",
    "train.baseline_epochs=1", "performance.threads=1",
)  # fmt: skip


def train(*more: str, command: str = "train") -> Path:
    arguments = [command, "commands", "data.path=.", *SMALL, *more]
    shown = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    assert shown.exit_code == 0, shown.output
    return Path(shown.stdout.strip().splitlines()[-1])


def releases() -> int:
    (ledger,) = Path("ledgers").glob("*.sqlite")
    return len(spending.read_ledger(ledger).runs)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run with everything in one folder: recordings, runs/ and ledgers/."""
    folder = tmp_path_factory.mktemp("recordings")
    with pytest.MonkeyPatch.context() as patch, (folder / "metadata.jsonl").open("w") as metadata:
        patch.chdir(folder)
        for index, name in enumerate(voices.list_variants()[:24]):
            spoken = voices.speak(["yes", "stop now"][index % 2], voices.Voice(variant=name))
            Path(f"{index}.flac").write_bytes(audio.encode_flac(spoken.samples))
            record = {"file_name": f"{index}.flac", "text": ["yes", "stop now"][index % 2], "user": f"u{index}"}
            metadata.write(json.dumps(record) + "\n")
        metadata.flush()
        done = train()
        assert releases() == 1
    for name in ("voices", "canaries"):  # as after a whole run: what they made cannot be made again
        (folder / done / "private" / "keys" / name).unlink()
    return folder / done


@pytest.fixture(autouse=True)
def _in_the_folder(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run_dir.parents[1])


def stages(run_dir: Path) -> dict[str, dict]:
    return {path.parent.name: json.loads(path.read_text()) for path in run_dir.glob("private/*/manifest.json")}


def test_what_lies_in_the_folder_besides_makes_nothing_again(run_dir: Path) -> None:
    before = stages(run_dir)
    os.utime("metadata.jsonl")
    Path("unrelated.txt").write_text("x")
    Path(os.fsdecode(b"caf\xe9.txt")).write_text("x")
    train()
    assert stages(run_dir) == before


def test_another_name_of_the_folder_is_the_same_run(run_dir: Path) -> None:
    before = stages(run_dir)
    assert train("data.path=./").resolve() == run_dir.resolve()
    assert stages(run_dir) == before


def test_a_touched_recording_and_a_broken_row_cost_no_second_release(run_dir: Path) -> None:
    before = stages(run_dir)
    os.utime("0.flac")
    with Path("metadata.jsonl").open("a") as metadata:
        metadata.write(json.dumps({"file_name": "gone.flac", "text": "yes", "user": "u0"}) + "\n")
    train()
    after = stages(run_dir)
    assert after["ingest"]["counts"]["quarantined"] == {"no such file": 1}
    assert {name for name, done in after.items() if done != before[name]} == {"ingest"}
    assert releases() == 1


def test_a_table_that_was_not_scrubbed_does_not_go_on(run_dir: Path) -> None:
    before, scrub = stages(run_dir), run_dir / "private" / "scrub"
    shutil.move(scrub / "table", "kept")
    shutil.copytree(run_dir / "private" / "ingest" / "table", scrub / "table")
    with pytest.raises(StageError, match=r"private/scrub: not as its stage left it.*delete .*private/scrub and run"):
        train()
    assert stages(run_dir) == before
    shutil.rmtree(scrub / "table")
    shutil.move("kept", scrub / "table")
    train()
    assert stages(run_dir) == before


def test_a_stage_that_is_cut_short_is_deleted_and_made_again(run_dir: Path) -> None:
    before, ingest = stages(run_dir), run_dir / "private" / "ingest"
    (table,) = ingest.glob("table/*.arrow")
    os.truncate(table, table.stat().st_size // 2)
    with pytest.raises(StageError, match=r"private/ingest: not as its stage left it.*arrow was altered.*ingest makes"):
        train()
    shutil.rmtree(ingest)
    train()
    after = stages(run_dir)
    assert {name for name, done in after.items() if done != before[name]} == {"ingest"}
    assert store.verify(ingest) == []
    assert releases() == 1


def test_another_transcript_is_another_corpus(run_dir: Path) -> None:
    before, path = stages(run_dir), Path("metadata.jsonl")
    path.write_text(path.read_text().replace("stop now", "stop it", 1))
    train(command="prepare")
    after = stages(run_dir)
    assert {name for name in after if after[name] != before[name]} == {"ingest", "personal", "scrub", "anonymize"}


@pytest.mark.slow
def test_and_another_release(run_dir: Path) -> None:
    before = stages(run_dir)
    train()
    after = stages(run_dir)
    assert {"plant", "survival", "train", "baseline"} <= {name for name in after if after[name] != before[name]}
    assert releases() == 2
