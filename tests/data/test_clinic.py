"""Synthetic dictations: a patient is the unit, doctors are the voices, and what is personal can be found."""

import re
from collections import defaultdict

import numpy as np
import pytest

from speechpriv import audio
from speechpriv.data import clinic, demo, voices
from speechpriv.data.ingest import split_of
from speechpriv.models.asr import normalise
from speechpriv.scrub import detect
from speechpriv.sections import ClinicConfig

pytest.importorskip("espeakng_loader")

SLOTS = re.compile(r"\{(\w+)\}")
FILLED = {"complaint", "finding", "drug", "plan", "condition", "age", "duration", "interval"}
CONFIG = ClinicConfig(patients=200, dictations_per_patient=4, doctors=20)


def part_of(patient):
    return split_of(patient, 1, 0.2)


@pytest.fixture
def heard(monkeypatch):
    """The voice of each recording, in order; the synthesiser is left out."""
    found = []
    monkeypatch.setattr(demo, "render_recording", lambda _said, voice, _rng: found.append(voice) or b"")
    return found


def words(config=CONFIG, seed=1):
    return [row.text for row in clinic.generate_rows(config, seed, part_of)]


def test_a_patient_has_one_to_three_doctors_and_a_doctor_many_patients(heard):
    units = [row.unit for row in clinic.generate_rows(CONFIG, 1, part_of)]
    doctors, patients = defaultdict(set), defaultdict(set)
    for unit, voice in zip(units, heard, strict=True):
        doctors[unit].add(voice)
        patients[voice].add(unit)
    assert {len(found) for found in doctors.values()} == {1, 2, 3}
    assert min(len(found) for found in patients.values()) >= 5
    assert len(patients) == CONFIG.doctors


def test_no_doctor_is_heard_in_both_parts(heard):
    parts = [part_of(row.unit) for row in clinic.generate_rows(CONFIG, 1, part_of)]
    found = {part: {voice for p, voice in zip(parts, heard, strict=True) if p == part} for part in ("train", "test")}
    assert len(found["train"]) == 16
    assert len(found["test"]) == 4
    assert not found["train"] & found["test"]


def test_two_doctors_are_enough_for_two_parts(heard):
    few = ClinicConfig(patients=40, dictations_per_patient=1, doctors=2)
    parts = [part_of(row.unit) for row in clinic.generate_rows(few, 1, part_of)]
    assert len(set(zip(parts, heard, strict=True))) == 2


def test_the_seed_decides_the_words_and_more_patients_change_nobody(heard):
    assert words() == words()
    assert words() != words(seed=2)
    more = CONFIG.model_copy(update={"patients": 210})
    assert words() == words(more)[: len(words())]


def test_text_is_what_a_recogniser_learns_without_a_slot_left(heard):
    said = words()
    assert all(one == normalise(one) for one in said)
    assert 10 < np.mean([len(one.split()) for one in said]) < 20
    assert max(len(one.split()) for one in said) <= 30


def test_patterns_are_distinct_and_filled():
    ordinary = [pattern for patterns in clinic.SECTIONS.values() for pattern in patterns]
    personal = set(clinic.draw_facts(np.random.default_rng(0)))
    assert len(set(ordinary)) == len(ordinary) >= 35
    assert {slot for pattern in ordinary for slot in SLOTS.findall(pattern)} == FILLED
    assert {slot for pattern in clinic.PERSONAL for slot in SLOTS.findall(pattern)} == personal
    assert len({condition.name for condition in clinic.CONDITIONS}) == len(clinic.CONDITIONS) >= 12


def test_the_hipaa_profile_finds_what_is_personal():
    """Every kind: all of its words but articles; in 98 of 100 sentences, since some surnames are words too."""
    rng = np.random.default_rng(0)
    total, missed = defaultdict(int), defaultdict(int)
    for pattern in clinic.PERSONAL:
        for _ in range(20):
            facts = clinic.draw_facts(rng)
            said = SLOTS.sub(lambda slot, facts=facts: facts[slot[1]], pattern) + " presents with headache for two days"
            left = set(normalise(detect.mask(said, detect.find(said, "hipaa"))).split())
            for slot in SLOTS.findall(pattern):
                secret = set(facts[slot].split()) - {"the", "of", *SLOTS.sub("", pattern).split(), "two"}
                total[slot] += 1
                missed[slot] += bool(secret & left)
    assert all(missed[slot] <= 0.02 * count for slot, count in total.items()), missed


def test_what_is_not_personal_is_left(heard, monkeypatch):
    monkeypatch.setattr(clinic, "PERSONAL_SHARE", 0.0)
    said = words()
    found = [finding for one in said for finding in detect.find(one, "hipaa")]
    assert len(found) <= 0.005 * len(said)


def test_some_dictations_are_personal(heard):
    share = np.mean([bool(detect.find(one, "hipaa")) for one in words()])
    assert abs(share - clinic.PERSONAL_SHARE) < 4 * np.sqrt(0.3 * 0.7 / 800)


def test_audio_is_heard_whole():
    few = ClinicConfig(patients=3, dictations_per_patient=2, doctors=2)
    for row in clinic.generate_rows(few, 1, part_of):
        samples = audio.read(row.audio)
        assert 0.1 < np.abs(samples).max() < 1
        assert 2 < len(row.text) / (len(samples) / voices.RATE_HZ) < 30
