"""Made-up voices: eSpeak NG through ctypes, with true word times.

eSpeak NG (GPL-3) comes with the package `espeakng-loader`, the extra `voices`; it is loaded only when a voice
is asked for. One process holds one synthesiser, since the C library keeps its state in globals; for the same
reason most variants (flutter, breath) sound the same but are not bit-equal when a text is spoken twice.
"""

import ctypes
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from speechpriv.errors import ConfigError, DataError

RATE_HZ = 16_000
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

_SYNCHRONOUS, _CHARS_UTF8, _DONT_EXIT, _IPA = 2, 1, 0x8000, 2
_RATE, _PITCH, _PITCH_RANGE = 1, 3, 4
_EVENT_END, _EVENT_WORD = 0, 1


@dataclass(frozen=True)
class Voice:
    """One made-up speaker: an accent, a timbre variant, and how fast and high it speaks."""

    accent: str = "en-us"
    variant: str = "m1"
    rate_wpm: int = 175
    pitch: int = 50  # eSpeak's scale, 0 to 100
    pitch_range: int = 50  # eSpeak's scale, 0 (monotone) to 100


@dataclass(frozen=True)
class SpokenWord:
    """A word of the text and where it is heard: integer samples at 16 kHz, end exclusive."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Speech:
    """Synthesised speech: float32 samples of shape (N,) at 16 kHz, and its words in order."""

    samples: np.ndarray
    words: tuple[SpokenWord, ...]


def variants() -> tuple[str, ...]:
    """The timbre variants that the synthesiser ships, sorted."""
    return _library().variants


def random_voice(rng: np.random.Generator, among: Sequence[str] | None = None) -> Voice:
    """A voice drawn at random: any accent, a variant `among` those given (all), natural rates and pitches."""
    names = among or variants()
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
      voice: any combination of `ACCENTS` and `variants()`.

    Returns:
      Speech at 16 kHz, peak below 1. The synthesiser joins some short words ("of the"): they share a span.

    Raises:
      ConfigError: the synthesiser is not installed or does not know the voice.
      DataError: nothing was spoken.
    """
    if not text.strip():
        raise DataError("voices.speak: empty text; expected at least one word.")
    library = _library()
    chunks, events = library.synthesise(text, voice)
    if not chunks:
        raise DataError(f"voices.speak: the synthesiser made no sound for a text of {len(text)} characters.")
    samples = np.concatenate(chunks).astype(np.float32) / 32768
    resampled = soxr.resample(samples, library.rate_hz, RATE_HZ).astype(np.float32)
    scale = RATE_HZ / library.rate_hz
    return Speech(resampled, _words(text, [(at, int(sample * scale)) for at, sample in events], len(resampled)))


def phonemes(text: str, accent: str = "en-us") -> str:
    """How `text` is pronounced: phonemes of the International Phonetic Alphabet, with marks of stress.

    Raises:
      ConfigError: the synthesiser is not installed or does not know the accent.
    """
    return _library().pronounce(text, accent)


def _words(text: str, events: list[tuple[int, int]], samples: int) -> tuple[SpokenWord, ...]:
    """Words of `text` with the span of the event at or before each; `events` are (character offset, sample)."""
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


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    """`espeak_EVENT` of eSpeak NG's speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class _Library:
    rate_hz: int
    variants: tuple[str, ...]
    synthesise: Callable[[str, Voice], tuple[list[np.ndarray], list[tuple[int, int]]]]
    pronounce: Callable[[str, str], str]


def _start() -> tuple[ctypes.CDLL, Path, int]:
    """The synthesiser's library, its data and its sampling rate."""
    try:
        import espeakng_loader  # noqa: PLC0415  GPL-3 and optional: imported only where a voice is made
    except ImportError as error:
        raise ConfigError(
            "made-up voices need the extra `voices`, which is not installed. Run: pip install 'speechpriv[voices]'"
        ) from error
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = espeakng_loader.get_data_path()
    rate_hz = library.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), _DONT_EXIT)
    if rate_hz <= 0:
        raise ConfigError(f"the speech synthesiser did not start (code {rate_hz}). Reinstall the extra `voices`.")
    return library, Path(data), rate_hz


def _pronounced(library: ctypes.CDLL, text: str) -> str:
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    rest, clauses = ctypes.c_char_p(text.encode()), []
    while rest.value is not None:  # a clause at a time
        clauses.append(library.espeak_TextToPhonemes(ctypes.byref(rest), _CHARS_UTF8, _IPA).decode())
    return " ".join(clauses)


@functools.cache
def _library() -> _Library:
    """Load and start the synthesiser; once a process."""
    library, data, rate_hz = _start()
    chunks: list[np.ndarray] = []
    events: list[tuple[int, int]] = []

    def collect(samples: "ctypes._Pointer[ctypes.c_short]", count: int, event: "ctypes._Pointer[_Event]") -> int:
        if count > 0:
            chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while event[index].type != _EVENT_END:
            if event[index].type == _EVENT_WORD:
                events.append((event[index].text_position - 1, event[index].sample))
            index += 1
        return 0

    callback = _Callback(collect)
    library.espeak_SetSynthCallback(callback)

    def choose(name: str) -> None:
        if library.espeak_SetVoiceByName(name.encode()) != 0:
            raise ConfigError(f"the synthesiser has no voice {name!r}; accents: {', '.join(ACCENTS)}.")

    def synthesise(text: str, voice: Voice) -> tuple[list[np.ndarray], list[tuple[int, int]]]:
        _ = callback  # the C library holds the only other reference to the callback
        choose(f"{voice.accent}+{voice.variant}")
        for parameter, value in ((_RATE, voice.rate_wpm), (_PITCH, voice.pitch), (_PITCH_RANGE, voice.pitch_range)):
            library.espeak_SetParameter(parameter, value, 0)
        chunks.clear()
        events.clear()
        encoded = text.encode()
        library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, _CHARS_UTF8, None, None)
        return list(chunks), list(events)

    def pronounce(text: str, accent: str) -> str:
        choose(accent)
        return _pronounced(library, text)

    names = tuple(sorted(path.name for path in (data / "voices" / "!v").iterdir()))
    return _Library(rate_hz, names, synthesise, pronounce)
