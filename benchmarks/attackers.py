"""What attackers get of each disguise, and what it costs a recogniser that learns from disguised speech.

    OMP_NUM_THREADS=1 python benchmarks/attackers.py ../shared/data/sentences         adults who read sentences
    ... benchmarks/attackers.py                                                    80 synthetic people, 20 commands each
    ... benchmarks/attackers.py --methods none,mcadams --voiceprints statistics --run RUN

Equal error rates in % with 95 % intervals over people; 50 is an attacker who guesses. Figures in bold show nothing: an
attacker who fails on people as they are. WER: `tiny-en` after --epochs over half of the people as disguised, tested on
the others undisguised, and the other way round; "as it is": before. --run: the report of that run shows the table. On
one thread a method takes a minute to disguise and attack by statistics, 3 more by a network, and some 4 for the WER.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from speechpriv import audio, store
from speechpriv.anonymize import convert, resynth
from speechpriv.audit.voices import attackers, voiceprints
from speechpriv.data import demo, sources
from speechpriv.data.sources import SourceRow
from speechpriv.errors import DataError
from speechpriv.models import asr, evaluate
from speechpriv.models.asr import Recogniser, Utterance
from speechpriv.report import tradeoff
from speechpriv.report.tradeoff import Level, Point
from speechpriv.sections import AnonymizeConfig, DataConfig, DemoConfig
from speechpriv.train import baseline

METHODS = {
    "none": ("none", "kept"), "mcadams": ("mcadams", "kept"), "formant": ("formant", "kept"),
    "cascade": ("cascade", "kept"), "resynth-kept": ("resynth", "kept"), "resynth-quantised": ("resynth", "quantised"),
    "resynth": ("resynth", "replaced"),
}  # fmt: skip
OWNERS, ATTACKERS = b"owner" * 8, b"attacker" * 4
LEARNING_RATE, BATCH_S = 1e-3, 16.0


@dataclass(frozen=True)
class Said:
    """One recording, as it was and as it became under two keys."""

    person: str
    text: str
    plain: np.ndarray
    imitated: np.ndarray
    released: np.ndarray


def recordings(path: Path | None) -> Iterator[SourceRow]:
    """What people said."""
    if path is None:
        yield from demo.generate_rows(DemoConfig(units=80, utterances_per_unit=20), seed=7)
        return
    for row in sources.open_source(DataConfig(path=str(path))):
        if isinstance(row, SourceRow):
            yield row


def disguised(rows: Sequence[SourceRow], method: str, timing: str) -> Iterator[Said]:
    """Each recording that can be disguised."""
    aligner = asr.load_ctc("tiny-en")
    for row in rows:
        plain = audio.read(row.audio if isinstance(row.audio, bytes) else row.audio.read_bytes())
        sure = AnonymizeConfig().min_confidence
        try:
            words = resynth.align_words(aligner, plain, row.text, sure) if method == "resynth" else None
            changed = [
                convert.disguise(plain, audio.RATE_HZ, method, key, row.source_id, words=words, timing=timing)
                for key in (ATTACKERS, OWNERS)
            ]
        except DataError:
            continue
        yield Said(row.unit, row.text, plain, *changed)


def after_learning(said: Sequence[Said], epochs: int) -> Level:
    """WER on undisguised speech of each half of the people, after learning from disguised speech of the other half."""
    people = sorted({one.person for one in said})
    errors: dict[str, tuple[float, float]] = {}
    for half in (set(people[::2]), set(people[1::2])):
        recogniser, rng = asr.load("tiny-en"), np.random.default_rng(0)
        others = [one for one in said if one.person not in half]
        batches = [batch for _ in range(epochs) for batch in batched(others, rng)]
        baseline.fit_baseline(recogniser, iter(batches), steps=len(batches), learning_rate=LEARNING_RATE)
        errors |= word_errors(recogniser, [one for one in said if one.person in half])
    return level(errors)


def word_errors(recogniser: Recogniser, said: Sequence[Said]) -> dict[str, tuple[float, float]]:
    """Word errors and words of each person, undisguised."""
    found: dict[str, tuple[float, float]] = {}
    for one in said:
        words = len(one.text.split())
        errors = round(words * evaluate.word_error_rate(recogniser, [(one.plain, one.text)]))
        before = found.get(one.person, (0, 0))
        found[one.person] = before[0] + errors, before[1] + words
    return found


def level(errors: dict[str, tuple[float, float]]) -> Level:
    """Errors per word, with its interval over people."""
    return tradeoff.group_by_epsilon([Point(0, 0, errors)], tradeoff.word_error_rate)[0]


def shown(wer: Level | None) -> str:
    """WER with its interval."""
    return "" if wer is None else f"{wer.mean:.3f} ({wer.low:.3f} to {wer.high:.3f})"


def batched(said: Sequence[Said], rng: np.random.Generator) -> Iterator[list[Utterance]]:
    """Batches of some seconds, of utterances of about one length, in random order."""
    order = sorted(range(len(said)), key=lambda i: len(said[i].released) * rng.uniform(0.9, 1.1))
    batches: list[list[Utterance]] = [[]]
    for i in order:
        if sum(len(one.samples) for one in batches[-1]) > BATCH_S * audio.RATE_HZ:
            batches.append([])
        batches[-1].append(Utterance(said[i].released, said[i].text))
    for i in rng.permutation(len(batches)):
        yield batches[i]


def cell(rate: dict[str, Any]) -> str:
    """A rate with its interval; bold if it shows nothing."""
    text = f"{100 * rate['eer']:.1f} ({100 * rate['low']:.1f} to {100 * rate['high']:.1f})"
    return f"**{text}**" if rate.get("too_weak") else text


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, nargs="?")
    parser.add_argument("--methods", type=lambda given: given.split(","), default=list(METHODS))
    parser.add_argument("--voiceprints", type=lambda given: given.split(","), default=["statistics", "network"])
    parser.add_argument("--epochs", type=int, default=3, help="of the recogniser; 0: no WER")
    parser.add_argument("--run", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows, found = list(recordings(args.corpus)), []
    columns = ("method", "voiceprint", "ignorant, pooled", "lazy-informed, pooled", "semi-informed, single", "pooled",
               "named", "linked", "undisguised, pooled", "WER", "s")  # fmt: skip
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for name in args.methods:
        start_s = time.time()
        said = list(disguised(rows, *METHODS[name]))
        wer = after_learning(said, args.epochs) if args.epochs else None
        for voiceprint in args.voiceprints:
            told = attacked(said, voiceprint)
            found.append({"method": name, "voiceprint": voiceprint, "wer": wer and wer.mean, **told})
            semi = told["semi_informed"]
            rates = [told[a]["pooled"] for a in ("ignorant", "lazy_informed")] + [semi["single"], semi["pooled"]]
            cells = [name, voiceprint, *map(cell, rates), f"{semi['named']:.0%}", cell(told["linked"]),
                     cell(told["undisguised"]["pooled"]), shown(wer), f"{time.time() - start_s:.0f}"]  # fmt: skip
            print("| " + " | ".join(cells) + " |", flush=True)
        if args.epochs and name == args.methods[0]:
            print(f"as it is: WER {shown(level(word_errors(asr.load('tiny-en'), said)))}", flush=True)
        heard = f"{len(said)} of {len(rows)} recordings of {told['people']} people"
        print(f"{name}: {heard}; by chance {told['guessing']:.0%} named", flush=True)
        if args.run:
            store.write_json(args.run / "private" / "disguise_comparison.json", found)


def attacked(said: Sequence[Said], voiceprint: str) -> dict[str, Any]:
    """What attackers with this voiceprint get."""
    way = voiceprints.load_voiceprint(voiceprint)
    heard = [
        attackers.RecordingFeatures(
            one.person, *(way.features(sound) for sound in (one.plain, one.imitated, one.released))
        )
        for one in said
    ]
    return attackers.attack(heard, way)


if __name__ == "__main__":
    main()
