"""Recognisers: one small adapter around a Hugging Face model, its front end and its tokenizer.

Built so far: conformer-CTC on log-mel (`ParakeetForCTC`), the family of the embedded base model `tiny-en`.
"""

import itertools
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from transformers import AutoConfig, ParakeetFeatureExtractor, ParakeetForCTC, ParakeetTokenizer
from transformers.utils import logging as transformers_logging

from speechpriv.errors import ModelError
from speechpriv.models import frontend

RATE_HZ = 16_000
TINY_EN = Path(__file__).parent.parent / "assets" / "tiny-en"

Trainable = Literal["all", "bias_norm_head", "head"]

_MASK_TOKEN = re.compile(r"\[[A-Z_]+\]")
_NOT_SPOKEN = re.compile(r"[^a-z' ]+")


class Utterance(NamedTuple):
    """What one person said once: float32 samples of shape (N,) at 16 kHz, and the words."""

    samples: np.ndarray
    text: str


class Heard(NamedTuple):
    """An utterance after the encoder: hidden states of shape (T', H) of its real frames, and the words."""

    hidden: torch.Tensor
    text: str


def normalise(text: str) -> str:
    """The words as a recogniser learns them: lower-case a-z and apostrophes; scrubbed slots (`[NAME]`) are gone."""
    spelled = unicodedata.normalize("NFKD", _MASK_TOKEN.sub(" ", text).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    plain = "".join(letter for letter in spelled if not unicodedata.combining(letter))  # "café" is "cafe"
    return " ".join(_NOT_SPOKEN.sub(" ", plain.lower()).split())


@dataclass(frozen=True)
class Recogniser:
    """A CTC recogniser. The model is in evaluation mode: no dropout, frozen batch statistics."""

    model: ParakeetForCTC
    front_end: ParakeetFeatureExtractor
    tokenizer: ParakeetTokenizer

    @property
    def blank(self) -> int:
        """Index of the CTC blank."""
        return int(self.model.config.pad_token_id)

    @property
    def samples_per_frame(self) -> int:
        """Audio samples per output frame: hop x subsampling."""
        return int(self.front_end.hop_length * self.model.config.encoder_config.subsampling_factor)

    def encode(self, text: str) -> list[int]:
        """Token indices of `normalise(text)`; empty for a text with no words left."""
        words = normalise(text)
        return list(self.tokenizer(words, add_special_tokens=False)["input_ids"]) if words else []

    def decode(self, tokens: Sequence[int]) -> str:
        """Words of token indices without blanks or repeats."""
        return str(self.tokenizer.decode(list(tokens), group_tokens=False)).strip()

    def features(self, waveforms: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-mel features (B, T, F), normalised per utterance and band, and their mask (B, T), True where real."""
        features, mask = frontend.log_mel(waveforms, self.front_end.mel_filters)
        return features.to(self.model.device), mask.to(self.model.device)

    def log_probs(self, waveforms: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities (B, T', V) of the output frames, and how many of them are real, (B,)."""
        features, mask = self.features(waveforms)
        return self.log_probs_of(features, mask)

    def log_probs_of(self, features: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As `log_probs`, from features (B, T, F) and their mask (B, T)."""
        hidden, lengths = self._hidden(features, mask)
        return self._output(hidden), lengths

    @torch.no_grad()
    def hear(self, utterance: Utterance) -> Heard:
        """Run the encoder only: once is enough where nothing but the output layer learns."""
        hidden, lengths = self._hidden(*self.features([utterance.samples]))
        return Heard(hidden[0, : int(lengths[0])].clone(), utterance.text)

    def losses(self, utterances: Sequence[Utterance | Heard]) -> torch.Tensor:
        """CTC negative log-likelihood of each utterance, shape (B,), in nats; all are of one kind.

        Infinite where the words cannot fit the audio (Graves et al. 2006): more tokens than frames.
        """
        if hidden := [heard.hidden for heard in utterances if isinstance(heard, Heard)]:
            log_probs = self._output(torch.nn.utils.rnn.pad_sequence(hidden, batch_first=True))
            lengths = torch.tensor([len(states) for states in hidden])
        else:
            log_probs, lengths = self.log_probs([said.samples for said in utterances if isinstance(said, Utterance)])
        return ctc_losses(log_probs, lengths, [self.encode(text) for _, text in utterances], self.blank)

    @torch.inference_mode()
    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[str]:
        """Greedy words of each waveform."""
        log_probs, lengths = self.log_probs(waveforms)
        best = log_probs.argmax(-1).cpu()
        return [self._collapse(row[:length]) for row, length in zip(best, lengths.tolist(), strict=True)]

    def fits(self, samples: int, text: str) -> bool:
        """Whether a CTC path exists for `text` in so many audio samples: frames >= tokens + adjacent repeats."""
        tokens = self.encode(text)
        repeats = sum(a == b for a, b in itertools.pairwise(tokens))
        return len(tokens) + repeats <= self._frames(frontend.frames(samples))

    def save(self, directory: Path) -> None:
        """Write what `load` reads: safetensors, config, front end and tokenizer."""
        self.model.save_pretrained(directory)
        self.front_end.save_pretrained(directory)
        self.tokenizer.save_pretrained(directory)

    def _hidden(self, features: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Encoder states (B, T', H) and how many of each are real, (B,)."""
        hidden = self.model.encoder(input_features=features, attention_mask=mask).last_hidden_state
        return hidden, self._frames(mask.sum(-1))

    def _output(self, hidden: torch.Tensor) -> torch.Tensor:
        return torch.log_softmax(self.model.ctc_head(hidden).float(), dim=-1)

    def _frames(self, mel_frames: Any) -> Any:
        """Output frames that are read: whole ones only, as sherpa-onnx does, so that training ends words by then."""
        return mel_frames // self.model.config.encoder_config.subsampling_factor

    def _collapse(self, path: torch.Tensor) -> str:
        tokens = [int(token) for token in torch.unique_consecutive(path) if token != self.blank]
        return self.decode(tokens)


def ctc_losses(
    log_probs: torch.Tensor, lengths: torch.Tensor, targets: Sequence[Sequence[int]], blank: int
) -> torch.Tensor:
    """CTC negative log-likelihood (B,) in nats of token lists under log-probabilities (B, T, V)."""
    flat = torch.tensor([token for tokens in targets for token in tokens], dtype=torch.long, device=log_probs.device)
    counts = torch.tensor([len(tokens) for tokens in targets], dtype=torch.long)
    losses = torch.nn.functional.ctc_loss(
        log_probs.transpose(0, 1), flat, lengths.long().cpu(), counts, blank=blank, reduction="none"
    )
    # Without a single frame torch gives an infinite loss, but the gradient 0. It is to be as unusable as every
    # other infinite loss, so that a unit that holds it is left out and counted.
    unheard = torch.where(lengths == 0, math.inf, 0.0).to(log_probs)
    return losses - unheard * log_probs.sum((1, 2))


def load(name_or_path: str, device: str = "cpu") -> Recogniser:
    """Load a recogniser.

    Args:
      name_or_path: `tiny-en` (embedded), a directory that `Recogniser.save` or a bundle wrote, or a hub id.
      device: where the model lives, as torch names it.

    Raises:
      ModelError: nothing is there, or the family is not one that is built.
    """
    source = str(TINY_EN) if name_or_path == "tiny-en" else name_or_path
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        family = AutoConfig.from_pretrained(source).model_type
        if family != "parakeet_ctc":
            raise ModelError(f"{name_or_path}: family {family!r} is not supported yet; expected 'parakeet_ctc'.")
        # safetensors only: a pickled checkpoint can run code when it is opened.
        model, found = ParakeetForCTC.from_pretrained(
            source, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
        if found["missing_keys"]:  # transformers would leave them random and only warn
            raise ModelError(
                f"{name_or_path}: {len(found['missing_keys'])} weights are missing; expected a whole model."
            )
        front_end = ParakeetFeatureExtractor.from_pretrained(source)
        tokenizer = ParakeetTokenizer.from_pretrained(source)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"{name_or_path}: no recogniser could be loaded ({type(error).__name__}: {error}). Expected 'tiny-en', "
            "a directory with config.json, model.safetensors, tokenizer.json and preprocessor_config.json, or a hub id."
        ) from error
    finally:
        transformers_logging.set_verbosity(verbosity)
    return Recogniser(model.to(device).eval(), front_end, tokenizer)


def trainable_names(recogniser: Recogniser, which: Trainable) -> list[str]:
    """Names of the parameters that `which` trains: every one, biases + norms + output layer, or the output layer."""

    def chosen(name: str) -> bool:
        head = name.startswith("ctc_head")
        return which == "all" or head or (which == "bias_norm_head" and ("norm" in name or "bias" in name))

    return [name for name, _ in recogniser.model.named_parameters() if chosen(name)]
