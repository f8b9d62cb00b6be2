"""Models that give a recording a label: behind the verbs of a recogniser, whose only word the label
is.

So labels are learned privately, audited and measured by the same code as words. The loss is the
label's negative log-likelihood (cross-entropy), in nats.
"""

import copy
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForAudioClassification, ParakeetForCTC

from speechpriv.errors import ModelError
from speechpriv.models import families
from speechpriv.models.batching import make_unusable, plan_batches
from speechpriv.models.ctc import CtcRecogniser
from speechpriv.models.spelling import normalise
from speechpriv.models.utterance import EncodedUtterance, Utterance

# transformers has no classifier of this family: its CTC model is one, whose output layer gets the
# mean of all frames.
POOLED = "parakeet_ctc"
TASK = "single_label_classification"  # as a config's problem_type says it


@dataclass(frozen=True)
class Classifier:
    """A model with labels and its front end; see `asr.Recogniser`, of which it has all verbs."""

    model: Any
    front_end: Any

    @functools.cached_property
    def labels(self) -> tuple[str, ...]:
        """In the order of the outputs."""
        names = self.model.config.id2label
        return tuple(normalise(names[index]) for index in range(len(names)))

    @property
    def pads(self) -> bool:
        """Whether recordings of unlike length may share a batch."""
        return self._family.pads(self.model.config)

    @property
    def head(self) -> torch.nn.Module:
        """The output layer."""
        head: torch.nn.Module = self.model.ctc_head if self._pooled else self.model.classifier
        return head

    def encode(self, text: str) -> list[int]:
        """Return the index of a label, alone; empty for all other texts."""
        label = normalise(text)
        return [self.labels.index(label)] if label in self.labels else []

    def features(self, waveforms: Sequence[np.ndarray]) -> families.Features:
        """Return the model's input (B, T, ...), and its mask (B, T), True where real."""
        features, mask = self._family.features(self.front_end, waveforms)
        return features.to(self.model.device), mask.to(self.model.device)

    def log_probs_of(self, features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the log-probabilities of the labels, (B, C)."""
        if self._pooled:
            return self._output(self._mean(features, mask))
        masked = {"attention_mask": mask} if self.pads and self.model.config.model_type != "whisper" else {}
        return torch.log_softmax(self.model(features, **masked).logits.float(), -1)

    def log_probs(self, waveforms: Sequence[np.ndarray]) -> torch.Tensor:
        """Return the log-probabilities of the labels, (B, C)."""
        found = [torch.empty(0)] * len(waveforms)
        for batch in plan_batches([len(samples) for samples in waveforms], pads=self.pads):
            rows = self.log_probs_of(*self.features([waveforms[i] for i in batch]))
            for i, row in zip(batch, rows, strict=True):
                found[i] = row
        return torch.stack(found)

    @torch.no_grad()
    def hear(self, utterance: Utterance) -> EncodedUtterance:
        """Return what the output layer gets of a recording, (1, H)."""
        features, mask = self.features([utterance.samples])
        if self._pooled:
            return EncodedUtterance(self._mean(features, mask), utterance.text)
        inputs: list[torch.Tensor] = []
        handle = self.head.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
        try:
            self.log_probs_of(features, mask)
        finally:
            handle.remove()
        return EncodedUtterance(inputs[0].clone(), utterance.text)

    def losses(self, utterances: Sequence[Utterance | EncodedUtterance]) -> torch.Tensor:
        """Return the negative log-likelihood of each recording's label, (B,), in nats; all are of
        one kind.

        Infinite where the text is no label, or the recording too short for a frame.
        """
        found = [make_unusable(self.model)] * len(utterances)
        if heard := [said for said in utterances if isinstance(said, EncodedUtterance)]:
            fitting = [i for i, said in enumerate(heard) if self.encode(said.text)]
            if fitting:
                self._fill(found, fitting, self._output(torch.cat([heard[i].hidden for i in fitting])), utterances)
            return torch.stack(found)
        spoken = [said for said in utterances if isinstance(said, Utterance)]
        fitting = [i for i, said in enumerate(spoken) if self.fits(len(said.samples), said.text)]
        if fitting:
            self._fill(found, fitting, self.log_probs([spoken[i].samples for i in fitting]), utterances)
        return torch.stack(found)

    @torch.inference_mode()
    def phrase_losses(self, samples: np.ndarray, targets: Sequence[Sequence[int]]) -> torch.Tensor:
        """Return the negative log-likelihood of each of some labels, as `encode` gives them, (P,),
        in nats.
        """
        log_probs = self.log_probs([samples])[0]
        return torch.stack([-log_probs[target[0]] if target else log_probs.new_tensor(torch.inf) for target in targets])

    @torch.inference_mode()
    def n_best(self, samples: np.ndarray, width: int) -> list[str]:
        """Return up to `width` labels, the likeliest first."""
        return [self.labels[i] for i in self.log_probs([samples])[0].argsort(descending=True)[:width].tolist()]

    @torch.inference_mode()
    def confidence(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        """Return the log-probability of the likeliest label of each waveform, <= 0."""
        found: np.ndarray = self.log_probs(waveforms).amax(-1).double().cpu().numpy()
        return found

    @torch.inference_mode()
    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[str]:
        """Return the likeliest label of each waveform of shape (N,) at 16 kHz."""
        return [self.labels[int(row.argmax())] for row in self.log_probs(waveforms)] if len(waveforms) else []

    @torch.inference_mode()
    def probabilities(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        """Return the probability of each label, (B, C), for waveforms of shape (N,) at 16 kHz."""
        found: np.ndarray = self.log_probs(waveforms).exp().double().cpu().numpy()
        return found

    def fits(self, samples: int, text: str) -> bool:
        """Return whether the loss of `text` in so many samples is finite."""
        return bool(self.encode(text)) and samples >= _LEAST_SAMPLES

    def save(self, directory: Path) -> None:
        """Write what `asr.load` reads: safetensors, config and front end."""
        self.model.save_pretrained(directory)
        self.front_end.save_pretrained(directory)

    @property
    def _family(self) -> families.Ctc | families.Seq2Seq:
        return families.FAMILIES[self.model.config.model_type]

    @property
    def _pooled(self) -> bool:
        return bool(self.model.config.model_type == POOLED)

    def _mean(self, features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Mean of the encoder's real frames, (B, H); in what is shorter than one, of the first."""
        hidden = self.model.encoder(features, attention_mask=mask).last_hidden_state
        real = CtcRecogniser(self.model, self.front_end, None).family.frames(self.model, mask.sum(-1)).clamp(min=1)
        weights = (torch.arange(hidden.shape[1], device=hidden.device) < real[:, None]).to(hidden) / real[:, None]
        return torch.einsum("bth,bt->bh", hidden, weights)

    def _output(self, hidden: torch.Tensor) -> torch.Tensor:
        """Log-probabilities (B, C) of what the output layer gets, (B, H)."""
        logits = self.head(hidden[:, None])[:, 0] if self._pooled else self.head(hidden)
        return torch.log_softmax(logits.float(), -1)

    def _fill(
        self, found: list[torch.Tensor], fitting: Sequence[int], log_probs: torch.Tensor,
        utterances: Sequence[Utterance | EncodedUtterance],
    ) -> None:  # fmt: skip
        for i, row in zip(fitting, log_probs, strict=True):
            found[i] = -row[self.encode(utterances[i].text)[0]]


_LEAST_SAMPLES = 1_600  # a tenth of a second: in every family some frames


def is_classifier(config: Any) -> bool:
    """Return whether a model's config says that it gives labels."""
    kinds = [str(name) for name in config.architectures or ()]
    named = any(name.endswith(("ForSequenceClassification", "ForAudioClassification")) for name in kinds)
    return named or (config.model_type == POOLED and config.problem_type == TASK)


def make_classifier(recogniser: Any, source: str, labels: Sequence[str]) -> Classifier:
    """Return a classifier on top of a base, its output layer yet to learn.

    Args:
      recogniser: the base, as `asr.load` gives it.
      source: where it was loaded from, for transformers.
      labels: two at least, in the order of the outputs; each a word of its own.

    Raises:
      ModelError: the family has no classifier, or the labels are not as said.
    """
    names = [normalise(label) for label in labels]
    if len(set(names)) != len(names) or len(names) < 2 or not all(names):
        raise ModelError(f"labels: {', '.join(labels)}: expected two at least, each a word of its own.")
    told = {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    config, front_end = copy.deepcopy(recogniser.model.config), recogniser.front_end
    if config.model_type == POOLED:
        config.update({**told, "vocab_size": len(names), "pad_token_id": 0, "problem_type": TASK})
        model = ParakeetForCTC(config)
        model.encoder.load_state_dict(recogniser.model.encoder.state_dict())
        for parameter in model.ctc_head.parameters():
            torch.nn.init.zeros_(parameter)
        return Classifier(model.eval(), front_end)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # where the new layers start is as public as any choice of architecture
            model = AutoModelForAudioClassification.from_pretrained(
                source, use_safetensors=True, num_labels=len(names), **told
            )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{config.model_type}: no classifier can be made of this family ({type(error).__name__}). Expected "
            "tiny-en, wav2vec 2.0, HuBERT, WavLM, Wav2Vec2-BERT or Whisper."
        ) from error
    return Classifier(model.eval(), front_end)
