"""Pre-train the embedded base model `tiny-en` on made-up voices only: no recording of anybody is involved.

    speechpriv run configs/tiny-en.yaml

Copy it to pre-train a base of another size or on other made-up text. It can be killed and run again: it goes on
from its last checkpoint. The result is in `release/tiny-en`, what `models.asr.load` reads.
"""

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import jiwer
import numpy as np
import torch
from rich.progress import Progress

from speechpriv.config import PretrainConfig
from speechpriv.data import madeup, text
from speechpriv.models import asr, new


class Stream(torch.utils.data.IterableDataset):
    """Feature batches, made in a worker process while the model learns from the last one."""

    def __init__(self, recogniser: asr.CtcRecogniser, config: PretrainConfig, done: int) -> None:
        self.recogniser, self.config, self.done = recogniser, config, done

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, list[list[int]]]]:
        config = self.config
        # Each (re)start draws new speech: nothing made up is worth replaying.
        rng = np.random.default_rng([config.seed, self.done])
        for batch in madeup.batches(
            rng, seconds=config.batch_s, easy=config.easy_steps, ramp=config.ramp_steps, done=self.done
        ):
            fitting = [(samples, words) for samples, words in batch if self.recogniser.fits(len(samples), words)]
            if not fitting:
                continue
            features, mask = self.recogniser.features([samples for samples, _ in fitting])
            yield features, mask, [self.recogniser.encode(words) for _, words in fitting]


def mask_bands(features: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """SpecAugment (Park et al. 2019): two bands of frequency and two of time become zero, the mean."""
    features = features.clone()
    frames, bands = features.shape[1:]
    for row in features:
        for _ in range(2):
            width, start = rng.integers(0, 16), rng.integers(bands)
            row[:, start : start + width] = 0
            width, start = rng.integers(0, max(2, frames // 12)), rng.integers(frames)
            row[start : start + width] = 0
    return features


def learning_rate(step: int, config: PretrainConfig) -> float:
    """Linear warm-up, then half a cosine to zero."""
    if step < config.warmup:
        return config.peak_learning_rate * (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.peak_learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def word_error_rate(recogniser: asr.CtcRecogniser, seed: int, utterances: int = 200) -> float:
    """WER on sentences never trained on, in voices never trained on, in rooms and noise."""
    rng = np.random.default_rng([seed, 999])
    pairs = [madeup.utterance(rng, madeup.held_out_variants()) for _ in range(utterances)]
    heard = [recogniser.transcribe([samples])[0] for samples, _ in pairs]
    return float(jiwer.wer([words for _, words in pairs], heard))


def main(config: PretrainConfig, run_dir: Path) -> None:
    """Train for `config.steps` steps, going on from the last checkpoint, and write `run_dir/release/tiny-en`."""
    release, checkpoint = run_dir / "release" / "tiny-en", run_dir / "private" / "checkpoint.pt"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(config.performance.threads)
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    pieces = new.tokenizer((text.sentence(rng) for _ in range(50_000)), config.pieces)
    recogniser = new.recogniser(pieces, hidden=config.hidden, layers=config.layers, channels=config.channels)
    optimizer = torch.optim.AdamW(recogniser.model.parameters(), betas=(0.9, 0.98), weight_decay=1e-3)
    first = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        recogniser.model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    stream = Stream(recogniser, config, first)
    loader = torch.utils.data.DataLoader(stream, batch_size=None, num_workers=1, prefetch_factor=8)
    release.mkdir(parents=True, exist_ok=True)
    losses: list[float] = []
    started = time.monotonic()
    with (run_dir / "release" / "log.jsonl").open("a") as log, Progress() as progress:
        task = progress.add_task("pre-training", total=config.steps, completed=first)
        for step, (features, mask, targets) in zip(range(first, config.steps), loader, strict=False):
            recogniser.model.train()
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, config)
            log_probs, lengths = recogniser.log_probs_of(mask_bands(features, rng), mask)
            nll = asr.ctc_losses(log_probs, lengths, targets, recogniser.blank)
            loss = nll.sum() / sum(map(len, targets))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(recogniser.model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
            progress.advance(task)
            if (step + 1) % config.checkpoint_every and step + 1 < config.steps:
                continue
            recogniser.model.eval()
            state = {"model": recogniser.model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            torch.save(state, checkpoint.with_suffix(".new"))
            checkpoint.with_suffix(".new").replace(checkpoint)
            recogniser.save(release)
            line = {
                "step": step + 1,
                "loss_nats_per_token": round(float(np.mean(losses)), 4),
                "wer": round(word_error_rate(recogniser, config.seed), 4),
                "seconds": round(time.monotonic() - started),
            }
            losses.clear()
            log.write(json.dumps(line) + "\n")
            log.flush()
    print(f"tiny-en: {release}")
