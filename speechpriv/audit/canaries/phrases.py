"""What a canary says and who says it: synthetic phrases by the synthesiser or a command, or the
caller's recordings.

Candidates and references are drawn and spoken alike, so that those whose coin kept them out are
exchangeable with the references: else the tests would find the difference and call it leakage.
"""

import dataclasses
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torchaudio.functional

from speechpriv import audio
from speechpriv.audio import RATE_HZ
from speechpriv.config import CanaryConfig
from speechpriv.corpus import Row
from speechpriv.data import ingest, lineage, sources, text, voices
from speechpriv.errors import AuditError, DataError
from speechpriv.sections import DataConfig

_COMMON = 3_000  # words to draw from: common ones, so that nothing but memory can tell a phrase from another
_DIGITS = 10  # 10^10 strings: no two canaries are alike, and no people's corpus holds one by chance
_CITIES = (
    "ashford",
    "bristol",
    "camden",
    "dover",
    "eastwood",
    "franklin",
    "georgetown",
    "hudson",
    "madison",
    "newport",
)
# A phrase whose word pieces outnumber the frames of a CTC model has an infinite loss: it is neither
# learned nor scored, and breaks a training without privacy. So canaries are spoken slowly, and
# those that are still quick more slowly: 7 frames of 80 ms, the longest that a family has, for 8
# letters; pieces of a small vocabulary have two on average.
_RATES_WPM = (100, 150)
_SLOWEST_WPM = 80
_MIN_S_PER_LETTER = 0.07
_FRAME = 2_048  # samples, of the phase vocoder


class Phrase(NamedTuple):
    """Words, and float32 samples of shape (N,) at 16 kHz of somebody saying them."""

    text: str
    samples: np.ndarray


def draw_spoken(kinds: Sequence[str], config: CanaryConfig, rng: np.random.Generator) -> Iterator[Phrase]:
    """Draw a phrase of each kind in turn, no two with the same words, at natural speed.

    Args:
      kinds: one a phrase, of `PhraseKind`; what the caller's recordings say is theirs.
      config: how many words, and who speaks.
      rng: seeded; the same gives the same phrases and voices.

    Raises:
      AuditError: there are too few recordings, or the command does not speak.
      ConfigError: the synthesiser is not installed.
    """
    if config.recordings:
        yield from _recorded(config.recordings, len(kinds), rng)
        return
    seen: set[str] = set()
    for kind in kinds:
        words = _SAYS[kind](rng, config)
        while words in seen:
            words = _SAYS[kind](rng, config)
        seen.add(words)
        yield Phrase(words, speak(words, config, rng))


def speak(words: str, config: CanaryConfig, rng: np.random.Generator) -> np.ndarray:
    """Speak `words` by the caller's command, or by a synthetic voice drawn from `rng`.

    Raises:
      AuditError: the command does not speak.
      ConfigError: the synthesiser is not installed.
    """
    if config.command:
        return _commanded(words, config.command, config.command_limit_s)
    voice = dataclasses.replace(voices.random_voice(rng), rate_wpm=int(rng.integers(*_RATES_WPM)))
    return _slowly(words, voice)


def speed_up(phrase: Phrase, speed: float) -> Phrase:
    """Return the phrase sped up, its pitch kept: too fast to be understood, so that only who
    memorised it writes its words.

    A phrase whose letters then have less than 70 ms each is followed by silence until they have it.
    So there are frames enough for a CTC model to write it in, as there are for the same phrase at
    natural speed; where one needs more frames still, the survival check tells
    (audit/canaries/survival.py).

    Args:
      phrase: at natural speed.
      speed: 1 to 4.

    Source: sped-up canaries, Wang et al. 2023, arXiv:2310.11739.
    """
    samples = phrase.samples if speed == 1 else _compressed(phrase.samples, speed)
    missing = round(_MIN_S_PER_LETTER * len(phrase.text) * RATE_HZ) - len(samples)
    return Phrase(phrase.text, np.pad(samples, (0, max(0, missing))))


