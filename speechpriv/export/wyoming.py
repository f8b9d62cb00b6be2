"""A Wyoming speech-to-text server for an exported model: what Home Assistant talks to.

Protocol: describe -> info; [transcribe], audio-start, audio-chunk*, audio-stop -> transcript. What
was said is answered and forgotten: it is never logged and never kept. Audio becomes 16 kHz mono as
it arrives, so that a client takes no more memory than `Limits.audio_s` of that.
"""

import asyncio
import contextlib
import importlib.metadata
import logging
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event, async_read_event
from wyoming.info import AsrModel, AsrProgram, Attribution, Describe, Info
from wyoming.server import AsyncEventHandler, AsyncServer

from speechpriv.audio import RATE_HZ
from speechpriv.errors import ConfigError, SpeechprivError
from speechpriv.export.announce import announced
from speechpriv.export.runtime import Transcriber, Weights

_log = logging.getLogger(__name__)

_MAX_EVENT_BYTES = 2**22  # of one event's data or payload
_MIN_RATE_HZ, _MAX_RATE_HZ = 4_000, 192_000
_MAX_CHANNELS = 8
_AT_ONCE = struct.pack("ii", 1, 0)  # lingering: on, for 0 s
_FAREWELL_S = 2.0  # that a client has to take our last words in
# PCM as Wyoming sends it: little-endian, 8 bits without sign, else with; 24 bits are read as the
# upper ones of 32.
_SAMPLE_TYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("u1"),
    2: np.dtype("<i2"),
    3: np.dtype("<i4"),
    4: np.dtype("<i4"),
}


@dataclass(frozen=True)
class Limits:
    """What one client may ask for, and how many may ask at once."""

    audio_s: float = 60.0  # of one request
    clients: int = 32
    idle_s: float = 60.0  # that a client may take to send one event, or to read one
    request_s: float = 120.0  # from the first audio of a request to the last: it is spoken, so it takes its time


def serve(
    directory: Path,
    uri: str,
    limits: Limits | None = None,
    *,
    weights: Weights = "model.onnx",
    announce: str | None = None,
) -> None:
    """Answer until SIGTERM or an interrupt.

    Args:
      directory: a bundle, or any directory with model.onnx and tokens.txt.
      uri: `tcp://HOST:PORT` or `unix://PATH`.
      limits: the default if None.
      weights: which of the bundle's files.
      announce: the name by which other machines are told of the server, if any.

    Raises:
      ModelError: the runtime cannot use the model.
      ConfigError: the address is not one that can be served, or announced.
    """
    server = _server(uri)
    desk = _Desk(Transcriber(directory, weights), _info(), limits or Limits(), ThreadPoolExecutor(max_workers=1))

    async def answer() -> None:
        async with announced(uri, announce) if announce else contextlib.nullcontext():
            _log.info("serving on %s", uri)
            await server.run(lambda reader, writer: _Client(desk, reader, writer))

    try:
        asyncio.run(answer())
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

    def words(self, samples: np.ndarray) -> str:
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
                f"Expected rate {_MIN_RATE_HZ} to {_MAX_RATE_HZ}, width 1 to 4, channels 1 to {_MAX_CHANNELS}.",
            )
        return cls(rate_hz, width_bytes, channels)

    @property
    def frame_bytes(self) -> int:
        """Of one sample in all channels."""
        return self.width_bytes * self.channels

    def samples(self, pcm: bytes) -> np.ndarray:
        """Float32 samples (N,) in [-1, 1] of whole frames, channels averaged."""
        kind = _SAMPLE_TYPES[self.width_bytes]
        read = np.frombuffer(pcm, np.uint8).reshape(-1, self.width_bytes)
        values = np.pad(read, ((0, 0), (kind.itemsize - self.width_bytes, 0))).view(kind)
        full_scale = 2.0 ** (8 * kind.itemsize - 1)
        centred = values.astype(np.float64) - (full_scale if self.width_bytes == 1 else 0.0)
        mono: np.ndarray = centred.reshape(-1, self.channels).mean(axis=1) / full_scale
        return mono.astype(np.float32)


class _Recording:
    """One request's audio, at 16 kHz and mono from the first byte on."""

    def __init__(self, form: _Form, limit_s: float) -> None:
        self.form = form
        self.began = time.monotonic()
        self._limit_s = limit_s
        self._rest = b""  # of a frame whose other bytes are in the next chunk
        self._heard = 0  # frames, at the client's rate
        self._kept = bytearray()  # float32; a list of parts would cost a client's tiny chunks many times their size
        self._resampler = soxr.ResampleStream(form.rate_hz, RATE_HZ, 1) if form.rate_hz != RATE_HZ else None

    def add(self, pcm: bytes) -> None:
        pcm = self._rest + pcm
        whole = len(pcm) - len(pcm) % self.form.frame_bytes
        self._rest = pcm[whole:]
        self._heard += whole // self.form.frame_bytes
        if self._heard > self._limit_s * self.form.rate_hz:
            raise _RefusedError("audio-too-long", f"Expected at most {self._limit_s:g} s of audio.")
        self._keep(self.form.samples(pcm[:whole]), last=False)

    def finish(self) -> np.ndarray:
        """All samples; a part of a frame at the end is left out."""
        self._keep(np.empty(0, np.float32), last=True)
        return np.frombuffer(self._kept, np.float32)

    @property
    def duration_s(self) -> float:
        return self._heard / self.form.rate_hz

    def _keep(self, samples: np.ndarray, *, last: bool) -> None:
        self._kept += (self._resampler.resample_chunk(samples, last=last) if self._resampler else samples).tobytes()


