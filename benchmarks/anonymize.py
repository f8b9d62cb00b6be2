"""Speed of the voice disguise, as times real time on one core, beside the textbook loop over frames.

OMP_NUM_THREADS=1 python benchmarks/anonymize.py
"""

import runpy
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.signal import lfilter

from speechpriv.anonymize import mcadams

RATE_HZ = 16_000
DURATION_S = 60
ALPHA = 0.7
ROUNDS = 5
ORACLE = Path(__file__).parents[1] / "tests" / "anonymize" / "naive_mcadams.py"


def noise_like_speech() -> np.ndarray:
    """A minute of noise through four formants, loud and soft at a syllable's pace."""
    n_samples = DURATION_S * RATE_HZ
    signal = np.random.default_rng(0).standard_normal(n_samples)
    for formant_hz in (500, 1500, 2500, 3500):
        signal = lfilter([1], [1, -2 * 0.95 * np.cos(2 * np.pi * formant_hz / RATE_HZ), 0.95**2], signal)
    signal *= 0.55 + 0.45 * np.sin(2 * np.pi * 4 * np.arange(n_samples) / RATE_HZ)
    return (signal / np.abs(signal).max()).astype(np.float32)


def times_real_time(disguise: Callable, samples: np.ndarray) -> float:
    """One timing."""
    start_s = time.perf_counter()
    disguise(samples, RATE_HZ, ALPHA)
    return len(samples) / RATE_HZ / (time.perf_counter() - start_s)


def main() -> None:
    """Time both in turn, so that what else the machine does falls on both; the best round of each counts."""
    samples = noise_like_speech()
    naive = runpy.run_path(str(ORACLE))["naive_disguise"]
    gap = np.abs(mcadams.disguise(samples, RATE_HZ, ALPHA) - naive(samples, RATE_HZ, ALPHA)).max()
    speeds = [[times_real_time(method, samples) for method in (mcadams.disguise, naive)] for _ in range(ROUNDS)]
    batched, looped = np.max(speeds, axis=0)
    print(f"mcadams, batched over frames  {batched:6.0f} times real time")
    print(f"mcadams, frame by frame       {looped:6.0f} times real time")
    print(f"ratio                         {batched / looped:6.1f}   (largest difference in output: {gap:.1e})")


if __name__ == "__main__":
    main()
