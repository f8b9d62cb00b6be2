"""The private training stage: the only place where sampling, clipping, noise, accounting and ledger
meet.

    repeat for T steps:
      cohort = every unit independently with probability q
      total  = sum of clipped unit gradients, rounded to a grid, + N(0, (sigma C)^2 I) on that grid
      step(total / expected cohort)

Resume is replay: cohort, utterances and noise derive from a key and the step number, so a killed
run taken up again ends in the same weights and spends nothing twice.
"""

import functools
import hmac
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from speechpriv import corpus as corpora
from speechpriv import store
from speechpriv.claim import Claim, OtherRelease, UtteranceLevel, not_covered
from speechpriv.config import PrivacyConfig, TrainConfig
from speechpriv.data import lineage
from speechpriv.errors import ModelError
from speechpriv.models import asr, evaluate, proof, trainable
from speechpriv.models.asr import EncodedUtterance, Recogniser, Utterance
from speechpriv.models.evaluate import Spoken
from speechpriv.sections import Section
from speechpriv.train import (
    accounting,
    checkpoint,
    clipping,
    comparison,
    groups,
    noise,
    phrasebook,
    releases,
    sampling,
)
from speechpriv.train import place as places
from speechpriv.train.ledger import Ledger, RunSummary
from speechpriv.train.recordings import Recordings

_CHECKPOINT = ".checkpoint.pt"  # scratch: gone once all else is on the disk
_OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": functools.partial(torch.optim.AdamW, weight_decay=0.0), "sgd": torch.optim.SGD,
}  # fmt: skip


class FinetuneConfig(Section):
    """What the weights and the guarantee depend on."""

    privacy: PrivacyConfig
    train: TrainConfig


@releases.tell_what_is_left
@store.stage(version=3, resumable=True)
def run(
    config: FinetuneConfig,
    inputs: Mapping[str, Path],
    out_dir: Path,
    *,
    key: bytes,
    ledger: Path,
    device: str = "cpu",
    checkpoint_every: int = 10,
    batch_s: float = 60.0,
    public: Callable[[], Sequence[Spoken]] = tuple,
    on_step: Callable[[int, int, Mapping[str, Any]], None] = store.ignore_progress,
) -> dict[str, Any]:
    """Return fine-tune with user-level differential privacy.

    Writes `model/`, `claim.json`, `public.json` (epsilon and, on public speech, WER by step) and,
    for private eyes, `history.json`.

    Args:
      config: see `FinetuneConfig`.
      inputs: `corpus`, a corpus directory whose train split is learned from; `start`, a rehearsal
        on phrases that were published of it: its model goes on learning here, and what was
        published counts towards epsilon; or `base`, a stage whose model is learned from instead of
        `train.base`.
      out_dir: the stage directory.
      key: the run key; stays in `private/` and is destroyed when training ends.
      ledger: the ledger file of the corpus's lineage.
      device: where the model lives. A killed run goes on only where it began, see place.py.
      checkpoint_every: steps between checkpoints; changes nothing but the time a killed run loses.
      batch_s: seconds of audio in one pass, at most; changes nothing but time, memory and how sums
        are rounded.
      public: speech of nobody whose recordings these are, samples at 16 kHz and words each; what it
        is heard as on the way tells no more than the weights do. It changes nothing else.
      on_step: told each finished step, how many there are, and what was seen: `epsilon`, at most,
        is public, what `history.json` holds is not.

    Raises:
      BudgetError: the run would exceed the corpus's budget, or have no finite epsilon with what
        else was released; no step was taken.
      LedgerError: the ledger is damaged, or holds runs that protect another kind of unit.
      ModelError: two accountants disagree or the base cannot spell the transcripts (no step was
        taken), or the weights ended up not finite.
    """
    privacy, corpus = config.privacy, corpora.read(inputs["corpus"])
    phrases = phrasebook.read_published(inputs["start"]) if "start" in inputs else None
    sigma = releases.training_noise(privacy, _events(phrases))
    event = accounting.event_to_json(releases.training_event(privacy, sigma, privacy.steps))
    _check_accountants(privacy, sigma, event, phrases)
    begun = inputs.get("start") or inputs.get("base")
    recogniser = asr.load(str(begun / "model") if begun else config.train.base, device)
    if isinstance(recogniser, asr.CtcRecogniser | asr.Seq2SeqRecogniser):
        table = corpus.table.select_columns(["split", "text"])
        texts = (row["text"] for row in table if row["split"] == "train")
        proof.check_texts(recogniser, texts, config.train.base)
    place = places.describe_place(device, batch_s=batch_s)
    key = releases.key_for(key, (out_dir / store.IDENTITY).read_bytes(), corpus, _weights(recogniser), place=place)
    run_id = releases.run_id(key)
    own = {run_id, *([phrases.run_id] if phrases else [])}
    with Ledger(ledger) as book:
        releases.list_others(book, own, privacy)
        if phrases:
            releases.check_recorded(book, phrases.run_id, phrases.event)
        places.say_if_moved(out_dir, place)
        releases.reserve_release(book, run_id, event, privacy, out_dir)
        places.keep_place(out_dir, place)
        recordings = Recordings(corpus, recogniser, hear=plan_encoding(config.train, recogniser))
        plan = _Plan(config, sigma, key, recordings.units(), recordings, public(), batch_s)
        training = _Training(recogniser, plan, out_dir / _CHECKPOINT, run_id)
        by_step = _epsilon_by_step(privacy, sigma, phrases)
        for step in range(training.done, privacy.steps):
            book.record_step(run_id, step)
            training.step(step)
            if (step + 1) % checkpoint_every == 0 or step + 1 == privacy.steps:
                training.save()
            at_most = next(epsilon for after, epsilon in by_step if after > step)
            on_step(step + 1, privacy.steps, {"epsilon": at_most, **training.history[-1]})
        training.finish()
        book.close_run(run_id)
        recorded = {"ledger_head": book.head(), "not_covered": not_covered(lineage.stated_apart(ledger))}
        claim = _claim(privacy, sigma, event, phrases, releases.list_others(book, own, privacy), recorded)
        seen = {"epsilon_by_step": by_step, "wer_by_step": training.heard, "budget": releases.state_budget(book)}
    recogniser.save(out_dir / "model")
    (out_dir / "claim.json").write_text(claim.to_json() + "\n")
    store.write_json(out_dir / "public.json", seen)
    store.write_json(out_dir / "history.json", training.history)
    spent = {"epsilon": claim.epsilon, "delta": claim.delta, "noise_multiplier": sigma, "steps": privacy.steps}
    return spent | recordings.counts()


