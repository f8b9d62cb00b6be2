"""Speed of the voice disguises, as times real time on one core, on synthetic sentences of a few seconds each.

OMP_NUM_THREADS=1 python benchmarks/anonymize.py

`resynth` is timed with all that it needs: alignment by `tiny-en`, synthesis, stretching. Beside `mcadams` its textbook
loop over frames. All are timed in turn, so that what else the machine does falls on all; the best round of each counts.
"""

import runpy
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from speechpriv.anonymize import convert, mcadams, resynth
from speechpriv.audio import RATE_HZ
from speechpriv.data import text, voices
from speechpriv.models import asr
from speechpriv.sections import Timing

SENTENCES, ROUNDS = 40, 5
KEY = bytes(32)
WANTED = {"mcadams": 150, "formant": 20, "cascade": 40, "resynth": 40, "resynth, timing kept": 40}
ORACLE = Path(__file__).parents[1] / "tests" / "anonymize" / "naive_mcadams.py"

Utterance = tuple[str, np.ndarray]


def utterances() -> list[Utterance]:
    """Sentences, each in a synthetic voice, slowly: a fast one says words that `tiny-en` has too few frames for."""
    rng = np.random.default_rng(0)
    said = [text.draw_sentence(rng) for _ in range(SENTENCES)]
    return [(words, voices.speak(words, replace(voices.random_voice(rng), rate_wpm=130)).samples) for words in said]


def times_real_time(disguise: Callable[[str, np.ndarray], object], spoken: list[Utterance]) -> float:
    """One timing."""
    start_s = time.perf_counter()
    for words, samples in spoken:
        disguise(words, samples)
    seconds = sum(len(samples) for _, samples in spoken) / RATE_HZ
    return seconds / (time.perf_counter() - start_s)


def main() -> None:
    """Print a line a method."""
    torch.set_num_threads(1)
    recogniser = asr.load_ctc("tiny-en")
    naive = runpy.run_path(str(ORACLE))["naive_disguise"]

    def resynthesised(words: str, samples: np.ndarray, timing: Timing | None = None) -> np.ndarray:
        aligned = resynth.align_words(recogniser, samples, words)
        return convert.disguise(samples, RATE_HZ, "resynth", KEY, words, words=aligned, timing=timing)

    methods: dict[str, Callable[[str, np.ndarray], object]] = {
        "mcadams": lambda words, samples: convert.disguise(samples, RATE_HZ, "mcadams", KEY, words),
        "formant": lambda words, samples: convert.disguise(samples, RATE_HZ, "formant", KEY, words),
        "cascade": lambda words, samples: convert.disguise(samples, RATE_HZ, "cascade", KEY, words),
        "resynth": resynthesised,
        "resynth, timing kept": lambda words, samples: resynthesised(words, samples, "kept"),
        "mcadams, frame by frame": lambda _, samples: naive(samples, RATE_HZ, 0.7),
    }
    spoken = utterances()
    for disguise in methods.values():  # what is loaded or compiled once
        disguise(*spoken[0])
    best = np.max([[times_real_time(one, spoken) for one in methods.values()] for _ in range(ROUNDS)], axis=0)
    print(f"{'times real time on one core':30}  wanted")
    for name, speed in zip(methods, best, strict=True):
        print(f"{name:24}{speed:6.0f}  {WANTED.get(name, ''):>6}")
    gap = max(
        np.abs(mcadams.disguise(samples, RATE_HZ, 0.7) - naive(samples, RATE_HZ, 0.7)).max() for _, samples in spoken
    )
    print(f"mcadams, ratio {best[0] / best[-1]:.1f} (largest difference in output {gap:.1e})")


if __name__ == "__main__":
    main()
