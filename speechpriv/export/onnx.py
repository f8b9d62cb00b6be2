"""A recogniser as one ONNX file and its tokens, laid out as sherpa-onnx reads them.

Two layouts. Log-mel: `audio_signal` (B, 80, T) and `length` (B,) -> `logprobs`, for
`from_nemo_ctc`. Samples: `samples` (B, N), all of one length -> `logprobs`, for
`from_omnilingual_asr_ctc`. Models of other kinds are shipped in transformers' own format alone;
`find_obstacle` says why.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import onnx
import onnxruntime
import torch

from speechpriv.audio import RATE_HZ
from speechpriv.errors import ModelError
from speechpriv.models.asr import CtcRecogniser, Recogniser
from speechpriv.models.spelling import normalise

MODEL = "model.onnx"
TOKENS = "tokens.txt"
BLANK = "<blk>"  # the name that sherpa-onnx looks for
_SPACE = "▁"

_OPSET = 17
_MAX_BYTES = 2**31 - 2**20  # a protobuf holds less than 2 GiB
_MAX_DIFFERENCE = 1e-3  # of log-probabilities, in nats; 1e-6 is usual
_LONGEST_S = 120  # of what the runtime hands over at most; see runtime.py
# What sherpa-onnx computes for a NeMo model, whatever the file says; another front end would fail
# without a word.
_FRONT_END = {
    "feature_size": 80,
    "sampling_rate": RATE_HZ,
    "hop_length": 160,
    "win_length": 400,
    "n_fft": 512,
    "preemphasis": 0.97,
}


def choose_layout(recogniser: Recogniser) -> Literal["features", "samples", "torch"]:
    """Return what the exported model is fed with; `torch`: it has no ONNX file, see
    `find_obstacle`.
    """
    if find_obstacle(recogniser) or not isinstance(recogniser, CtcRecogniser):
        return "torch"
    return "features" if _layout_of(recogniser) is _FromFeatures else "samples"


def find_obstacle(recogniser: Recogniser) -> str | None:
    """Find why sherpa-onnx could not decode with this model, as a sentence; None if it can."""
    if not isinstance(recogniser, CtcRecogniser):
        return "It writes token by token, with an encoder and a decoder that one ONNX file cannot hold."
    kind = type(recogniser.front_end).__name__
    if _layout_of(recogniser) is None:
        return f"No sherpa-onnx loader computes the features of its front end ({kind})."
    if _layout_of(recogniser) is _FromFeatures and (wrong := compare_front_ends(recogniser.front_end)):
        return f"sherpa-onnx's log-mel front end is not this model's: {', '.join(wrong)}."
    size_bytes = sum(p.numel() * p.element_size() for p in recogniser.model.parameters())
    if not size_bytes <= _MAX_BYTES:
        return f"It has {size_bytes:,} bytes of weights, and one ONNX file holds at most {_MAX_BYTES:,}."
    symbols = _symbols(recogniser)
    if any(not symbol or any(map(str.isspace, symbol)) for symbol in symbols) or len(set(symbols)) != len(symbols):
        return f"{TOKENS} cannot carry its vocabulary: a token is empty, holds white space or is there twice."
    return None


def export_recogniser(recogniser: CtcRecogniser, directory: Path) -> None:
    """Write model.onnx (fp32) and tokens.txt, and check the file against torch; any batch, any
    length.

    Args:
      recogniser: in evaluation mode, as `asr.load` leaves it, adapters merged.
      directory: exists.

    Raises:
      ModelError: there is an `find_obstacle`, or the file does not compute what torch does.
    """
    if reason := find_obstacle(recogniser):
        raise ModelError(f"No {MODEL} can be made of this model. {reason}")
    wrapper = _wrapped(recogniser)
    (directory / TOKENS).write_text("".join(f"{s} {i}\n" for i, s in enumerate(_symbols(recogniser))), encoding="utf-8")
    path = directory / MODEL
    _trace(wrapper, path)
    finish_model(path, wrapper.metadata())
    difference = max_difference(recogniser, path)
    if not difference <= _MAX_DIFFERENCE:
        raise ModelError(
            f"{MODEL}: log-probabilities differ from torch by {difference:.2g}; expected at most {_MAX_DIFFERENCE:g}. "
            "Do not use this file; report the model's config."
        )


def max_difference(recogniser: CtcRecogniser, path: Path) -> float:
    """Return the largest difference of a log-probability between `path` in onnxruntime and torch,
    on random input.
    """
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    wrapper = _wrapped(recogniser)
    order = wrapper.order.tolist()
    differences = [0.0]
    for inputs, expected, lengths in wrapper.trials(np.random.default_rng(0)):
        got = session.run(None, inputs)[0]
        if got.shape != tuple(expected.shape):
            return float("inf")
        for row, (log_probs, length) in enumerate(zip(expected[..., order].cpu().numpy(), lengths, strict=True)):
            differences.append(np.abs(got[row, :length] - log_probs[:length]).max(initial=0.0))
    return float(np.max(differences))  # NaN if any is: the built-in max would pass over it


_Trial = tuple[dict[str, np.ndarray], torch.Tensor, list[int]]  # inputs of the file; torch's answer, and real frames


class _FromFeatures(torch.nn.Module):
    """From normalised log-mel features to log-probabilities with the blank last: sherpa-onnx's NeMo
    layout.
    """

    order: torch.Tensor
    inputs: ClassVar = ("audio_signal", "length")
    axes: ClassVar = {"audio_signal": {0: "B", 2: "T"}, "length": {0: "B"}}

    def __init__(self, recogniser: CtcRecogniser) -> None:
        super().__init__()
        self.model = recogniser.model  # so that its weights are found
        self._recogniser = recogniser
        self.register_buffer("order", _blank_last(recogniser))

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        frames = features.transpose(1, 2)
        mask = torch.arange(frames.shape[1], device=frames.device) < lengths[:, None]
        # The runtime pads a batch with another value than training did, and the first convolution
        # would see it.
        frames = frames.masked_fill(~mask[..., None], 0.0)
        log_probs, _ = self._recogniser.log_probs_of(frames, mask)
        return log_probs[..., self.order]

    def example(self) -> tuple[torch.Tensor, ...]:
        device = self.order.device
        return torch.zeros(2, 80, 203, device=device), torch.tensor([203, 160], device=device)

    def metadata(self) -> dict[str, object]:
        config = self._recogniser.model.config
        return {
            "vocab_size": config.vocab_size,
            "subsampling_factor": config.encoder_config.subsampling_factor,
            "normalize_type": "per_feature",
            "model_type": "EncDecCTCModelBPE",
        }

    @torch.inference_mode()
    def trials(self, rng: np.random.Generator) -> Iterator[_Trial]:
        device = self.order.device
        for utterances, frames in ((1, 1), (1, 9), (3, 250)):  # none is the shape that was traced
            lengths = np.linspace(frames, np.ceil(frames / 2), utterances).astype(np.int64)
            mask = np.arange(frames) < lengths[:, None]
            features = rng.standard_normal((utterances, frames, 80)).astype(np.float32) * mask[..., None]
            expected, real = self._recogniser.log_probs_of(
                torch.from_numpy(features).to(device), torch.from_numpy(mask).to(device)
            )
            yield {"audio_signal": features.transpose(0, 2, 1), "length": lengths}, expected, real.tolist()


class _FromSamples(torch.nn.Module):
    """From samples of one length to log-probabilities with the blank last: sherpa-onnx's
    omnilingual layout.

    The runtime normalises each waveform with 1e-5 added to its variance, Hugging Face's front ends
    with 1e-7, which quiet speech tells apart. So the file normalises again, which changes nothing
    that is normalised: it takes raw samples too.
    """

    order: torch.Tensor
    inputs: ClassVar = ("samples",)
    axes: ClassVar = {"samples": {0: "B", 1: "N"}}

    def __init__(self, recogniser: CtcRecogniser) -> None:
        super().__init__()
        self.encoder = recogniser.model.get_submodule(recogniser.family.encoder)
        self.head = recogniser.head
        self._recogniser = recogniser
        self.register_buffer("order", _blank_last(recogniser))
        self._grow_positions()

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        if self._recogniser.front_end.do_normalize:
            centred = samples - samples.mean(-1, keepdim=True)
            samples = centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + 1e-7)
        hidden = self.encoder(samples).last_hidden_state  # nothing is padded, so there is no mask
        return torch.log_softmax(self.head(hidden).float(), -1)[..., self.order]

    def example(self) -> tuple[torch.Tensor, ...]:
        return (torch.zeros(2, 20_011, device=self.order.device),)

    def metadata(self) -> dict[str, object]:
        return {}

    @torch.inference_mode()
    def trials(self, rng: np.random.Generator) -> Iterator[_Trial]:
        for utterances, samples in ((1, 400), (1, 7_999), (3, 52_311)):
            waveforms = 0.1 * rng.standard_normal((utterances, samples)).astype(np.float32)
            expected, real = self._recogniser.log_probs(list(waveforms))
            yield {"samples": waveforms}, expected, real.tolist()

    @torch.no_grad()
    def _grow_positions(self) -> None:
        """Tables of positions that grow when needed are constants in the file: let them be as long
        as it takes.
        """
        frames = self._recogniser.family.frames(self._recogniser.model, torch.tensor(_LONGEST_S * RATE_HZ))
        for module in self.encoder.modules():
            if hasattr(module, "extend_pe"):
                module(torch.zeros(1, int(frames), self.encoder.config.hidden_size, device=self.order.device))


_Wrapper = _FromFeatures | _FromSamples


def _layout_of(recogniser: CtcRecogniser) -> type[_Wrapper] | None:
    if recogniser.model.config.model_type == "parakeet_ctc":
        return _FromFeatures
    return _FromSamples if recogniser.front_end.model_input_names[0] == "input_values" else None


def _wrapped(recogniser: CtcRecogniser) -> _Wrapper:
    layout = _layout_of(recogniser)
    if layout is None:
        raise TypeError(f"{type(recogniser.front_end).__name__} has no layout")
    # The wrapper itself is put in evaluation mode: the exporter restores the mode it found there,
    # all the way down.
    return layout(recogniser).eval()


def _blank_last(recogniser: CtcRecogniser) -> torch.Tensor:
    pieces = [index for index in range(recogniser.model.config.vocab_size) if index != recogniser.blank]
    return torch.tensor([*pieces, recogniser.blank], device=recogniser.model.device)


def compare_front_ends(front_end: Any) -> list[str]:
    return [
        f"{name} = {getattr(front_end, name, None)} (expected {expected})"
        for name, expected in _FRONT_END.items()
        if getattr(front_end, name, None) != expected
    ]


def _symbols(recogniser: CtcRecogniser) -> list[str]:
    """What tokens.txt calls each output: words are spelled as `transcribe` spells them, wherever no
    two tokens meet.
    """
    delimiter = getattr(recogniser.tokenizer, "word_delimiter_token", None)
    pieces = recogniser.tokenizer.convert_ids_to_tokens(_blank_last(recogniser).tolist()[:-1])
    # Published models have rows that their tokenizer knows nothing of.
    named = [f"<unused{i}>" if piece is None else piece for i, piece in enumerate(pieces)]
    spaced = [_SPACE if piece == delimiter else piece for piece in named]
    lowered = [piece.lower() if normalise(piece) else piece for piece in spaced]
    return [*(lowered if len(set(lowered)) == len(set(spaced)) else spaced), BLANK]


def _trace(wrapper: _Wrapper, path: Path) -> None:
    """Trace with the TorchScript exporter.

    torch's newer exporter cannot lower Parakeet's attention as it comes, takes 20 times as long,
    and writes the paths of this machine into every node.
    """
    with warnings.catch_warnings():
        # Said of what is checked afterwards on other shapes: that this exporter is the older one,
        # that traced Python values become constants, and that some constants are not folded.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            wrapper,
            wrapper.example(),
            path,
            dynamo=False,
            opset_version=_OPSET,
            input_names=list(wrapper.inputs),
            output_names=["logprobs"],
            dynamic_axes={**wrapper.axes, "logprobs": {0: "B", 1: "T_subsampled"}},
        )


def finish_model(path: Path, metadata: dict[str, object]) -> None:
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
    onnx.helper.set_model_props(model, {name: str(value) for name, value in metadata.items()})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _dotted(name: str) -> str:
    return name.removeprefix("/").replace("/", ".")
