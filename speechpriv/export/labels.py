"""A classifier as one ONNX file and its labels: probabilities of recordings, by onnxruntime alone.

Log-mel: `audio_signal` (B, 80, T) and `length` (B,); samples: `samples` (B, N), all of one length;
both to `probabilities` (B, C), in the order of labels.txt. Features are made outside, as for
recognisers (`models.frontend`).
"""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from speechpriv.audio import RATE_HZ
from speechpriv.errors import ModelError
from speechpriv.export import onnx
from speechpriv.export.runtime import LABELS
from speechpriv.models import classify
from speechpriv.models.classify import Classifier

_OPSET = 17
_MAX_DIFFERENCE = 1e-4  # of probabilities; 1e-7 is usual


def find_obstacle(classifier: Classifier) -> str | None:
    """Find why it has no ONNX file, as a sentence; None if it has one."""
    if _log_mel(classifier) or classifier.front_end.model_input_names[0] == "input_values":
        return None
    kind = type(classifier.front_end).__name__
    return f"Nothing outside transformers computes the features of its front end ({kind})."


def export_classifier(classifier: Classifier, directory: Path) -> None:
    """Write model.onnx (fp32) and labels.txt, and check the file against torch; any batch, any
    length.

    Raises:
      ModelError: there is an `find_obstacle`, or the file does not compute what torch does.
    """
    if reason := find_obstacle(classifier):
        raise ModelError(f"No {onnx.MODEL} can be made of this model. {reason}")
    (directory / LABELS).write_text("".join(f"{label}\n" for label in classifier.labels), encoding="utf-8")
    wrapper, path = _Probabilities(classifier).eval(), directory / onnx.MODEL
    names = ["audio_signal", "length"] if wrapper.log_mel else ["samples"]
    axes = {"audio_signal": {0: "B", 2: "T"}, "length": {0: "B"}} if wrapper.log_mel else {"samples": {0: "B", 1: "N"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is checked below on other shapes; see onnx.py
        torch.onnx.export(
            wrapper, next(wrapper.examples()), path, dynamo=False, opset_version=_OPSET, input_names=names,
            output_names=["probabilities"], dynamic_axes={**axes, "probabilities": {0: "B"}},
        )  # fmt: skip
    onnx.finish_model(path, {"labels": ",".join(classifier.labels)})
    difference = max_difference(classifier, path)
    if not difference <= _MAX_DIFFERENCE:
        raise ModelError(
            f"{onnx.MODEL}: probabilities differ from torch by {difference:.2g}; expected at most {_MAX_DIFFERENCE:g}. "
            "Do not use this file; report the model's config."
        )


def max_difference(classifier: Classifier, path: Path) -> float:
    """Return the largest difference of a probability between `path` in onnxruntime and torch, on
    random input.
    """
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    wrapper = _Probabilities(classifier).eval()
    names = [one.name for one in session.get_inputs()]
    found = []
    for inputs in wrapper.examples():
        got = session.run(None, {name: value.cpu().numpy() for name, value in zip(names, inputs, strict=True)})[0]
        with torch.inference_mode():
            found.append(np.abs(got - wrapper(*inputs).cpu().numpy()).max())
    return float(np.max(found))  # NaN if any is


class _Probabilities(torch.nn.Module):
    """From what the file is fed with to probabilities."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.model = classifier.model  # so that its weights are found
        self.log_mel = _log_mel(classifier)
        self._classifier = classifier

    def forward(self, given: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        if lengths is not None:
            frames = given.transpose(1, 2)
            mask = torch.arange(frames.shape[1], device=frames.device) < lengths[:, None]
            return self._classifier.log_probs_of(frames.masked_fill(~mask[..., None], 0.0), mask).exp()
        if self._classifier.front_end.do_normalize:
            centred = given - given.mean(-1, keepdim=True)
            given = centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + 1e-7)
        return torch.softmax(self.model(given).logits.float(), -1)

    def examples(self) -> Iterator[tuple[torch.Tensor, ...]]:
        """Inputs of a few shapes, the same each time."""
        rng, device = np.random.default_rng(0), self.model.device
        for recordings, seconds in ((2, 2.03), (1, 0.2), (3, 1.3)):
            if self.log_mel:
                frames = int(100 * seconds)
                features = rng.standard_normal((recordings, 80, frames)).astype(np.float32)
                lengths = torch.linspace(frames, frames // 2, recordings, device=device).long()
                yield torch.from_numpy(features).to(device), lengths
            else:
                samples = rng.standard_normal((recordings, int(RATE_HZ * seconds))).astype(np.float32)
                yield (torch.from_numpy(samples).to(device),)


def _log_mel(classifier: Classifier) -> bool:
    front_end: Any = classifier.front_end
    return classifier.model.config.model_type == classify.POOLED and not onnx.compare_front_ends(front_end)
