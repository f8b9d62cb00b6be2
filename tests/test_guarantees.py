"""The figures of docs/guarantees.md are those of the packaged configs, computed here."""

import math
from pathlib import Path

import pytest

from speechpriv import config
from speechpriv.claim import _up
from speechpriv.models import asr, trainable
from speechpriv.train import accounting, clipping, finetune, groups, noise, phrasebook, phrases

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
LINES = TEXT.splitlines()
SENTENCES = " ".join(TEXT.split())


@pytest.fixture(scope="module", params=["assistant", "commands"])
def told(request):
    return request.param, *planned(request.param)


def planned(name):
    """A packaged config's privacy, the events of its phrases and its training, and the claim that comes of them."""
    overrides = [] if name == "assistant" else ["data.path=."]
    privacy = config.load(ROOT / "configs" / f"{name}.yaml", overrides).privacy
    table = phrasebook.event_of(privacy, privacy.phrases)
    sigma = accounting.noise_multiplier(
        sampling_rate=privacy.sampling_rate, steps=privacy.steps, epsilon=privacy.epsilon, delta=privacy.delta,
        records=privacy.records_per_unit, beside=[table],
    )  # fmt: skip
    training = accounting.build_event(privacy.sampling_rate, sigma, privacy.steps, privacy.records_per_unit)
    own = [accounting.event_to_json(event) for event in (training, table)]
    published = phrasebook.Published("phrases", own[1], privacy.phrases.cap)
    return privacy, table, training, finetune._claim(privacy, sigma, own[0], published, [], {})


def in_text(row):
    """Whether a line begins so; the beginning tells the reader of a failure what it should be."""
    return any(line.startswith(row) for line in LINES)


def test_what_the_numbers_mean(told):
    name, privacy, table, training, claim = told
    drawn = "all" if privacy.sampling_rate == 1 else f"1 in {1 / privacy.sampling_rate:g} sampled"
    row = (
        f"| `{name}` ({drawn}, {privacy.steps} steps) | {privacy.epsilon:g}, {_up(privacy.delta, 2)} | "
        f"{table.noise_multiplier:.3g}, {training.noise_multiplier:.3g} | {_up(claim.mu_gdp, 3)} | "
        f"{claim.named_of_100()} of 100"
    )
    assert in_text(row), row


def test_groups(told):
    name, *_, claim = told
    found = [
        f"{one.size} | {_up(one.epsilon, 3)} | {_up(one.delta, 2)} | {_up(one.published, 2)} |" for one in claim.groups
    ]
    assert len(found) == len(groups.SIZES)
    first = f"| `{name}` | {found[0]}"
    assert first in LINES, first
    at = LINES.index(first)
    assert LINES[at : at + len(found)] == [first, *(f"| | {row}" for row in found[1:])]


def test_the_threshold_of_phrases():
    privacy, table, *_ = planned("assistant")
    least = phrases.compute_threshold(table.noise_multiplier, table.slip, privacy.phrases.cap)
    people = math.ceil(least * math.sqrt(10))
    sentence = f"For `assistant` the threshold is {_up(least, 3)}: some {people} people with ten runs"
    assert sentence in SENTENCES, sentence


@pytest.mark.usefixtures("tiny_en")  # which says so where the base model is not there
def test_what_the_computed_normal_adds():
    """2 eta sqrt(2 d T ln(1/x)), eta = 2^-46 sigma C' / g, x = 1e-15."""
    privacy, _, training, _ = planned("assistant")
    share = noise.rounding_allowance(privacy.cohort * clipping.ROUNDING)
    assert f"C' = C (1 + 2^-8 + 2^-12 + 2^-20 cohort): {_up(share, 5)} C for a cohort of {privacy.cohort}" in SENTENCES

    def adds(entries, steps, sigma):
        eta = 2**-46 * sigma * share / noise.grid_of(1.0, entries)
        return _up(2 * eta * math.sqrt(2 * entries * steps * math.log(1e15)), 2)

    def entries(which):
        recogniser = asr.load("tiny-en")
        return sum(
            recogniser.model.get_parameter(name).numel() for name in trainable.choose_trainable(recogniser, which)
        )

    head, everything = entries("head"), entries("all")
    for trained, shown, d, steps, sigma in (
        ("output layer of tiny-en (`assistant`)", f"{head:,}", head, privacy.steps, training.noise_multiplier),
        ("all of tiny-en", f"{everything / 1e6:.1f} M", everything, privacy.steps, training.noise_multiplier),
        ("all of a model of 95 M weights", "95 M", 95_000_000, 300, 1.0),
    ):
        row = f"| {trained} | {shown} | {steps} | {sigma:.3g} | {adds(d, steps, sigma)} |"
        assert row in LINES, row
