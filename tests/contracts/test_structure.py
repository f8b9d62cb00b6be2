"""What holds for the whole package: who may import whom, sizes, and nothing done at import."""

import ast
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "speechpriv"
STAGES = {"scrub", "anonymize", "train", "audit", "export", "report"}
SHARED = {"errors", "config", "strict", "store", "corpus", "claim", "data", "models", "progress"}
ALONE = (
    "train/sampling.py", "train/noise.py", "train/mechanism.py", "train/crosscheck.py", "train/accounting.py",
    "train/phrases.py", "train/ledger.py", "audit/inference/onerun.py",
)  # fmt: skip
PRICED = {"speechpriv.train.mechanism", "speechpriv.train.crosscheck"}  # all that accounting.py may know besides
FILES = sorted(PACKAGE.rglob("*.py"))
# Dotted names of speechpriv modules that a file imports: what the picture is drawn of is what is checked.
imported = runpy.run_path(str(ROOT / "docs" / "draw_architecture.py"))["list_imports"]


def room(path: Path) -> str:
    """The folder of the package that a file is in, however deep; its own name where it lies in none."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", [f for f in FILES if room(f) in STAGES], ids=str)
def test_stage_folders_do_not_import_one_another(path: Path) -> None:
    others = STAGES - {room(path)}
    assert not {name for name in imported(path) if name.split(".")[1] in others}


@pytest.mark.parametrize("path", [f for f in FILES if room(f) in {"data", "models"}], ids=str)
def test_shared_folders_import_no_stage(path: Path) -> None:
    assert not {name for name in imported(path) if name.split(".")[1] in STAGES}


@pytest.mark.parametrize("folder", sorted({f.parent for f in FILES}), ids=str)
def test_folders_can_be_overseen(folder: Path) -> None:
    assert len(list(folder.glob("*.py"))) <= 25


@pytest.mark.parametrize("name", ALONE)
def test_privacy_critical_files_can_be_read_alone(name: str) -> None:
    allowed = {"speechpriv.errors"} | (PRICED if name == "train/accounting.py" else set())
    assert {found.rpartition(".")[0] for found in imported(PACKAGE / name)} <= allowed


def test_the_rule_would_notice(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("from speechpriv.audit import exposure\nimport speechpriv.export.gate\n")
    assert {name.split(".")[1] for name in imported(bad)} & STAGES == {"audit", "export"}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_files_stay_readable(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.py")), ids=str)
def test_recipes_fit_on_a_page(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= (100 if path.stem in ("assistant", "clinic_risk") else 150)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_no_assert_outside_tests(path: Path) -> None:
    assert not [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assert)]


@pytest.mark.parametrize("module", ["cli", "data.ingest", "data.preview", "config"])
def test_taking_recordings_in_needs_no_torch(module: str) -> None:
    code = f"import sys, speechpriv.{module}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_loads_nothing_large() -> None:
    code = "import sys, speechpriv.cli; sys.exit(bool({'datasets', 'scipy', 'pandas', 'numpy'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], check=True)
