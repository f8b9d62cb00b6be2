import re
import time
from collections import Counter

import numpy as np
import pytest

from speechpriv import audio
from speechpriv.data import demo, voices
from speechpriv.models.asr import normalise
from speechpriv.sections import DemoConfig

pytest.importorskip("espeakng_loader")

SLOTS = re.compile(r"\{(\w+)\}")
FACTS = {"contact"} | {
    f"{who}_{what}" for who in ("own", "contact") for what in ("first", "name", "phone", "email", "address")
}


def silent(monkeypatch):
    """Leave the synthesiser out, where only the words matter."""
    monkeypatch.setattr(demo, "render_recording", lambda *_: b"")


def words(units, per_unit, seed):
    return [row.text for row in demo.generate_rows(DemoConfig(units=units, utterances_per_unit=per_unit), seed)]


@pytest.fixture(scope="module")
def rows():
    return list(demo.generate_rows(DemoConfig(units=30, utterances_per_unit=3), 1))


def test_every_person_says_as_much_as_asked(rows):
    assert len({row.source_id for row in rows}) == 90
    assert set(Counter(row.unit for row in rows).values()) == {3}
    assert all(row.source_id.startswith(f"{row.unit}/") for row in rows)


def test_text_is_what_a_recogniser_learns_without_a_slot_left(rows):
    assert all(row.text and row.text == normalise(row.text) for row in rows)


def test_audio_is_heard_whole_and_below_full_scale(rows):
    for row in rows:
        samples = audio.read(row.audio)
        assert 0.1 < np.abs(samples).max() < 1
        assert 0.3 < len(samples) / audio.RATE_HZ < 20
        assert 2 < len(row.text) / (len(samples) / audio.RATE_HZ) < 30  # characters a second of speech


def test_no_two_recordings_are_the_same(rows):
    assert len({row.audio for row in rows}) == len(rows)


def test_a_room_is_not_sterile(rows):
    quietest = [np.abs(audio.read(row.audio)[:400]).max() for row in rows]  # before anybody speaks
    assert np.mean(np.array(quietest) > 1e-4) > 0.9


def test_one_voice_a_person(monkeypatch):
    heard = []
    monkeypatch.setattr(demo, "render_recording", lambda _said, voice, _rng: heard.append(voice) or b"")
    assert len(words(40, 3, 1)) == 120
    per_person = [set(heard[start : start + 3]) for start in range(0, 120, 3)]
    assert {len(spoken) for spoken in per_person} == {1}
    assert len(set(heard)) == 40


def test_the_seed_decides_the_words_and_more_people_change_nobody(monkeypatch):
    silent(monkeypatch)
    assert words(20, 3, 1) == words(20, 3, 1)
    assert words(20, 3, 1) != words(20, 3, 2)
    assert words(20, 3, 1) == words(30, 3, 1)[:60]


def test_words_do_not_depend_on_how_long_the_synthesiser_spoke(rows, monkeypatch):
    silent(monkeypatch)
    assert words(30, 3, 1) == [row.text for row in rows]


def test_patterns_are_many_distinct_and_filled():
    assert len(set(demo.PATTERNS)) == len(demo.PATTERNS) >= 150
    assert len(set(demo.PERSONAL)) == len(demo.PERSONAL) >= 25
    used = {slot for pattern in demo.PATTERNS + demo.PERSONAL for slot in SLOTS.findall(pattern)}
    assert used - FACTS == set(demo._FILLERS)
    assert not {slot for pattern in demo.PATTERNS for slot in SLOTS.findall(pattern)} & FACTS
    assert all(set(SLOTS.findall(pattern)) & FACTS for pattern in demo.PERSONAL)
    assert all(value == normalise(value) for values in demo._FILLERS.values() for value in values)


def matches(patterns, said):
    whole = [re.compile(re.sub(r"\\\{\w+\\\}", "[a-z' ]+", re.escape(pattern))) for pattern in patterns]
    return any(pattern.fullmatch(said) for pattern in whole)


def test_about_one_utterance_in_seven_is_personal(monkeypatch):
    silent(monkeypatch)
    said = words(300, 5, 3)
    share = np.mean([matches(demo.PERSONAL, one) and not matches(demo.PATTERNS, one) for one in said])
    assert abs(share - demo.PERSONAL_SHARE) < 4 * np.sqrt(0.15 * 0.85 / len(said))


def test_personal_data_are_of_the_kinds_reserved_for_fiction(monkeypatch):
    silent(monkeypatch)
    said = words(400, 10, 1)
    numbers = [match[1].replace("oh", "zero") for one in said if (match := re.search(r"number is (.+)", one))]
    assert numbers
    assert all(re.fullmatch(r"(\w+ ){3}five five five zero one \w+ \w+", number) for number in numbers)
    mails = [one for one in said if " at example" in one]
    assert mails
    assert all(re.search(r"at example dot (com|org|net)( |$)", one) for one in mails)


def test_people_have_habits(monkeypatch):
    """Two utterances of one person are alike far more often than two of different people."""
    silent(monkeypatch)
    said = words(300, 8, 1)
    per_person = [said[start : start + 8] for start in range(0, len(said), 8)]
    within = np.mean([len(set(one)) < 8 for one in per_person])
    shuffled = np.random.default_rng(0).permutation(said).reshape(-1, 8)
    across = np.mean([len(set(one)) < 8 for one in shuffled])
    assert within > across + 0.2


def test_a_voice_that_is_asked_for_is_used(monkeypatch):
    asked = []
    real = voices.speak
    monkeypatch.setattr(voices, "speak", lambda said, voice: asked.append((said, voice)) or real(said, voice))
    (row,) = demo.generate_rows(DemoConfig(units=1, utterances_per_unit=1), 5)
    assert [said for said, _ in asked] == [row.text]


def test_it_is_made_fast_enough_for_a_demo():
    started = time.process_time()
    count = sum(1 for _ in demo.generate_rows(DemoConfig(units=25, utterances_per_unit=4), 1))
    assert (time.process_time() - started) / count * 1_600 < 30  # seconds of one core for the default corpus
