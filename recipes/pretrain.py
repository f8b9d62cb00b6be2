"""Pre-train the embedded base model `tiny-en` on synthetic voices only: no recording of anybody is involved.

    speechpriv run configs/tiny-en.yaml

Copy it to pre-train a base of another size or on other synthetic text. It can be killed and run again: it goes on
from its last checkpoint; with more steps, once that is copied to the new run's `private/`. The result is in
`release/tiny-en`, what `models.asr.load` reads.

While the last layer learns to spell, the middle one is asked which phoneme it hears in each frame: the synthesiser
knows. CTC alone stays at the frequencies of the word pieces for thousands of steps
(docs/experiments/pretraining.md#frames-and-phonemes).
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import jiwer
import numpy as np
import torch
from rich.progress import Progress
from torch.nn.utils.rnn import pad_sequence

from speechpriv.config import PretrainConfig
from speechpriv.data import synthetic_speech, text
from speechpriv.models import asr, intermediate, new

_COOLDOWN = 0.2  # of all steps

# Features (B, T, F), their mask (B, T), token lists, and the phoneme of each frame (B, T').
Batch = tuple[torch.Tensor, torch.Tensor, list[list[int]], torch.Tensor]


class Stream(torch.utils.data.IterableDataset[Batch]):
    """Batches made in a worker process while the model learns from the last one."""

    def __init__(self, recogniser: asr.CtcRecogniser, symbols: list[str], config: PretrainConfig, done: int) -> None:
        self.recogniser, self.config, self.done = recogniser, config, done
        self.index_of = {symbol: index for index, symbol in enumerate(symbols)}

    def __iter__(self) -> Iterator[Batch]:
        # Each (re)start draws new speech: nothing made up is worth replaying.
        rng = np.random.default_rng([self.config.seed, self.done])
        for batch in synthetic_speech.generate_batches(rng, self.config.batch_s):
            if fitting := [said for said in batch if self.recogniser.fits(len(said.samples), said.words)]:
                features, mask = self.recogniser.features([said.samples for said in fitting])
                frame = self.recogniser.samples_per_frame
                told = [intermediate.label_frames(s.phonemes, len(s.samples), frame, self.index_of) for s in fitting]
                phonemes = pad_sequence(told, batch_first=True, padding_value=intermediate.UNTOLD)
                yield features, mask, [self.recogniser.encode(said.words) for said in fitting], phonemes


def symbols_of(seed: int, utterances: int = 300) -> list[str]:
    """Return the phonemes that are spoken, and the pause between them."""
    rng = np.random.default_rng([seed, 998])
    spoken = (synthetic_speech.generate_utterance(rng, synthetic_speech.training_variants()) for _ in range(utterances))
    return sorted({"", *(symbol for said in spoken for symbol, _ in said.phonemes)})


def mask_bands(features: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Apply SpecAugment (Park et al. 2019): two bands of frequency and two of time become zero, the mean."""
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
    """Return a rate with linear warm-up, a plateau and a linear cooldown that can be taken up again (Hägele et al.
    2024).
    """
    left = (config.steps - step) / (_COOLDOWN * config.steps)
    return config.peak_learning_rate * min(1.0, (step + 1) / config.warmup, left)


def word_error_rate(recogniser: asr.CtcRecogniser, seed: int, utterances: int = 200) -> float:
    """Return the WER on sentences never trained on, in voices never trained on, in rooms and noise."""
    rng = np.random.default_rng([seed, 999])
    said = [synthetic_speech.generate_utterance(rng, synthetic_speech.held_out_variants()) for _ in range(utterances)]
    heard = recogniser.transcribe([one.samples for one in said])
    return float(jiwer.wer([one.words for one in said], heard))


def main(config: PretrainConfig, run_dir: Path) -> None:
    """Train for `config.steps` steps, going on from the last checkpoint, and write `run_dir/release/tiny-en`."""
    release, checkpoint = run_dir / "release" / "tiny-en", run_dir / "private" / "checkpoint.pt"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(config.performance.threads)
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    pieces = new.train_tokenizer((text.draw_sentence(rng) for _ in range(50_000)), config.pieces)
    recogniser = new.make_recogniser(
        pieces, hidden=config.hidden, layers=config.layers, channels=config.channels, subsampling=config.subsampling
    )
    symbols = symbols_of(config.seed)
    head = intermediate.PhonemeHead(recogniser.model.encoder, len(symbols))
    learning = torch.nn.ModuleDict({"model": recogniser.model, "head": head})
    optimizer = torch.optim.AdamW(learning.parameters(), betas=(0.9, 0.98), weight_decay=1e-3)
    first = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        learning.load_state_dict(state["learning"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    stream = Stream(recogniser, symbols, config, first)
    loader = torch.utils.data.DataLoader(stream, batch_size=None, num_workers=1, prefetch_factor=8)
    release.mkdir(parents=True, exist_ok=True)
    losses: list[tuple[float, float]] = []
    started = time.monotonic()
    with (run_dir / "release" / "log.jsonl").open("a") as log, Progress() as progress:
        task = progress.add_task("pre-training", total=config.steps, completed=first)
        for step, (features, mask, targets, phonemes) in zip(range(first, config.steps), loader, strict=False):
            recogniser.model.train()
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, config)
            with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bf16"):
                log_probs, lengths = recogniser.log_probs_of(mask_bands(features, rng), mask)
            nll = asr.ctc_losses(log_probs, lengths, targets, recogniser.blank)
            spelling, sounds = nll.sum() / max(1, sum(map(len, targets))), head.loss(phonemes)
            optimizer.zero_grad()
            (spelling + sounds).backward()
            torch.nn.utils.clip_grad_norm_(learning.parameters(), 1.0)
            optimizer.step()
            losses.append((spelling.item(), sounds.item()))
            progress.advance(task)
            if (step + 1) % config.checkpoint_every and step + 1 < config.steps:
                continue
            recogniser.model.eval()
            state = {"learning": learning.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            torch.save(state, checkpoint.with_suffix(".new"))
            checkpoint.with_suffix(".new").replace(checkpoint)
            recogniser.save(release)
            spelled, heard = np.mean(losses, axis=0)
            line = {
                "step": step + 1,
                "loss_nats_per_token": round(float(spelled), 4),
                "loss_nats_per_frame": round(float(heard), 4),
                "wer": round(word_error_rate(recogniser, config.seed), 4),
                "seconds": round(time.monotonic() - started),
            }
            losses.clear()
            log.write(json.dumps(line) + "\n")
            log.flush()
    print(f"tiny-en: {release}")
