"""Synthetic patients: what Praat measures grows with severity, and nothing but that tells the labels apart."""

import numpy as np
import parselmouth
import pytest
import scipy.stats
from parselmouth.praat import call

from speechpriv import audio
from speechpriv.data import disorder, voices
from speechpriv.sections import RiskConfig

pytest.importorskip("espeakng_loader")

SEVERITIES = (0.0, 0.25, 0.5, 0.75, 1.0)
JITTER_LIMIT, SHIMMER_LIMIT = 1.04, 3.81  # percent, local, of sustained vowels: Praat's manual, "Voice"


def vowel(pitch_hz, seconds=2.0):
    """A vowel held perfectly still: periods and heights vary by what is done to it alone."""
    at = np.arange(int(audio.RATE_HZ * seconds)) / audio.RATE_HZ
    parts = [np.sin(2 * np.pi * pitch_hz * k * at + k) / k**1.5 for k in range(1, int(3_500 / pitch_hz))]
    samples = np.sum(parts, axis=0)
    samples = (0.3 * samples / np.abs(samples).max()).astype(np.float32)
    return voices.Speech(samples, (voices.SpokenWord("ah", 0, len(samples)),))


def measures(samples):
    """Jitter and shimmer (local, percent) and harmonics-to-noise ratio (dB), as Praat has them."""
    heard = parselmouth.Sound(samples.astype(float), audio.RATE_HZ)
    pulses = call(heard, "To PointProcess (periodic, cc)", 75, 600)
    harmonicity = call(heard, "To Harmonicity (cc)", 0.01, 75, 0.1, 1.0)
    return (
        100 * call(pulses, "Get jitter (local)", 0, 0, 1e-4, 0.02, 1.3),
        100 * call([heard, pulses], "Get shimmer (local)", 0, 0, 1e-4, 0.02, 1.3, 1.6),
        call(harmonicity, "Get mean", 0, 0),
    )


def median_measures(severity, pitch_hz):
    speech = vowel(pitch_hz)
    return np.median(
        [measures(disorder.render_disorder(speech, severity, np.random.default_rng(s))) for s in range(6)], axis=0
    )


@pytest.fixture(scope="module", params=[100, 150, 220])
def measured(request):
    """Median measures of a vowel at one pitch, (severities, 3)."""
    return np.array([median_measures(severity, request.param) for severity in SEVERITIES])


@pytest.fixture
def drawn(monkeypatch):
    """(text, voice) of each recording, in order; the synthesiser is left out."""
    found = []
    silence = voices.Speech(np.zeros(1_600, np.float32), (voices.SpokenWord("a", 0, 1_600),))
    monkeypatch.setattr(voices, "speak", lambda said, voice: found.append((said, voice)) or silence)
    return found


def test_a_still_vowel_is_still():
    """The measures themselves: without this nothing below would be the disorder's doing."""
    jitter, shimmer, harmonicity_db = measures(vowel(150).samples)
    assert jitter < 0.01
    assert shimmer < 0.01
    assert harmonicity_db > 60


def test_every_measure_grows_worse_with_severity(measured):
    jitter, shimmer, harmonicity_db = measured.T
    for values in (jitter, shimmer, -harmonicity_db):
        assert (np.diff(values) > 0).all()


def test_the_healthy_end_is_within_the_limits_and_the_other_beyond(measured):
    (jitter, shimmer, _), (worst_jitter, worst_shimmer, _) = measured[0], measured[-1]
    assert jitter < JITTER_LIMIT < worst_jitter < 3
    assert shimmer < SHIMMER_LIMIT < worst_shimmer < 20


