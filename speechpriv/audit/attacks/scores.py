"""Scores: how much better a model knows phrases than the base model does that it was made from;
lower is better known.

Two designs say what a phrase is compared with. *Own recordings*: each reference is another phrase
in its own recording (`score_phrases`). *Candidates*: one recording, its secret masked, against many
phrases that might have been said there (`score_candidates`); the audio is encoded once, whatever
their number.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from speechpriv import store
from speechpriv.corpus import Corpus
from speechpriv.errors import AuditError
from speechpriv.models import asr
from speechpriv.models.asr import Recogniser, Utterance

Measure = Literal["loss", "character_error_rate"]
Fill = Literal["silence", "noise"]

_BATCH = 16


def score_phrases(
    models: Mapping[str, str],
    base: str,
    phrases: Corpus,
    *,
    measure: Measure = "loss",
    device: str = "cpu",
    on_model: Callable[[str], None] = store.ignore_progress,
) -> dict[str, np.ndarray]:
    """Score what each model makes of every phrase in its own recording, minus what the base model
    makes of it.

    Args:
      models: what `asr.load` reads, by name.
      base: the model before training.
      phrases: P recordings with their phrases.
      measure: `loss` in nats, or the `character_error_rate` of the greedy text, which shows what a
        stranger reads.
      device: where models live.
      on_model: told each model's name when it is done.

    Returns:
      Shape (P,) for each model; lower is better known.

    Raises:
      AuditError: a phrase cannot be scored.
    """
    measured = compute_losses if measure == "loss" else compute_error_rates
    return _above_base(lambda model, name: measured(model, phrases, name), models, base, device, on_model)


def score_candidates(
    models: Mapping[str, str],
    base: str,
    recordings: Sequence[np.ndarray],
    candidates: Sequence[Sequence[str]],
    *,
    measure: Measure = "loss",
    device: str = "cpu",
    on_model: Callable[[str], None] = store.ignore_progress,
) -> dict[str, np.ndarray]:
    """As `score_phrases`, of many candidate phrases in each of some recordings.

    Args:
      models: what `asr.load` reads, by name.
      base: the model before training.
      recordings: C of them, samples at 16 kHz, with the secret masked (see `mask_span`).
      candidates: for each recording P phrases, the true one among them; `[phrases] * C` if they are
        the same. Each must fit (`Recogniser.fits`): draw them so, before the coins fall.
      measure: as for `score_phrases`.
      device: where models live.
      on_model: told each model's name when it is done.

    Returns:
      Shape (C, P) for each model.

    Raises:
      AuditError: a phrase cannot be scored, or recordings and candidates do not match.
    """
    measured = compute_candidate_losses if measure == "loss" else compute_candidate_error_rates
    return _above_base(
        lambda model, name: measured(model, recordings, candidates, name), models, base, device, on_model
    )


@torch.inference_mode()
def compute_losses(recogniser: Recogniser, phrases: Corpus, name: str) -> np.ndarray:
    """Compute the negative log-likelihood in nats of every phrase in its own recording, shape
    (len(phrases),).

    Raises:
      AuditError: a phrase cannot be scored by this model, which is called `name` in the message.
    """

    def of(rows: Sequence[Utterance]) -> np.ndarray:
        return recogniser.losses(rows).cpu().numpy()

    return check_finite(_in_batches(of, phrases), name)


def compute_error_rates(recogniser: Recogniser, phrases: Corpus, name: str) -> np.ndarray:
    """Compute the character error rate of the greedy text of every phrase's own recording, shape
    (len(phrases),); may exceed 1.

    Raises:
      AuditError: a phrase has no letters, or the model, called `name` in the message, has no finite
        loss for it: such a model writes nothing, which must not pass for knowing nothing.
    """
    compute_losses(recogniser, phrases, name)

    def of(rows: Sequence[Utterance]) -> np.ndarray:
        written = recogniser.transcribe([row.samples for row in rows])
        return np.array([_error_rates(text, [row.text])[0] for text, row in zip(written, rows, strict=True)])

    return _in_batches(of, phrases)


def compute_candidate_losses(
    recogniser: Recogniser, recordings: Sequence[np.ndarray], candidates: Sequence[Sequence[str]], name: str
) -> np.ndarray:
    """Compute the negative log-likelihood in nats of every candidate in its recording, shape (C,
    P); see `score_candidates`.

    Raises:
      AuditError: as `score_candidates`; the model is called `name` in the message.
    """
    _check_match(recordings, candidates)
    encode = functools.cache(recogniser.encode)  # candidates come again with other recordings
    rows = [
        recogniser.phrase_losses(samples, [encode(phrase) for phrase in phrases]).cpu().numpy()
        for samples, phrases in zip(recordings, candidates, strict=True)
    ]
    return check_finite(np.stack(rows).astype(np.float64), name)


def compute_candidate_error_rates(
    recogniser: Recogniser, recordings: Sequence[np.ndarray], candidates: Sequence[Sequence[str]], name: str
) -> np.ndarray:
    """Compute the character error rate of each recording's greedy text against its candidates, (C,
    P); see `score_candidates`.

    Raises:
      AuditError: as `score_candidates`; the model is called `name` in the message.
    """
    _check_match(recordings, candidates)
    compute_candidate_losses(recogniser, recordings, [phrases[:1] for phrases in candidates], name)
    written = [recogniser.transcribe([samples])[0] for samples in recordings]
    return np.stack([_error_rates(text, phrases) for text, phrases in zip(written, candidates, strict=True)])


def mask_span(samples: np.ndarray, start: int, end: int, fill: Fill, rng: np.random.Generator) -> np.ndarray:
    """Return a copy of `samples`, shape (N,), with those from `start` to `end` replaced.

    Args:
      samples: float32 at 16 kHz.
      start: first sample of the secret.
      end: first sample after it.
      fill: `silence`, or white `noise` as loud as the recording.
      rng: draws the noise.

    Raises:
      AuditError: the span is not in the recording.
    """
    if not 0 <= start <= end <= len(samples):
        raise AuditError(f"mask: samples {start} to {end} of {len(samples)}; expected a span in the recording.")
    found = samples.copy()
    found[start:end] = 0 if fill == "silence" else rng.normal(0, np.sqrt(np.mean(samples**2)), end - start)
    return found


def check_finite(values: np.ndarray, name: str, what: str = "canary phrases") -> np.ndarray:
    """Return losses of any shape, of `what`, each a finite number.

    Raises:
      AuditError: one is not; the model is called `name` in the message.
    """
    if wrong := int(np.count_nonzero(~np.isfinite(values))):
        raise AuditError(
            f"the {name} model: {wrong} of {values.size} {what} have no finite loss: they do not fit their "
            "audio, or the weights are broken. Use fewer words a phrase, or check the model."
        )
    return values


def _above_base(
    measured: Callable[[Recogniser, str], np.ndarray],
    models: Mapping[str, str],
    base: str,
    device: str,
    on_model: Callable[[str], None],
) -> dict[str, np.ndarray]:
    known = measured(asr.load(base, device), "base")
    found = {}
    for name, source in models.items():
        found[name] = measured(asr.load(source, device), name) - known
        on_model(name)
    return found


def _in_batches(of: Callable[[Sequence[Utterance]], np.ndarray], phrases: Corpus) -> np.ndarray:
    """One number a phrase; those of like length are run together."""
    if not len(phrases):
        raise AuditError("no phrase is there to be scored; expected at least one. Make the canaries again.")
    order = np.argsort(phrases.table["seconds"])
    found = np.empty(len(order))
    for start in range(0, len(order), _BATCH):
        batch = order[start : start + _BATCH]
        rows = [phrases[int(i)] for i in batch]
        found[batch] = of([Utterance(row.samples(), row.text) for row in rows])
    return found


def _error_rates(written: str, phrases: Sequence[str]) -> np.ndarray:
    """Edits per character of each phrase, shape (P,)."""
    wanted = [asr.normalise(phrase) for phrase in phrases]
    if not all(wanted):
        raise AuditError(f"{wanted.count('')} of {len(wanted)} phrases have no letters; expected words.")
    edits = process.cdist([written], wanted, scorer=Levenshtein.distance)[0]
    return edits / np.array([len(phrase) for phrase in wanted])


def _check_match(recordings: Sequence[np.ndarray], candidates: Sequence[Sequence[str]]) -> None:
    sizes = {len(phrases) for phrases in candidates}
    if len(recordings) != len(candidates) or len(sizes) != 1 or sizes == {0}:
        raise AuditError(
            f"{len(recordings)} recordings and {len(candidates)} lists of {sorted(sizes)} candidates; expected a list "
            "for each recording, all of one length."
        )
