"""Accuracy on people who were not trained on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jiwer
import numpy as np

from speechpriv import corpus as corpora
from speechpriv import store
from speechpriv.corpus import Corpus
from speechpriv.errors import DataError
from speechpriv.models import arpa, asr
from speechpriv.models.asr import Recogniser
from speechpriv.models.spelling import normalise
from speechpriv.sections import Section

_BATCH = 16

Spoken = tuple[np.ndarray, str]  # samples at 16 kHz and their words


class EvaluateConfig(Section):
    """Nothing but the base model's name."""

    base: str


@store.stage(version=3)
def run(
    config: EvaluateConfig,
    inputs: Mapping[str, Path],
    out_dir: Path,
    *,
    device: str = "cpu",
    on_model: Callable[[str], None] = store.ignore_progress,
) -> dict[str, Any]:
    """Score the base, the private model and the baseline on the test split of `inputs["corpus"]`.

    If `phrases` are among the inputs, the private model is scored a second time, with the language
    model of what was published (`private_with_lm`). Writes `figures.json`. These figures
    describe the test people without noise: a release outside the ledger, said so in the claim.
    """
    corpus = corpora.read(inputs["corpus"])
    models = {
        "base": config.base,
        "baseline": str(inputs["baseline"] / "model"),
        "private": str(inputs["model"] / "model"),
    }
    figures = {}
    for name, source in models.items():
        recogniser = asr.load(source, device)
        figures[name] = measure_accuracy(recogniser, corpus)
        on_model(name)
    if "phrases" in inputs and (informed := add_language_model(recogniser, inputs["phrases"])) is not recogniser:
        figures["private_with_lm"] = measure_accuracy(informed, corpus)
    store.write_json(out_dir / "figures.json", figures)
    return {
        "utterances": figures["base"]["utterances"],
        "speakers": figures["base"]["speakers"],
        "word_accuracy": {name: found["word_accuracy"] for name, found in figures.items()},
    }


def by_unit(recogniser: Recogniser, corpus: Corpus) -> dict[str, tuple[int, int]]:
    """Return word errors and words of each unit in the test split of `corpus`.

    Raises:
      DataError: nobody is in the test split.
    """
    units, truth, heard = _transcribed(recogniser, corpus)
    found: dict[str, tuple[int, int]] = {}
    for unit, said, written in zip(units, truth, heard, strict=True):
        counts = jiwer.process_words(said, written)
        wrong = counts.substitutions + counts.deletions + counts.insertions
        errors, words = found.get(unit, (0, 0))
        found[unit] = errors + wrong, words + len(said.split())
    return found


def add_language_model(recogniser: Recogniser, phrases: Path) -> Recogniser:
    """Return the same, with the language model of what was published; as it is if nothing was, or
    it decodes with none.
    """
    table = arpa.sort_published(phrases)
    if not table or not isinstance(recogniser, asr.CtcRecogniser):
        return recogniser
    return replace(recogniser, language=arpa.build_language_model(table))


def measure_accuracy(recogniser: Recogniser, corpus: Corpus) -> dict[str, Any]:
    """Measure accuracy on the test split of `corpus`.

    Returns:
      `wer` (word errors per reference word, may exceed 1), `word_accuracy` (1 - WER, at least 0),
      `exact` (share of utterances transcribed without any error), and the numbers of utterances,
      words and speakers behind them.

    Raises:
      DataError: nobody is in the test split.
    """
    units, truth, heard = _transcribed(recogniser, corpus)
    rate = float(jiwer.wer(truth, heard))
    return {
        "wer": rate,
        "word_accuracy": max(0.0, 1 - rate),
        "exact": sum(a == b for a, b in zip(truth, heard, strict=True)) / len(truth),
        "utterances": len(truth),
        "words": sum(len(text.split()) for text in truth),
        "speakers": len(set(units)),
    }


def word_error_rate(recogniser: Recogniser, said: Sequence[Spoken]) -> float:
    """Return word errors per reference word on recordings with their words, each heard alone."""
    heard = [recogniser.transcribe([samples])[0] for samples, _ in said]
    return float(jiwer.wer([normalise(words) for _, words in said], heard))


def _transcribed(recogniser: Recogniser, corpus: Corpus) -> tuple[list[str], list[str], list[str]]:
    """Of each test utterance its unit, its words and what was heard."""
    seconds = corpus.table["seconds"][:]
    rows = [i for i, split in enumerate(corpus.table["split"]) if split == "test"]
    if not rows:
        raise DataError("no utterance is in the test split; expected at least one. Raise data.test_fraction.")
    rows.sort(key=seconds.__getitem__)  # utterances of like length together, so that little is padded
    units, truth, heard = list[str](), list[str](), list[str]()
    for start in range(0, len(rows), _BATCH):
        batch = [corpus[i] for i in rows[start : start + _BATCH]]
        units += [row.unit for row in batch]
        truth += [asr.normalise(row.text) for row in batch]
        heard += recogniser.transcribe([row.samples() for row in batch])
    return units, truth, heard
