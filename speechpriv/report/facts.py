"""What a finished or unfinished run wrote down about itself, for the report, and what leaves.

Only files named here are opened, and nothing that names a person: no corpus, no transcript, no loss
on private data.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from speechpriv import store
from speechpriv.claim import Claim
from speechpriv.errors import StageError

Content = TypeVar("Content", dict[str, Any], list[Any])
STAGES = (
    "ingest", "personal", "scrub", "anonymize", "plant", "survival", "phrases", "rehearse", "train", "baseline",
    "evaluate",
    "attackers", "audit",
)  # fmt: skip
# Counts that may leave, by stage: public, of synthetic canaries, or of a table that the claim
# covers.
_RELEASED_COUNTS: Mapping[str, tuple[str, ...]] = {
    "plant": ("candidates", "planted", "references"),
    "phrases": ("epsilon", "phrases", "words"),
    "rehearse": ("steps",),
    "train": ("epsilon", "delta", "noise_multiplier", "steps"),
}
_RELEASED_MODELS = ("base", "private", "private_with_lm")  # never the non-private baseline


@dataclass(frozen=True)
class Facts:
    """What is known of a run; a part is empty where its stage has not run.

    The mappings are the JSON files of the stages as they are: the page takes from them what it
    names, nothing else.
    """

    name: str  # of the run directory; its path is not told
    config: Mapping[str, Any] = field(default_factory=dict)
    stages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # manifests of finished stages
    claim: Claim | None = None
    epsilon_by_step: Sequence[Sequence[float]] = ()
    wer_by_step: Sequence[Sequence[float]] = ()  # on public speech
    budget: Mapping[str, Any] = field(default_factory=dict)  # on these recordings, and what was left after this run
    figures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # accuracy of base, baseline, private
    verdict: Mapping[str, Any] = field(default_factory=dict)
    exposures: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)  # of canaries: private, baseline
    voices: Mapping[str, Any] = field(default_factory=dict)  # what attackers get of the disguised voices
    comparison: Mapping[str, Any] = field(default_factory=dict)  # exposure for other ways to train
    disguises: Sequence[Mapping[str, Any]] = ()  # attackers and word error rate for every method
    bundle: Mapping[str, Any] = field(default_factory=dict)  # manifest of what is shipped
    sizes_bytes: Mapping[str, int] = field(default_factory=dict)  # of the bundle's files
    samples: Sequence[Mapping[str, Any]] = ()  # synthetic recordings after each stage
    phrases: Sequence[Sequence[Any]] = ()  # published under the claim: words and their weight
    rehearsal: Sequence[Sequence[float]] = ()  # step and loss on synthetic speech
    released_verdict: Mapping[str, Any] = field(default_factory=dict)  # what of it may leave
    is_release: bool = False  # whether no figure of training people is left, see `select_released`

    def counts(self, stage: str) -> Mapping[str, Any]:
        """Return counts of a stage; empty if it has not run."""
        return self.stages.get(stage, {}).get("counts", {})

    def setting(self, section: str, name: str) -> Any:
        """Return one value of the config, None if there is none."""
        return self.config.get(section, {}).get(name)


def read_facts(run_dir: Path) -> Facts:
    """Gather the facts of a run directory, whichever of its stages have run.

    Raises:
      StageError: there is no such directory, or a file in it is not the JSON it should be.
      ConfigError: the claim is not one.
    """
    if not run_dir.is_dir():
        raise StageError(f"{run_dir}: no such run directory. `speechpriv run CONFIG` prints its own as its last line.")
    private, bundle = run_dir / "private", run_dir / "release" / "bundle"
    claim = private / "train" / "claim.json"
    manifests = {stage: _json(private / stage / store.MANIFEST, {}) for stage in STAGES}
    public = _json(private / "train" / "public.json", {})
    return Facts(
        name=run_dir.resolve().name,
        config=_json(private / "config.json", {}),
        stages={stage: found for stage, found in manifests.items() if found},
        claim=Claim.from_json(claim.read_text(encoding="utf-8")) if claim.is_file() else None,
        epsilon_by_step=public.get("epsilon_by_step", []),
        wer_by_step=public.get("wer_by_step", []),
        budget=public.get("budget") or {},
        figures=_json(private / "evaluate" / "figures.json", {}),
        verdict=_json(private / "audit" / "verdict.json", {}),
        exposures=_json(private / "audit" / "exposures.json", {}),
        voices=_json(private / "attackers" / "attackers.json", {}),
        comparison=_json(private / "exposure_comparison.json", {}),
        disguises=_json(private / "disguise_comparison.json", []),
        bundle=_json(bundle / store.MANIFEST, {}),
        sizes_bytes={
            str(file.relative_to(bundle)): file.stat().st_size for file in bundle.rglob("*") if file.is_file()
        },
        samples=_json(private / "report_samples.json", []),
        phrases=_json(private / "phrases" / "phrases.json", []),
        rehearsal=_json(private / "rehearse" / "curve.json", []),
        released_verdict=_json(private / "audit" / "released.json", {}),
    )


def select_released(facts: Facts) -> Facts:
    """Return what of a run may be shown to everybody: what is named here, and nothing else.

    Nothing in it was computed from training people's recordings but what the claim covers: of their
    counts, of attackers on their voices, of the non-private baseline, and of how long it all took,
    nothing is left. Accuracies are of the test people, and not covered; docs/guarantees.md says of
    every number what covers it.
    """
    return Facts(
        name=facts.name,
        config=facts.config,
        stages={
            stage: {
                "counts": {
                    name: facts.counts(stage)[name]
                    for name in _RELEASED_COUNTS.get(stage, ())
                    if name in facts.counts(stage)
                },
                "versions": manifest.get("versions", {}),
            }
            for stage, manifest in facts.stages.items()
        },
        claim=facts.claim,
        epsilon_by_step=facts.epsilon_by_step,
        wer_by_step=facts.wer_by_step,
        budget=facts.budget,
        figures={name: facts.figures[name] for name in _RELEASED_MODELS if name in facts.figures},
        verdict=facts.released_verdict,
        released_verdict=facts.released_verdict,
        exposures={name: facts.exposures[name] for name in ("private",) if name in facts.exposures},
        bundle=facts.bundle,
        sizes_bytes=facts.sizes_bytes,
        samples=facts.samples,  # shown only if the people are synthetic
        phrases=facts.phrases,
        rehearsal=facts.rehearsal,
        is_release=True,
    )


def _json(path: Path, empty: Content) -> Content:
    """The JSON in `path`, of the same type as `empty`; `empty` itself if there is no such file."""
    if not path.is_file():
        return empty
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StageError(f"{path}: not JSON. Remove its directory and run the stage again.") from error
    if not isinstance(found, type(empty)):
        raise StageError(
            f"{path}: expected a JSON {type(empty).__name__}, got {type(found).__name__}. "
            "Remove its directory and run the stage again."
        )
    return found
