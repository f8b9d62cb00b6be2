"""Checkpoints of a training that may be killed at any moment: whole or absent, tensors only."""

import os
from pathlib import Path
from typing import Any

import torch

from speechpriv.errors import StageError


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers and plain containers) so that a kill leaves the old file or
    the new one.

    Raises:
      StageError: the disk does not take it; the old file is whole.
    """
    temporary = path.with_name(f"{path.name}.new")
    try:
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # torch hides the disk's own error from us
        temporary.unlink(missing_ok=True)
        raise StageError(
            f"{path.name}: the checkpoint cannot be written ({getattr(error, 'strerror', 'the disk may be full')}). "
            "The one before is whole: free disk space, or make the folder writable, and run again to go on from there."
        ) from error


def load(path: Path) -> dict[str, Any] | None:
    """Load the state in `path`, or None if there is none. Never runs code from the file.

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
