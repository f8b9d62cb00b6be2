"""Rooms, microphones and noise for synthetic speech, so that what learns from it survives real
recordings.

Every function takes float32 samples of shape (N,) at 16 kHz and a seeded generator, and returns
float32.
"""

import numpy as np
import scipy.fft
import scipy.signal
import soxr

from speechpriv.audio import RATE_HZ


def distort(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Apply random speed, surrounding silence, room, microphone, noise and level, in the order of
    nature.
    """
    samples, _, _ = retime(samples, rng)
    return rerecord(samples, rng)


def retime(samples: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float, int]:
    """Apply random speed and surrounding silence; also return how many times as fast, and how many
    samples come before.
    """
    factor = float(rng.uniform(0.85, 1.18))
    lead, tail = (int(seconds * RATE_HZ) for seconds in rng.exponential(0.12, size=2).clip(0, 0.8))
    return np.pad(change_speed(samples, factor), (lead, tail)), factor, lead


def rerecord(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Apply a random room, microphone, noise and level; nothing moves in time."""
    if rng.random() < 0.6:
        samples = reverberate(samples, rng)
    if rng.random() < 0.8:
        samples = filter_microphone(samples, rng)
    if rng.random() < 0.85:
        samples = add_noise(samples, rng, snr_db=float(rng.uniform(0, 35)))
    level = 10 ** float(rng.uniform(-2.0, 0.3)) / max(float(np.abs(samples).max()), 1e-6)
    return np.clip(samples * level, -1, 1).astype(np.float32)


def change_speed(samples: np.ndarray, factor: float) -> np.ndarray:
    """Play `factor` times as fast: tempo, pitch and formants move together (Ko et al. 2015)."""
    return soxr.resample(samples, RATE_HZ * factor, RATE_HZ, quality="MQ").astype(np.float32)


def reverberate(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Convolve with a synthetic room: direct sound and exponentially decaying noise (Polack 1988)."""
    rt60_s = float(rng.uniform(0.1, 0.7))
    time_s = np.arange(int(rt60_s * RATE_HZ)) / RATE_HZ
    response = (rng.standard_normal(len(time_s)) * np.exp(-6.9 * time_s / rt60_s)).astype(np.float32)
    # Reflections arrive after the direct sound: a gap of up to 20 ms.
    response[: int(rng.uniform(0.001, 0.02) * RATE_HZ)] = 0
    response *= 10 ** (-float(rng.uniform(-3, 15)) / 20) / max(float(np.linalg.norm(response)), 1e-9)
    response[0] = 1
    return scipy.signal.fftconvolve(samples, response)[: len(samples)].astype(np.float32)


def filter_microphone(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a random smooth frequency response, sometimes band-limited as a telephone or a cheap
    capsule.
    """
    points = int(rng.integers(4, 10))
    edges = np.concatenate([[0], np.sort(rng.uniform(100, 7900, points)), [8000]]) / 8000
    gain_db = rng.normal(0, 5, len(edges))
    if rng.random() < 0.4:
        gain_db[edges < rng.uniform(50, 350) / 8000] = -40
    if rng.random() < 0.4:
        gain_db[edges > rng.uniform(3000, 7500) / 8000] = -40
    taps = scipy.signal.firwin2(65, edges, 10 ** (gain_db / 20)).astype(np.float32)
    return scipy.signal.fftconvolve(samples, taps, mode="same").astype(np.float32)


def add_noise(samples: np.ndarray, rng: np.random.Generator, snr_db: float) -> np.ndarray:
    """Add noise of a random colour, loudness envelope and hum at a signal-to-noise ratio in dB."""
    length = scipy.fft.next_fast_len(len(samples), real=True)
    spectrum = scipy.fft.rfft(rng.standard_normal(length, dtype=np.float32))
    frequency_hz = np.maximum(scipy.fft.rfftfreq(length, 1 / RATE_HZ), 20).astype(np.float32)
    noise = scipy.fft.irfft(spectrum * frequency_hz ** np.float32(rng.uniform(-1.2, 0.2)), length)[: len(samples)]
    if rng.random() < 0.3:
        envelope = np.interp(np.arange(len(samples)), np.linspace(0, len(samples), 8), rng.uniform(0.1, 1, 8))
        noise = noise * envelope
    if rng.random() < 0.15:
        hum_hz = float(rng.choice([50, 60])) * (1 + np.arange(4))
        waves = np.sin(2 * np.pi * hum_hz[:, None] * np.arange(len(samples)) / RATE_HZ)
        noise = noise + (rng.uniform(0, 1, 4) @ waves) * noise.std()
    power = float(np.mean(samples**2)) / max(float(np.mean(noise**2)), 1e-12)
    return (samples + noise * np.sqrt(power / 10 ** (snr_db / 10))).astype(np.float32)
