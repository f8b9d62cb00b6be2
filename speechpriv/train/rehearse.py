"""The stage that learns from published phrases: sentences sampled from them, spoken by synthetic
voices.

Only the table is read, which is private already, so that nothing here costs anything
(post-processing). Between these sentences comes speech of the general kind that the base was
trained on, so that it forgets nothing.
"""

import itertools
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speechpriv import store
from speechpriv.config import TrainConfig
from speechpriv.data import augment, synthetic_speech, voices
from speechpriv.models import arpa, asr
from speechpriv.models.asr import Recogniser, Utterance
from speechpriv.sections import Section
from speechpriv.train import baseline, phrasebook, sentences

CURVE = "curve.json"
_BATCH_S = 48.0
_CURVE_POINTS = 20  # batches differ much in length, and so in loss


class RehearseConfig(Section):
    """What is learned, and for how long."""

    train: TrainConfig
    seed: int


@store.stage(version=4)
def run(
    config: RehearseConfig,
    inputs: Mapping[str, Path],
    out_dir: Path,
    *,
    fill: Callable[[str, np.random.Generator], str],
    device: str = "cpu",
    on_step: Callable[[int, int, Mapping[str, float]], None] = store.ignore_progress,
) -> dict[str, Any]:
    """Return fine-tune all weights of `train.base` on synthetic speech; write `model/`,
    `release.json`: what it cost, and `curve.json`: the mean loss by step, which is on synthetic
    speech and may be shown.

    Where no sentence can be made from what was published (so few people say the same), the base
    stays as it is.

    Args:
      config: see `RehearseConfig`.
      inputs: `phrases`, a phrasebook stage.
      out_dir: the stage directory.
      fill: a synthetic value for what was scrubbed, from its kind (`NAME`) and a generator.
      device: where the model lives.
      on_step: see `baseline.fit_baseline`.
    """
    recogniser = asr.load(config.train.base, device)
    rng = np.random.default_rng(config.seed)
    said = sentences.sample_sentences(arpa.sort_published(inputs["phrases"]), rng)
    filled = (sentences.fill_slots(sentence, lambda kind: fill(kind, rng)) for sentence in said)
    first = next(filled, None)
    steps = config.train.synthetic_steps if first else 0
    losses: list[float] = []

    def heard(done: int, total: int, seen: Mapping[str, float]) -> None:
        losses.append(seen["loss"])
        on_step(done, total, seen)

    if first:
        said = itertools.chain([first], filled)
        learned = generate_batches(said, recogniser, rng, config.train.replay_fraction)
        baseline.fit_baseline(
            recogniser, itertools.islice(learned, steps), steps=steps,
            learning_rate=config.train.synthetic_learning_rate, on_step=heard,
        )  # fmt: skip
    recogniser.save(out_dir / "model")
    shutil.copyfile(inputs["phrases"] / phrasebook.RELEASE, out_dir / phrasebook.RELEASE)
    store.write_json(out_dir / CURVE, _curve(losses))
    return {"steps": steps}


def _curve(losses: Sequence[float]) -> list[tuple[int, float]]:
    """The last step and the mean loss of each of about 20 stretches."""
    length = max(1, math.ceil(len(losses) / _CURVE_POINTS))
    stretches = [losses[start : start + length] for start in range(0, len(losses), length)]
    ends = itertools.accumulate(map(len, stretches))
    return [(end, round(float(np.mean(stretch)), 4)) for end, stretch in zip(ends, stretches, strict=True)]


def generate_batches(
    said: Iterator[str], recogniser: Recogniser, rng: np.random.Generator, general: float
) -> Iterator[list[Utterance]]:
    """Generate batches without end of sentences, spoken as in pre-training; a share of them is of
    the general kind.
    """
    variants = synthetic_speech.training_variants()

    def spoken() -> synthetic_speech.Spoken:
        if rng.random() < general:
            return synthetic_speech.generate_utterance(rng, variants)
        words = next(said)
        samples = voices.speak(words, voices.random_voice(rng, variants)).samples
        return synthetic_speech.Spoken(augment.distort(samples, rng), words)

    while True:
        for group in synthetic_speech.group_by_length(spoken, rng, _BATCH_S):
            batch = [Utterance(s.samples, s.words) for s in group if recogniser.fits(len(s.samples), s.words)]
            if batch:
                yield batch
