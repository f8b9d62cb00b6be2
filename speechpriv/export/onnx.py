"""A recogniser as one ONNX file and its tokens, laid out as sherpa-onnx's NeMo CTC loader reads them."""

import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from speechpriv.errors import ModelError
from speechpriv.models import asr
from speechpriv.models.asr import RATE_HZ, CtcRecogniser

MODEL = "model.onnx"
TOKENS = "tokens.txt"
_FAMILY = "parakeet_ctc"
BLANK = "<blk>"  # the name that sherpa-onnx looks for

_OPSET = 17
_MAX_BYTES = 2**31 - 2**20  # a protobuf holds less than 2 GiB
_MAX_DIFFERENCE = 1e-3  # of log-probabilities, in nats; 1e-6 is usual
_CHECKED_SHAPES = ((1, 1), (1, 9), (3, 250))  # utterances, frames: none is the shape that was traced
# What sherpa-onnx computes for a NeMo model, whatever the file says; another front end would fail without a word.
_FRONT_END = {
    "feature_size": 80,
    "sampling_rate": RATE_HZ,
    "hop_length": 160,
    "win_length": 400,
    "n_fft": 512,
    "preemphasis": 0.97,
}


def export(recogniser: CtcRecogniser, directory: Path) -> None:
    """Write model.onnx (fp32) and tokens.txt, and check the file against torch.

    The graph takes log-mel features (B, F, T), float32, normalised per utterance and band, and their lengths (B,) in
    frames, int64; it gives log-probabilities (B, T', V), the blank last. Any B and T.

    Args:
      recogniser: in evaluation mode, as `asr.load` leaves it.
      directory: exists.

    Raises:
      ModelError: the front end or a token is not one that the runtime can have, the model does not fit into one
        file, or the file does not compute what torch does.
    """
    _require_front_end(recogniser)
    size_bytes = sum(p.numel() * p.element_size() for p in recogniser.model.parameters())
    if not size_bytes <= _MAX_BYTES:
        raise ModelError(f"The model has {size_bytes:,} bytes of weights; expected at most {_MAX_BYTES:,} in one file.")
    wrapper = _LogProbs(recogniser)
    wrapper.eval()  # the wrapper too: the exporter restores the mode it found there, all the way down
    (directory / TOKENS).write_text(_tokens(recogniser, wrapper.order.tolist()), encoding="utf-8")
    path = directory / MODEL
    _trace(wrapper, path)
    _finish(recogniser, path)
    difference = max_difference(recogniser, path)
    if not difference <= _MAX_DIFFERENCE:
        raise ModelError(
            f"{MODEL}: log-probabilities differ from torch by {difference:.2g}; expected at most {_MAX_DIFFERENCE:g}. "
            "Do not use this file; report the model's config."
        )


