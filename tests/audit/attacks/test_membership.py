"""Whole people, told apart or not: by a model that learned some of them by heart, and by one that did not."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from speechpriv import audio
from speechpriv import corpus as corpora
from speechpriv.audit.attacks import membership
from speechpriv.data import text, voices
from speechpriv.errors import AuditError
from speechpriv.models import asr, new

PEOPLE, EACH, STEPS = 24, 2, 120
COMMON = text.list_words()[0][:500]


@pytest.fixture(scope="module")
def everybody(tmp_path_factory):
    """24 synthetic people with two phrases each; one with a third."""
    rng = np.random.default_rng(0)

    def rows():
        for person in range(PEOPLE):
            voice = voices.Voice(variant="mf"[person % 2] + "1", rate_wpm=150, pitch=30 + person)
            for number in range(EACH + (person == 0)):
                said = " ".join(rng.choice(COMMON, 2, replace=False))
                samples = voices.speak(said, voice).samples
                seconds = len(samples) / audio.RATE_HZ
                yield corpora.Row(
                    f"{person}-{number}", f"unit-{person}", "train", audio.encode_flac(samples), said, seconds
                )

    return corpora.write(rows(), tmp_path_factory.mktemp("people"), lineage="synthetic")


@pytest.fixture(scope="module")
def halves(everybody):
    units = list(everybody.units("train").items())
    return dict(units[::2]), dict(units[1::2])


@pytest.fixture(scope="module")
def before():
    torch.manual_seed(0)
    return new.make_recogniser(new.train_tokenizer(COMMON, 128), hidden=32, layers=1, channels=8)


@pytest.fixture(scope="module")
def overfitted(before, everybody, halves, memorise):
    """Plain AdamW on the members alone."""
    model = asr.CtcRecogniser(copy.deepcopy(before.model), before.front_end, before.tokenizer)
    rows = [everybody[row] for rows in halves[0].values() for row in rows]
    memorise(model, [row.samples() for row in rows], [row.text for row in rows], steps=STEPS, learning_rate=8e-3)
    return model


def test_members_learned_by_heart_are_told(overfitted, before, everybody, halves):
    found = membership.compare_units(overfitted, before, everybody, *halves)
    assert (found.members, found.others) == (PEOPLE // 2 - 1, PEOPLE // 2 - 1)  # one has no counterpart
    assert (found.left_out, found.utterances) == (2, EACH * (PEOPLE // 2 - 1))
    assert found.with_labels.auc > 0.95
    assert found.with_labels.auc_low > 0.7  # eleven people a side say no more
    assert found.with_labels.named > 0.5
    assert found.confidence.auc > 0.7
    assert found.pseudo_labels.auc > 0.95
    assert found.pseudo_labels.auc_low > 0.7


def test_held_out_people_stay_quiet(overfitted, before, everybody, halves):
    """Negative control: none of either side was a member; and a model that is the base tells nobody."""
    held_out = list(halves[1].items())
    copies = {f"other-{name}": rows for name, rows in held_out[::2]}
    sides = dict(held_out), copies
    with pytest.raises(AuditError, match="6 a side"):
        membership.compare_units(overfitted, before, everybody, *sides)
    for pair in ((before, before), (overfitted, overfitted)):
        found = membership.compare_units(*pair, everybody, *halves)
        for told in (found.with_labels, found.confidence):
            assert (told.auc, told.named) == (0.5, 0)
    # What a model writes itself is not set against the base: quiet is a model that has learned from nobody.
    quiet = membership.compare_units(before, before, everybody, *halves).pseudo_labels
    assert quiet.auc_low <= 0.5 <= quiet.auc_high


def test_two_halves_of_held_out_people_stay_quiet(overfitted, before, everybody, halves, monkeypatch):
    monkeypatch.setattr(membership, "_MIN_PEOPLE", 5)
    held_out = list(halves[1].items())
    found = membership.compare_units(overfitted, before, everybody, dict(held_out[::2]), dict(held_out[1::2]))
    for told in (found.with_labels, found.pseudo_labels, found.confidence):
        assert told.auc_low <= 0.5 <= told.auc_high


def test_a_cap_brings_all_to_one_number(before, everybody, halves):
    found = membership.compare_units(before, before, everybody, *halves, cap=1)
    assert (found.members, found.left_out, found.utterances) == (PEOPLE // 2, 0, PEOPLE // 2)


def test_unlike_lengths_are_said(before, everybody, halves, tmp_path):
    def notes(members_s, others_s):
        """Everybody's recordings brought to so many seconds."""

        def rows():
            for row in everybody.rows():
                seconds = members_s if row.unit in halves[0] else others_s
                samples = np.resize(row.samples(), round(seconds * audio.RATE_HZ))
                yield corpora.Row(row.id, row.unit, row.split, audio.encode_flac(samples), row.text, seconds)

        made = corpora.write(rows(), tmp_path / f"{members_s}", lineage="synthetic")
        return membership.compare_units(before, before, made, *halves).notes

    (said,) = notes(4.0, 2.0)
    assert "length may tell them apart" in said
    (said,) = notes(2.25, 2.0)
    assert "length may tell them apart" in said
    assert notes(2.0, 2.0) == notes(2.15, 2.0) == ()


