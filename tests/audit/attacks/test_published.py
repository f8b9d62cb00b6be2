"""A table of phrases that tells on one unit is seen; one that is made as it should be is not."""

import dataclasses
import json
import re

import numpy as np
import pytest

from speechpriv import audio
from speechpriv import corpus as corpora
from speechpriv.audit import stage
from speechpriv.audit.attacks import published
from speechpriv.audit.attacks.published import Published
from speechpriv.audit.canaries import canary
from speechpriv.config import AuditConfig, CanaryConfig
from speechpriv.train import phrases

ORDER, SLIP = 2, 1e-6
FLAC = audio.encode_flac(np.zeros(1600, np.float32))


def row(number, unit, text):
    return corpora.Row(f"row-{number}", unit, "train", FLAC, text, 0.1)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """Forty people who say the same, of whom ten say something of their own."""
    said = [row(i, f"unit-{i}", "turn on the lights") for i in range(40)]
    said += [row(100 + i, f"unit-{i}", f"my own {chr(97 + i)}{chr(97 + i)}") for i in range(10)]
    return corpora.write(said, tmp_path_factory.mktemp("crowd"), lineage="synthetic")


@pytest.fixture(scope="module")
def planted(tmp_path_factory, crowd):
    config = CanaryConfig.model_construct(candidates=30, references=6, repeats=(1, 4), words=3)
    place = tmp_path_factory.mktemp("run")
    corpora.write(crowd.rows(), place / "crowd", lineage="synthetic")
    stages = {}
    for placed in ("own_unit", "spread"):
        made = config.model_copy(update={"placed": placed})
        stages[placed] = canary.run(made, {"corpus": place / "crowd"}, place / placed, key=b"k" * 32).directory
    return stages


@pytest.fixture
def check(planted, tmp_path):
    """The check of a table that is released at a threshold for `slip`, or of what `also` is put into it."""

    def run(slip=SLIP, placed="own_unit", also=()):
        registry, said = canary.read(planted[placed])
        corpus = corpora.read(planted[placed] / "corpus")
        texts = corpus.table["text"][:]
        units = {unit: [texts[i].split() for i in rows] for unit, rows in corpus.units("train").items()}
        table = phrases.release_ngrams(units, b"k" * 32, order=ORDER, cap=32, noise_multiplier=0.7, slip=slip)
        table |= dict.fromkeys(also, 9.0)
        event = json.dumps({"slip": SLIP})
        (tmp_path / "phrases.json").write_text(json.dumps([[*gram, weight] for gram, weight in table.items()]))
        (tmp_path / "release.json").write_text(json.dumps({"run_id": "x", "event": event}))
        return published.check_published(tmp_path, registry, said, corpus), said, registry

    return run


def test_a_table_as_it_should_be_is_quiet(check):
    found, _, registry = check()
    assert found.phrases >= 4
    assert (found.of_one_unit, found.planted_seen, found.spread) == (0, 0, 0)
    assert found.planted == sum(one.planted for one in registry) > 5
    assert found.failures() == []


def test_a_threshold_that_is_too_low_is_seen(check):
    found, _, _ = check(slip=0.9)
    assert found.of_one_unit > 0
    (reason,) = found.failures()
    assert "more published phrases are said by one unit alone" in reason
    assert not re.search(r"\d", reason)  # it is released


def test_one_canary_in_the_table_is_seen(check):
    _, said, registry = check()
    place = next(i for i, one in enumerate(registry) if one.planted)
    words = said[place].text.split()
    found, _, _ = check(also=[tuple(words[:2])])
    assert (found.planted_seen, found.of_one_unit) == (1, 1)
    assert found.failures()


def test_what_slips_now_and_then_is_no_failure():
    honest = Published(500, 1, 100_000, 1e-5, 20, 0, 0, 0)
    assert honest.failures() == []
    assert dataclasses.replace(honest, of_one_unit=9).failures() != []


def test_a_canary_of_many_units_is_told_beside_and_fails_nothing(check):
    found, said, registry = check(placed="spread")
    place = next(i for i, one in enumerate(registry) if one.planted and one.repeats == 4)
    found, _, _ = check(placed="spread", also=[tuple(said[place].text.split()[:2])])
    assert found.spread > 5
    assert found.spread_seen >= 1
    assert found.failures() == []


def test_a_table_that_tells_fails_the_model():
    rng = np.random.default_rng(0)
    registry = [canary.Canary(f"candidate {i}", 1, planted=i % 2 == 0) for i in range(60)]
    registry += [canary.Canary(f"reference {i}", 0, planted=False) for i in range(1000)]
    scores = rng.normal(size=len(registry))
    baseline = scores - 40 * np.array([one.planted for one in registry])
    for of_one_unit, word in ((0, "PASS"), (3, "FAIL")):
        told = Published(50, of_one_unit, 100, 1e-6, 30, of_one_unit, 0, 0)
        found = stage.judge(registry, scores, baseline, None, AuditConfig(), told=told)
        assert found["verdict"] == word
        assert found["published"]["of_one_unit"] == of_one_unit
