"""Recognisers: a Hugging Face model with its front end and its tokenizer, behind one small set of
verbs.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    AutoModelForCTC,
    AutoTokenizer,
)  # fmt: skip
from transformers.utils import logging as transformers_logging

from speechpriv.errors import ModelError, SpeechprivError
from speechpriv.models import classify, families, proof
from speechpriv.models.classify import Classifier
from speechpriv.models.ctc import CtcRecogniser, ctc_losses, ctc_phrase_losses
from speechpriv.models.seq2seq import Seq2SeqRecogniser
from speechpriv.models.spelling import normalise
from speechpriv.models.utterance import EncodedUtterance, Utterance

__all__ = [
    "TINY_EN", "Classifier", "CtcRecogniser", "EncodedUtterance", "Recogniser", "Seq2SeqRecogniser", "Utterance",
    "ctc_losses", "ctc_phrase_losses", "family_name", "load", "load_classifier", "load_ctc", "normalise",
]  # fmt: skip

TINY_EN = Path(__file__).parent.parent / "assets" / "tiny-en"


class Recogniser(Protocol):
    """What can be trained, asked and saved. As loaded, the model is in evaluation mode: nothing is
    dropped.
    """

    @property
    def model(self) -> Any:
        """The Hugging Face model."""

    @property
    def head(self) -> torch.nn.Module:
        """The output layer."""

    @property
    def pads(self) -> bool:
        """Whether utterances of unlike length may share a batch."""

    def encode(self, text: str) -> list[int]:
        """Return the token indices of a text, as the model learns to write them; empty for a text
        with no words left.
        """

    def hear(self, utterance: Utterance) -> EncodedUtterance:
        """Return what the output layer gets of an utterance."""

    def losses(self, utterances: Sequence[Utterance | EncodedUtterance]) -> torch.Tensor:
        """Return the negative log-likelihood of each utterance's text, shape (B,), in nats, as if
        it were alone.

        Infinite, with an infinite gradient, where the text cannot be written for the audio.
        """

    def phrase_losses(self, samples: np.ndarray, targets: Sequence[Sequence[int]]) -> torch.Tensor:
        """Return the negative log-likelihood, (P,), of many texts, as `encode` gives them, in the
        same samples, encoded once.
        """

    def n_best(self, samples: np.ndarray, width: int) -> list[str]:
        """Return up to `width` texts of a waveform, normalised, the likeliest first."""

    def confidence(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        """Return the mean log-probability, <= 0, that the model gives to what it finds likeliest in
        each waveform, shape (B,).
        """

    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[str]:
        """Return greedy words, normalised, of waveforms of shape (N,) at 16 kHz each."""

    def fits(self, samples: int, text: str) -> bool:
        """Return whether the loss of `text` in so many samples is finite."""

    def save(self, directory: Path) -> None:
        """Write what `load` reads."""


def load(name_or_path: str, device: str = "cpu") -> Recogniser:
    """Load a recogniser of any family in `families.FAMILIES`.

    Args:
      name_or_path: `tiny-en` (embedded), a directory that `Recogniser.save` or a bundle wrote, or a
        hub id.
      device: where the model lives, as torch names it.

    Raises:
      ModelError: nothing is there, the family is not one that is built, or the parts do not
        belong together (see proof.py).
    """
    config = _load_config(name_or_path)
    family = families.FAMILIES[config.model_type]
    if classify.is_classifier(config):
        return _load_classifier(name_or_path, config, device)
    model = _load_weights(family.model, name_or_path)
    front_end = _load_front_end(name_or_path)
    with _reading(name_or_path, "tokenizer") as source:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    kind = CtcRecogniser if isinstance(family, families.Ctc) else Seq2SeqRecogniser
    found = kind(model.to(device).eval(), front_end, tokenizer)
    proof.check_base(found, name_or_path)
    return found


def load_classifier(name_or_path: str, labels: Sequence[str], device: str = "cpu") -> Classifier:
    """Load a classifier on top of a recogniser's encoder, its output layer yet to learn; see
    `classify.make_classifier`.

    Raises:
      ModelError: as `load`; or no classifier can be made of it.
    """
    recogniser = load(name_or_path)
    if isinstance(recogniser, Classifier):
        raise ModelError(f"{name_or_path}: has labels of its own; expected a recogniser to put new ones on.")
    with _reading(name_or_path, "weights") as source:
        found = classify.make_classifier(recogniser, source, labels)
    found.model.to(device)
    return found


def _load_classifier(name_or_path: str, config: Any, device: str) -> Classifier:
    """Load a model that has labels already."""
    kind = AutoModelForCTC if config.model_type == classify.POOLED else AutoModelForAudioClassification
    found = Classifier(_load_weights(kind, name_or_path).to(device).eval(), _load_front_end(name_or_path))
    proof.check_base(found, name_or_path)
    return found


def _load_weights(kind: Any, name_or_path: str) -> Any:
    """Load a whole model; of safetensors only, since a pickled checkpoint can run code when it is
    opened.
    """
    with _reading(name_or_path, "weights") as source:
        model, found = kind.from_pretrained(source, use_safetensors=True, dtype=torch.float32, output_loading_info=True)
    if missing := len(found["missing_keys"]):  # transformers would leave them random, and only warn
        raise ModelError(f"{name_or_path}: {missing} weights are missing; expected a whole model.")
    return model


def _load_front_end(name_or_path: str) -> Any:
    with _reading(name_or_path, "front end") as source:
        return AutoFeatureExtractor.from_pretrained(source, trust_remote_code=False)


def family_name(name_or_path: str) -> str:
    """Return the family of a recogniser, as `families.FAMILIES` calls it; reads no weights.

    Raises:
      ModelError: as `load`.
    """
    return str(_load_config(name_or_path).model_type)


def _load_config(name_or_path: str) -> Any:
    """Load the config of a model of one of the families."""
    with _reading(name_or_path, "config") as source:
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    if config.model_type not in families.FAMILIES:
        known = ", ".join(families.FAMILIES)
        raise ModelError(f"{name_or_path}: family {config.model_type!r} is not supported; expected one of {known}.")
    return config


_PARTS = {
    "config": "config.json of a recogniser",
    "weights": "model.safetensors, whole",
    "front end": "preprocessor_config.json",
    "tokenizer": "tokenizer.json, or vocab.json and tokenizer_config.json",
}


@contextmanager
def _reading(name_or_path: str, part: str) -> Iterator[str]:
    """Give the directory or hub id to read a part from, in silence; what goes wrong is a
    ModelError.
    """
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield str(TINY_EN) if name_or_path == "tiny-en" else name_or_path
    except SpeechprivError:
        raise  # it says already what is wrong
    except Exception as error:  # whatever the libraries raise: TypeError for a missing file, KeyError for a setting
        raise ModelError(
            f"{name_or_path}: its {part} cannot be read ({type(error).__name__}: {error}). Expected {_PARTS[part]}, "
            "in a directory or under a hub id. Copy that file from the checkpoint, or save it with save_pretrained."
        ) from error
    finally:
        transformers_logging.set_verbosity(verbosity)


def load_ctc(name_or_path: str, device: str = "cpu") -> CtcRecogniser:
    """As `load`, for what needs to know when a word is said.

    Raises:
      ModelError: as `load`; or the model is no CTC recogniser.
    """
    found = load(name_or_path, device)
    if not isinstance(found, CtcRecogniser):
        raise ModelError(f"{name_or_path}: tells no times; expected a CTC recogniser, for example tiny-en.")
    return found
