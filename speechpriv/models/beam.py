"""The likeliest texts of a CTC recogniser: prefix beam search, without a language model."""

import heapq
from collections import defaultdict

import torch

Prefix = tuple[int, ...]


def prefixes(log_probs: torch.Tensor, blank: int, width: int) -> list[Prefix]:
    """Token lists whose paths, all added up, are likeliest.

    Args:
      log_probs: shape (T, V), of one recording.
      blank: index of the blank.
      width: >= 1, lists kept after each frame, and tokens looked at in each besides the blank.

    Returns:
      Up to `width` token lists, the likeliest first; an empty list where nothing is said.

    Source: Hannun et al. 2014, arXiv:1408.2873, Algorithm 1.
    """
    kept: dict[Prefix, tuple[float, float]] = {(): (1.0, 0.0)}  # relative probability of ending in a blank, in a token
    for frame in log_probs.double().exp():
        likeliest = [token for token in frame.topk(min(width + 1, len(frame))).indices.tolist() if token != blank]
        probabilities = frame.tolist()
        paused: defaultdict[Prefix, float] = defaultdict(float)
        said: defaultdict[Prefix, float] = defaultdict(float)
        for prefix, (ends_paused, ends_said) in kept.items():
            paused[prefix] += (ends_paused + ends_said) * probabilities[blank]
            if prefix:
                said[prefix] += ends_said * probabilities[prefix[-1]]
            for token in likeliest:
                from_said = 0.0 if prefix[-1:] == (token,) else ends_said  # a repeat needs a blank between
                if grown := (ends_paused + from_said) * probabilities[token]:
                    said[*prefix, token] += grown
        totals = {prefix: paused[prefix] + said[prefix] for prefix in said.keys() | paused.keys()}
        best = heapq.nlargest(width, totals, key=lambda prefix: (totals[prefix], prefix))
        scale = totals[best[0]] or 1.0  # so that a long recording does not underflow
        kept = {prefix: (paused[prefix] / scale, said[prefix] / scale) for prefix in best}
    return list(kept)
