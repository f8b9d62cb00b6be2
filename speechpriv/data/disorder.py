"""Synthetic patients who read a sentence: some with a voice disorder, which a screening model is to
find.

A patient's label says whether a disorder was drawn, and a severity in [0, 1] says how it sounds:
those without one have some roughness too, and a slight disorder sounds like none, so that nobody
can be right about everyone. What a disorder changes is what phoniatrists measure: the periods'
lengths (jitter), their heights (shimmer), tremor, noise of breath, and pauses between words. Voices
are drawn whatever the label.

Nobody is real, and this is not medicine: the numbers lie about the limits that are used for people,
and were not fitted to any. Of a vowel held still, Praat measures jitter of 0.2 % at severity 0, 1.0
% at a half and 1.9 % at 1, shimmer of
1.5, 7 and 12 %, and a harmonics-to-noise ratio of 32, 20 and 10 dB. Of running speech it measures more (shimmer of
15 % at severity 0): vowels and consonants differ in height, and the limits are not meant for that.

Source: Praat's manual, "Voice 2. Jitter" and "Voice 3. Shimmer" (local: mean difference of
neighbouring periods, or their heights, over the mean; 1.04 and 3.81 % as MDVP's limits for
sustained vowels); doi:10.1016/j.clinph.2020.02.005 (tremor of medium frequency, 4 to 7 Hz).
"""

from collections.abc import Iterator

import numpy as np
import scipy.ndimage
import scipy.signal

from speechpriv import audio
from speechpriv.audio import RATE_HZ
from speechpriv.data import augment, text, voices
from speechpriv.data.rows import SourceRow
from speechpriv.sections import RiskConfig

LABELS = ("low", "high")  # risk; the second is what is looked for
_SEVERITY = ((1.5, 5.0), (4.0, 3.0))  # beta distributions, of each label
_SPREAD = 0.05  # of the severity of one patient's recordings, in standard deviations
_GLOTTAL_HZ = 150.0  # periods a second, about: how fast jitter and shimmer change
_WORDS = (5, 9)  # of what is read


def generate_rows(config: RiskConfig, seed: int) -> Iterator[SourceRow]:
    """Generate recordings, patient by patient; `text` is the label, and `audio` FLAC.

    A patient depends on the seed and the patient's number alone, not on how many there are.

    Raises:
      ConfigError: the synthesiser is not installed.
    """
    for index in range(config.patients):
        unit = f"patient-{index:04d}"
        label, recordings = draw_patient(np.random.default_rng([seed, index]), config.recordings_per_patient)
        for number, samples in enumerate(recordings):
            yield SourceRow(f"{unit}/{number:04d}", unit, label, audio.encode_flac(samples))


def draw_patient(rng: np.random.Generator, recordings: int) -> tuple[str, Iterator[np.ndarray]]:
    """Draw the label of a synthetic person, and so many recordings, float32 (N,) at 16 kHz, as they
    are asked for.
    """
    disordered = int(rng.integers(2))
    severity, voice = float(rng.beta(*_SEVERITY[disordered])), voices.random_voice(rng)

    def spoken() -> Iterator[np.ndarray]:
        for _ in range(recordings):
            speech = voices.speak(" ".join(text.random_words(rng, int(rng.integers(*_WORDS)))), voice)
            heard = render_disorder(speech, float(np.clip(severity + _SPREAD * rng.standard_normal(), 0, 1)), rng)
            yield augment.add_noise(heard, rng, snr_db=float(rng.uniform(25, 45)))

    return LABELS[disordered], spoken()


def render_disorder(speech: voices.Speech, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Render speech as somebody says it whose voice is disordered so much.

    Args:
      speech: in an ordinary voice.
      severity: 0 for none, to 1.
      rng: seeded.

    Returns:
      Float32 of shape (N',) at 16 kHz, peak at most 0.9: longer by the pauses.
    """
    samples = _with_pauses(speech, 0.7 * severity, rng)
    seconds = np.arange(len(samples)) / RATE_HZ
    tremor = 2 * np.pi * (rng.uniform(4, 7) * seconds + rng.random())
    # Instants at which the voice is where it would have been: the integral of a speed about 1.
    jitter = (0.003 + 0.025 * severity) * _wander(len(samples), rng) + 0.02 * severity * np.sin(tremor)
    at = np.clip(np.cumsum(1 + jitter) - 1, 0, len(samples) - 1)
    height = 1 + (0.02 + 0.15 * severity) * _wander(len(samples), rng) + 0.15 * severity * np.sin(tremor)
    voiced = np.interp(at, np.arange(len(samples)), samples) * height
    # Breath is heard where there is voice, above its lower harmonics.
    envelope = scipy.ndimage.uniform_filter1d(np.abs(voiced), RATE_HZ // 50)
    above = scipy.signal.butter(2, 1_500, "highpass", fs=RATE_HZ, output="sos")
    breath = scipy.signal.sosfilt(above, rng.standard_normal(len(voiced)))
    changed = voiced + 10 ** ((-32 + 24 * severity) / 20) * envelope * breath
    return (0.9 * changed / max(float(np.abs(changed).max()), 0.9)).astype(np.float32)


def _with_pauses(speech: voices.Speech, chance: float, rng: np.random.Generator) -> np.ndarray:
    """Silence of a quarter to three quarters of a second before some words."""
    starts = [word.start for word in speech.words[1:]]
    parts = np.split(speech.samples, starts)
    for index in range(1, len(parts)):
        if rng.random() < chance * 0.5:
            silence = np.zeros(int(rng.uniform(0.25, 0.75) * RATE_HZ), np.float32)
            parts[index] = np.concatenate([silence, parts[index]])
    return np.concatenate(parts)


def _wander(length: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers of deviation 1, (length,), a new one each glottal period."""
    periods = rng.standard_normal(int(length / RATE_HZ * _GLOTTAL_HZ) + 2)
    return np.interp(np.arange(length), np.linspace(0, length, len(periods)), periods)