@dataclass(frozen=True)
class _Plan:
    """What every step reads and none changes."""

    config: FinetuneConfig
    sigma: float
    key: bytes
    units: dict[str, list[int]]  # rows of each unit
    recordings: Recordings
    public: Sequence[Spoken] = ()
    batch_s: float = 60.0

    def members(self, step: int) -> Iterator[list[Utterance | EncodedUtterance]]:
        """The cohort of a step: units with some of their utterances, or single utterances."""
        privacy = self.config.privacy
        if privacy.sampling == "utterances":
            records = self._chosen_once
            for record in sampling.draw_cohort(self.key, step, len(records), privacy.sampling_rate):
                yield [self.recordings.read(records[record])]
            return
        units = list(self.units)
        for unit in sampling.draw_cohort(self.key, step, len(units), privacy.sampling_rate):
            yield [self.recordings.read(row) for row in self._chosen(units[unit], step)]

    @functools.cached_property
    def _chosen_once(self) -> list[int]:
        return [row for unit in self.units for row in self._chosen(unit, None)]

    def _chosen(self, unit: str, step: int | None) -> list[int]:
        """Rows of a unit under its caps."""
        rows, privacy = self.units[unit], self.config.privacy
        most_s = privacy.cap_seconds_per_unit or math.inf
        lengths_s = self.recordings.seconds(rows)
        return [
            rows[i] for i in sampling.choose_utterances(self.key, unit, lengths_s, privacy.cap_per_unit, most_s, step)
        ]


