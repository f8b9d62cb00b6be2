"""eSpeak NG in a process of its own, since the C library crashes on about one sentence in 100,000.

Reads a request a line and answers each on its standard output: a line of JSON, then as many bytes
of 16-bit samples as it says. The first line is sent unasked. `voices.py` is its only client. Every
answer comes from a fork that has never spoken before: the library keeps its noise and flutter in
globals, and would speak a text otherwise each time. Nothing but the standard library is imported,
so that a fork takes a millisecond or two.
"""

import ctypes
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SYNCHRONOUS, _CHARS_UTF8, _IPA = 2, 1, 2
_PHONEME_EVENTS, _IPA_EVENTS, _DONT_EXIT = 1, 2, 0x8000
_RATE, _PITCH, _PITCH_RANGE = 1, 3, 4
_EVENT_END, _EVENT_WORD, _EVENT_PHONEME = 0, 1, 7

Answer = tuple[dict[str, Any], bytes]


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


class Synthesiser:
    """The library, started; one a process."""

    def __init__(self, library: str, data: str) -> None:
        self._library = ctypes.CDLL(library)
        self._chunks: list[bytes] = []
        self._events: list[tuple[int, int]] = []
        self._sounds: list[tuple[str, int]] = []
        self._callback = _Callback(self._collect)  # kept: the C library holds no reference that counts
        options = _PHONEME_EVENTS | _IPA_EVENTS | _DONT_EXIT
        self.rate_hz: int = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), options)
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self._library.espeak_ng_SetRandSeed(1)  # it was the time
        self.variants = sorted(path.name for path in (Path(data) / "voices" / "!v").iterdir())

    def _collect(self, samples: "ctypes._Pointer[ctypes.c_short]", count: int, event: "ctypes._Pointer[_Event]") -> int:
        if count > 0:
            self._chunks.append(ctypes.string_at(samples, count * ctypes.sizeof(ctypes.c_short)))
        index = 0
        while event[index].type != _EVENT_END:
            if event[index].type == _EVENT_WORD:
                self._events.append((event[index].text_position - 1, event[index].sample))
            elif event[index].type == _EVENT_PHONEME:
                self._sounds.append((event[index].id.string.decode(errors="replace"), event[index].sample))
            index += 1
        return 0

    def speak(self, text: str, voice: str, rate_wpm: int, pitch: int, pitch_range: int) -> Answer:
        """Return samples of `text`, (character offset, sample) of each word and (symbol, sample) of
        each phoneme.
        """
        if not self._choose(voice):
            return {"unknown": voice, "bytes": 0}, b""
        for parameter, value in ((_RATE, rate_wpm), (_PITCH, pitch), (_PITCH_RANGE, pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._chunks.clear()
        self._events.clear()
        self._sounds.clear()
        encoded = text.encode()
        self._library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, _CHARS_UTF8, None, None)
        samples = b"".join(self._chunks)
        return {"events": self._events, "phonemes": self._sounds, "bytes": len(samples)}, samples

    def pronounce(self, texts: list[str], accent: str) -> Answer:
        """Return phonemes of each text."""
        if not self._choose(accent):
            return {"unknown": accent, "bytes": 0}, b""
        return {"phonemes": [self._phonemes(text) for text in texts], "bytes": 0}, b""

    def _phonemes(self, text: str) -> str:
        """Phonemes of a text, a clause at a time."""
        rest, clauses = ctypes.c_char_p(text.encode()), []
        while rest.value is not None:
            clauses.append(self._library.espeak_TextToPhonemes(ctypes.byref(rest), _CHARS_UTF8, _IPA).decode())
        return " ".join(clauses)

    def _choose(self, voice: str) -> bool:
        return self._library.espeak_SetVoiceByName(voice.encode()) == 0


def main(library: str, data: str) -> None:
    """Answer requests until there are no more, or one is the library's death."""
    found, output = Synthesiser(library, data), sys.stdout.buffer
    answers: dict[str, Callable[..., Answer]] = {"speak": found.speak, "pronounce": found.pronounce}
    output.write(json.dumps({"rate_hz": found.rate_hz, "variants": found.variants, "bytes": 0}).encode() + b"\n")
    output.flush()
    for line in sys.stdin.buffer:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            head, body = answers[request.pop("do")](**request)
            output.write(json.dumps(head).encode() + b"\n" + body)
            output.flush()
            os._exit(0)
        if os.waitpid(child, 0)[1] != 0:
            sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