def test_tremor_is_heard_between_4_and_7_hertz():
    def share(severity):
        """Of the envelope's variance, what lies in the band."""
        found = []
        for seed in range(6):
            samples = disorder.render_disorder(vowel(150, 4.0), severity, np.random.default_rng(seed))
            envelope = np.abs(samples[: len(samples) // 800 * 800]).reshape(-1, 800).mean(axis=1)  # every 50 ms
            power = np.abs(np.fft.rfft(envelope - envelope.mean())) ** 2
            rates_hz = np.fft.rfftfreq(len(envelope), 0.05)
            found.append(power[(rates_hz >= 3.5) & (rates_hz <= 7.5)].sum() / power.sum())
        return np.median(found)

    assert share(1.0) > 0.6
    assert share(0.0) < 0.4  # as much as the band has of all there is up to 10 Hz


def test_pauses_are_for_the_disordered_alone():
    speech = voices.speak("we were away all morning near the warm river", voices.Voice())
    lengths = {
        severity: [len(disorder.render_disorder(speech, severity, np.random.default_rng(seed))) for seed in range(20)]
        for severity in (0.0, 1.0)
    }
    assert set(lengths[0.0]) == {len(speech.samples)}
    assert np.mean(lengths[1.0]) > 1.3 * len(speech.samples)


@pytest.mark.parametrize("severity", [0.0, 1.0])
def test_what_is_heard_is_fit_to_be_stored(severity):
    for level in (1e-4, 0.3, 0.99):
        still = vowel(150, 0.5)
        loud = voices.Speech(still.samples / 0.3 * level, still.words)
        samples = disorder.render_disorder(loud, severity, np.random.default_rng(0))
        assert samples.dtype == np.float32
        assert np.isfinite(samples).all()
        assert np.abs(samples).max() <= 0.9 + 1e-6


def test_labels_are_balanced_and_say_nothing_of_the_voice(drawn):
    """Accent, variant and manner of speaking have one distribution, whatever the label."""
    rows = list(disorder.generate_rows(RiskConfig(patients=800, recordings_per_patient=1), 1))
    high = np.array([row.text == disorder.LABELS[1] for row in rows])
    assert abs(high.mean() - 0.5) < 4 * 0.5 / np.sqrt(len(rows))
    of = [voice for _, voice in drawn]
    for name in ("accent", "variant"):
        values = np.array([getattr(voice, name) for voice in of])
        table = np.array([[np.sum(high[values == value] == side) for side in (0, 1)] for value in set(values)])
        assert scipy.stats.chi2_contingency(table).pvalue > 1e-3
    for name in ("rate_wpm", "pitch", "pitch_range"):
        values = np.array([getattr(voice, name) for voice in of])
        assert scipy.stats.ks_2samp(values[high], values[~high]).pvalue > 1e-3
    words = np.array([len(said.split()) for said, _ in drawn])
    assert scipy.stats.ks_2samp(words[high], words[~high]).pvalue > 1e-3


def test_a_voice_that_gave_the_label_away_would_be_noticed(drawn):
    """The control of the test above: were rough variants kept for the disordered, the table would show it."""
    rows = list(disorder.generate_rows(RiskConfig(patients=800, recordings_per_patient=1), 1))
    high = np.array([row.text == disorder.LABELS[1] for row in rows])
    names = sorted({voice.variant for _, voice in drawn})
    leaky = np.array([int(name in names[: len(names) // 10]) for name in (voice.variant for _, voice in drawn)]) & high
    table = np.array([[np.sum(high[leaky == kind] == side) for side in (0, 1)] for kind in (0, 1)])
    assert scipy.stats.chi2_contingency(table).pvalue < 1e-3


def test_a_patient_has_one_label_and_one_voice(drawn):
    rows = list(disorder.generate_rows(RiskConfig(patients=20, recordings_per_patient=3), 1))
    assert [row.unit for row in rows] == [f"patient-{i:04d}" for i in range(20) for _ in range(3)]
    for first in range(0, 60, 3):
        own = slice(first, first + 3)
        assert len({row.text for row in rows[own]}) == 1
        assert len({voice for _, voice in drawn[own]}) == 1
        assert len({said for said, _ in drawn[own]}) == 3


def test_the_seed_decides_and_more_patients_change_nobody():
    def heard(patients, seed):
        config = RiskConfig(patients=patients, recordings_per_patient=2)
        return list(disorder.generate_rows(config, seed))

    few = heard(3, 1)
    assert few == heard(3, 1)
    assert few == heard(4, 1)[:6]
    assert few != heard(3, 2)
