"""What private phrases are worth: word error rates of the base, phrases, private training, both, and neither.

    OMP_NUM_THREADS=1 python benchmarks/phrases.py                              2,000 synthetic people
    ... benchmarks/phrases.py --commands ../shared/data/commands               volunteers' commands; nothing if absent
    ... benchmarks/phrases.py --ways phrases --epsilons 2,8 --units 500,2000

Ways: `public` is the same synthetic speech without any phrase of theirs; `phrases` spends all of epsilon on phrases;
`recordings` all of it on private training of `--set train.trainable`; `both` the share --share on phrases. Where
phrases were published, a second line decodes with their language model. Prints a Markdown table; corpora are made and
kept as by `utility.py`, beside this file, whose settings these are too. One thread takes 5 minutes for synthetic speech
(600 steps), and 4 for private training with 2,000 people. delta is 1/N^1.1.
"""

import argparse
import hashlib
import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import utility  # beside this file

from speechpriv.config import PhrasesConfig, PrivacyConfig, TrainConfig
from speechpriv.corpus import Corpus
from speechpriv.models import arpa, asr, evaluate
from speechpriv.train import accounting, baseline, finetune, phrasebook, phrases, rehearse, sentences
from speechpriv.train.recordings import Recordings


def key_of(seed: int) -> bytes:
    """A key for one trial."""
    return hashlib.sha256(f"phrases {seed}".encode()).digest()


def table_of(
    train: Corpus, units: dict[str, list[int]], privacy: PrivacyConfig, seed: int
) -> dict[phrases.Gram, float]:
    """What is published of these people, as the phrasebook stage publishes it."""
    asked = privacy.phrases
    if asked is None:
        return {}
    event = phrasebook.event_of(privacy, asked)
    said = {unit: sentences_ for unit, sentences_ in phrasebook.collect_transcripts(train).items() if unit in units}
    return phrases.release_ngrams(
        said, key_of(seed), order=asked.order, cap=asked.cap, noise_multiplier=event.noise_multiplier, slip=event.slip
    )


def rehearsed(table: dict[phrases.Gram, float], settings: TrainConfig, seed: int) -> Any:
    """The base after synthetic speech; without a table, after general speech alone."""
    recogniser, rng = asr.load(settings.base), np.random.default_rng(seed)
    said: Iterator[str] = sentences.sample_sentences(table, rng)
    general = settings.replay_fraction if table else 1.0
    made = rehearse.generate_batches(said, recogniser, rng, general)
    steps = settings.synthetic_steps
    baseline.fit_baseline(
        recogniser, itertools.islice(made, steps), steps=steps, learning_rate=settings.synthetic_learning_rate
    )
    return recogniser


def trained(
    start: Any, train: Corpus, units: dict[str, list[int]], privacy: PrivacyConfig, settings: TrainConfig, seed: int
) -> Any:
    """`start` after private training with what the phrases left of epsilon."""
    before = [phrasebook.event_of(privacy, privacy.phrases)] if privacy.phrases else []
    sigma = accounting.noise_multiplier(
        sampling_rate=privacy.sampling_rate, steps=privacy.steps, epsilon=privacy.epsilon, delta=privacy.delta,
        beside=before,
    )  # fmt: skip
    found = Recordings(train, start, hear=finetune.plan_encoding(settings, start))
    config = finetune.FinetuneConfig(privacy=privacy, train=settings)
    return utility.stepped(config, sigma, key_of(seed), units, found, start)


def measure(args: Any) -> None:
    """Every way, for each number of people and each epsilon."""
    _, made = utility.corpora(args)
    train, test = made["train"], made[args.people]
    everybody = Recordings(train, asr.load(args.train.base), hear=None).units()
    print(f"{len(test)} utterances of {args.people} people, {args.train}, {args.settings}, share {args.share}\n")
    print("| | WER | gain kept | utterances without error | gain kept | s |\n|---|---|---|---|---|---|")
    base = evaluate.measure_accuracy(asr.load(args.train.base), test)
    utility.show("base", [base], base, None, time.time())
    for n in [len(everybody)] if args.commands else args.units:
        units = dict(list(everybody.items())[:n])
        best = dict(zip(("wer", "exact"), args.ordinary, strict=True)) if args.ordinary else None
        if not best and "ordinary" in args.ways:
            start_s = time.time()
            found = evaluate.measure_accuracy(utility.train_ordinarily(train, units, 0, args), test)
            best = {part: found[part] for part in ("wer", "exact")}
            utility.show(f"{n:,} people, ordinary", [found], base, best, start_s)
        if "public" in args.ways:
            start_s = time.time()
            found = evaluate.measure_accuracy(rehearsed({}, args.train, 0), test)
            utility.show("public", [found], base, best, start_s)
        for epsilon in args.epsilons:
            for way in args.ways:
                if way in {"phrases", "recordings", "both"}:
                    start_s = time.time()
                    found = [private(way, train, units, epsilon, seed, args) for seed in range(args.seeds)]
                    name = f"{n:,} people, epsilon {epsilon:g}, {way}"
                    utility.show(
                        name, [evaluate.measure_accuracy(model, test) for model, _ in found], base, best, start_s
                    )
                    if way != "recordings":
                        informed = [
                            replace(model, language=arpa.build_language_model(table)) for model, table in found if table
                        ]
                        if scores := [evaluate.measure_accuracy(model, test) for model in informed]:
                            utility.show(f"{name}, language model", scores, base, best, start_s)


def private(
    way: str, train: Corpus, units: dict[str, list[int]], epsilon: float, seed: int, args: Any
) -> tuple[Any, dict[phrases.Gram, float]]:
    """A recogniser made in one of the private ways, and the phrases that were published on the way."""
    n, own = len(units), args.settings
    spent = {"phrases": epsilon, "both": args.share * epsilon}.get(way)
    total = epsilon / phrasebook.MOST if way == "phrases" else epsilon  # of which phrases get all that is spent
    privacy = PrivacyConfig(
        units=n, epsilon=total, delta=n**-1.1, cohort=max(1, round(own["share"] * n)), steps=own["steps"],
        clip_norm=own["clip_norm"], cap_per_unit=own["cap"],
        phrases=PhrasesConfig(epsilon=spent, order=args.order, cap=args.cap) if spent else None,
    )  # fmt: skip
    table = table_of(train, units, privacy, seed)
    start = rehearsed(table, args.train, seed) if spent else asr.load(args.train.base)
    return (start if way == "phrases" else trained(start, train, units, privacy, args.train, seed)), table


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ways = ["public", "phrases", "recordings", "both", "ordinary"]
    parser.add_argument("--ways", type=lambda given: given.split(","), default=ways)
    parser.add_argument("--share", type=float, default=0.75, help="of epsilon that phrases get where both are trained")
    parser.add_argument("--order", type=int, default=2)
    parser.add_argument("--cap", type=int, default=32)
    utility.add_arguments(parser, epsilons=[2, 8], seeds=1)
    args = utility.read_arguments(parser)
    if args is not None:
        torch.set_num_threads(1)
        measure(args)


if __name__ == "__main__":
    main()
