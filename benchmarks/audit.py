"""What it costs to score 200 canaries against 1,000 phrases each, beside the loop that runs the model for every pair.

OMP_NUM_THREADS=1 python benchmarks/audit.py [--model NAME]

The recordings are masked from their second word on; every one is scored against the same phrases.
The loop would take hours: it is timed on pairs drawn at random, one full pass a pair, and scaled to all.
"""

import argparse
import time

import numpy as np
import torch

from speechpriv.audit.attacks import scores
from speechpriv.data import text, voices
from speechpriv.models import asr
from speechpriv.models.asr import Recogniser, Utterance

CANARIES, PHRASES, WORDS = 200, 1_000, 5
PAIRS = 100
RATE_WPM = 125  # as canaries are spoken: slowly, so that phrases fit
COMMON = 3_000


def drawn(model: Recogniser, rng: np.random.Generator) -> tuple[list[np.ndarray], list[str]]:
    """Masked recordings, and phrases; every phrase fits every recording."""
    common = np.array(text.list_words()[0][:COMMON])
    phrases = [" ".join(rng.choice(common, WORDS, replace=False)) for _ in range(2 * PHRASES)]
    spoken = [voices.speak(phrase, voices.Voice(rate_wpm=RATE_WPM)) for phrase in phrases[:CANARIES]]
    recordings = [
        scores.mask_span(speech.samples, speech.words[1].start, len(speech.samples), "noise", rng) for speech in spoken
    ]
    shortest = min(map(len, recordings))
    return recordings, [phrase for phrase in phrases if model.fits(shortest, phrase)][:PHRASES]


def loop_s(model: Recogniser, recordings: list[np.ndarray], phrases: list[str], found: np.ndarray) -> float:
    """Seconds that the loop would take over all pairs, and it must give the same losses."""
    rng = np.random.default_rng(1)
    pairs = list(zip(rng.integers(CANARIES, size=PAIRS), rng.integers(PHRASES, size=PAIRS), strict=True))
    start_s = time.perf_counter()
    with torch.inference_mode():
        looped = [float(model.losses([Utterance(recordings[i], phrases[j])])[0]) for i, j in pairs]
    passed_s = time.perf_counter() - start_s
    gap = max(abs(one - found[i, j]) / one for one, (i, j) in zip(looped, pairs, strict=True))
    print(f"largest difference   {gap:9.1e}   of a loss, over {PAIRS} pairs")
    return passed_s / PAIRS * CANARIES * PHRASES


def main() -> None:
    """One figure a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny-en", help="what `asr.load` reads")
    model = asr.load(parser.parse_args().model)
    recordings, phrases = drawn(model, np.random.default_rng(0))
    with torch.inference_mode():
        model.transcribe(recordings[:1])  # what a first pass sets up is not timed
    start_s = time.perf_counter()
    found = scores.compute_candidate_losses(model, recordings, [phrases] * CANARIES, "timed")
    ours_s = time.perf_counter() - start_s
    start_s = time.perf_counter()
    scores.compute_candidate_error_rates(model, recordings, [phrases] * CANARIES, "timed")
    rates_s = time.perf_counter() - start_s
    naive_s = loop_s(model, recordings, phrases, found)
    print(f"losses               {ours_s:9.1f} s   {CANARIES} x {PHRASES}, one encoder pass a recording")
    print(f"character error rate {rates_s:9.1f} s   {CANARIES} x {PHRASES}")
    print(f"loop over pairs      {naive_s:9.0f} s   {PAIRS} pairs timed, scaled to {CANARIES * PHRASES:,}")
    print(f"ratio                {naive_s / ours_s:9.0f}")


if __name__ == "__main__":
    main()
