"""Ordinary fine-tuning without privacy: the baseline that the audit must catch, and the accuracy
that privacy costs.

Its model and curves stay in `private/`.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from speechpriv import corpus as corpora
from speechpriv import store
from speechpriv.audio import RATE_HZ
from speechpriv.config import TrainConfig
from speechpriv.models import asr
from speechpriv.models.asr import Recogniser, Utterance
from speechpriv.sections import Section
from speechpriv.train.recordings import count_rows

_BATCH_S = 60.0
_AHEAD = 4  # batches


class BaselineConfig(Section):
    """What the weights depend on."""

    train: TrainConfig
    seed: int


@store.stage(version=2)
def run(
    config: BaselineConfig,
    inputs: Mapping[str, Path],
    out_dir: Path,
    *,
    device: str = "cpu",
    on_step: Callable[[int, int, Mapping[str, float]], None] = store.ignore_progress,
) -> dict[str, Any]:
    """Return fine-tune all weights on `inputs["corpus"]`'s train split, canaries included; write
    `model/`.
    """
    corpus = corpora.read(inputs["corpus"])
    recogniser = asr.load(config.train.base, device)
    seconds, texts = corpus.table["seconds"][:], corpus.table["text"][:]
    rows = [
        i
        for i, split in enumerate(corpus.table["split"])
        # The loss of words that cannot fit their audio is infinite, and one such row would ruin all
        # weights.
        if split == "train" and recogniser.fits(round(seconds[i] * RATE_HZ), texts[i])
    ]
    rng = np.random.default_rng(config.seed)
    batches = [b for _ in range(config.train.baseline_epochs) for b in _epoch(rows, seconds, rng)]
    fit_baseline(
        recogniser,
        ([Utterance(corpus[i].samples(), corpus[i].text) for i in batch] for batch in batches),
        steps=len(batches),
        learning_rate=config.train.baseline_learning_rate,
        on_step=on_step,
    )
    recogniser.save(out_dir / "model")
    return {"steps": len(batches), "epochs": config.train.baseline_epochs, **count_rows(corpus, len(rows))}


def fit_baseline(
    recogniser: Recogniser,
    batches: Iterable[list[Utterance]],
    *,
    steps: int,
    learning_rate: float,
    on_step: Callable[[int, int, Mapping[str, float]], None] = store.ignore_progress,
) -> None:
    """Return AdamW on batches of utterances, a tenth of warm-up, then linear to zero; statistics
    stay frozen.

    `batches` are made in another thread, a few ahead of the step that learns from them. `on_step`
    is told each finished step, how many there are, and the `loss` of its batch: as private as the
    batch.
    """
    optimizer = torch.optim.AdamW(recogniser.model.parameters(), lr=learning_rate)
    for step, batch in enumerate(_ahead(batches)):
        warm, left = (step + 1) / max(1, steps // 10), (steps - step) / max(1, steps - steps // 10)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, warm, left)
        optimizer.zero_grad()
        loss = recogniser.losses(batch).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(recogniser.model.parameters(), 10.0)
        optimizer.step()
        on_step(step + 1, steps, {"loss": loss.item()})


def _ahead(batches: Iterable[list[Utterance]]) -> Iterator[list[Utterance]]:
    """The same batches in the same order, the next ones made in a thread while the model learns
    from the last.

    Making them is waiting for the synthesiser's process, decoding and filtering, which all let
    other threads run; a process of its own, as pre-training has, would need batches whose making
    can be pickled.
    """
    left, maker = iter(batches), ThreadPoolExecutor(1)
    try:
        pending = deque(maker.submit(next, left, None) for _ in range(_AHEAD))
        while (batch := pending.popleft().result()) is not None:
            pending.append(maker.submit(next, left, None))
            yield batch
    finally:
        maker.shutdown(cancel_futures=True)


def _epoch(rows: Sequence[int], seconds: Sequence[float], rng: np.random.Generator) -> list[list[int]]:
    """Every row once, in random batches of about a minute; rows of like length together, so little
    is padded.
    """
    # Sorting by a jittered length keeps batches compact, yet different in every epoch.
    order = sorted(rows, key=lambda i: seconds[i] * float(rng.uniform(0.8, 1.25)))
    batches: list[list[int]] = [[]]
    for row in order:
        if (len(batches[-1]) + 1) * seconds[row] > _BATCH_S and batches[-1]:
            batches.append([])
        batches[-1].append(row)
    return [batches[i] for i in rng.permutation(len(batches))]
