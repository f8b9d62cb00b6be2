"""The command line as a user meets it: real processes where exit codes and streams matter."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from speechpriv import cli
from speechpriv.export import signature

COMMANDS = (
    "run", "ls", "cp", "validate", "prepare", "train", "audit", "export", "serve", "transcribe", "report", "budget",
    "canary", "scrub", "runs", "verify", "curve",
)  # fmt: skip


def speechpriv(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    code = "from speechpriv.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_every_command(command: str) -> None:
    shown = CliRunner().invoke(cli.app, [command, "--help"])
    assert shown.exit_code == 0
    assert len(shown.output.splitlines()) > 5


def test_help_lists_exactly_what_is_built() -> None:
    names = {command.name or command.callback.__name__ for command in cli.app.registered_commands}
    assert names | {"canary"} == set(COMMANDS)


def test_validate_prints_the_resolved_config(tmp_path: Path) -> None:
    shown = speechpriv("validate", "assistant", "privacy.epsilon=4", cwd=tmp_path)
    assert shown.returncode == 0
    assert json.loads(shown.stdout)["privacy"]["epsilon"] == 4


def test_every_config_error_comes_at_once_with_what_was_expected(tmp_path: Path) -> None:
    shown = speechpriv("validate", "assistant", "privacy.epsilon=-1", "privacy.step=3", "data.units=1", cwd=tmp_path)
    assert shown.returncode == 3
    for expected in ("privacy.epsilon", "greater than 0", "privacy.step", "data.units"):
        assert expected in shown.stderr
    assert "Traceback" not in shown.stderr


def test_ls_and_cp_work_from_anywhere(tmp_path: Path) -> None:
    assert "configs/assistant.yaml" in speechpriv("ls", cwd=tmp_path).stdout
    assert speechpriv("cp", "commands.yaml", "mine.yaml", cwd=tmp_path).stdout.strip() == "mine.yaml"
    assert (tmp_path / "mine.yaml").is_file()


def test_a_curve_of_real_people_needs_a_word(tmp_path: Path) -> None:
    for asked in ((), ("--figures", "secret")):
        shown = speechpriv("curve", "commands", f"data.path={tmp_path}", *asked, cwd=tmp_path)
        assert shown.returncode == 3
        assert "not synthetic" in shown.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("assistant", "--epsilons", "0,1"), "positive numbers"),
        (("assistant", "--epsilons", "one"), "positive numbers"),
        (("assistant", "--epsilons", "nan"), "positive numbers"),
        (("assistant", "--seeds", "0"), "seeds"),
        (("tiny-en",), "trains on nobody"),
    ],
)
def test_a_curve_needs_epsilons_and_people(arguments: tuple[str, ...], expected: str, tmp_path: Path) -> None:
    shown = speechpriv("curve", *arguments, cwd=tmp_path)
    assert shown.returncode != 0
    assert expected in shown.stderr
    assert not (tmp_path / "runs").exists()


def test_commands_that_need_a_run_say_so(tmp_path: Path) -> None:
    for command in ("audit", "report"):
        shown = speechpriv(command, "nowhere", cwd=tmp_path)
        assert shown.returncode == 3
        assert "not a run directory" in shown.stderr


def test_a_recipe_without_stages_cannot_stop_after_one(tmp_path: Path) -> None:
    shown = speechpriv("prepare", "tiny-en", cwd=tmp_path)
    assert shown.returncode == 3
    assert "no stages" in shown.stderr


def test_verify_names_what_was_changed(tmp_path: Path) -> None:
    bundle = tmp_path / "release" / "bundle"
    bundle.mkdir(parents=True)
    (bundle / "model.onnx").write_text("weights")
    unsigned = CliRunner().invoke(cli.app, ["verify", str(bundle), "--public-key", str(signature.own_key())])
    assert unsigned.exit_code != 0
    signature.sign_bundle(bundle, signature.load_signing_key(None))
    whole = CliRunner().invoke(cli.app, ["verify", str(bundle)])
    assert (whole.exit_code, whole.output.split(":")[0]) == (0, "as signed by SHA256")
    (bundle / "model.onnx").write_text("poisoned")
    for key in ([], ["--public-key", str(bundle.parent / signature.PUBLIC_KEY)]):
        changed = CliRunner().invoke(cli.app, ["verify", str(bundle), *key])
        assert (changed.exit_code, changed.output) == (1, "model.onnx: changed\n")
    (bundle / "model.sig").unlink()
    unsigned = CliRunner().invoke(cli.app, ["verify", str(bundle)])
    assert unsigned.exit_code == 1
    assert "not signed" in unsigned.output


def test_transcribe_without_anything_to_hear_says_so(tmp_path: Path) -> None:
    shown = speechpriv("transcribe", "bundle", cwd=tmp_path)
    assert shown.returncode == 3
    assert "--mic SECONDS" in shown.stderr


def test_runs_lists_the_newest_first_with_verdict_and_claim(tmp_path: Path) -> None:
    shown = CliRunner().invoke(cli.app, ["runs", "--runs", str(tmp_path)])
    assert shown.exit_code == 0
    assert "No runs in" in shown.output
    for age, name in enumerate(("new-00000001", "old-00000002")):
        config = tmp_path / name / "private" / "config.json"
        config.parent.mkdir(parents=True)
        config.write_text("{}")
        os.utime(config, (1_000_000 - age, 1_000_000 - age))
    (tmp_path / "not-a-run").mkdir()
    found = {
        "audit/verdict.json": {"verdict": "FAIL"},
        "evaluate/figures.json": {"private": {"word_accuracy": 0.763}},
        "scrub/manifest.json": {"counts": {}},
    }
    for file, content in found.items():
        path = tmp_path / "old-00000002" / "private" / file
        path.parent.mkdir()
        path.write_text(json.dumps(content))
    lines = CliRunner().invoke(cli.app, ["runs", "--runs", str(tmp_path)]).output.splitlines()
    new, old = (next(line for line in lines if name in line) for name in ("new-00000001", "old-00000002"))
    assert lines.index(new) < lines.index(old)
    assert old.split() == ["old-00000002", "FAIL", "-", "76.3", "%", "scrub"]
    assert new.split() == ["new-00000001", "-", "-", "-", "-"]
    assert "not-a-run" not in "".join(lines)


FAULTY = """
def main(config, run_dir, until="report"):
    raise KeyError("turn on the lamp of miss quill")
"""


def test_an_error_that_nobody_expected_is_told_to_the_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FAULTY)
    shown = speechpriv("prepare", "assistant", "--recipe", "mine.py", cwd=tmp_path)
    assert shown.returncode == 3
    assert "KeyError: a fault of speechpriv's own" in shown.stderr
    assert "quill" not in shown.stderr + shown.stdout
    (kept,) = tmp_path.glob("runs/assistant-*/private/error-*.log")
    assert str(kept.relative_to(tmp_path)) in shown.stderr
    assert "miss quill" in kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600


def test_so_it_is_outside_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def fail() -> None:
        raise FileNotFoundError("recordings/miss quill.wav")

    monkeypatch.setattr(cli, "app", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(SystemExit):
        cli.main()
    assert "quill" not in "".join(capsys.readouterr())
    assert "miss quill" in next(tmp_path.glob("error-*.log")).read_text()


def test_a_runs_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    shown = speechpriv("prepare", "assistant", cwd=tmp_path)
    assert shown.returncode == 3
    assert "cannot be" in shown.stderr
    assert "--runs" in shown.stderr
    assert "Traceback" not in shown.stderr
