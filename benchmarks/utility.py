"""What privacy costs in accuracy: word error rate by epsilon and by number of people, synthetic users or real commands.

    OMP_NUM_THREADS=1 python benchmarks/utility.py                            epsilon 1 to 8, 2,000 synthetic people
    ... benchmarks/utility.py --epsilons 8 --units 500,1000,2000,5000,20000   by number of people
    ... benchmarks/utility.py --commands ../shared/data/commands              volunteers' commands; nothing if absent

Prints a Markdown table. Time is in its last column; one thread takes 7 minutes for ordinary training of all weights on
2,000 people, 2 for a private training of the output layer; 20,000 people are made in 10 minutes and heard in 8.
What was made is kept in --cache. `--set train.trainable=lora --set steps=60 --set share=0.5` and so on change settings,
which are to be chosen with --people validation, never on the test people. delta is 1/N^1.1 here; packaged configs are
stricter. Voices are not disguised and words not scrubbed: this is what private training alone costs.
"""

import argparse
import hashlib
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from speechpriv import audio, corpus
from speechpriv.config import PrivacyConfig, TrainConfig
from speechpriv.corpus import Corpus, Row
from speechpriv.data import demo, ingest, sources
from speechpriv.models import asr, evaluate
from speechpriv.models.asr import Utterance
from speechpriv.sections import DataConfig, DemoConfig
from speechpriv.train import accounting, baseline, finetune
from speechpriv.train.recordings import Recordings

SEEDS = {"train": 1, "validation": 2, "test": 3}  # of synthetic people: nobody is in two parts
PEOPLE = {"validation": 150, "test": 300}
TEST_SHARE = VALIDATION_SHARE = 0.2  # of volunteers

Scores = dict[str, Any]  # what evaluate.measure_accuracy gives


def synthetic(part: str, people: int, utterances: int) -> Iterator[Row]:
    """Utterances of synthetic people; the first thousand are the same, however many there are."""
    for row in demo.generate_rows(DemoConfig(units=people, utterances_per_unit=utterances), SEEDS[part]):
        yield as_row(row, part)


def volunteers(path: Path, part: str) -> Iterator[Row]:
    """Commands of the volunteers who fall to this part."""
    for row in sources.open_source(DataConfig(path=str(path))):
        if not isinstance(row, sources.Rejected) and part == part_of(row.unit):
            yield as_row(row, part)


def part_of(volunteer: str) -> str:
    """The part of a volunteer, by name alone."""
    if ingest.split_of(volunteer, 1, TEST_SHARE) == "test":
        return "test"
    return "validation" if ingest.split_of(volunteer, 2, VALIDATION_SHARE) == "test" else "train"


def as_row(row: sources.SourceRow, part: str) -> Row:
    """A row as found, as a corpus has it."""
    flac = row.audio if isinstance(row.audio, bytes) else row.audio.read_bytes()
    seconds = len(audio.read(flac)) / audio.RATE_HZ
    return Row(row.source_id, row.unit, "train" if part == "train" else "test", flac, row.text, seconds)


def kept(rows: Iterator[Row], folder: Path) -> Corpus:
    """The corpus in a folder, made now if it is not there."""
    return corpus.read(folder) if (folder / "corpus.json").exists() else corpus.write(rows, folder, lineage="none")


def corpora(args: Any) -> tuple[dict[str, Path], dict[str, Corpus]]:
    """The parts, and where each is kept."""
    if args.commands:
        folders = {part: args.cache / f"commands-{part}" for part in SEEDS}
        return folders, {part: kept(volunteers(args.commands, part), folder) for part, folder in folders.items()}
    people = {"train": max(args.units)} | PEOPLE
    each = {part: args.utterances if part == "train" else 2 for part in SEEDS}
    folders = {part: args.cache / f"demo-{part}-{people[part]}-{each[part]}" for part in SEEDS}
    return folders, {part: kept(synthetic(part, people[part], each[part]), folder) for part, folder in folders.items()}


def recordings_of(train: Corpus, folder: Path, settings: TrainConfig) -> Recordings:
    """What is learned from; what the output layer gets of it is computed once and kept on the disk."""
    recogniser = asr.load(settings.base)
    hear = finetune.plan_encoding(settings, recogniser)
    found = Recordings(train, recogniser, hear=hear)
    path = folder / f"heard-{settings.trainable}.pt"
    if hear:
        if path.exists():
            states = torch.load(path, weights_only=True)
            texts = train.table["text"][:]
            found._kept = {i: asr.EncodedUtterance(hidden, texts[i], frames) for i, (hidden, frames) in states.items()}  # noqa: SLF001
        else:
            for rows in found.units().values():
                for row in rows:
                    found.read(row)
            torch.save({i: (heard.hidden, heard.frames) for i, heard in found._kept.items()}, path)  # noqa: SLF001
    return found


def train_privately(found: Recordings, units: dict[str, list[int]], epsilon: float, seed: int, args: Any) -> Any:
    """A recogniser after the product's own steps; epsilon infinity clips and adds no noise."""
    n, rate, steps = len(units), args.settings["share"], args.settings["steps"]
    privacy = PrivacyConfig(
        units=n, epsilon=min(epsilon, 1e3), delta=n**-1.1, cohort=max(1, round(rate * n)), steps=steps,
        clip_norm=args.settings["clip_norm"], cap_per_unit=args.settings["cap"],
    )  # fmt: skip
    sigma = 0.0
    if epsilon < math.inf:
        sigma = accounting.noise_multiplier(
            sampling_rate=privacy.sampling_rate, steps=steps, epsilon=epsilon, delta=privacy.delta
        )
    key = hashlib.sha256(f"{seed}".encode()).digest()
    return stepped(finetune.FinetuneConfig(privacy=privacy, train=args.train), sigma, key, units, found)