def test_no_person_and_no_word_in_the_result(before, everybody, halves):
    shown = repr(membership.compare_units(before, before, everybody, *halves))
    assert "unit-" not in shown
    assert not any(row.text in shown for row in everybody.rows())


@pytest.mark.parametrize("broken", ["audited", "base"])
def test_a_model_that_cannot_score(before, everybody, halves, broken):
    damaged = asr.CtcRecogniser(copy.deepcopy(before.model), before.front_end, before.tokenizer)
    with torch.no_grad():
        damaged.head.bias.fill_(torch.nan)
    pair = (damaged, before) if broken == "audited" else (before, damaged)
    with pytest.raises(AuditError, match=rf"the {broken} model: \d+ of \d+ utterances have no finite loss"):
        membership.compare_units(*pair, everybody, *halves)


def test_nobody_is_on_both_sides(before, everybody, halves):
    with pytest.raises(AuditError, match="12 people on both sides"):
        membership.compare_units(before, before, everybody, halves[0], halves[0])
    with pytest.raises(AuditError, match="cap = 0"):
        membership.compare_units(before, before, everybody, *halves, cap=0)


def naive_auc(members, others):
    return np.mean([[(m < o) + (m == o) / 2 for o in others] for m in members])


scored = st.lists(st.integers(-5, 5), min_size=2, max_size=12).map(lambda values: np.array(values, float))


@given(scored, scored)
def test_auc_is_that_of_all_pairs(members, others):
    found = membership.separate_members(members, others)
    assert found.auc == pytest.approx(naive_auc(members, others))
    assert 0 <= found.auc_low <= found.auc <= found.auc_high <= 1
    assert found.named <= found.named_at_most <= 1
    lowest = np.sort(others)[int(0.01 * len(others))]
    assert found.named == np.mean(members < lowest)


def simulated(shift, people, seed):
    rng = np.random.default_rng(seed)
    return membership.separate_members(rng.normal(-shift, 1, people), rng.normal(0, 1, people))


@pytest.mark.parametrize(("shift", "people"), [(0.0, 20), (0.0, 200), (1.0, 20), (1.0, 200), (2.0, 60)])
def test_intervals_hold_the_truth(shift, people):
    """And are not so wide that they hold anything."""
    auc, named = norm.cdf(shift / np.sqrt(2)), norm.cdf(norm.ppf(0.01) + shift)
    found = [simulated(shift, people, seed) for seed in range(400)]
    assert np.mean([one.auc_low <= auc <= one.auc_high for one in found]) >= 0.92
    assert np.mean([named <= one.named_at_most for one in found]) >= 0.95
    if people == 200:
        assert np.mean([one.auc_high - one.auc_low for one in found]) < 0.12
        assert np.mean([one.auc_low <= auc + 0.08 <= one.auc_high for one in found]) < 0.5  # negative control
        assert np.mean([one.named_at_most for one in found]) < named + 0.3


def test_perfect_is_not_certain():
    found = membership.separate_members(np.zeros(30) - 1, np.ones(30))
    assert (found.auc, found.named, found.auc_high, found.named_at_most) == (1, 1, 1, 1)
    assert found.auc_low == pytest.approx(0.025 ** (1 / 30))


@pytest.mark.parametrize("bad", [[], [1.0], [[1.0, 2.0]], [1.0, np.nan], [1.0, np.inf]])
def test_scores_that_are_not_numbers(bad):
    for sides in ((np.array(bad), np.zeros(3)), (np.zeros(3), np.array(bad))):
        with pytest.raises(AuditError, match="at least two people"):
            membership.separate_members(*sides)
