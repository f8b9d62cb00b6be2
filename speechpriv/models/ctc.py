"""Recognisers that spell frame by frame: connectionist temporal classification (Graves et al.
2006).
"""

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from speechpriv.audio import RATE_HZ
from speechpriv.errors import ModelError
from speechpriv.models import beam, families
from speechpriv.models.arpa import Language
from speechpriv.models.batching import make_unusable, plan_batches
from speechpriv.models.spelling import normalise
from speechpriv.models.utterance import EncodedUtterance, Utterance

_SAFE = 1e-290  # of a phrase's probability: what is lost below float64's 2e-308 on the way cannot be seen above this
_PASS = 2**24  # log-probabilities copied at once
# Seconds that are heard at once where nothing is learned, of longer ones so many at a time, and
# beyond each end of those: attention takes memory with the square of the length.
_WHOLE_S, _PART_S, _CONTEXT_S = 120, 60, 5


@dataclass(frozen=True)
class CtcRecogniser:
    """A model of a CTC family, its front end and its tokenizer; see `asr.Recogniser`.

    `language`: of what is said, if anything is known; heeded where waveforms are transcribed, and
    nowhere else.
    """

    model: Any
    front_end: Any
    tokenizer: Any
    language: Language | None = None

    @property
    def family(self) -> families.Ctc:
        """What sets this family apart."""
        found = families.FAMILIES[self.model.config.model_type]
        if not isinstance(found, families.Ctc):
            raise TypeError(f"{self.model.config.model_type} is not a CTC family")
        return found

    @property
    def pads(self) -> bool:
        """Whether utterances of unlike length may share a batch."""
        return self.family.pads(self.model.config)

    @property
    def head(self) -> torch.nn.Module:
        """The output layer."""
        head: torch.nn.Module = self.model.get_submodule(self.family.head)
        return head

    @property
    def blank(self) -> int:
        """Index of the CTC blank."""
        return int(self.model.config.pad_token_id)

    @property
    def samples_per_frame(self) -> int:
        """Audio samples per output frame."""
        return 60 * RATE_HZ // (self._frames_of(120 * RATE_HZ) - self._frames_of(60 * RATE_HZ))

    def encode(self, text: str) -> list[int]:
        """Return the token indices of `normalise(text)`; empty for a text with no words left. What
        has no token is left out.
        """
        words = normalise(text)
        if not words:
            return []
        tokens = self.tokenizer(words.upper() if self._in_capitals else words, add_special_tokens=False)["input_ids"]
        return [token for token in tokens if token != self.tokenizer.unk_token_id]

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the normalised words of token indices without blanks or repeats."""
        return normalise(self.tokenizer.decode([t for t in tokens if t not in self._silent], group_tokens=False))

    @functools.cached_property
    def _silent(self) -> set[int]:
        """Special tokens, but for the space between words, which some tokenizers count among them."""
        special = self.tokenizer.all_special_ids
        spelled = dict(zip(special, self.tokenizer.convert_ids_to_tokens(special), strict=True))
        return {index for index, token in spelled.items() if token not in (" ", "|", "▁")}

    def features(self, waveforms: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the model's input (B, T, ...), and its mask (B, T), True where real."""
        with torch.autocast("cpu", enabled=False):  # features are made there, and in full
            features, mask = self.family.features(self.front_end, waveforms)
        return features.to(self.model.device), mask.to(self.model.device)

    def log_probs(self, waveforms: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the log-probabilities (B, T', V) of the output frames, and how many of them are
        real, (B,).

        What is longer than two minutes is heard a minute at a time, unless there is a gradient.
        """
        nothing = torch.empty(0, self.model.config.vocab_size, device=self.model.device)
        found = [nothing] * len(waveforms)
        heard = []
        for i, samples in enumerate(waveforms):
            if len(samples) > _WHOLE_S * RATE_HZ and not torch.is_grad_enabled():
                found[i] = self._in_parts(samples)
            elif self._frames_of(len(samples)) > 0:
                heard.append(i)
        for batch in plan_batches([len(waveforms[i]) for i in heard], pads=self.pads):
            log_probs, lengths = self.log_probs_of(*self.features([waveforms[heard[i]] for i in batch]))
            for i, row, length in zip(batch, log_probs, lengths.tolist(), strict=True):
                found[heard[i]] = row[:length]
        return torch.nn.utils.rnn.pad_sequence(found, batch_first=True), torch.tensor([len(row) for row in found])

    def log_probs_of(self, features: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As `log_probs`, from features (B, T, ...) and their mask (B, T)."""
        hidden, lengths = self._hidden(features, mask)
        return self._output(hidden), lengths

    @torch.no_grad()
    def hear(self, utterance: Utterance, *, all_layers: bool = True) -> EncodedUtterance:
        """Run the encoder, or all layers of it but the last: once is enough where nothing of that
        learns.
        """
        features, mask = self.features([utterance.samples])
        if all_layers:
            hidden, lengths = self._hidden(features, mask)
            return EncodedUtterance(hidden[0, : int(lengths[0])].clone(), utterance.text)
        inputs: list[torch.Tensor] = []
        handle = families.last_layer(self.model).register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
        try:
            _, lengths = self._hidden(features, mask)
        finally:
            handle.remove()
        return EncodedUtterance(inputs[0][0].clone(), utterance.text, int(lengths[0]))

    def losses(self, utterances: Sequence[Utterance | EncodedUtterance]) -> torch.Tensor:
        """Return the CTC negative log-likelihood of each utterance, shape (B,), in nats; all are of
        one kind.

        Infinite where the words cannot fit the audio (Graves et al. 2006): more tokens than frames.
        """
        if heard := [said for said in utterances if isinstance(said, EncodedUtterance)]:
            states = torch.nn.utils.rnn.pad_sequence([said.hidden for said in heard], batch_first=True)
            lengths = torch.tensor([len(said.hidden) for said in heard])
            if heard[0].frames is not None:
                states = self._last_layer(states, lengths)
                lengths = torch.tensor([said.frames for said in heard])
            return ctc_losses(self._output(states), lengths, [self.encode(said.text) for said in heard], self.blank)
        spoken = [said for said in utterances if isinstance(said, Utterance)]
        found = [make_unusable(self.model)] * len(spoken)
        if fitting := [i for i, said in enumerate(spoken) if self.fits(len(said.samples), said.text)]:
            log_probs, lengths = self.log_probs([spoken[i].samples for i in fitting])
            targets = [self.encode(spoken[i].text) for i in fitting]
            for i, loss in zip(fitting, ctc_losses(log_probs, lengths, targets, self.blank), strict=True):
                found[i] = loss
        return torch.stack(found)

    @torch.inference_mode()
    def phrase_losses(self, samples: np.ndarray, targets: Sequence[Sequence[int]]) -> torch.Tensor:
        """Return the CTC negative log-likelihood of each of many token lists, (P,), in nats; the
        audio is encoded once.
        """
        log_probs, _ = self.log_probs([samples])
        return ctc_phrase_losses(log_probs[0], targets, self.blank)

    @torch.inference_mode()
    def n_best(self, samples: np.ndarray, width: int) -> list[str]:
        """Return up to `width` texts, the likeliest first, by prefix beam search."""
        log_probs, _ = self.log_probs([samples])
        return [self.decode(tokens) for tokens in beam.search_prefixes(log_probs[0].cpu().numpy(), self.blank, width)]

    @torch.inference_mode()
    def confidence(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        """Return, of each waveform, the mean log-probability of the likeliest token of a frame, <=
        0; NaN: there is no frame.
        """
        log_probs, lengths = self.log_probs(waveforms)
        likeliest = zip(log_probs.amax(-1), lengths.tolist(), strict=True)
        return np.array([float(row[:length].mean()) for row, length in likeliest])

    @torch.inference_mode()
    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[str]:
        """Return words of each waveform, normalised: greedy, or by `beam.search_words` with a
        language model.
        """
        log_probs, lengths = self.log_probs(waveforms)
        if self.language:
            found = zip(log_probs.float().cpu().numpy(), lengths.tolist(), strict=True)
            written = (
                beam.search_words(row[:length], self.blank, self._pieces, self.language) for row, length in found
            )
            return [normalise(text) for text in written]
        best = log_probs.argmax(-1).cpu()
        return [self._collapse(row[:length]) for row, length in zip(best, lengths.tolist(), strict=True)]

    def fits(self, samples: int, text: str) -> bool:
        """Return whether a CTC path exists for `text` in so many audio samples: frames >= tokens +
        adjacent repeats.
        """
        tokens = self.encode(text)
        repeats = sum(a == b for a, b in itertools.pairwise(tokens))
        return len(tokens) + repeats <= self._frames_of(samples)

    def save(self, directory: Path) -> None:
        """Write what `asr.load` reads: safetensors, config, front end and tokenizer."""
        for part in (self.model, self.front_end, self.tokenizer):
            part.save_pretrained(directory)

    def _hidden(self, features: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Encoder states (B, T', H) and how many of each are real, (B,)."""
        encoder = self.model.get_submodule(self.family.encoder)
        # Where nothing is padded, no mask is needed, and wav2vec 2.0 with group norm was trained
        # without.
        hidden = encoder(features, attention_mask=mask if self.pads else None).last_hidden_state
        return hidden, self.family.frames(self.model, mask.sum(-1))

    def _in_parts(self, samples: np.ndarray) -> torch.Tensor:
        """Log-probabilities (T', V) of a long waveform: its features are made at once, what is
        above them is not.
        """
        features, mask = self.features([samples])
        total = self._frames_of(len(samples))
        part, context = (seconds * RATE_HZ // self.samples_per_frame for seconds in (_PART_S, _CONTEXT_S))
        per_minute = self.family.length(120 * RATE_HZ) - self.family.length(60 * RATE_HZ)
        per_frame = per_minute * self.samples_per_frame // (60 * RATE_HZ)
        found = []
        for start in range(0, total, part):
            first, end = max(0, start - context), min(total, start + part)
            at = slice(first * per_frame, None if end + context >= total else (end + context) * per_frame)
            log_probs, _ = self.log_probs_of(features[:, at], mask[:, at])
            found.append(log_probs[0, start - first : end - first])
        return torch.cat(found)

    def _last_layer(self, states: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """States (B, T, H) from before the encoder's last layer, of which so many (B,) are real,
        after it.
        """
        if (last_layer := self.family.last_layer) is None:
            raise ModelError(
                f"{self.model.config.model_type}: cannot go on from before its last layer; give it the utterances."
            )
        real = torch.arange(states.shape[1], device=states.device) < lengths.to(states.device)[:, None]
        return last_layer(self.model.get_submodule(self.family.encoder), states, real)

    def _output(self, hidden: torch.Tensor) -> torch.Tensor:
        dropout = getattr(self.model, "dropout", torch.nn.Identity())
        return torch.log_softmax(self.head(dropout(hidden)).float(), dim=-1)

    def _frames_of(self, samples: int) -> int:
        return max(0, int(self.family.frames(self.model, torch.tensor(self.family.length(samples)))))

    @functools.cached_property
    def _pieces(self) -> list[str]:
        """What each token writes."""
        special = set(self.tokenizer.all_special_ids)
        pieces = self.tokenizer.convert_ids_to_tokens(list(range(self.model.config.vocab_size)))
        return ["" if token in special else piece or "" for token, piece in enumerate(pieces)]

    @functools.cached_property
    def _in_capitals(self) -> bool:
        """Whether those are what the tokenizer spells with."""
        vocabulary = self.tokenizer.get_vocab()
        return "E" in vocabulary and "e" not in vocabulary

    def _collapse(self, path: torch.Tensor) -> str:
        tokens = [int(token) for token in torch.unique_consecutive(path) if token != self.blank]
        return self.decode(tokens)


def ctc_losses(
    log_probs: torch.Tensor, lengths: torch.Tensor, targets: Sequence[Sequence[int]], blank: int
) -> torch.Tensor:
    """Return the CTC negative log-likelihood (B,) in nats of token lists under log-probabilities
    (B, T, V).
    """
    flat = torch.tensor([token for tokens in targets for token in tokens], dtype=torch.long, device=log_probs.device)
    counts = torch.tensor([len(tokens) for tokens in targets], dtype=torch.long)
    # In float64: probabilities of whole paths are small, and in float32 gradients come out wrong by
    # 1e-5.
    losses = torch.nn.functional.ctc_loss(
        log_probs.double().transpose(0, 1), flat, lengths.long().cpu(), counts, blank=blank, reduction="none"
    )
    # Without a single frame torch gives an infinite loss, but the gradient 0. It is to be as
    # unusable as every other infinite loss, so that a unit that holds it is left out and counted.
    unheard = torch.where(lengths == 0, math.inf, 0.0).to(log_probs)
    return losses.to(log_probs) - unheard * log_probs.sum((1, 2))


def ctc_phrase_losses(log_probs: torch.Tensor, targets: Sequence[Sequence[int]], blank: int) -> torch.Tensor:
    """Return the CTC negative log-likelihood of many token lists under the same frames; they take
    no gradient.

    The forward recursion of all phrases at once, in probabilities rather than their logarithms.
    Every path's product only shrinks, so what underflows is less than 2e-308 for each state and
    frame; a phrase that ends so near to that that it could matter goes through `ctc_losses`.

    Args:
      log_probs: shape (T, V), of one recording.
      targets: P token lists; an empty one is a recording in which nothing is said.
      blank: index of the blank.

    Returns:
      Shape (P,), in nats, float64. Infinite where a list cannot fit T frames; not a number if a
      probability is none.

    Source: Graves et al. 2006, section 4.1.
    """
    if not len(log_probs) or not targets:
        return torch.full((len(targets),), math.inf, dtype=torch.float64, device=log_probs.device)
    device, counts = log_probs.device, torch.tensor([len(tokens) for tokens in targets])
    longest = max(1, int(counts.max()))
    padded = [[*tokens, *[blank] * (longest - len(tokens))] for tokens in targets]
    tokens = torch.tensor(padded, device=device).T.contiguous()  # (L, P)
    moves = (tokens[1:] != tokens[:-1]).double()  # only unlike tokens may follow each other without a blank between
    said = torch.zeros(tokens.shape, dtype=torch.float64, device=device)  # the last frame is of the i-th token
    paused = torch.zeros(longest + 1, len(targets), dtype=torch.float64, device=device)  # of the blank after i tokens
    paused[0] = 1
    for frame in log_probs.double().exp():
        begun = said + paused[:-1]
        begun[1:].addcmul_(said[:-1], moves)
        begun.mul_(frame[tokens])
        paused[1:].add_(said)
        paused.mul_(frame[blank])
        said = begun
    column, counts = torch.arange(len(targets), device=device), counts.to(device)
    ended = paused[counts, column] + torch.where(counts > 0, said[(counts - 1).clamp(min=0), column], 0.0)
    losses = -ended.log()
    small = (ended < _SAFE).nonzero().flatten().tolist()
    size = max(1, _PASS // log_probs.numel())
    for part in (small[i : i + size] for i in range(0, len(small), size)):
        frames, lengths = log_probs.double().expand(len(part), -1, -1), torch.full((len(part),), len(log_probs))
        losses[part] = ctc_losses(frames, lengths, [targets[i] for i in part], blank)
    return losses
