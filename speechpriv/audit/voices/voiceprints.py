"""What a recording tells of who speaks, as those who want to know may learn it from other people's
recordings.

Source: Fisher 1936 and Ioffe 2006 (linear discriminants of speakers); Snyder et al. 2018
(x-vectors); Wang et al. 2018, arXiv:1801.05599 (additive margin).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torchaudio
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional

from speechpriv.audio import RATE_HZ
from speechpriv.errors import ModelError

STATISTICS, NETWORK = "statistics", "network"

Audio = npt.NDArray[np.float32]
Features = npt.NDArray[np.float32]
Vectors = npt.NDArray[np.float64]
Embed = Callable[[Sequence[Features]], Vectors]

_HOP, _WINDOW, _MELS, _COEFFICIENTS = 160, 400, 40, 24
_SPECTRUM = {"n_fft": 512, "win_length": _WINDOW, "hop_length": _HOP, "n_mels": _MELS}
_QUIET = 0.3  # of frames, the least loud, say nothing of a voice
_SHORTEST = _HOP * 20  # samples; what is shorter is repeated
_DITHER = 1e-4  # so that digital silence has a logarithm
_DISCRIMINANTS, _SHRINKAGE = 32, 0.1
# Of the network, and how it learns.
_CHANNELS, _DIMENSIONS, _TAPS = 192, 128, ((5, 1), (3, 2), (3, 3), (1, 1))
_CROP, _BATCH, _STEPS, _LEARNING_RATE, _SCALE, _MARGIN = 200, 32, 500, 2e-3, 30.0, 0.2


@dataclass(frozen=True)
class Voiceprint:
    """A way to tell voices apart.

    Attributes:
      features: of samples (N,) at 16 kHz, whoever speaks: the part that nothing was learned for
        here.
      learn: from features of recordings, and whose each is, to what gives vectors of length 1,
        shape (n, D), of recordings of anybody: those of one person are alike.
    """

    features: Callable[[Audio], Features]
    learn: Callable[[Sequence[Features], Sequence[str]], Embed]


def load_voiceprint(name: str, device: str = "cpu") -> Voiceprint:
    """Load a voiceprint by name.

    Args:
      name: `statistics` (means and deviations of MFCCs, then linear discriminants: seconds),
        `network` (a small x-vector network, trained on the spot: a minute), or a directory or hub
        id of one of transformers' models for x-vectors, whose vectors are turned towards the
        recordings at hand by linear discriminants.
      device: where a model lives.

    Raises:
      ModelError: there is no such model.
    """
    if name == STATISTICS:
        return Voiceprint(_statistics, _discriminants)
    if name == NETWORK:
        return Voiceprint(_log_mels, partial(_network, device=device))
    return Voiceprint(_hub(name, device), _discriminants)


def _statistics(samples: Audio) -> Features:
    """Means, deviations, and deviations of differences of MFCCs over the louder frames, (72,)."""
    to_coefficients = torchaudio.transforms.MFCC(RATE_HZ, n_mfcc=_COEFFICIENTS, melkwargs=_SPECTRUM)
    found = to_coefficients(torch.from_numpy(_dithered(samples))).numpy()
    loud = found[:, found[0] >= np.quantile(found[0], _QUIET)]
    return np.concatenate([loud.mean(1), loud.std(1), np.diff(loud, axis=1).std(1)]).astype(np.float32)


def _log_mels(samples: Audio) -> Features:
    """Logarithms of mel bands, (T, 40), of 10 ms each."""
    to_mels = torchaudio.transforms.MelSpectrogram(RATE_HZ, **_SPECTRUM)
    return to_mels(torch.from_numpy(_dithered(samples))).clamp_min(1e-8).log().T.numpy()


def _dithered(samples: Audio) -> Audio:
    """Samples with a little noise, always the same; short ones repeated."""
    if len(samples) < _SHORTEST:
        samples = np.resize(samples, _SHORTEST)
    noise = np.random.default_rng(0).standard_normal(len(samples), np.float32)
    return np.asarray(samples, np.float32) + _DITHER * noise


def _discriminants(features: Sequence[Features], people: Sequence[str]) -> Embed:
    """The directions in which people differ most for how much each varies."""
    most = min(len(set(people)) - 1, _DISCRIMINANTS, len(features[0]))
    learned: Pipeline = make_pipeline(
        StandardScaler(),
        LinearDiscriminantAnalysis(solver="eigen", shrinkage=_SHRINKAGE, n_components=most),
    ).fit(np.stack(features), list(people))
    return lambda found: _unit(np.asarray(learned.transform(np.stack(found)), np.float64))


class _XVector(nn.Module):
    """Log-mel frames (B, T, 40) to vectors (B, D): convolutions over time, then means and
    deviations over it.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = _MELS
        for taps, dilation in _TAPS:
            layers += [nn.Conv1d(width, _CHANNELS, taps, dilation=dilation), nn.ReLU(), nn.BatchNorm1d(_CHANNELS)]
            width = _CHANNELS
        self.frames = nn.Sequential(*layers)
        self.whole = nn.Linear(2 * _CHANNELS, _DIMENSIONS)

    def forward(self, mels: torch.Tensor) -> torch.Tensor:
        found = self.frames(mels.transpose(1, 2))
        vectors: torch.Tensor = self.whole(torch.cat([found.mean(2), found.std(2)], dim=1))
        return vectors