class _Client(AsyncEventHandler):
    """One connection."""

    def __init__(self, desk: _Desk, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(_LimitedReader(reader), writer)
        self._unlimited = reader
        self._desk = desk
        self._recording: _Recording | None = None

    async def run(self) -> None:
        """Serve until the client leaves or breaks the rules; whatever it does, others do not
        notice.
        """
        self._desk.clients += 1
        try:
            await self._converse()
        except Exception as error:  # noqa: BLE001  one client's fault, of whatever kind, ends one connection
            _log.info("connection closed (%s)", type(error).__name__)
        finally:
            self._desk.clients -= 1
            await self._hang_up()

    async def write_event(self, event: Event) -> None:
        """Send an event; a client that does not read it in time is let go."""
        async with asyncio.timeout(self._desk.limits.idle_s):
            await super().write_event(event)

    async def handle_event(self, event: Event) -> bool:
        """Answer one event; False ends the connection."""
        try:
            await self._answer(event)
        except _RefusedError as error:
            await self._refuse(*error.args)
        except SpeechprivError:
            await self._refuse("audio", "The audio cannot be decoded.")
        else:
            return True
        return False

    async def _refuse(self, code: str, text: str) -> None:
        await self.write_event(Error(text=text, code=code).event())
        _log.info("connection refused (%s)", code)

    async def _hang_up(self) -> None:
        """Close, once the client has read and left, or its time is over: whoever does neither holds
        no connection.
        """
        try:
            async with asyncio.timeout(_FAREWELL_S):
                self.writer.write_eof()
                # The system throws away what was sent last if anything that came is still unread.
                while await self._unlimited.read(_MAX_EVENT_BYTES):
                    pass
                self.writer.close()
                await self.writer.wait_closed()
        except TimeoutError:
            # What was not read is thrown away: the system would keep it, and the connection, for
            # many minutes.
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            self.writer.transport.abort()
        except OSError:  # it is gone already
            self.writer.transport.abort()

    async def _converse(self) -> None:
        if self._desk.clients > self._desk.limits.clients:
            await self._refuse("busy", f"Expected at most {self._desk.limits.clients} clients at once.")
            return
        while True:
            # The time is for the whole event: a client that sends a byte now and then is no better
            # than a silent one.
            async with asyncio.timeout(self._desk.limits.idle_s):
                event = await async_read_event(self.reader)
            if event is None or not await self.handle_event(event):
                return

    async def _answer(self, event: Event) -> None:
        if Describe.is_type(event.type):
            await self.write_event(self._desk.info)
        elif Transcribe.is_type(event.type):
            self._recording = None
        elif AudioStart.is_type(event.type):
            self._recording = self._begin(_Form.of(event))
        elif AudioChunk.is_type(event.type):
            self._add(_Form.of(event), event.payload or b"")
        elif AudioStop.is_type(event.type):
            await self._finish()
        # Any other event belongs to a part of the protocol that is not offered: it is passed over,
        # as Wyoming asks.

    def _begin(self, form: _Form) -> _Recording:
        return _Recording(form, self._desk.limits.audio_s)

    def _add(self, form: _Form, pcm: bytes) -> None:
        if self._recording is None:
            self._recording = self._begin(form)
        if self._recording.form != form:
            raise _RefusedError("audio-format", "The format changed in the middle of a request.")
        if time.monotonic() - self._recording.began > self._desk.limits.request_s:
            raise _RefusedError("too-slow", f"Expected a request within {self._desk.limits.request_s:g} s.")
        self._recording.add(pcm)

    async def _finish(self) -> None:
        if self._recording is None:
            raise _RefusedError("protocol", "audio-stop came before any audio.")
        duration_s, samples = self._recording.duration_s, self._recording.finish()
        self._recording = None
        started = time.monotonic()
        words = await asyncio.get_running_loop().run_in_executor(self._desk.pool, self._desk.words, samples)
        await self.write_event(Transcript(text=words, language="en").event())
        _log.info("%.1f s of audio answered in %.3f s", duration_s, time.monotonic() - started)


class _LimitedReader:
    """A stream reader that reads no event of any size."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def readline(self) -> bytes:
        return await self._reader.readline()  # a line has asyncio's limit, 64 KiB

    async def readexactly(self, n: int) -> bytes:
        if not n <= _MAX_EVENT_BYTES:
            raise ValueError("event too large")  # Wyoming's reader takes it as the end of the stream
        return await self._reader.readexactly(n)

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
