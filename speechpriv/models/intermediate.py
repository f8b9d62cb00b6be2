"""What the middle of an encoder is asked while its end learns to spell: which phoneme is said in
each frame.

The loss of an intermediate layer, after Lee and Watanabe 2021 (intermediate CTC); here the frames
are known.
"""

from collections.abc import Mapping, Sequence

import torch

from speechpriv.models import frontend

UNTOLD = -100  # of a frame whose phoneme is not known: no loss


def label_frames(
    phonemes: Sequence[tuple[str, int]], samples: int, samples_per_frame: int, index_of: Mapping[str, int]
) -> torch.Tensor:
    """Return what is being said in the middle of each frame of an utterance.

    Args:
      phonemes: each with its first sample, in order; "" is a pause, as is what comes before the
        first.
      samples: of the utterance.
      samples_per_frame: the encoder's.
      index_of: the symbols that are asked for; others are `UNTOLD`.

    Returns:
      Indices of shape (T',), int64.
    """
    spoken = torch.tensor([index_of.get(symbol, UNTOLD) for symbol in ("", *(symbol for symbol, _ in phonemes))])
    starts = torch.tensor([start for _, start in phonemes], dtype=torch.int64)
    middles = torch.arange(samples // samples_per_frame) * samples_per_frame + frontend.HOP // 2
    return spoken[torch.searchsorted(starts, middles, right=True)]


class PhonemeHead(torch.nn.Module):
    """A linear layer on what enters the middle layer of an encoder, thrown away after training.

    Args:
      encoder: with `layers` and a `config.hidden_size`, as in transformers.
      symbols: how many are told apart.
    """

    def __init__(self, encoder: torch.nn.Module, symbols: int) -> None:
        super().__init__()
        layers = encoder.get_submodule("layers")
        layers[len(layers) // 2].register_forward_pre_hook(self._keep)  # type: ignore[index, arg-type]
        self.linear = torch.nn.Linear(encoder.config.hidden_size, symbols)  # type: ignore[union-attr, arg-type]

    def _keep(self, _layer: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self.hidden = inputs[0]

    def loss(self, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy a frame of the batch that the encoder saw last, in nats.

        Args:
          targets: `label_frames`, padded with `UNTOLD` to shape (B, T').
        """
        logits = self.linear(self.hidden[:, : targets.shape[1]].float())
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=UNTOLD)
