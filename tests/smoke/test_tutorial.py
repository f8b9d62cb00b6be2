"""Every command of docs/tutorial.md, in its order, on a small folder of synthetic recordings."""

import json
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from speechpriv import audio
from speechpriv.data import voices

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
COMMANDS = re.findall(r"^\$ (speechpriv .+)$", TUTORIAL.read_text(encoding="utf-8"), re.MULTILINE)
PROGRAM = (sys.executable, "-c", "from speechpriv.cli import main; main()")
SMALL = {
    "data": {"test_fraction": 0.4},
    "canary": {"candidates": 40, "references": 1000},
    "privacy": {"units": 20, "cohort": 10, "steps": 2, "delta": 0.01},
    "train": {"baseline_epochs": 1, "synthetic_steps": 2},
    "export": {"override_reason": "a test of the tutorial proves nothing"},
    "performance": {"threads": 1},
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with `recordings`, as the tutorial lays them out."""
    directory = tmp_path_factory.mktemp("tutorial")
    folder = directory / "recordings"
    folder.mkdir()
    names, said = voices.list_variants(), ("yes", "stop", "left")
    with (folder / "metadata.jsonl").open("w") as metadata:
        for index in range(60):
            text = said[(index + index // 30) % 3]  # nobody says a word twice
            spoken = voices.speak(text, voices.Voice(variant=names[index % 30]))
            (folder / f"{index:04d}.flac").write_bytes(audio.encode_flac(spoken.samples))
            line = {"file_name": f"{index:04d}.flac", "text": text, "user": f"u{index % 30}"}
            metadata.write(json.dumps(line) + "\n")
    return directory


def speechpriv(command, directory):
    arguments = [*PROGRAM, *command.split()[1:]]
    return subprocess.run(arguments, cwd=directory, capture_output=True, text=True, check=False)


def test_every_command_does_what_the_tutorial_says(workplace):
    assert len(COMMANDS) == 8
    run_dir = None
    for command in COMMANDS:
        command = command.replace("RUN", str(run_dir))  # noqa: PLW2901
        if " serve " in command:
            assert answers(command, workplace)
            continue
        shown = speechpriv(command, workplace)
        allowed = {0, 1, 2} if " audit " in command else {0}
        assert shown.returncode in allowed, f"{command}: {shown.stderr}"
        if " cp " in command:
            config = yaml.safe_load((workplace / "mine.yaml").read_text())
            for section, values in SMALL.items():
                config.setdefault(section, {}).update(values)
            (workplace / "mine.yaml").write_text(yaml.safe_dump(config))
        if " run " in command:
            run_dir = Path(shown.stdout.strip().splitlines()[-1])
            assert (workplace / run_dir / "release" / "report.html").is_file()
        if " transcribe " in command:
            assert shown.stdout.startswith("recordings/0000.flac\t")


def answers(command, directory):
    """Whether the server opens its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [*PROGRAM, *command.replace("10300", str(port)).split()[1:]]
    server = subprocess.Popen(arguments, cwd=directory, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        for _ in range(60):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    return True
            time.sleep(1)
        return False
    finally:
        server.terminate()
        server.wait()
