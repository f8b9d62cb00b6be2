"""Configs and recipes that come with the package: beside it in a checkout, inside it in an
installed wheel.
"""

import runpy
import shutil
from pathlib import Path
from typing import Any

from speechpriv.errors import ConfigError

_HERE = Path(__file__).parent
_KINDS = {"configs": "*.yaml", "recipes": "*.py"}


def list_packaged() -> list[Path]:
    """List every config and recipe that comes with the package, sorted by kind and name."""
    return [path for kind, pattern in _KINDS.items() for path in sorted(_directory(kind).glob(pattern))]


def read_headline(path: Path) -> str:
    """Return what a config or recipe is for: the first line of its comment or docstring."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.strip('#"/ ').removesuffix(".")


def find_file(name: str) -> Path:
    """Find a file of the user's, or else one that comes with the package, see `find_packaged`.

    Raises:
      ConfigError: there is neither.
    """
    return Path(name) if Path(name).is_file() else find_packaged(name)


def find_packaged(name: str) -> Path:
    """Find a file that comes with the package, by name with or without its ending.

    Raises:
      ConfigError: there is none; all known names are listed.
    """
    for path in list_packaged():
        if Path(name).name in (path.name, path.stem):
            return path
    known = ", ".join(path.name for path in list_packaged())
    raise ConfigError(f"{name}: no such file, and none of that name comes with speechpriv. Known: {known}.")


def copy_file(name: str, destination: Path) -> Path:
    """Copy a packaged file to where the user can change it; never over an existing file.

    Raises:
      ConfigError: unknown name, or the destination exists.
    """
    source = find_packaged(name)
    target = destination / source.name if destination.is_dir() else destination
    if target.exists():
        raise ConfigError(f"{target}: exists already. Choose another name, or remove it first.")
    shutil.copyfile(source, target)
    return target


def load_recipe(path: Path) -> Any:
    """Load the function `main(config, run_dir)` of a recipe.

    Raises:
      ConfigError: it has none.
    """
    return load_functions(path, "main")["main"]


def load_functions(path: Path, *needed: str) -> dict[str, Any]:
    """Return what a recipe defines, by name.

    Raises:
      ConfigError: it has none of a name that is needed.
    """
    found = runpy.run_path(str(path), run_name=path.stem)
    for name in needed:
        if not callable(found.get(name)):
            raise ConfigError(f"{path}: no function `{name}`, which is needed here. See recipes/assistant.py for one.")
    return found


def _directory(kind: str) -> Path:
    inside = _HERE / kind
    return inside if inside.is_dir() else _HERE.parent / kind
