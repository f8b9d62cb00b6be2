"""A Wyoming speech-to-text server for an exported model: what Home Assistant talks to.

Protocol: describe -> info; [transcribe], audio-start, audio-chunk*, audio-stop -> transcript. What was said is
answered and forgotten: it is never logged and never kept.
"""

import asyncio
import importlib.metadata
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import AsrModel, AsrProgram, Attribution, Describe, Info
from wyoming.server import AsyncEventHandler, AsyncServer

from speechpriv.data import audio
from speechpriv.errors import ConfigError, SpeechprivError
from speechpriv.export.runtime import Transcriber

_log = logging.getLogger(__name__)

_MAX_EVENT_BYTES = 2**22  # of one event's data or payload
_MIN_RATE_HZ, _MAX_RATE_HZ = 4_000, 192_000
_MAX_CHANNELS = 8
# PCM as Wyoming sends it: little-endian, 8 bits without sign, else with.
_SAMPLE_TYPES: dict[int, np.dtype[Any]] = {1: np.dtype("u1"), 2: np.dtype("<i2"), 4: np.dtype("<i4")}


@dataclass(frozen=True)
class Limits:
    """What one client may ask for, and how many may ask at once."""

    audio_s: float = 60.0  # of one request
    clients: int = 32
    idle_s: float = 60.0  # that a client may keep the server waiting


def serve(directory: Path, uri: str, limits: Limits | None = None) -> None:
    """Answer until SIGTERM or an interrupt.

    Args:
      directory: a bundle, or any directory with model.onnx and tokens.txt.
      uri: `tcp://HOST:PORT` or `unix://PATH`.
      limits: the default if None.

    Raises:
      ModelError: the runtime cannot use the model.
      ConfigError: the address is not one that can be served.
    """
    server = _server(uri)
    desk = _Desk(Transcriber(directory), _info(), limits or Limits(), ThreadPoolExecutor(max_workers=1))
    _log.info("serving on %s", uri)
    try:
        asyncio.run(server.run(lambda reader, writer: _Client(desk, reader, writer)))
    except OSError as error:
        raise ConfigError(f"uri = {uri!r}: cannot be served ({error.strerror}).") from error
    except KeyboardInterrupt:
        pass
    finally:
        desk.pool.shutdown()
    _log.info("stopped")


def _server(uri: str) -> AsyncServer:
    problem = "another scheme"
    if uri.startswith(("tcp://", "unix://")):
        try:
            return AsyncServer.from_uri(uri)
        except ValueError as error:
            problem = str(error)
    raise ConfigError(f"uri = {uri!r}: {problem}; expected tcp://HOST:PORT or unix://PATH.")


class _RefusedError(Exception):
    """What a client is told before its connection is closed; args: code, text."""


@dataclass
class _Desk:
    """What all clients share; they are decoded one after the other, in a thread of its own."""

    transcriber: Transcriber
    info: Event
    limits: Limits
    pool: ThreadPoolExecutor
    clients: int = 0

    def words(self, pcm: bytes, form: "_Form") -> str:
        samples = audio.resample(form.samples(pcm), form.rate_hz)
        return self.transcriber.transcribe([samples])[0] if len(samples) else ""


@dataclass(frozen=True)
class _Form:
    """The layout of PCM audio, checked."""

    rate_hz: int
    width_bytes: int
    channels: int

    @classmethod
    def of(cls, event: Event) -> "_Form":
        rate_hz, width_bytes, channels = (event.data.get(name) for name in ("rate", "width", "channels"))
        if not (
            isinstance(rate_hz, int)
            and isinstance(width_bytes, int)
            and isinstance(channels, int)
            and _MIN_RATE_HZ <= rate_hz <= _MAX_RATE_HZ
            and width_bytes in _SAMPLE_TYPES
            and 1 <= channels <= _MAX_CHANNELS
        ):
            raise _RefusedError(
                "audio-format",
                f"Expected rate {_MIN_RATE_HZ} to {_MAX_RATE_HZ}, width 1, 2 or 4, channels 1 to {_MAX_CHANNELS}.",
            )
        return cls(rate_hz, width_bytes, channels)

    @property
    def bytes_per_s(self) -> int:
        return self.rate_hz * self.width_bytes * self.channels

    def samples(self, pcm: bytes) -> np.ndarray:
        """Float32 samples (N,) in [-1, 1], channels averaged; a part of a sample at the end is left out."""
        whole = len(pcm) - len(pcm) % (self.width_bytes * self.channels)
        values = np.frombuffer(pcm[:whole], dtype=_SAMPLE_TYPES[self.width_bytes])
        full_scale = 2.0 ** (8 * self.width_bytes - 1)
        centred = values.astype(np.float64) - (full_scale if self.width_bytes == 1 else 0.0)
        mono: np.ndarray = centred.reshape(-1, self.channels).mean(axis=1) / full_scale
        return mono.astype(np.float32)