def _network(features: Sequence[Features], people: Sequence[str], device: str) -> Embed:
    """An x-vector network that has learned to tell these people apart."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = _XVector().to(device)
        classes = nn.Parameter(torch.randn(len(set(people)), _DIMENSIONS, device=device))
    mean, deviation = np.concatenate(features).mean(0), np.concatenate(features).std(0)
    names = {name: index for index, name in enumerate(sorted(set(people)))}
    labels, rng = np.array([names[name] for name in people]), np.random.default_rng(0)
    optimiser = torch.optim.AdamW([*network.parameters(), classes], lr=_LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _LEARNING_RATE, total_steps=_STEPS)
    for _ in range(_STEPS):
        drawn = rng.integers(len(features), size=_BATCH)
        crops = np.stack([_crop((features[i] - mean) / deviation, rng) for i in drawn])
        vectors = functional.normalize(network(torch.from_numpy(crops).to(device)))
        cosines = vectors @ functional.normalize(classes).T
        labelled = torch.from_numpy(labels[drawn]).to(device)
        margins = _MARGIN * functional.one_hot(labelled, len(names))
        optimiser.zero_grad()
        functional.cross_entropy(_SCALE * (cosines - margins), labelled).backward()
        optimiser.step()
        schedule.step()
    network.eval()

    def embed(found: Sequence[Features]) -> Vectors:
        with torch.inference_mode():
            vectors = [network(torch.from_numpy((one - mean) / deviation)[None].to(device)).cpu() for one in found]
        return _unit(torch.cat(vectors).double().numpy())

    return embed


def _crop(frames: Features, rng: np.random.Generator) -> Features:
    """Some two seconds of log-mel frames; of less, all of it, repeated."""
    if len(frames) < _CROP:
        return np.resize(frames, (_CROP, _MELS))
    start = rng.integers(len(frames) - _CROP + 1)
    return frames[start : start + _CROP]


def _hub(name: str, device: str) -> Callable[[Audio], Features]:
    """Vectors of a model that somebody trained to tell people apart."""
    from transformers import AutoFeatureExtractor, AutoModelForAudioXVector  # noqa: PLC0415  slow, seldom needed

    try:
        # safetensors only: a pickled checkpoint can run code when it is opened.
        model: Any = AutoModelForAudioXVector.from_pretrained(name, use_safetensors=True).to(device).eval()
        front_end: Any = AutoFeatureExtractor.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{name}: no model for x-vectors could be loaded ({type(error).__name__}). Expected 'statistics', "
            "'network', or a directory or hub id with config.json, model.safetensors and preprocessor_config.json."
        ) from error

    def vector(samples: Audio) -> Features:
        heard = front_end(_dithered(samples), sampling_rate=RATE_HZ, return_tensors="pt").to(device)
        with torch.inference_mode():
            found: Features = model(**heard).embeddings[0].float().cpu().numpy()
        return found

    return vector


def _unit(vectors: Vectors) -> Vectors:
    lengths: Vectors = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-12)
