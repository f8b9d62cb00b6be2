"""What the noise costs: beside torch's own generator, and as a share of a private training step.

OMP_NUM_THREADS=1 python benchmarks/noise.py
"""

import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

from speechpriv import audio
from speechpriv.models import asr
from speechpriv.models.asr import Utterance
from speechpriv.train import clipping, noise

COHORT, UTTERANCES, SECONDS = 16, 4, 3.0
CLIP_NORM, NOISE_MULTIPLIER = 1.0, 1.0
ROUNDS = 5


def least_s(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Of a few timings, the one that was disturbed least."""
    times = []
    for _ in range(rounds):
        start_s = time.process_time()
        call()
        times.append(time.process_time() - start_s)
    return min(times)


def noise_s(parameters: Mapping[str, torch.nn.Parameter]) -> float:
    """Seconds to noise one sum over these parameters."""
    total = {name: torch.zeros_like(p, dtype=torch.float64) for name, p in parameters.items()}
    return least_s(
        lambda: noise.add_noise(
            total, bytes(32), 0, clip_norm=CLIP_NORM, noise_multiplier=NOISE_MULTIPLIER, rounding=0.0
        ),
        3,
    )


def randn_s(parameters: Mapping[str, torch.nn.Parameter]) -> float:
    """Seconds in which torch draws and adds as many values, predictable ones."""
    total = {name: torch.zeros_like(p) for name, p in parameters.items()}
    return least_s(lambda: [value + torch.randn(value.shape) for value in total.values()], 3)


def show(name: str, parameters: Mapping[str, torch.nn.Parameter], step_s: float) -> None:
    """One line."""
    ours_s, torchs_s = noise_s(parameters), randn_s(parameters)
    size = sum(p.numel() for p in parameters.values())
    print(
        f"{name:13} {size / 1e6:5.1f} M   noise {ours_s:6.3f} s, {size / ours_s / 1e6:4.0f} M values/s, "
        f"{ours_s / torchs_s:4.1f} x torch.randn   the rest of the step {step_s:6.2f} s   share {ours_s / step_s:.1%}"
    )


def main() -> None:
    """A step of tiny-en, and one of wav2vec2-base's shape, of which one unit is timed and multiplied."""
    rng = np.random.default_rng(0)
    samples = [rng.standard_normal(round(SECONDS * audio.RATE_HZ)).astype(np.float32) for _ in range(UTTERANCES)]
    tiny = asr.load("tiny-en")
    units = [[Utterance(one, "turn on the lights") for one in samples]] * COHORT
    step_s = least_s(lambda: clipping.clipped_sum(tiny, units, CLIP_NORM), 2)
    show("tiny-en", dict(tiny.model.named_parameters()), step_s)

    base = Wav2Vec2ForCTC(Wav2Vec2Config(apply_spec_augment=False)).eval()
    batch, labels = torch.from_numpy(np.stack(samples)), torch.ones(UTTERANCES, 12, dtype=torch.long)
    parameters = list(base.parameters())

    def one_unit() -> object:
        return torch.autograd.grad(base(batch, labels=labels).loss, parameters, allow_unused=True)

    show("wav2vec2-base", dict(base.named_parameters()), COHORT * least_s(one_unit, 2))


if __name__ == "__main__":
    main()