def stepped(
    config: finetune.FinetuneConfig, sigma: float, key: bytes, units: dict[str, list[int]], found: Recordings,
    recogniser: Any = None,
) -> Any:  # fmt: skip
    """A recogniser after the product's own steps, without a ledger; sigma 0 adds no noise, which is not offered."""
    recogniser = recogniser or asr.load(config.train.base)
    plan = finetune._Plan(config, sigma, key, units, found)  # noqa: SLF001
    training = finetune._Training(recogniser, plan, Path("no checkpoint"), "")  # noqa: SLF001
    for step in range(config.privacy.steps):
        training.step(step)
    training.finish()
    return recogniser


def train_ordinarily(train: Corpus, units: dict[str, list[int]], seed: int, args: Any) -> Any:
    """A recogniser after ordinary fine-tuning of all weights, as the audit's baseline has it."""
    rows, seconds = [row for unit in units.values() for row in unit], train.table["seconds"][:]
    rng, recogniser = np.random.default_rng(seed), asr.load(args.train.base)
    epochs = [baseline._epoch(rows, seconds, rng) for _ in range(args.train.baseline_epochs)]  # noqa: SLF001
    batches = [batch for epoch in epochs for batch in epoch]
    spoken = ([Utterance(train[i].samples(), train[i].text) for i in batch] for batch in batches)
    baseline.fit_baseline(recogniser, spoken, steps=len(batches), learning_rate=args.train.baseline_learning_rate)
    return recogniser


def show(name: str, scores: list[Scores], base: Scores, best: Scores | None, start_s: float) -> None:
    """One row: means over seeds, half the range, and how much of the ordinary gain is kept."""
    cells = [name]
    for part in ("wer", "exact"):
        values = [score[part] for score in scores]
        mean, spread = float(np.mean(values)), float(np.ptp(values)) / 2
        gained = best[part] - base[part] if best else 0.0
        kept = f"{(mean - base[part]) / gained:.0%}" if gained else ""
        cells += [f"{mean:.3f}" + (f" ± {spread:.3f}" if len(values) > 1 else ""), kept]
    print("| " + " | ".join([*cells, f"{time.time() - start_s:.0f}"]) + " |", flush=True)


def measure(args: Any) -> None:
    """Base, ordinary and private training for each number of people."""
    folders, made = corpora(args)
    train, test = made["train"], made[args.people]
    found = recordings_of(train, folders["train"], args.train)
    everybody = {unit: rows for unit, rows in found.units().items() if rows}
    base = evaluate.measure_accuracy(asr.load(args.train.base), test)
    print(
        f"{base['utterances']} utterances of {base['speakers']} {args.people} people, {args.train}, {args.settings}\n"
    )
    print("| | WER | gain kept | utterances without error | gain kept | s |\n|---|---|---|---|---|---|")
    show("base", [base], base, None, time.time())
    for n in [len(everybody)] if args.commands else args.units:
        units, start_s = dict(list(everybody.items())[:n]), time.time()
        best = dict(zip(("wer", "exact"), args.ordinary, strict=True)) if args.ordinary else None
        if args.ordinary_seeds:
            models = (train_ordinarily(train, units, seed, args) for seed in range(args.ordinary_seeds))
            scores = [evaluate.measure_accuracy(model, test) for model in models]
            best = {part: float(np.mean([score[part] for score in scores])) for part in ("wer", "exact")}
            show(f"{len(units):,} people, ordinary", scores, base, best, start_s)
        for epsilon in args.epsilons:
            start_s = time.time()
            private = (train_privately(found, units, epsilon, seed, args) for seed in range(args.seeds))
            scores = [evaluate.measure_accuracy(model, test) for model in private]
            show(f"{len(units):,} people, epsilon {epsilon:g}", scores, base, best, start_s)


def numbers(given: str) -> list[float]:
    """Numbers with commas between."""
    return [float(number) for number in given.split(",")]


def add_arguments(parser: argparse.ArgumentParser, epsilons: list[float], seeds: int) -> None:
    """What `phrases.py` is asked too."""
    parser.add_argument("--units", type=lambda given: [int(n) for n in given.split(",")], default=[2000])
    parser.add_argument("--utterances", type=int, default=2, help="of each synthetic person who is trained on")
    parser.add_argument("--epsilons", type=numbers, default=epsilons)
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--ordinary", type=numbers, help="WER,EXACT of an earlier run, instead of ordinary training")
    parser.add_argument("--people", choices=["validation", "test"], default="test")
    parser.add_argument("--commands", type=Path)
    parser.add_argument("--cache", type=Path, default=Path("/tmp/speechpriv-utility"))
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="changes")


def read_arguments(parser: argparse.ArgumentParser) -> Any:
    """The arguments, with `settings` and `train`; None if there is nothing to measure."""
    settings = {"steps": 40, "share": 1.0, "clip_norm": 1.0, "cap": 24}
    args = parser.parse_args()
    if args.commands and not args.commands.is_dir():
        print(f"{args.commands} is not there: nothing is measured.")
        return None
    changes = dict(change.split("=", 1) for change in args.changes)
    args.settings = own = {name: type(value)(changes.get(name, value)) for name, value in settings.items()}
    args.train = TrainConfig.model_validate({k.removeprefix("train."): v for k, v in changes.items() if k not in own})
    args.cache.mkdir(parents=True, exist_ok=True)
    return args


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ordinary-seeds", type=int, default=1)
    add_arguments(parser, epsilons=[1, 2, 4, 8, math.inf], seeds=3)
    args = read_arguments(parser)
    if args is not None:
        torch.set_num_threads(1)
        measure(args)


if __name__ == "__main__":
    main()
