"""Hugging Face's recogniser families: where they differ, and nothing else.

Only some families hear an utterance the same way whether or not it is padded to the length of
another. Where padding seeps in (statistics over time, convolutions without a mask), utterances of
unlike length never share a batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCTC, AutoModelForSpeechSeq2Seq

from speechpriv.audio import RATE_HZ
from speechpriv.models import frontend

_WINDOW, _HOP = 400, 160  # samples, of Kaldi-style features at 16 kHz

Features = tuple[torch.Tensor, torch.Tensor]  # (B, T, ...) and which of T are real (B, T)


def front_end_features(front_end: Any, waveforms: Sequence[np.ndarray]) -> Features:
    """Return what the model's own feature extractor makes of waveforms of shape (N,) each."""
    found = front_end(
        list(waveforms), sampling_rate=RATE_HZ, padding="longest", return_attention_mask=True, return_tensors="pt"
    )
    return found[front_end.model_input_names[0]], found["attention_mask"].bool()


def _parakeet_features(front_end: Any, waveforms: Sequence[np.ndarray]) -> Features:
    """Zero beyond the end of an utterance."""
    filters = front_end.mel_filters.numpy()
    rows = [torch.from_numpy(frontend.log_mel(samples, filters)) for samples in waveforms]
    lengths = torch.tensor([len(row) for row in rows])
    # One frame at least, masked, so that a model can be run on a batch of nothing.
    features = torch.nn.utils.rnn.pad_sequence([*rows, rows[0].new_zeros(1, len(filters))], batch_first=True)[:-1]
    return features, torch.arange(features.shape[1]) < lengths[:, None]


def _whisper_features(front_end: Any, waveforms: Sequence[np.ndarray]) -> Features:
    """Always of full length, as Whisper was trained."""
    found = front_end(
        list(waveforms), sampling_rate=RATE_HZ, padding="max_length", return_attention_mask=True, return_tensors="pt"
    )
    return found["input_features"], found["attention_mask"].bool()


def _parakeet_last_layer(encoder: Any, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """What `ParakeetEncoder.forward` does from there."""
    both_real = (mask[:, None] & mask[:, :, None])[:, None]
    found: torch.Tensor = encoder.layers[-1](
        hidden, attention_mask=both_real, position_embeddings=encoder.encode_positions(hidden)
    )
    return found


def _kaldi_frames(samples: Any) -> Any:
    return (samples - _WINDOW) // _HOP + 1


@dataclass(frozen=True)
class Ctc:
    """A family whose output layer spells frame by frame."""

    encoder: str  # attribute with everything below the output layer
    head: str
    length: Callable[[Any], Any]  # of the model's input, for so many samples
    frames: Callable[[Any, Any], Any]  # model and length of its input -> output frames
    pads: Callable[[Any], bool] = lambda _: False  # config -> whether utterances of unlike length may share a batch
    features: Callable[[Any, Sequence[np.ndarray]], Features] = front_end_features
    model: Any = AutoModelForCTC
    # Encoder, states before its last layer (B, T, H), which are real (B, T) -> states after it;
    # None: not offered.
    last_layer: Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor] | None = None
    # Ends of names of layers whose weights are read past the layer, or that see no utterance, only
    # positions.
    lora_skips: tuple[str, ...] = ()


@dataclass(frozen=True)
class Seq2Seq:
    """A family whose decoder writes token by token."""

    pads: Callable[[Any], bool] = lambda _: False
    features: Callable[[Any, Sequence[np.ndarray]], Features] = front_end_features
    model: Any = AutoModelForSpeechSeq2Seq
    lora_skips: tuple[str, ...] = ()


def _wav2vec2(encoder: str, pads: Callable[[Any], bool], lora_skips: tuple[str, ...] = ()) -> Ctc:
    """A family on raw samples, with wav2vec 2.0's convolutions below."""
    return Ctc(
        encoder=encoder,
        head="lm_head",
        length=lambda samples: samples,
        frames=lambda model, length: model._get_feat_extract_output_lengths(length),  # noqa: SLF001  no public name
        pads=pads,
        lora_skips=lora_skips,
    )


def _normed_by_frame(config: Any) -> bool:
    """Group norm takes its statistics over all frames, padded ones too."""
    return bool(config.feat_extract_norm == "layer")


def last_layer(model: Any) -> torch.nn.Module:
    """Return the last layer of a model's encoder, or of its decoder if it has one."""
    stacks = [module for name, module in model.named_modules() if name.endswith(("encoder.layers", "decoder.layers"))]
    found: torch.nn.Module = stacks[-1][-1]
    return found


FAMILIES: dict[str, Ctc | Seq2Seq] = {
    "wav2vec2": _wav2vec2("wav2vec2", _normed_by_frame),
    "hubert": _wav2vec2("hubert", _normed_by_frame),
    "wavlm": _wav2vec2("wavlm", _normed_by_frame, ("q_proj", "k_proj", "v_proj", "out_proj")),
    "wav2vec2-conformer": _wav2vec2("wav2vec2_conformer", lambda _: False, ("linear_pos",)),
    "data2vec-audio": _wav2vec2("data2vec_audio", lambda _: False),
    "wav2vec2-bert": Ctc(
        encoder="wav2vec2_bert",
        head="lm_head",
        length=lambda samples: _kaldi_frames(samples) // 2,  # two frames are stacked into one
        frames=lambda model, length: model._get_feat_extract_output_lengths(length),  # noqa: SLF001  no public name
        pads=lambda config: not config.add_adapter,
    ),
    "parakeet_ctc": Ctc(
        encoder="encoder",
        head="ctc_head",
        length=frontend.count_frames,
        # Whole frames only, as sherpa-onnx reads them, so that training ends words by then.
        frames=lambda model, length: length // model.config.encoder_config.subsampling_factor,
        pads=lambda _: True,
        features=_parakeet_features,
        last_layer=_parakeet_last_layer,
    ),
    "lasr_ctc": Ctc(
        encoder="encoder",
        head="ctc_head",
        length=_kaldi_frames,
        frames=lambda model, length: model._get_subsampling_output_length(length),  # noqa: SLF001
        pads=lambda _: True,
    ),
    "whisper": Seq2Seq(pads=lambda _: True, features=_whisper_features),
    "speech_to_text": Seq2Seq(),
    "moonshine": Seq2Seq(),
}
