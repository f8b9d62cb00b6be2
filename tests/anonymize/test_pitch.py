import itertools
import os
import subprocess
import sys

import numpy as np
import pytest

from speechpriv.anonymize import pitch
from speechpriv.data import text, voices

RATE_HZ = 16_000
ORACLE = """
import sys, librosa, numpy
spoken, found = numpy.load(sys.argv[1]), {}
for name in spoken:
    found[name] = librosa.yin(spoken[name], fmin=70, fmax=400, sr=16000, frame_length=1024, hop_length=512)
numpy.savez(sys.argv[2], **found)
"""


@pytest.fixture(scope="module")
def spoken():
    """Sentences in unlike voices, with noise from faint to loud; silence, noise alone, and less than a frame."""
    rng = np.random.default_rng(0)
    sentences = [voices.speak(text.draw_sentence(rng), voices.random_voice(rng)).samples for _ in range(20)]
    noisy = [s + 10 ** rng.uniform(-5, -2) * rng.standard_normal(len(s)) for s in sentences]
    odd = [np.zeros(5_000), rng.standard_normal(5_000), noisy[0][:700]]
    return {str(number): samples.astype(np.float32) for number, samples in enumerate([*noisy, *odd])}


@pytest.mark.slow
def test_it_finds_what_librosa_finds(spoken, tmp_path):
    """librosa compiles at its import: elsewhere, with a cache of its own, which goes with this test."""
    np.savez(tmp_path / "spoken.npz", **spoken)
    arguments = [sys.executable, "-W", "ignore", "-c", ORACLE, tmp_path / "spoken.npz", tmp_path / "found.npz"]
    subprocess.run(arguments, check=True, env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")})
    theirs = np.load(tmp_path / "found.npz")
    for name, samples in spoken.items():
        found = pitch.estimate_pitch_hz(pitch.cut_frames(samples, 1024, 512), RATE_HZ, 70, 400)
        np.testing.assert_allclose(found, theirs[name], rtol=1e-4)


def test_a_glide_is_followed_as_librosa_does():
    """The numbers are those of librosa 0.11.0 for the same samples."""
    phase = 2 * np.pi * np.cumsum(90 + 120 * np.arange(RATE_HZ) / RATE_HZ) / RATE_HZ
    buzz = 0.3 * sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 6))
    samples = (buzz + 0.05 * np.random.default_rng(0).standard_normal(RATE_HZ)).astype(np.float32)
    found = pitch.estimate_pitch_hz(pitch.cut_frames(samples, 1024, 2048), RATE_HZ, 70, 400)
    expected = [92.107, 105.546, 121.058, 136.018, 151.344, 166.833, 182.323, 198.132]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_difference_function_is_the_textbooks(spoken):
    frame = pitch.cut_frames(spoken["3"], 1024, 512)[7].astype(float)
    followed = np.pad(frame, (0, 230))  # by silence
    difference = [np.sum((frame - followed[lag : lag + 1024]) ** 2) for lag in range(1, 230)]
    mean = [total / lag for lag, total in enumerate(itertools.accumulate(difference), start=1)]
    found = pitch._normalised_difference(frame[None].astype(np.float32), 229)[0]
    np.testing.assert_allclose(found, np.array(difference) / mean, rtol=1e-3, atol=1e-4)