def _compressed(samples: np.ndarray, speed: float) -> np.ndarray:
    """Samples in 1 / `speed` of their time at the same pitch, by a phase vocoder (Flanagan and
    Golden 1966).
    """
    window, hop = torch.hann_window(_FRAME), _FRAME // 4
    spectrum = torch.stft(
        torch.from_numpy(samples), _FRAME, hop, window=window, pad_mode="constant", return_complex=True
    )
    advance = torch.linspace(0, np.pi * hop, len(spectrum))[:, None]  # of each bin's phase from frame to frame
    faster = torchaudio.functional.phase_vocoder(spectrum, speed, advance)
    return torch.istft(faster, _FRAME, hop, window=window, length=round(len(samples) / speed)).numpy()


def _words(rng: np.random.Generator, config: CanaryConfig) -> str:
    return " ".join(rng.choice(np.array(text.list_words()[0][:_COMMON]), size=config.words, replace=False))


def _digits(rng: np.random.Generator, _: CanaryConfig) -> str:
    return text.spoken_digits("".join(str(digit) for digit in rng.integers(10, size=_DIGITS)))


def _name_address(rng: np.random.Generator, _: CanaryConfig) -> str:
    first, last, street = rng.choice(text.list_names(), size=3)
    house = text.spoken_number(int(rng.integers(1, 1000)))
    return f"{first} {last} {house} {street} street {rng.choice(_CITIES)}"


_SAYS: dict[str, Callable[[np.random.Generator, CanaryConfig], str]] = {
    "words": _words,
    "digits": _digits,
    "name_address": _name_address,
}


def _slowly(words: str, voice: voices.Voice) -> np.ndarray:
    samples = voices.speak(words, voice).samples
    if len(samples) / RATE_HZ >= _MIN_S_PER_LETTER * len(words):
        return samples
    return voices.speak(words, dataclasses.replace(voice, rate_wpm=_SLOWEST_WPM)).samples


def _commanded(words: str, command: Sequence[str], limit_s: float) -> np.ndarray:
    """Samples that a command leaves in the file it is given; what it prints may hold the words, and
    is not shown.
    """
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "canary.wav"
        arguments = [part.replace("{out}", str(out)).replace("{text}", words) for part in command]
        try:
            subprocess.run(arguments, check=True, capture_output=True, timeout=limit_s, stdin=subprocess.DEVNULL)
            samples = audio.read(out)
        except subprocess.TimeoutExpired:
            problem = f"took more than {limit_s:g} s (canary.command_limit_s)"
        except subprocess.CalledProcessError as error:
            problem = f"ended with exit code {error.returncode}"
        except OSError as error:
            problem = f"could not be started ({error.strerror})"
        except DataError as error:
            problem = f"left no audio at {{out}}: {error}"
        else:
            return samples
    raise AuditError(
        f"canary.command: {command[0]} {problem}; expected an audio file of the words {{text}}. Run it by hand with "
        "words of your own to see what it says."
    )


def _recorded(config: DataConfig, count: int, rng: np.random.Generator) -> Iterator[Phrase]:
    """`count` of the usable recordings with words of their own, drawn at random, in random order."""
    # Checked as a corpus is when it is taken in; nothing is kept of it, so a key and a sketch are
    # of no account.
    settings = ingest.IngestConfig(data=config, seed=0)
    usable = ingest.check_rows(sources.open_source(config), settings, rng.bytes(32), lineage.Sketcher())
    seen: set[str] = set()
    drawn: list[Row] = []
    for row in usable:
        # One recording of each text: of two, one could be planted and the other be its reference.
        if not isinstance(row, Row) or row.text.lower() in seen:
            continue
        seen.add(row.text.lower())
        # Reservoir sampling: of all so far each is among those drawn with the same probability.
        at = len(drawn) if len(drawn) < count else int(rng.integers(len(seen)))
        if at < count:
            drawn[at : at + 1] = [row]
    if len(drawn) < count:
        raise AuditError(
            f"canary.recordings: {len(drawn)} usable recordings with words of their own; expected at least {count}, "
            "one for each candidate and reference. Record more, or draw fewer candidates or references."
        )
    for index in rng.permutation(count):
        yield Phrase(drawn[index].text, drawn[index].samples())