def max_difference(recogniser: CtcRecogniser, path: Path) -> float:
    """Largest difference of a log-probability between `path` in onnxruntime and torch, on random features."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    order = _LogProbs(recogniser).order.tolist()
    rng = np.random.default_rng(0)
    differences = [0.0]
    for utterances, frames in _CHECKED_SHAPES:
        lengths = np.linspace(frames, np.ceil(frames / 2), utterances).astype(np.int64)
        mask = np.arange(frames) < lengths[:, None]
        features = rng.standard_normal((utterances, frames, recogniser.front_end.feature_size)).astype(np.float32)
        features *= mask[..., None]
        got = session.run(None, {"audio_signal": features.transpose(0, 2, 1), "length": lengths})[0]
        device = recogniser.model.device
        with torch.inference_mode():
            expected, real = recogniser.log_probs_of(
                torch.from_numpy(features).to(device), torch.from_numpy(mask).to(device)
            )
        if got.shape != tuple(expected.shape):
            return float("inf")
        for row, (log_probs, length) in enumerate(zip(expected[..., order].cpu().numpy(), real.tolist(), strict=True)):
            differences.append(np.abs(got[row, :length] - log_probs[:length]).max(initial=0.0))
    return float(np.max(differences))  # NaN if any is: the built-in max would pass over it


class _LogProbs(torch.nn.Module):
    """From what the runtime gives to what it expects: `CtcRecogniser.log_probs_of` with the blank moved last."""

    order: torch.Tensor

    def __init__(self, recogniser: CtcRecogniser) -> None:
        super().__init__()
        self.model = recogniser.model  # so that its weights are found
        self._recogniser = recogniser
        pieces = [index for index in range(recogniser.model.config.vocab_size) if index != recogniser.blank]
        self.register_buffer("order", torch.tensor([*pieces, recogniser.blank], device=recogniser.model.device))

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        frames = features.transpose(1, 2)
        mask = torch.arange(frames.shape[1], device=frames.device) < lengths[:, None]
        # The runtime pads a batch with another value than training did, and the first convolution would see it.
        frames = frames.masked_fill(~mask[..., None], 0.0)
        log_probs, _ = self._recogniser.log_probs_of(frames, mask)
        return log_probs[..., self.order]


def require_exportable(name_or_path: str) -> None:
    """See that a model of this family can be exported, before anything is spent on training it.

    Raises:
      ModelError: it cannot, or nothing is there.
    """
    if (family := asr.family_name(name_or_path)) != _FAMILY:
        raise ModelError(
            f"{name_or_path}: a model of family {family!r} can be trained and audited, but not exported yet; expected "
            f"{_FAMILY!r}. Stop before the export with `speechpriv train CONFIG`, or choose another train.base."
        )


def _require_front_end(recogniser: CtcRecogniser) -> None:
    differing = [
        f"{name} = {getattr(recogniser.front_end, name, None)} (expected {expected})"
        for name, expected in _FRONT_END.items()
        if getattr(recogniser.front_end, name, None) != expected
    ]
    if differing:
        raise ModelError(f"The runtime's front end is not this model's: {', '.join(differing)}.")


def _tokens(recogniser: CtcRecogniser, order: list[int]) -> str:
    """One `symbol index` a line, in the order of the file's output; the blank is called `<blk>`."""
    symbols = [*recogniser.tokenizer.convert_ids_to_tokens(order[:-1]), BLANK]
    for index, symbol in enumerate(symbols):
        if not symbol or any(character.isspace() for character in symbol):
            raise ModelError(f"Token {index} is empty or holds white space, which {TOKENS} cannot carry.")
    if len(set(symbols)) != len(symbols):
        raise ModelError(f"{TOKENS} needs a different symbol for each token; some are the same.")
    return "".join(f"{symbol} {index}\n" for index, symbol in enumerate(symbols))


def _trace(wrapper: _LogProbs, path: Path) -> None:
    """Trace with the TorchScript exporter.

    torch's newer exporter cannot lower this family's attention as it comes, takes 20 times as long, and writes the
    paths of this machine into every node.
    """
    device = wrapper.order.device
    example = (torch.zeros(2, 80, 203, device=device), torch.tensor([203, 160], device=device))
    with warnings.catch_warnings():
        # Said of what is checked afterwards on other shapes: that this exporter is the older one, that traced
        # Python values become constants, and that some constants are not folded.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            wrapper,
            example,
            path,
            dynamo=False,
            opset_version=_OPSET,
            input_names=["audio_signal", "length"],
            output_names=["logprobs"],
            dynamic_axes={
                "audio_signal": {0: "B", 2: "T"},
                "length": {0: "B"},
                "logprobs": {0: "B", 1: "T_subsampled"},
            },
        )


def _finish(recogniser: CtcRecogniser, path: Path) -> None:
    """Add what the runtime reads, remove what tells where the file was made, and check the whole."""
    model = onnx.load(path)
    model.doc_string = model.graph.doc_string = ""
    del model.graph.value_info[:]  # shapes inside the graph: inferred again by whoever needs them
    for node in model.graph.node:
        node.doc_string = ""
        node.ClearField("metadata_props")
        # Scopes, which are written like absolute paths; a search for paths should find none.
        node.name = _dotted(node.name)
        node.input[:] = [_dotted(name) for name in node.input]
        node.output[:] = [_dotted(name) for name in node.output]
    facts = {
        "vocab_size": recogniser.model.config.vocab_size,
        "subsampling_factor": recogniser.model.config.encoder_config.subsampling_factor,
        "normalize_type": "per_feature",
        "model_type": "EncDecCTCModelBPE",
    }
    onnx.helper.set_model_props(model, {name: str(value) for name, value in facts.items()})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _dotted(name: str) -> str:
    return name.removeprefix("/").replace("/", ".")
