"""What examples/ shows is what it does."""

import configparser
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer

from speechpriv import cli

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("name", ["with_onnxruntime.py", "with_sherpa_onnx.py"])
def test_an_example_writes_what_was_said(exported, tones, tmp_path, name):
    samples = tones.say("fan light door", np.random.default_rng(11))
    soundfile.write(tmp_path / "speech.wav", samples, 16_000)
    command = [sys.executable, str(EXAMPLES / name), str(exported), str(tmp_path / "speech.wav")]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert shown.stdout.strip().split("\t")[-1] == "fan light door"


@pytest.mark.parametrize("samples", [1200, 16_000, 31_999])
def test_features_by_numpy_are_those_that_the_model_learned_from(recogniser, samples):
    log_mel = runpy.run_path(str(EXAMPLES / "with_onnxruntime.py"))["log_mel"]
    noise = np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)
    expected, _ = recogniser.features([noise])
    assert log_mel(noise) == pytest.approx(expected[0].numpy().T, abs=2e-3)


def test_the_system_service_starts_what_the_command_line_offers():
    unit = configparser.ConfigParser(strict=False)
    unit.optionxform = str
    unit.read(EXAMPLES / "speechpriv.service")
    program, command, *arguments = shlex.split(unit["Service"]["ExecStart"])
    assert Path(program).name == "speechpriv"
    context = typer.main.get_command(cli.app).commands[command].make_context(command, arguments)
    assert context.params["uri"] == "tcp://0.0.0.0:10300"
    hardened = {"DynamicUser", "NoNewPrivileges", "ProtectHome", "PrivateDevices", "RestrictNamespaces"}
    assert all(unit["Service"][name] == "yes" for name in hardened)
    assert unit["Service"]["ProtectSystem"] == "strict"