class _Client(AsyncEventHandler):
    """One connection."""

    def __init__(self, desk: _Desk, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(_LimitedReader(reader, desk.limits.idle_s), writer)
        self._desk = desk
        self._form: _Form | None = None
        self._pcm = bytearray()

    async def run(self) -> None:
        """Serve until the client leaves or breaks the rules; whatever it does, others do not notice."""
        self._desk.clients += 1
        try:
            await super().run()
        except Exception as error:  # noqa: BLE001  one client's fault, of whatever kind, ends one connection
            _log.info("connection closed (%s)", type(error).__name__)
        finally:
            self._desk.clients -= 1

    async def handle_event(self, event: Event) -> bool:
        """Answer one event; False ends the connection."""
        try:
            await self._answer(event)
        except (_RefusedError, SpeechprivError) as error:
            code, text = error.args if isinstance(error, _RefusedError) else ("audio", "The audio cannot be decoded.")
            await self.write_event(Error(text=text, code=code).event())
            _log.info("connection refused (%s)", code)
            return False
        return True

    async def _answer(self, event: Event) -> None:
        if self._desk.clients > self._desk.limits.clients:
            raise _RefusedError("busy", f"Expected at most {self._desk.limits.clients} clients at once.")
        if Describe.is_type(event.type):
            await self.write_event(self._desk.info)
        elif Transcribe.is_type(event.type) or AudioStart.is_type(event.type):
            self._pcm.clear()
            self._form = _Form.of(event) if AudioStart.is_type(event.type) else None
        elif AudioChunk.is_type(event.type):
            self._add(event)
        elif AudioStop.is_type(event.type):
            await self._finish()
        # Any other event belongs to a part of the protocol that is not offered: it is passed over, as Wyoming asks.

    def _add(self, event: Event) -> None:
        form = _Form.of(event)
        if self._form not in (None, form):
            raise _RefusedError("audio-format", "The format changed in the middle of a request.")
        self._form = form
        self._pcm += event.payload or b""
        if len(self._pcm) > self._desk.limits.audio_s * form.bytes_per_s:
            raise _RefusedError("audio-too-long", f"Expected at most {self._desk.limits.audio_s:g} s of audio.")

    async def _finish(self) -> None:
        if self._form is None:
            raise _RefusedError("protocol", "audio-stop came before any audio.")
        pcm, form = bytes(self._pcm), self._form
        self._pcm.clear()
        self._form = None
        started = time.monotonic()
        words = await asyncio.get_running_loop().run_in_executor(self._desk.pool, self._desk.words, pcm, form)
        await self.write_event(Transcript(text=words, language="en").event())
        _log.info("%.1f s of audio answered in %.3f s", len(pcm) / form.bytes_per_s, time.monotonic() - started)


class _LimitedReader:
    """A stream reader that neither waits for ever nor reads an event of any size."""

    def __init__(self, reader: asyncio.StreamReader, idle_s: float) -> None:
        self._reader = reader
        self._idle_s = idle_s

    async def readline(self) -> bytes:
        return await asyncio.wait_for(self._reader.readline(), self._idle_s)  # a line has asyncio's limit, 64 KiB

    async def readexactly(self, n: int) -> bytes:
        if not n <= _MAX_EVENT_BYTES:
            raise ValueError("event too large")  # Wyoming's reader takes it as the end of the stream
        return await asyncio.wait_for(self._reader.readexactly(n), self._idle_s)

    def feed_eof(self) -> None:
        self._reader.feed_eof()


def _info() -> Event:
    """What the server offers, as Home Assistant asks for it."""
    common: dict[str, Any] = {
        "attribution": Attribution(name="speechpriv", url=""),
        "installed": True,
        "version": importlib.metadata.version("speechpriv"),
    }
    model = AsrModel(name="bundle", description="Trained and exported by speechpriv", languages=["en"], **common)
    program = AsrProgram(name="speechpriv", description="Private speech to text", models=[model], **common)
    return Info(asr=[program]).event()