class _Training:
    """The weights on their way: parameters, optimizer, running average, and what was seen (for
    private eyes).
    """

    def __init__(self, recogniser: Recogniser, plan: _Plan, path: Path, run_id: str) -> None:
        train = plan.config.train
        # Where adapters start is as public as any choice of architecture; the seed is fixed so that
        # resuming is replay.
        chosen = trainable.choose_trainable(recogniser, train.trainable, lora_rank=train.lora_rank)
        if train.dropout == "family":
            recogniser.model.train()
        self.parameters = {name: recogniser.model.get_parameter(name) for name in chosen}
        self.recogniser, self.plan, self.path, self.run_id = recogniser, plan, path, run_id
        self.optimizer = _OPTIMIZERS[train.optimizer](self.parameters.values(), lr=train.learning_rate)
        self.average = {name: torch.zeros_like(p) for name, p in self.parameters.items()}
        self.history: list[dict[str, Any]] = []
        self.heard: list[tuple[int, float]] = []  # steps and WER on public speech
        self.done = 0
        # A checkpoint under another key belongs to another run: this one starts over.
        if (state := checkpoint.load(path)) is not None and state["run_id"] == run_id:
            with torch.no_grad():
                for name, parameter in self.parameters.items():
                    parameter.copy_(state["weights"][name])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average, self.history, self.done = state["average"], state["history"], state["done"]
            self.heard = state["heard"]
        self._hear_public()

    def step(self, step: int) -> None:
        """One step of private training, see the head of this file."""
        privacy, train = self.plan.config.privacy, self.plan.config.train
        norms: list[float] = []
        total = clipping.clipped_sum(
            self.recogniser, self.plan.members(step), privacy.clip_norm,
            precision=train.precision, seed=hmac.digest(self.plan.key, f"dropout {step}".encode(), "sha256"),
            batch_s=self.plan.batch_s, observe=norms.append,
        )  # fmt: skip
        noised = noise.add_noise(
            total, self.plan.key, step, clip_norm=privacy.clip_norm, noise_multiplier=self.plan.sigma,
            rounding=privacy.cohort * clipping.ROUNDING,
        )  # fmt: skip
        for name, parameter in self.parameters.items():
            parameter.grad = noised[name] / privacy.cohort
        self.optimizer.step()
        # The last step always counts.
        if step >= (first := min(int(train.average_from * privacy.steps), privacy.steps - 1)):
            for name, parameter in self.parameters.items():
                self.average[name].lerp_(parameter.detach(), 1 / (step - first + 1))
        usable = [norm for norm in norms if np.isfinite(norm)]
        self.history.append({
            "step": step, "cohort": len(norms), "median_norm": float(np.median(usable)) if usable else None,
            "clipped": sum(norm > privacy.clip_norm for norm in usable), "unusable": len(norms) - len(usable),
        })  # fmt: skip
        self.done = step + 1
        self._hear_public()

    def _hear_public(self) -> None:
        """Before the first step and after about ten of them: the WER of the weights as they are,
        not yet averaged.
        """
        steps, model, said = self.plan.config.privacy.steps, self.recogniser.model, self.plan.public
        if said and self.done in {round(steps * part / 10) for part in range(11)} - {step for step, _ in self.heard}:
            learning = model.training
            model.eval()
            self.heard.append((self.done, evaluate.word_error_rate(self.recogniser, said)))
            model.train(learning)

    def save(self) -> None:
        """Write the checkpoint."""
        checkpoint.save(self.path, {
            "run_id": self.run_id, "done": self.done, "history": self.history, "heard": self.heard,
            "weights": self.parameters, "average": self.average, "optimizer": self.optimizer.state_dict(),
        })  # fmt: skip

    @torch.no_grad()
    def finish(self) -> None:
        """Put the averaged weights in the model: post-processing, it costs nothing (De et al. 2022,
        2204.13650).
        """
        for name, parameter in self.parameters.items():
            parameter.copy_(self.average[name])
        if not all(torch.isfinite(p).all() for p in self.parameters.values()):
            raise ModelError("private training ended in weights that are not finite. Lower train.learning_rate.")
        trainable.merge_adapters(self.recogniser)
        self.recogniser.model.eval()


def plan_encoding(train: TrainConfig, recogniser: Recogniser) -> Callable[[Utterance], EncodedUtterance] | None:
    """Return how to run what never changes once for each utterance, see `trainable.plan_encoding`;
    never where it is random.
    """
    return trainable.plan_encoding(recogniser, train.trainable) if train.dropout == "none" else None


