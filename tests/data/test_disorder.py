"""Synthetic patients with a voice disorder."""

import dataclasses

import numpy as np
import pytest
import scipy.signal

from speechpriv import audio
from speechpriv.data import disorder, voices
from speechpriv.sections import RiskConfig


@pytest.fixture(scope="module")
def rows():
    return list(disorder.generate_rows(RiskConfig(patients=12, recordings_per_patient=2), 1))


def test_a_patient_has_one_label_and_recordings(rows):
    assert len(rows) == 24
    by_unit = {row.unit: {other.text for other in rows if other.unit == row.unit} for row in rows}
    assert all(len(labels) == 1 for labels in by_unit.values())
    assert {row.text for row in rows} == set(disorder.LABELS)
    for row in rows:
        samples = audio.read(row.audio)
        assert len(samples) > 16_000 // 2
        assert np.isfinite(samples).all()
        assert np.abs(samples).max() < 1


def test_a_patient_is_the_same_however_many_there_are(rows):
    fewer = list(disorder.generate_rows(RiskConfig(patients=3, recordings_per_patient=2), 1))
    assert fewer == rows[:6]
    assert next(disorder.generate_rows(RiskConfig(patients=1, recordings_per_patient=1), 2)).audio != rows[0].audio


def buzz():
    """Two seconds of a voice of 120 Hz, as one word of two."""
    pulses = np.zeros(32_000)
    pulses[:: 16_000 // 120] = 1
    samples = scipy.signal.lfilter([1], [1, -1.6, 0.8], pulses).astype(np.float32)
    words = (voices.SpokenWord("one", 0, 16_000), voices.SpokenWord("two", 16_000, 32_000))
    return voices.Speech(0.5 * samples / np.abs(samples).max(), words)


def roughness(samples):
    """Share of the power that lies between the harmonics of 120 Hz."""
    frequencies, power = scipy.signal.welch(samples, 16_000, nperseg=4096)
    near = np.abs(frequencies / 120.3 - np.round(frequencies / 120.3)) < 0.1
    return power[~near].sum() / power.sum()


def test_a_severe_disorder_is_heard():
    found = {
        severity: np.mean(
            [roughness(disorder.render_disorder(buzz(), severity, np.random.default_rng(i))) for i in range(5)]
        )
        for severity in (0.0, 0.5, 1.0)
    }
    assert found[0.0] < found[0.5] < found[1.0]
    assert found[1.0] > 1.5 * found[0.0]


def test_pauses_make_it_longer_and_never_shorter():
    lengths = [len(disorder.render_disorder(buzz(), 1.0, np.random.default_rng(i))) for i in range(20)]
    assert min(lengths) == 32_000
    assert max(lengths) > 32_000 + 16_000 // 4


def test_the_voice_says_nothing_of_the_label(monkeypatch):
    """What is drawn before anything sounds: as often either label for either half of the pitches."""
    drawn = []

    def silent(text, voice):
        drawn.append(voice)
        return dataclasses.replace(buzz())

    monkeypatch.setattr(voices, "speak", silent)
    labels = []
    for i in range(400):
        label, spoken = disorder.draw_patient(np.random.default_rng([9, i]), 1)
        next(spoken)
        labels.append(label == "high")
    high = np.array(labels)
    pitches = np.array([voice.pitch for voice in drawn])
    assert 0.4 < high.mean() < 0.6
    assert abs(high[pitches > 50].mean() - high[pitches <= 50].mean()) < 0.15
