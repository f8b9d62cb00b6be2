"""An installed wheel lists, copies and runs the same configs and recipes as a checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that holds what the wheel would install."""
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(out)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = out.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(out / "site")
    return out / "site"


def speechpriv(installed: Path, *arguments: str, cwd: Path) -> str:
    code = "from speechpriv.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout


def test_the_wheel_lists_and_copies_its_configs(installed: Path, tmp_path: Path) -> None:
    listed = speechpriv(installed, "ls", cwd=tmp_path)
    for path in [*(ROOT / "configs").glob("*.yaml"), *(ROOT / "recipes").glob("*.py")]:
        assert path.name in listed
    speechpriv(installed, "cp", "assistant.yaml", "mine.yaml", cwd=tmp_path)
    assert (tmp_path / "mine.yaml").read_text() == (ROOT / "configs" / "assistant.yaml").read_text()
    assert '"recipe": "assistant"' in speechpriv(installed, "validate", "mine.yaml", cwd=tmp_path)


def test_the_wheel_holds_what_a_run_needs(installed: Path) -> None:
    package = installed / "speechpriv"
    for name in ("recipes/assistant.py", "report/page.html.j2", "assets/tiny-en/model.safetensors", "py.typed"):
        assert (package / name).is_file(), name