def _epsilon_by_step(
    privacy: PrivacyConfig, sigma: float, phrases: phrasebook.Published | None
) -> list[tuple[int, float]]:
    """Epsilon after each of about twenty steps, for people to see; before the first, that of the
    phrases.
    """
    steps = sorted({max(1, round(privacy.steps * part / 20)) for part in range(1, 21)})
    before = _events(phrases)
    spent = [(step, (*before, releases.training_event(privacy, sigma, step))) for step in steps]
    spent = [(0, before), *spent] if before else spent
    return [(step, accounting.epsilon_of(events, privacy.delta)) for step, events in spent]


def _events(phrases: phrasebook.Published | None) -> tuple[accounting.Event, ...]:
    return (accounting.event_from_json(phrases.event),) if phrases else ()


def _check_accountants(privacy: PrivacyConfig, sigma: float, event: str, phrases: phrasebook.Published | None) -> None:
    """Two accountants that share no code must agree before anything is spent."""
    before = _events(phrases)
    ours = accounting.epsilon_of([*before, accounting.event_from_json(event)], privacy.delta)
    slip, mu = (before[0].slip, 1 / before[0].noise_multiplier) if before and before[0] else (0.0, 0.0)
    theirs = accounting.second_opinion(
        sampling_rate=privacy.sampling_rate, noise_multiplier=sigma, steps=privacy.steps, delta=privacy.delta - slip,
        records=privacy.records_per_unit, beside=mu,
    )  # fmt: skip
    # PRV's upper bound lies 0.01 above its estimate, whatever epsilon is.
    if not abs(theirs - ours) <= 0.02 + 0.01 * ours:
        raise ModelError(f"two accountants disagree: epsilon {ours:.4g} (PLD) and {theirs:.4g} (PRV). Report this.")


def _weights(recogniser: Recogniser) -> Iterator[bytes]:
    """Names and values of all weights."""
    for name, weights in recogniser.model.state_dict().items():
        yield name.encode()
        yield weights.cpu().reshape(-1).view(torch.uint8).numpy().tobytes()


def _claim(
    privacy: PrivacyConfig,
    sigma: float,
    event: str,
    phrases: phrasebook.Published | None,
    others: Sequence[RunSummary],
    recorded: Mapping[str, Any],
) -> Claim:
    """What is guaranteed, for whom, and beside which other releases."""
    own = [event, *([phrases.event] if phrases else [])]
    mechanism = tuple(accounting.event_from_json(one) for one in own)
    return Claim(
        event=event, phrases=phrases.event if phrases else None,
        epsilon=accounting.epsilon_of(mechanism, privacy.delta), delta=privacy.delta,
        mu_gdp=accounting.mu_gdp(mechanism), max_tpr_at_1_percent_fpr=accounting.max_true_positive_rate(mechanism),
        unit=privacy.unit_name, cap_per_unit=privacy.cap_per_unit, sampling=privacy.sampling,
        sampling_rate=privacy.sampling_rate, noise_multiplier=sigma, clip_norm=privacy.clip_norm,
        normalisation=privacy.cohort, steps=privacy.steps, units=privacy.units,
        other_releases=tuple(
            OtherRelease(run_id=run.run_id, epsilon=releases.compose_epsilon([run.event_json], privacy.delta))
            for run in others
        ),
        composed_epsilon=releases.compose_epsilon([*own, *(run.event_json for run in others)], privacy.delta),
        utterance_level=_utterance_level(privacy, sigma),
        groups=groups.state_group_privacy(mechanism, privacy.delta, phrases.cap if phrases else 1),
        **recorded,
    )  # fmt: skip


def _utterance_level(privacy: PrivacyConfig, sigma: float) -> tuple[UtteranceLevel, ...]:
    """What an epsilon per utterance would have said of this noise, and hidden."""
    if privacy.unit_name == "utterance":
        return ()
    found = comparison.utterance_level(
        sampling_rate=privacy.sampling_rate, noise_multiplier=sigma, steps=privacy.steps, delta=privacy.delta
    )
    return tuple(UtteranceLevel(utterances=count, epsilon=epsilon) for count, epsilon in found if epsilon < math.inf)
