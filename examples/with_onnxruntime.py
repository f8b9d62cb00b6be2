"""Decode a bundle with onnxruntime and numpy alone: python with_onnxruntime.py BUNDLE FILE (16 kHz, mono)."""

import sys
from itertools import groupby
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile


def log_mel(samples: np.ndarray) -> np.ndarray:
    """Features (80, T), as sherpa-onnx makes them."""
    mel = np.linspace(0, 15 + 27 * np.log(8) / np.log(6.4), 82)  # Slaney's scale, up to 8 kHz
    hz = np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))[:, None]
    ramps = (np.linspace(0, 8000, 257) - hz[:-1]) / np.diff(hz, axis=0)
    filters = np.maximum(0, np.minimum(ramps[:-1], 1 - ramps[1:])) * 2 / (hz[2:] - hz[:-2])
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(samples, (120, 200), "symmetric"), 400)[::160]
    emphasised = windows - 0.97 * windows[:, [0, *range(399)]]
    bands = np.log(filters @ np.abs(np.fft.rfft(emphasised * np.hanning(401)[:-1], 512)).T ** 2 + 2.0**-24)
    return (bands - bands.mean(1, keepdims=True)) / (bands.std(1, keepdims=True) + 1e-5)


def words(log_probs: np.ndarray, tokens: list[str]) -> str:
    """The likeliest token of each frame (T, V): repeats are one, and blanks are none."""
    said = [tokens[index] for index, _ in groupby(log_probs.argmax(-1))]
    return "".join(token for token in said if not token.startswith("<")).replace("▁", " ").strip()


if __name__ == "__main__":
    bundle, file = map(Path, sys.argv[1:])
    tokens = [line.split(" ")[0] for line in (bundle / "tokens.txt").read_text(encoding="utf-8").splitlines()]
    features = log_mel(soundfile.read(file)[0])[None].astype(np.float32)
    inputs = {"audio_signal": features, "length": np.array([features.shape[2]])}
    print(words(onnxruntime.InferenceSession(bundle / "model.onnx").run(None, inputs)[0][0], tokens))
