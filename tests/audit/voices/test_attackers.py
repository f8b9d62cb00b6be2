"""Attackers on disguised voices, with voices whose disguise is known to hide nothing, or everything."""

import json
from dataclasses import replace

import numpy as np
import pytest

from speechpriv import audio
from speechpriv import corpus as corpora
from speechpriv.anonymize import parallel
from speechpriv.anonymize import rows as rows_at_once
from speechpriv.audit.voices import attackers, voiceprints
from speechpriv.audit.voices.attackers import RecordingFeatures
from speechpriv.audit.voices.voiceprints import Voiceprint
from speechpriv.config import PerformanceConfig
from speechpriv.corpus import Row
from speechpriv.drops import Dropped
from speechpriv.errors import AuditError, DataError
from speechpriv.sections import AnonymizeConfig, AttackersConfig

PEOPLE, EACH, DIMENSIONS = 30, 8, 12
KNOWN = Voiceprint(lambda samples: samples, lambda _features, _people: _normalised)


def _normalised(features):
    vectors = np.stack(features).astype(np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def recordings(disguise, *, plain_spread=0.3, people=PEOPLE, each=EACH):
    """Points about one centre a person; `disguise` makes of such a point what is released, or imitated."""
    rng = np.random.default_rng(0)
    found = []
    for person in range(people):
        centre = rng.normal(size=DIMENSIONS)
        for _ in range(each):
            plain = centre + plain_spread * rng.normal(size=DIMENSIONS)
            found.append(RecordingFeatures(f"p{person:02d}", plain, disguise(plain, rng), disguise(plain, rng)))
    return found


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr("speechpriv.audit.voices.reid.N_RESAMPLES", 100)


def test_a_disguise_that_changes_nothing_hides_nobody():
    found = attackers.attack(recordings(lambda plain, _: plain), KNOWN)
    for attacker in attackers.ATTACKERS:
        assert found[attacker]["pooled"]["eer"] < 0.01
        assert found[attacker]["named"] > 0.95
    assert found["linked"]["eer"] < 0.1
    assert (found["people"], found["recordings"]) == (PEOPLE, PEOPLE * EACH)


def test_noise_alone_leaves_attackers_to_guess():
    found = attackers.attack(recordings(lambda _, rng: rng.normal(size=DIMENSIONS)), KNOWN)
    assert found["undisguised"]["pooled"]["eer"] < 0.01
    for attacker in ("ignorant", "lazy_informed", "semi_informed"):
        for measure in ("single", "pooled"):
            assert found[attacker][measure]["eer"] > 0.35
            assert found[attacker][measure]["high"] > 0.45
            assert not found[attacker][measure]["too_weak"]
        assert found[attacker]["named"] < 0.3
    assert found["linked"]["low"] > 0.4
    assert found["guessing"] == pytest.approx(1 / 15)


def test_a_fixed_shift_stops_the_ignorant_alone():
    """Whoever disguises what they know in the same way finds people again."""
    turned = np.linalg.qr(np.random.default_rng(1).normal(size=(DIMENSIONS, DIMENSIONS)))[0]
    found = attackers.attack(recordings(lambda plain, _: turned @ plain), KNOWN)
    assert found["ignorant"]["pooled"]["eer"] > 0.3
    assert found["lazy_informed"]["pooled"]["eer"] < 0.01


def test_only_who_learned_from_disguised_speech_knows_what_to_listen_to():
    """Half of the directions become noise, and a voiceprint that learns which ones are left."""

    def noisy(plain, rng):
        return np.where(np.arange(DIMENSIONS) < DIMENSIONS // 2, plain, 9 * rng.normal(size=DIMENSIONS))

    learned = Voiceprint(KNOWN.features, voiceprints._discriminants)
    found = attackers.attack(recordings(noisy), learned)
    assert found["semi_informed"]["pooled"]["eer"] < 0.05
    assert found["lazy_informed"]["pooled"]["eer"] > 0.15


def test_pooling_helps():
    found = attackers.attack(recordings(lambda plain, rng: plain + 1.5 * rng.normal(size=DIMENSIONS)), KNOWN)
    semi = found["semi_informed"]
    assert semi["pooled"]["eer"] < 0.7 * semi["single"]["eer"]


def test_whoever_cannot_tell_people_as_they_are_is_too_weak():
    found = attackers.attack(recordings(lambda _, rng: rng.normal(size=DIMENSIONS), plain_spread=20), KNOWN)
    assert all(found[attacker]["single"]["too_weak"] for attacker in attackers.ATTACKERS)


def test_nobody_is_learned_from_and_looked_for(monkeypatch):
    asked = []

    def learn(_features, people):
        asked.append(set(people))
        return _normalised

    attackers.attack(recordings(lambda plain, _: plain), replace(KNOWN, learn=learn))
    first, _, second, _ = asked
    assert not first & second
    assert len(first | second) == PEOPLE


def test_too_few_people_are_an_error():
    with pytest.raises(AuditError, match=r"19 people.*expected 20"):
        attackers.attack(recordings(lambda plain, _: plain, people=19), KNOWN)
    alone = [RecordingFeatures(f"p{i}", *[np.ones(2)] * 3) for i in range(100)]
    with pytest.raises(AuditError, match="0 people"):
        attackers.attack(alone, KNOWN)


def voice(pitch_hz, rng):
    """A buzz with the harmonics of a pitch, in a second of noise."""
    time_s = np.arange(16_000) / 16_000
    return audio.encode_flac(
        (0.3 * np.sin(2 * np.pi * pitch_hz * time_s) + 0.01 * rng.normal(size=16_000)).astype(np.float32)
    )


@pytest.fixture
def inputs(tmp_path):
    """Two corpora: buzzes of 24 pitches, and the same undisguised; the last person has one recording."""

    def rows():
        rng = np.random.default_rng(0)
        for person in range(25):
            for i in range(4 if person < 24 else 1):
                yield Row(f"r{person}-{i}", f"u{person}", "train", voice(150 * 1.12**person, rng), "hello", 1.0)
        yield Row("t", "tester", "test", voice(100, rng), "hello", 1.0)

    for name in ("before", "after"):
        corpora.write(rows(), tmp_path / name, lineage="none")
    return {name: tmp_path / name for name in ("before", "after")}


def as_it_is(rows):
    yield from ((row, row.flac) for row in rows)


def run(inputs, out_dir, disguise=as_it_is, people=200, method="none", max_failed=0.01):
    config = attackers.StageConfig(
        attackers=AttackersConfig(people=people), anonymize=AnonymizeConfig(method=method, max_failed=max_failed)
    )
    done = attackers.run(config, inputs, out_dir, disguise=disguise)
    return done.counts, json.loads((out_dir / attackers.FILE).read_text())


def test_the_stage_tries_them_on_what_was_released(inputs, tmp_path):
    asked = []

    def disguise(rows):
        for row in rows:
            asked.append(row.id)
            yield row, row.flac

    counts, found = run(inputs, tmp_path / "out", disguise)
    assert counts["equal_error_rate"] < 0.05
    assert (counts["rows_in"], counts["rows"], counts["dropped"]) == (96, 96, {})
    assert (found["people"], found["recordings"], found["method"]) == (24, 96, "none")
    assert "t" not in asked
    assert "u0" not in (tmp_path / "out" / attackers.FILE).read_text()  # nobody is named


def without(last, reason):
    """Gives no recordings whose names end so."""

    def disguise(rows):
        for row in rows:
            yield row, Dropped(reason, "made up") if row.id.endswith(last) else row.flac

    return disguise


def test_what_cannot_be_disguised_is_dropped_and_counted(inputs, tmp_path):
    counts, found = run(inputs, tmp_path / "out", without("-3", "low_confidence"))
    assert (counts["rows_in"], counts["rows"], counts["dropped"]) == (96, 72, {"low_confidence": 24})
    assert found["recordings"] == 72


def test_one_that_fails_is_dropped_and_more_than_the_limit_end_the_stage(inputs, tmp_path):
    counts, _ = run(inputs, tmp_path / "one", without("r7-3", "failed"))
    assert (counts["rows"], counts["dropped"]) == (95, {"failed": 1})
    with pytest.raises(DataError, match=r"attackers: 2 failed of 96 recordings, which is more than 1 "):
        run(inputs, tmp_path / "two", without("7-3", "failed"))
    assert run(inputs, tmp_path / "two", without("7-3", "failed"), max_failed=0.05)[0]["dropped"] == {"failed": 2}


def test_a_recording_that_kills_its_process_does_not_end_the_stage(inputs, tmp_path, monkeypatch):
    """Nor is it disguised in this process, where it would end the run."""
    real = parallel.map_in_order

    def deadly(function, calls, *rest, **more):
        told = ((row, ("__import__('os')._exit(11)",) if row.id == "r3-1" else (repr((row.flac, 16_000)),), 60)
                for row, _, _ in calls)  # fmt: skip
        return real(eval, told, *rest, **more)

    monkeypatch.setattr(parallel, "map_in_order", deadly)
    imitated = rows_at_once.make_imitation(AnonymizeConfig(method="none"), PerformanceConfig())
    counts, _ = run(inputs, tmp_path / "out", imitated)
    assert (counts["rows"], counts["dropped"]) == (95, {"failed": 1})


def test_a_corpus_of_few_people_is_said_to_be_small(inputs, tmp_path):
    counts, found = run(inputs, tmp_path / "out", people=5)
    assert counts["not_measured"] == 1
    assert "5 people" in found["not_measured"]
