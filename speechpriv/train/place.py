"""Where sums are made: the same recordings and settings give other floats on another device or with
other versions.

One key must never noise two different sums, for their difference would be without noise. So the key
of a release is mixed with its place, and a run that was killed and goes on elsewhere is another
release.
"""

import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path

import torch

from speechpriv import progress, store

_LIBRARIES = ("speechpriv", "numpy", "peft", "scipy", "soxr", "tokenizers", "torchaudio", "transformers")
_NOTE = ".place.json"  # scratch in a stage's directory: gone once the stage is whole

Place = Mapping[str, str]


def describe_place(device: str = "cpu", **settings: object) -> Place:
    """Return what decides how floats are rounded: device, versions, threads, and a stage's settings
    such as seconds a pass.
    """
    kind = torch.device(device).type
    name = torch.cuda.get_device_name(device) if kind == "cuda" else _processor()
    versions = {"torch": torch.__version__} | {library: importlib.metadata.version(library) for library in _LIBRARIES}
    told = {"device": f"{kind} {name}", **versions, "threads": torch.get_num_threads(), **settings}
    return {what: str(value) for what, value in told.items()}


def say_if_moved(directory: Path, place: Place) -> None:
    """Say plainly, before it is opened, that a run which was killed elsewhere will be another
    release.

    Args:
      directory: of the stage; holds the note if the run was opened before.
      place: where it is now.
    """
    note = directory / _NOTE
    before = store.read_json(note) if note.exists() else place
    if changed := [what for what in {**before, **place} if before.get(what) != place.get(what)]:
        was, now = (", ".join(f"{what} {one.get(what, 'unknown')}" for what in changed) for one in (before, place))
        progress.console.print(
            f"The run that was killed here was made with {was}; now it is {now}. Sums differ, and one's noise must "
            "not be the other's: this is another release. It starts over, and the ledger counts both. Let a run end "
            "where it began to pay for it once.", style="yellow", markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip


def keep_place(directory: Path, place: Place) -> None:
    """Note where a run is made, once it is open."""
    store.write_json(directory / _NOTE, place)


def _processor() -> str:
    """The processor's model where the system tells it, and the instructions that torch uses."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.is_file() else []
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    return f"{model} {torch.backends.cpu.get_cpu_capability()}"
