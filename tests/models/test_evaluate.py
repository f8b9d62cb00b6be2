import dataclasses
import json

import numpy as np
import pytest

from speechpriv import audio, store
from speechpriv import corpus as corpora
from speechpriv.corpus import Row
from speechpriv.errors import DataError
from speechpriv.models import arpa, evaluate


class Parrot:
    """Hears what it is told to hear: the answer is found by the recording's length."""

    def __init__(self, answers):
        self.answers = answers

    def transcribe(self, waveforms):
        return [self.answers[len(samples)] for samples in waveforms]


SAID = ("Turn on the lights!", "good night", "call [NAME]", "don't stop")


@pytest.fixture
def corpus(tmp_path):
    def rows():
        for number in range(40):  # more than one batch
            split = "test" if number % 2 else "train"
            samples = np.full(2000 - number, 0.1, np.float32)
            yield Row(
                f"r{number}",
                f"u{number % 6}",
                split,
                audio.encode_flac(samples),
                SAID[number // 2 % 4],
                len(samples) / 16_000,
            )

    return corpora.write(rows(), tmp_path / "corpus", lineage="synthetic")


def heard(corpus, change=lambda _number, text: text):
    """What a parrot hears, by length."""
    return {len(row.samples()): change(number, row.text) for number, row in enumerate(corpus.rows())}


PLAIN = dict(zip(SAID, ("turn on the lights", "good night", "call", "don't stop"), strict=True))


def test_everything_right(corpus):
    found = evaluate.measure_accuracy(Parrot(heard(corpus, lambda _, text: PLAIN[text])), corpus)
    assert found == {
        "wer": 0.0, "word_accuracy": 1.0, "exact": 1.0, "utterances": 20, "words": 5 * (4 + 2 + 1 + 2), "speakers": 3
    }  # fmt: skip


def test_one_word_wrong_in_one_utterance(corpus):
    def change(number, text):
        return PLAIN[text].replace("turn", "burn") if number == 1 else PLAIN[text]

    found = evaluate.measure_accuracy(Parrot(heard(corpus, change)), corpus)
    assert found["wer"] == pytest.approx(1 / 45)
    assert found["word_accuracy"] == pytest.approx(44 / 45)
    assert found["exact"] == 19 / 20


def test_only_the_test_split_counts(corpus):
    found = evaluate.measure_accuracy(
        Parrot(heard(corpus, lambda number, text: PLAIN[text] if number % 2 else "")), corpus
    )
    assert found["wer"] == 0


def test_nothing_heard_and_too_much_heard(corpus):
    assert evaluate.measure_accuracy(Parrot(heard(corpus, lambda *_: "")), corpus)["wer"] == 1
    found = evaluate.measure_accuracy(Parrot(heard(corpus, lambda *_: "la " * 20)), corpus)
    assert found["wer"] > 1
    assert found["word_accuracy"] == found["exact"] == 0


def test_nobody_to_test_on(corpus, tmp_path):
    corpora.write(corpus.rows("train"), tmp_path / "train", lineage="synthetic")
    with pytest.raises(DataError, match="test split"):
        evaluate.measure_accuracy(Parrot({}), corpora.read(tmp_path / "train"))


def test_the_stage_scores_three_models(base, corpus_dir, recogniser, tmp_path):
    for name in ("baseline", "private"):
        recogniser.save(tmp_path / name / "model")
    told = []
    stage = evaluate.run(
        evaluate.EvaluateConfig(base=str(base)),
        {"corpus": corpus_dir, "baseline": tmp_path / "baseline", "model": tmp_path / "private"},
        tmp_path / "evaluate",
        on_model=told.append,
    )
    assert told == ["base", "baseline", "private"]
    figures = json.loads((stage.directory / "figures.json").read_text())
    assert figures["base"] == figures["private"] == figures["baseline"]  # one and the same model
    assert (stage.counts["utterances"], stage.counts["speakers"]) == (9, 3)
    assert stage.counts["word_accuracy"] == {name: found["word_accuracy"] for name, found in figures.items()}
    assert store.verify(stage.directory) == []


def test_a_model_that_is_told_published_phrases_is_scored_a_second_time(base, corpus_dir, recogniser, tmp_path):
    for name in ("baseline", "private"):
        recogniser.save(tmp_path / name / "model")
    table = [["<s>", "lamp", 9.0], ["lamp", "</s>", 9.0]]
    inputs = {"corpus": corpus_dir, "baseline": tmp_path / "baseline", "model": tmp_path / "private"}
    for name, published in (("some", table), ("none", [])):
        (tmp_path / name).mkdir()
        store.write_json(tmp_path / name / "phrases.json", published)
        evaluate.run(
            evaluate.EvaluateConfig(base=str(base)), inputs | {"phrases": tmp_path / name}, tmp_path / f"{name} scored"
        )
    figures = json.loads((tmp_path / "some scored" / "figures.json").read_text())
    informed = dataclasses.replace(
        recogniser, language=arpa.build_language_model({tuple(gram): count for *gram, count in table})
    )
    assert figures["private_with_lm"] == evaluate.measure_accuracy(informed, corpora.read(corpus_dir))
    assert "private_with_lm" not in json.loads((tmp_path / "none scored" / "figures.json").read_text())


def test_errors_by_unit_add_up_to_the_rate(corpus):
    def change(number, text):
        return "never mind" if number == 1 else PLAIN[text]

    parrot = Parrot(heard(corpus, change))
    found = evaluate.by_unit(parrot, corpus)
    assert {unit: wrong for unit, (wrong, _) in found.items()} == {"u1": 4, "u3": 0, "u5": 0}
    errors, words = (sum(counts) for counts in zip(*found.values(), strict=True))
    assert evaluate.measure_accuracy(parrot, corpus)["wer"] == errors / words
