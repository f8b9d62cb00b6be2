"""Exposure of planted phrases against how often they were planted: no privacy, clipping alone, epsilon 8, epsilon 1.

    speechpriv run assistant; OMP_NUM_THREADS=1 python benchmarks/exposure.py RUN

On the training corpus of a finished run, with its canaries and settings. Prints a Markdown table: the median exposure
in bits of the planted phrases of each tier (1 where nothing was learned), and the verdict; `speechpriv report RUN` then
shows it too. Epsilon 8 and 1 are whole
private trainings, each with a ledger of its own; clipping alone is not offered, and made from the same steps without
noise. A private training takes two minutes on one core (`commands`, which trains biases and norms: ten); a model is
scored in half of one.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import utility  # beside this file

from speechpriv import corpus, store
from speechpriv.audit import stage
from speechpriv.audit.attacks import scores
from speechpriv.audit.canaries import canary
from speechpriv.audit.inference import statistics
from speechpriv.claim import Claim
from speechpriv.config import PipelineConfig
from speechpriv.models import asr
from speechpriv.train import finetune, noise
from speechpriv.train.recordings import Recordings


def clipped_alone(config: finetune.FinetuneConfig, training: Path, directory: Path) -> Path:
    """The steps of a private training, without noise."""
    base = asr.load(config.train.base)
    found = Recordings(corpus.read(training), base, hear=finetune.plan_encoding(config.train, base))
    utility.stepped(config, 0.0, noise.new_key(), found.units(), found).save(directory / "model")
    return directory


def trained(config: PipelineConfig, training: Path, epsilon: float, directory: Path) -> Path:
    """A private training as `speechpriv run` does it."""
    privacy = config.privacy.model_copy(update={"epsilon": epsilon, "budget_epsilon": None})
    return finetune.run(
        finetune.FinetuneConfig(privacy=privacy, train=config.train), {"corpus": training}, directory / "train",
        key=noise.new_key(), ledger=directory / "ledger.sqlite",
    ).directory  # fmt: skip


def way(registry: list[canary.Canary], found: np.ndarray, verdict: dict[str, Any]) -> dict[str, Any]:
    """What the phrases say of one way to train."""
    bits = statistics.compute_exposures(statistics.rank_p_values(found, found[[one.repeats == 0 for one in registry]]))
    planted = np.array([one.repeats if one.planted else 0 for one in registry])
    return {
        "median_bits": [round(float(np.median(bits[planted == tier])), 2) for tier in sorted({*planted} - {0})],
        "auc": verdict["private"]["auc"],
        "verdict": verdict["verdict"],
    }


def show(name: str, told: dict[str, Any]) -> None:
    """One row."""
    cells = [name, *(f"{bits:.1f}" for bits in told["median_bits"]), f"{told['auc']:.2f}", told["verdict"]]
    print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    run: Path = parser.parse_args().run / "private"
    torch.set_num_threads(1)
    config = PipelineConfig.model_validate(json.loads((run / "config.json").read_text()))
    registry, phrases = canary.read(run / "plant")
    private = finetune.FinetuneConfig(privacy=config.privacy, train=config.train)
    training = run / "plant" / "corpus"
    with tempfile.TemporaryDirectory() as scratch:
        made = {name: Path(scratch) / name for name in ("clipping", "eight", "one")}
        for directory in made.values():
            directory.mkdir()
        models = {
            "no privacy": run / "baseline",
            "clipping alone": clipped_alone(private, training, made["clipping"]),
            "epsilon 8": trained(config, training, 8, made["eight"]),
            "epsilon 1": trained(config, training, 1, made["one"]),
        }
        found = scores.score_phrases(
            {name: str(model / "model") for name, model in models.items()}, config.train.base, phrases
        )
        claims = {name: model / "claim.json" for name, model in models.items()}
        tiers = sorted({one.repeats for one in registry if one.planted})
        counts = [sum(one.planted and one.repeats == tier for one in registry) for tier in tiers]
        print(f"median exposure in bits, of at most {np.log2(sum(one.repeats == 0 for one in registry) + 1):.1f}\n")
        print(
            "| | " + " | ".join(f"{tier} x ({n})" for tier, n in zip(tiers, counts, strict=True)) + " | AUC | verdict |"
        )
        print("|---" * (len(tiers) + 3) + "|")
        ways = {}
        for name, values in found.items():
            claim = Claim.from_json(claims[name].read_text()) if claims[name].is_file() else None
            verdict = stage.judge(registry, values, found["no privacy"], claim, config.audit)
            ways[name] = way(registry, values, verdict)
            show(name, ways[name])
        store.write_json(run / "exposure_comparison.json", {"repeats": tiers, "ways": ways})


if __name__ == "__main__":
    main()
