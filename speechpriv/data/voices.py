"""Synthetic voices: eSpeak NG, with true word times.

eSpeak NG (GPL-3) comes with the package `espeakng-loader`, the extra `voices`; it is started, in a
process of its own (synthesiser.py), only when a voice is asked for. The same text in the same voice
is the same, bit for bit.
"""

import atexit
import contextlib
import functools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import IO, Any

import numpy as np
import soxr

from speechpriv.audio import RATE_HZ
from speechpriv.data import synthesiser
from speechpriv.errors import ConfigError, DataError

ACCENTS = (
    "en-us",
    "en-us-nyc",
    "en",  # Great Britain
    "en-gb-scotland",
    "en-gb-x-rp",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
    "en-029",
)
_STRESS = "ˈˌ"


@dataclass(frozen=True)
class Voice:
    """One synthetic speaker: an accent, a timbre variant, and how fast and high it speaks."""

    accent: str = "en-us"
    variant: str = "m1"
    rate_wpm: int = 175
    pitch: int = 50  # eSpeak's scale, 0 to 100
    pitch_range: int = 50  # eSpeak's scale, 0 (monotone) to 100


Phoneme = tuple[str, int]  # a symbol of the International Phonetic Alphabet, empty in a pause, and its first sample


@dataclass(frozen=True)
class SpokenWord:
    """A word of the text and where it is heard: integer samples at 16 kHz, end exclusive."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Speech:
    """Synthesised speech: float32 samples of shape (N,) at 16 kHz, its words and, where told, its
    phonemes in order.
    """

    samples: np.ndarray
    words: tuple[SpokenWord, ...]
    phonemes: tuple[Phoneme, ...] = ()


def list_variants() -> tuple[str, ...]:
    """List the timbre variants that the synthesiser ships, sorted."""
    return tuple(_synthesiser(os.getpid()).facts["variants"])


def random_voice(rng: np.random.Generator, among: Sequence[str] | None = None) -> Voice:
    """Return a voice drawn at random: any accent, a variant `among` those given (all), natural
    rates and pitches.
    """
    names = among or list_variants()
    return Voice(
        accent=ACCENTS[int(rng.integers(len(ACCENTS)))],
        variant=names[int(rng.integers(len(names)))],
        rate_wpm=int(rng.integers(120, 230)),
        pitch=int(rng.integers(15, 86)),
        pitch_range=int(rng.integers(20, 81)),
    )


def speak(text: str, voice: Voice) -> Speech:
    """Speak `text`.

    Args:
      text: at least one word; words are separated by white space.
      voice: any combination of `ACCENTS` and `variants()`. Of the few that the synthesiser crashes
        on, some at some words, the pitch or else the variant is changed to ordinary ones.

    Returns:
      Speech at 16 kHz, peak below 1. The synthesiser joins some short words ("of the"): they share
      a span.

    Raises:
      ConfigError: the synthesiser is not installed or does not know the voice.
      DataError: nothing was spoken.
    """
    if not text.strip():
        raise DataError("voices.speak: empty text; expected at least one word.")
    manners = (voice, replace(voice, pitch=50, pitch_range=50), replace(voice, variant="m1"))
    answer = next(filter(None, (_ask("speak", text=text, **_told(manner)) for manner in manners)), None)
    if answer is None or not answer[1]:
        raise DataError(f"voices.speak: the synthesiser made no sound for a text of {len(text)} characters.")
    head, body = answer
    rate_hz = _synthesiser(os.getpid()).facts["rate_hz"]
    samples = np.frombuffer(body, dtype=np.int16).astype(np.float32) / 32768
    resampled = soxr.resample(samples, rate_hz, RATE_HZ).astype(np.float32)
    scale = RATE_HZ / rate_hz
    words = _words(text, [(at, int(sample * scale)) for at, sample in head["events"]], len(resampled))
    phonemes = tuple((symbol.strip(_STRESS), int(sample * scale)) for symbol, sample in head["phonemes"])
    return Speech(resampled, words, phonemes)


def list_phonemes(texts: Sequence[str], accent: str = "en-us") -> list[str]:
    """List how each text is pronounced: phonemes of the International Phonetic Alphabet, with marks
    of stress.

    Raises:
      ConfigError: the synthesiser is not installed or does not know the accent.
    """
    answer = _ask("pronounce", texts=list(texts), accent=accent)
    if answer:
        return list(answer[0]["phonemes"])
    if len(texts) == 1:  # it is the synthesiser's death
        return [""]
    return [list_phonemes([text], accent)[0] for text in texts]


def _words(text: str, events: list[tuple[int, int]], samples: int) -> tuple[SpokenWord, ...]:
    """Words of `text` with the span of the event at or before each; `events` are (character offset,
    sample).
    """
    starts = [start for start, _ in _tokens(text)]
    heard = sorted({max(s for s in starts if s <= at): sample for at, sample in reversed(events)}.items())
    ends = [sample for _, sample in heard[1:]] + [samples]
    words = []
    for start, token in _tokens(text):
        index = max((i for i, (at, _) in enumerate(heard) if at <= start), default=0)
        words.append(SpokenWord(token, heard[index][1] if heard else 0, ends[index]))
    return tuple(words)


def _tokens(text: str) -> list[tuple[int, str]]:
    """(character offset, word) of every white-space separated word."""
    found, at = [], 0
    for token in text.split():
        at = text.index(token, at)
        found.append((at, token))
        at += len(token)
    return found


class _Synthesiser:
    """The other process, and what it said of itself."""

    def __init__(self) -> None:
        try:
            import espeakng_loader  # noqa: PLC0415  GPL-3 and optional: imported only where a voice is made
        except ImportError as error:
            raise ConfigError(
                "synthetic voices need the extra `voices`, not installed here. Run: pip install 'speechpriv[voices]'"
            ) from error
        command = [sys.executable, "-P", synthesiser.__file__]  # -P: its neighbours are no modules of its own
        places = [espeakng_loader.get_library_path(), espeakng_loader.get_data_path()]
        self._process = subprocess.Popen([*command, *places], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._turn, self._owner = threading.Lock(), os.getpid()
        atexit.register(self.close)
        found = self._answer()
        if found is None or found[0]["rate_hz"] <= 0:
            raise ConfigError("the speech synthesiser did not start. Reinstall the extra `voices`.")
        self.facts = found[0]

    def ask(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], bytes] | None:
        """Its answer; None if it died of the question."""
        with self._turn:
            try:
                _of(self._process.stdin).write(json.dumps(request).encode() + b"\n")
                _of(self._process.stdin).flush()
            except BrokenPipeError:
                return None
            return self._answer()

    def _answer(self) -> tuple[dict[str, Any], bytes] | None:
        output = _of(self._process.stdout)
        if not (line := output.readline()):
            return None
        head = json.loads(line)
        body = output.read(head["bytes"])
        return (head, body) if len(body) == head["bytes"] else None

    def close(self) -> None:
        """End it, if this process started it."""
        if os.getpid() == self._owner:
            atexit.unregister(self.close)
            with contextlib.suppress(BrokenPipeError):
                self._process.communicate()


def _of(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise ConfigError("the speech synthesiser was started without pipes.")
    return pipe


@functools.cache
def _synthesiser(_process: int) -> _Synthesiser:
    """The synthesiser of a process: one that was forked may not talk to its parent's."""
    return _Synthesiser()


def _told(voice: Voice) -> dict[str, Any]:
    """A voice as the synthesiser is told it."""
    told = asdict(voice)
    return {"voice": f"{told.pop('accent')}+{told.pop('variant')}", **told}


def _ask(do: str, **request: Any) -> tuple[dict[str, Any], bytes] | None:
    """An answer of the synthesiser; None, and it is started anew, if it died of the question."""
    found = _synthesiser(os.getpid())
    answer = found.ask({"do": do, **request})
    if answer is None:
        found.close()
        _synthesiser.cache_clear()
    elif "unknown" in answer[0]:
        raise ConfigError(f"the synthesiser has no voice {answer[0]['unknown']!r}; accents: {', '.join(ACCENTS)}.")
    return answer
