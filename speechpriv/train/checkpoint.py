"""Checkpoints of a training that may be killed at any moment: whole or absent, tensors only."""

import os
from pathlib import Path
from typing import Any

import torch

from speechpriv.errors import StageError


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers and plain containers) so that a kill leaves the old file or the new one."""
    temporary = _temporary(path)
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load(path: Path) -> dict[str, Any] | None:
    """The state in `path`, or None if there is none. Never runs code from the file.

    Raises:
      StageError: the file is damaged.
    """
    if not path.exists():
        return None
    try:
        return torch.load(path, weights_only=True)
    except Exception as error:
        raise StageError(
            f"{path.name}: damaged checkpoint ({type(error).__name__}). Delete it to start over."
        ) from error


def remove(path: Path) -> None:
    """Delete the checkpoint, and what a kill in the middle of `save` left."""
    _temporary(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")
