"""Where a run keeps what: the one place that knows, and the runner that recipes call for every
stage.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from speechpriv import progress, store
from speechpriv.config import PerformanceConfig
from speechpriv.store import Source, Stage, Summary


@dataclass(frozen=True)
class RunDir:
    """The two halves of a run's directory: what its owner alone may see, and what may leave."""

    private: Path
    release: Path

    @classmethod
    def at(cls, root: Path) -> Self:
        """Return the halves of the run directory `root`."""
        return cls(root / "private", root / "release")

    @property
    def keys(self) -> Path:
        """The folder of the secret keys."""
        return self.private / "keys"

    @property
    def config(self) -> Path:
        """The resolved config, as JSON."""
        return self.private / "config.json"

    @property
    def curves(self) -> Path:
        """Training curves for TensorBoard, if they are wanted."""
        return self.private / "tensorboard"

    @property
    def bundle(self) -> Path:
        """The exported model, with card, claim and signature."""
        return self.release / "bundle"

    def stage(self, name: str) -> Path:
        """Return where a stage's output is, or will be."""
        return self.private / name

    def key(self, name: str) -> bytes:
        """Return a secret key; it is made if there is none yet."""
        return store.read_secret(self.keys / name)

    def destroy(self, *names: str) -> None:
        """Delete secret keys: what was drawn with them can be neither repeated nor undone."""
        for name in names:
            (self.keys / name).unlink(missing_ok=True)


@dataclass(frozen=True)
class Run:
    """Runs stages in a run's directory, with a progress bar and a summary line each.

    Attributes:
      folder: where they keep what.
      performance: device, processes and the like, for the stages that ask for them.
      curves: where training curves go; None: nowhere.
    """

    folder: RunDir
    performance: PerformanceConfig
    curves: Path | None = None

    def stage(
        self,
        name: str,
        body: Stage,
        config: Any,
        inputs: Mapping[str, Summary | Path | Source],
        *,
        key: str | None = None,
        total: int | None = None,
        out_dir: Path | None = None,
        **given: Any,
    ) -> Summary:
        """Run one stage, or find it up to date.

        Args:
          name: of its directory, its progress bar and its line.
          body: the stage's `run`.
          config: what its output depends on.
          inputs: stages that were run, or paths, by the names that it knows them by.
          key: the name of the secret key that it draws with.
          total: steps or rows that it will take, if that is known.
          out_dir: instead of the private directory of that name.
          **given: what else it takes.
        """
        takes = inspect.signature(body).parameters
        for setting in ("device", "workers", "checkpoint_every", "batch_s"):
            if setting in takes:
                given.setdefault(setting, getattr(self.performance, setting))
        if key:
            given["key"] = self.folder.key(key)
        paths = {label: it.directory if isinstance(it, Summary) else it for label, it in inputs.items()}
        curves = self.curves if "on_step" in takes else None
        with progress.show_bar(name, total, curves=curves) as update:
            given |= {told: update for told in ("on_row", "on_step") if told in takes}
            done = body(config, paths, out_dir or self.folder.stage(name), **given)
        return progress.show_summary(name, done)
