"""Recognisers that write token by token: an encoder, and a decoder that attends to it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from speechpriv.audio import RATE_HZ
from speechpriv.models import families
from speechpriv.models.batching import make_unusable, plan_batches, split_passes
from speechpriv.models.spelling import normalise
from speechpriv.models.utterance import EncodedUtterance, Utterance

_IGNORED = -100
_LEAST_SAMPLES = RATE_HZ // 20  # a few frames, which every front end needs
_PASS = 1_024  # tokens decoded at once
_STRETCH = 1.5
_TOKENS_PER_S = 12  # more than anyone speaks; bounds what a decoder that does not end may write


@dataclass(frozen=True)
class Seq2SeqRecogniser:
    """A model of an encoder-decoder family, its front end and its tokenizer; see `asr.Recogniser`."""

    model: Any
    front_end: Any
    tokenizer: Any

    @property
    def family(self) -> families.Seq2Seq:
        """What sets this family apart."""
        found = families.FAMILIES[self.model.config.model_type]
        if not isinstance(found, families.Seq2Seq):
            raise TypeError(f"{self.model.config.model_type} is not an encoder-decoder family")
        return found

    @property
    def pads(self) -> bool:
        """Whether utterances of unlike length may share a batch."""
        return self.family.pads(self.model.config)

    @property
    def head(self) -> torch.nn.Module:
        """The output layer; in some families its weights are the decoder's embeddings too."""
        head: torch.nn.Module = self.model.get_output_embeddings()
        return head

    def encode(self, text: str) -> list[int]:
        """Return the token indices of `normalise(text)` as the decoder is to write them, with the
        end of sequence.
        """
        words = normalise(text)
        if not words:
            return []
        tokens = list(self.tokenizer(words)["input_ids"])
        start, end = self.model.config.decoder_start_token_id, self.model.config.eos_token_id
        if tokens[0] == start:
            tokens = tokens[1:]
        return tokens if tokens[-1] == end else [*tokens, end]

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the normalised words of token indices."""
        return normalise(self.tokenizer.decode(list(tokens), skip_special_tokens=True))

    def losses(self, utterances: Sequence[Utterance | EncodedUtterance]) -> torch.Tensor:
        """Return the teacher-forced negative log-likelihood of each utterance's tokens, shape (B,),
        in nats; all are of one kind.

        Infinite where there are no words, or more than the decoder or the front end can take.
        """
        if hidden := [heard.hidden for heard in utterances if isinstance(heard, EncodedUtterance)]:
            states = torch.nn.utils.rnn.pad_sequence(hidden, batch_first=True)
            return self._losses(states, [self.encode(said.text) for said in utterances])
        spoken = [said for said in utterances if isinstance(said, Utterance)]
        found = [make_unusable(self.model)] * len(spoken)
        fitting = [i for i, said in enumerate(spoken) if self.fits(len(said.samples), said.text)]
        for batch in plan_batches([len(spoken[i].samples) for i in fitting], pads=self.pads):
            part = [spoken[fitting[i]] for i in batch]
            targets = [self.encode(said.text) for said in part]
            losses = self._losses(self._hidden([said.samples for said in part], targets), targets)
            for i, loss in zip(batch, losses, strict=True):
                found[fitting[i]] = loss
        return torch.stack(found)

    @torch.no_grad()
    def hear(self, utterance: Utterance) -> EncodedUtterance:
        """Run all but the output layer: once is enough where nothing else learns and nothing is
        tied to it.
        """
        return EncodedUtterance(self._hidden([utterance.samples], [self.encode(utterance.text)])[0], utterance.text)

    @torch.inference_mode()
    def phrase_losses(self, samples: np.ndarray, targets: Sequence[Sequence[int]]) -> torch.Tensor:
        """Return the teacher-forced negative log-likelihood of each of many token lists, (P,), in
        nats; the audio is encoded once.

        Infinite for an empty list, and where `fits` says no.
        """
        losses = torch.full((len(targets),), math.inf, device=self.model.device)
        fitting = [i for i, tokens in enumerate(targets) if self._takes(len(samples), len(tokens))]
        if not fitting:
            return losses
        features, mask = self._features([samples])
        heard = self.model.get_encoder()(features, attention_mask=mask)
        for part in split_passes([len(targets[i]) for i in fitting], _PASS, stretch=_STRETCH):
            chosen = [fitting[i] for i in part]
            tokens = [targets[i] for i in chosen]
            states = {name: value.expand(len(tokens), *value.shape[1:]) for name, value in heard.items()}
            hidden = self._decoded(tokens, mask.expand(len(tokens), -1), encoder_outputs=type(heard)(**states))
            losses[chosen] = self._losses(hidden, tokens)
        return losses

    @torch.inference_mode()
    def n_best(self, samples: np.ndarray, width: int) -> list[str]:
        """Return up to `width` texts, the likeliest first, by beam search."""
        if len(samples) < _LEAST_SAMPLES:
            return [""]
        written = self._generated([samples], num_beams=width, num_return_sequences=width)
        return [self.decode(tokens) for tokens in written]

    @torch.inference_mode()
    def confidence(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        """Return the mean log-probability of the likeliest token at each place of a greedy text, <=
        0; NaN if too short.
        """
        return np.array([self._confidence(samples) for samples in waveforms])

    def _confidence(self, samples: np.ndarray) -> float:
        if len(samples) < _LEAST_SAMPLES:
            return math.nan
        target = self.encode(self.transcribe([samples])[0]) or [self.model.config.eos_token_id]
        hidden = self._hidden([samples], [target[: self._most_tokens()]])
        return float(torch.log_softmax(self.head(hidden).float(), -1).amax(-1).mean())

    @torch.inference_mode()
    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[str]:
        """Return greedy words of each waveform, normalised."""
        found = [""] * len(waveforms)
        heard = [i for i, samples in enumerate(waveforms) if len(samples) >= _LEAST_SAMPLES]
        for batch in plan_batches([len(waveforms[i]) for i in heard], pads=self.pads):
            part = [waveforms[heard[i]] for i in batch]
            for i, samples, tokens in zip(batch, part, self._generated(part, num_beams=1), strict=True):
                found[heard[i]] = self.decode(tokens[: self._most_written(len(samples))])
        return found

    def fits(self, samples: int, text: str) -> bool:
        """Return whether there are words, and the front end and the decoder can take them whole."""
        return self._takes(samples, len(self.encode(text)))

    def save(self, directory: Path) -> None:
        """Write what `asr.load` reads: safetensors, config, front end and tokenizer."""
        for part in (self.model, self.front_end, self.tokenizer):
            part.save_pretrained(directory)

    def _features(self, waveforms: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.autocast("cpu", enabled=False):  # features are made there, and in full
            features, mask = self.family.features(self.front_end, waveforms)
        return features.to(self.model.device), mask.to(self.model.device)

    def _hidden(self, waveforms: Sequence[np.ndarray], targets: Sequence[Sequence[int]]) -> torch.Tensor:
        """The decoder's last states (B, L, H), each token known when the next is to be written."""
        features, mask = self._features(waveforms)
        return self._decoded(targets, mask, features)

    def _decoded(self, targets: Sequence[Sequence[int]], mask: torch.Tensor, *features: Any, **encoded: Any) -> Any:
        """As `_hidden`, from features or what the encoder made of them."""
        start, padding = self.model.config.decoder_start_token_id, self.model.config.pad_token_id
        written = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor([start, *target[:-1]], device=mask.device) for target in targets],
            batch_first=True,
            padding_value=padding,
        )
        outputs = self.model.model(
            *features, attention_mask=mask, decoder_input_ids=written, use_cache=False, **encoded
        )  # fmt: skip
        return outputs.last_hidden_state

    def _generated(self, waveforms: Sequence[np.ndarray], **search: Any) -> list[list[int]]:
        """Tokens that the decoder writes, without the start."""
        features, mask = self._features(waveforms)
        most = max(self._most_written(len(samples)) for samples in waveforms)
        rows = self.model.generate(
            features, attention_mask=mask, do_sample=False, max_length=None, max_new_tokens=most, **search
        ).tolist()
        start = self.model.config.decoder_start_token_id
        return [row[1:] if row[0] == start else row for row in rows]  # Whisper leaves it out

    def _takes(self, samples: int, tokens: int) -> bool:
        longest = getattr(self.front_end, "n_samples", None)
        return 0 < tokens <= self._most_tokens() and _LEAST_SAMPLES <= samples <= (longest or samples)

    def _losses(self, hidden: torch.Tensor, targets: Sequence[Sequence[int]]) -> torch.Tensor:
        """Sum over tokens of the cross entropy, (B,), of states (B, L, H)."""
        logits = self.head(hidden).float()
        labels = torch.full(logits.shape[:2], _IGNORED, device=logits.device)
        for row, target in zip(labels, targets, strict=True):
            row[: len(target)] = torch.tensor(target, device=logits.device)
        losses = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), labels, ignore_index=_IGNORED, reduction="none"
        )
        return losses.sum(-1)

    def _most_written(self, samples: int) -> int:
        """Tokens that so many samples may become."""
        room = self._most_tokens() - len(self.encode("a"))
        return max(1, min(room, 8 + _TOKENS_PER_S * samples // RATE_HZ))

    def _most_tokens(self) -> int:
        config = self.model.config
        return int(getattr(config, "max_target_positions", None) or config.max_position_embeddings)
