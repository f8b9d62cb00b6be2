"""Stage: a base with an output layer for labels, yet to learn; what the private model and its
baseline start from.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speechpriv import store
from speechpriv.models import asr
from speechpriv.sections import Section


class LabelledConfig(Section):
    """Which base, and which labels."""

    base: str
    labels: tuple[str, ...]


@store.stage(version=1)
def run(config: LabelledConfig, _inputs: Mapping[str, Path], out_dir: Path) -> dict[str, Any]:
    """Write `model/`, which `asr.load` reads.

    Raises:
      ModelError: the base cannot be read, or no classifier be made of it.
    """
    classifier = asr.load_classifier(config.base, config.labels)
    classifier.save(out_dir / "model")
    return {"labels": len(classifier.labels), "weights": sum(p.numel() for p in classifier.model.parameters())}
