"""Privacy against accuracy: a recipe trained at one epsilon after the other, on the same recordings.

    speechpriv curve assistant                                     synthetic people: release/curve.svg and curve.csv
    speechpriv curve commands data.path=PATH --figures private     real people: the same in private/

Epsilon 0 is the base as it is, `inf` ordinary training. Each point is another look at everybody trained on and
tested, and is counted in no ledger: the figures are nobody's claim. The models are deleted as soon as they are
measured. Where published phrases would be shipped, they are decoded with.

Another recipe can be drawn if it has `main(config, run_dir, until="plant")`, which leaves `plant/corpus` to train on
and `anonymize` to test on in `private/`, and `learn(run, config, training, ledger)`. Unless it is about words, it
also has `begin(run, config)` (first what it gives is the model before training), `learn_openly(run, config, training)`,
`measured(model, corpus, device)` (a pair of numbers for each test unit), `statistic` (one number of an array of
pairs) and `MEASURE` (what that number is called).
"""

import math
import shutil
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from speechpriv import config as configs
from speechpriv import corpus, progress, steps, store
from speechpriv.config import PipelineConfig
from speechpriv.corpus import Corpus
from speechpriv.models import asr, evaluate
from speechpriv.report import tradeoff
from speechpriv.report.tradeoff import Point
from speechpriv.rundir import Run, RunDir


def main(
    config: PipelineConfig,
    run_dir: Path,
    recipe: Mapping[str, Any],
    epsilons: Sequence[float],
    seeds: int,
    out_dir: Path,
) -> None:
    """Prepare once, train and measure every point that is not kept yet, and draw after each.

    The first seed of all epsilons comes first, so that there soon is a whole curve, and then others make it surer.
    """
    recipe["main"](config, run_dir, until="plant")
    private = RunDir.at(run_dir).private
    training, tested = {"corpus": private / "plant" / "corpus"}, corpus.read(private / "anonymize")
    wanted = [(0.0, 0), *((epsilon, seed) for seed in range(seeds) for epsilon in sorted(epsilons))]
    points, left, taken = list[Point](), len(wanted), list[float]()
    for epsilon, seed in wanted:
        asked = _asked(config, epsilon, seed)
        path = private / "curve" / f"epsilon-{epsilon:g}-seed-{seed}.json"
        identity = f"{configs.fingerprint(asked)} {store.fingerprint(training['corpus'])}"
        point, start_s = tradeoff.read_point(path, identity), time.monotonic()
        if point is None:
            work = path.with_suffix("")
            learned = _trained(recipe, asked, epsilon, training, work)
            if config.export.phrases == "left_out":
                learned.pop("phrases", None)
            model, device = str(learned.pop("model")), config.performance.device
            point = Point(epsilon, seed, recipe.get("measured", _measured)(model, tested, device, **learned))
            tradeoff.keep_point(path, identity, point)
            shutil.rmtree(work, ignore_errors=True)
            taken += [time.monotonic() - start_s] if epsilon else []
        points.append(point)
        left -= 1
        measure, statistic = recipe.get("MEASURE", "word error rate"), recipe.get("statistic", tradeoff.word_error_rate)
        found = tradeoff.group_by_epsilon(points, statistic)
        tradeoff.write_curve(
            out_dir, found, measure, f"{config.privacy.unit_name} privacy against {measure}".capitalize()
        )
        level = next(level for level in found if level.epsilon == epsilon)
        rest = f", about {timedelta(seconds=round(sum(taken) / len(taken) * left))} left" if taken and left else ""
        progress.console.print(
            f"epsilon {epsilon:g}, seed {seed + 1}: {measure} {level.by_seed[-1]:.3f}; "
            f"{len(points)} of {len(wanted)}{rest}",
            highlight=False,
        )


def _asked(config: PipelineConfig, epsilon: float, seed: int) -> PipelineConfig:
    """The config of one point; a budget on the corpus is none of it, since nothing here is a release."""
    spent = {"epsilon": epsilon if 0 < epsilon < math.inf else config.privacy.epsilon, "budget_epsilon": None}
    return config.model_copy(update={
        "seed": config.seed + seed, "privacy": config.privacy.model_copy(update=spent),
    })  # fmt: skip


def _trained(
    recipe: Mapping[str, Any], config: PipelineConfig, epsilon: float, training: dict[str, Path], work: Path
) -> dict[str, Path]:
    """Where the `model` of a point is, and the `phrases`; a training that was killed goes on from its checkpoint."""
    work.mkdir(parents=True, exist_ok=True)
    run = Run(RunDir(private=work, release=work / "release"), config.performance)
    if epsilon == 0:
        return {"model": Path(recipe["begin"](run, config)[0] if "begin" in recipe else config.train.base)}
    if epsilon < math.inf:
        learned = recipe["learn"](run, config, training, work / "ledger.sqlite")
        return {name: done / "model" if name == "model" else done.directory for name, done in learned.items()}
    openly = recipe.get("learn_openly", steps.train_baseline)
    return {"model": openly(run, config, training) / "model"}


def _measured(model: str, tested: Corpus, device: str, phrases: Path | None = None) -> dict[str, tuple[int, int]]:
    recogniser = asr.load(model, device)
    return evaluate.by_unit(evaluate.add_language_model(recogniser, phrases) if phrases else recogniser, tested)
