import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soxr
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncClient
from wyoming.error import Error
from wyoming.info import Describe, Info

from speechpriv.errors import ConfigError, ModelError
from speechpriv.export import wyoming

RATE_HZ = 16_000
CLIENTS = 8
_SERVER = """
import logging, sys
from pathlib import Path
from speechpriv.export.wyoming import Limits, serve
logging.basicConfig(level=logging.DEBUG)
serve(Path(sys.argv[1]), sys.argv[2], Limits(audio_s=5.0, clients=8, idle_s=2.0, request_s=3.0))
"""


@contextlib.contextmanager
def _running(exported: Path, log: Path):
    """A server in a process of its own: its address and its process."""
    uri = f"tcp://127.0.0.1:{_free_port()}"
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-c", _SERVER, str(exported), uri], stdout=file, stderr=file)
    try:
        _wait_for(uri, process)
        yield uri, process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def uri(exported, tmp_path_factory):
    """The address of a running server."""
    with _running(exported, tmp_path_factory.mktemp("log") / "server.log") as (address, _):
        yield address


async def _ask(client: AsyncClient, samples: np.ndarray, width: int = 2, channels: int = 1, rate_hz: int = RATE_HZ):
    """Send samples as PCM in chunks and return the answer."""
    pcm = _pcm(samples, width, channels)
    form = {"rate": rate_hz, "width": width, "channels": channels}
    await client.write_event(Transcribe(language="en").event())
    await client.write_event(AudioStart(**form).event())
    for start in range(0, len(pcm), 2048):
        await client.write_event(AudioChunk(**form, audio=pcm[start : start + 2048]).event())
    await client.write_event(AudioStop().event())
    return await client.read_event()


def _pcm(samples: np.ndarray, width: int, channels: int) -> bytes:
    scaled = samples * (2 ** (8 * width - 1) - 1)
    values = {1: np.uint8, 2: "<i2", 3: "<i4", 4: "<i4"}[width]
    pcm = np.repeat(scaled + (128 if width == 1 else 0), channels).round().astype(values)
    return pcm.view(np.uint8).reshape(-1, pcm.itemsize)[:, :width].tobytes()


def _connect(uri: str) -> AsyncClient:
    return AsyncClient.from_uri(uri, connect_timeout=10, read_timeout=20)


async def _hear(uri: str, samples: np.ndarray, **form) -> str:
    async with _connect(uri) as client:
        return Transcript.from_event(await _ask(client, samples, **form)).text


def test_it_says_what_it_offers(uri):
    async def describe():
        async with _connect(uri) as client:
            await client.write_event(Describe().event())
            return Info.from_event(await client.read_event())

    (program,) = asyncio.run(describe()).asr
    assert program.installed
    assert program.models[0].languages == ["en"]
    assert program.version == program.models[0].version is not None


@pytest.mark.parametrize(
    ("width", "channels", "rate_hz"), [(2, 1, 16_000), (4, 2, 48_000), (3, 2, 44_100), (1, 1, 22_050), (2, 1, 8_000)]
)
def test_audio_in_any_form_is_heard(uri, tones, width, channels, rate_hz):
    text = "light lamp fan"  # tones below 4 kHz, which 8 kHz audio can carry
    samples = tones.say(text, np.random.default_rng(5))
    at_rate = soxr.resample(samples, RATE_HZ, rate_hz)
    assert asyncio.run(_hear(uri, at_rate, width=width, channels=channels, rate_hz=rate_hz)) == text


def test_clients_at_once_get_their_own_words_and_one_connection_can_ask_again(uri, tones):
    async def ask_twice(seed: int) -> bool:
        rng = np.random.default_rng(seed)
        texts = [tones.sentence(rng) for _ in range(2)]
        async with _connect(uri) as client:
            answers = [Transcript.from_event(await _ask(client, tones.say(text, rng))).text for text in texts]
        return answers == texts

    async def together():
        return await asyncio.gather(*(ask_twice(seed) for seed in range(3)))

    assert all(asyncio.run(together()))


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\xff\xfe not json\n",
        b"[]\n",
        b'{"type": "audio-chunk", "data": []}\n',
        b'{"type": "audio-start", "data": {"rate": "16000", "width": 2, "channels": 1}}\n',
        b'{"type": "audio-start", "data": {"rate": 16000, "width": 5, "channels": 1}}\n',
        b'{"type": "audio-start", "data": {"rate": 1, "width": 2, "channels": 1}}\n',
        b'{"type": "audio-stop"}\n',
        b'{"type": "audio-chunk", "payload_length": 99999999999}\n',
        b'{"type": "audio-chunk", "data_length": "many"}\n',
        b'{"no": "type"}\n',
        b"[" * 50_000 + b"\n",
        b"x" * 200_000,
    ],
)
def test_a_malformed_client_is_closed_and_nobody_else_notices(uri, tones, garbage):
    host, port = uri.removeprefix("tcp://").split(":")

    async def misbehave():
        async with _connect(uri) as good:
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(garbage)
            try:
                await writer.drain()
                rest = await asyncio.wait_for(reader.read(), 10)  # an error event at most, then the end
            except ConnectionError:
                rest = b""
            writer.close()
            samples = tones.say("door now", np.random.default_rng(6))
            return rest, Transcript.from_event(await _ask(good, samples)).text

    rest, text = asyncio.run(misbehave())
    assert rest == b"" or b'"type": "error"' in rest
    assert text == "door now"


def test_a_request_that_is_too_long_is_refused(uri):
    async def ask():
        async with _connect(uri) as client:
            form = {"rate": 4000, "width": 2, "channels": 1}
            await client.write_event(AudioChunk(**form, audio=bytes(2 * 4000 * 6)).event())
            return await client.read_event(), await client.read_event()

    answer, end = asyncio.run(ask())
    assert Error.from_event(answer).code == "audio-too-long"
    assert end is None


def test_a_format_that_changes_is_refused(uri):
    async def ask():
        async with _connect(uri) as client:
            await client.write_event(AudioStart(rate=16_000, width=2, channels=1).event())
            await client.write_event(AudioChunk(rate=8_000, width=2, channels=1, audio=bytes(200)).event())
            return await client.read_event()

    assert Error.from_event(asyncio.run(ask())).code == "audio-format"


def test_silence_and_no_audio_are_answered(uri):
    async def ask():
        async with _connect(uri) as client:
            return [Transcript.from_event(await _ask(client, np.zeros(n, np.float32))).text for n in (0, 1, 8000)]

    assert asyncio.run(ask())[0] == ""


async def _until_closed(writer: asyncio.StreamWriter, reader: asyncio.StreamReader, sent: bytes, every_s: float):
    """Send the same again and again until the other side has had enough; what it said meanwhile."""
    try:
        while True:
            writer.write(sent)
            await asyncio.wait_for(writer.drain(), 15)
            await asyncio.sleep(every_s)
    except ConnectionError:
        with contextlib.suppress(ConnectionError):
            return await reader.read()
        return b""
    finally:
        writer.transport.abort()  # some of what was written may never be read


def _chunk(seconds: float) -> bytes:
    """An event with so much silence."""
    size = 2 * int(RATE_HZ * seconds)
    form = '{"type": "audio-chunk", "data": {"rate": 16000, "width": 2, "channels": 1}, "payload_length": %d}\n'
    return (form % size).encode() + bytes(size)


def test_slow_and_vanishing_clients_are_let_go_and_nobody_else_notices(uri, tones):
    host, port = uri.removeprefix("tcp://").split(":")

    async def vanish():
        """Ask, and be gone before the answer: with a reset, as a device that lost its power."""
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(_chunk(1.0) + b'{"type": "audio-stop"}\n')
        await writer.drain()
        writer.transport.abort()

    async def drip():
        """One event, byte by byte."""
        reader, writer = await asyncio.open_connection(host, int(port))
        return await _until_closed(writer, reader, b"x", 0.2)

    async def dawdle():
        """One request that never ends, in chunks that are all in time."""
        async with _connect(uri) as client:
            with contextlib.suppress(ConnectionError):
                while True:
                    await client.write_event(AudioChunk(rate=16_000, width=2, channels=1, audio=bytes(64)).event())
                    with contextlib.suppress(TimeoutError):
                        return await asyncio.wait_for(client.read_event(), 0.3)

    async def ignore():
        """Ask and ask, and never read an answer."""
        reader, writer = await asyncio.open_connection(host, int(port), limit=1)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await _until_closed(writer, reader, b'{"type": "describe"}\n' * 200, 0.0)

    async def everybody():
        for _ in range(3):
            await vanish()
        slow = asyncio.gather(drip(), dawdle(), ignore())
        rng, texts, heard = np.random.default_rng(9), [], []
        while not slow.done():
            texts.append(tones.sentence(rng))
            heard.append(await _hear(uri, tones.say(texts[-1], rng)))
        return await slow, texts, heard

    (dripped, dawdled, _), texts, heard = asyncio.run(everybody())
    assert dripped == b""
    assert Error.from_event(dawdled).code == "too-slow"
    assert len(texts) > 5
    assert heard == texts


def test_whoever_asks_for_much_at_once_waits_for_the_others(uri, tones):
    """A connection has one request at a time, and those of all connections take turns."""
    asked = 60
    host, port = uri.removeprefix("tcp://").split(":")

    async def flood():
        reader, writer = await asyncio.open_connection(host, int(port))
        request = _chunk(4.5) + b'{"type": "audio-stop"}\n'
        writer.write(request * asked)
        await writer.drain()
        await reader.readline()
        heard = await _hear(uri, tones.say("door now", np.random.default_rng(6)))
        writer.write_eof()
        left = (await reader.read()).count(b'"type": "transcript"')
        writer.close()
        return heard, left

    heard, left = asyncio.run(flood())
    assert heard == "door now"
    assert left > asked // 4


def test_too_many_clients_are_told_so_at_once_and_silent_ones_are_let_go(uri):
    host, port = uri.removeprefix("tcp://").split(":")

    async def crowd():
        many = [await asyncio.open_connection(host, int(port)) for _ in range(60)]
        async with _connect(uri) as one_more:
            await one_more.write_event(Describe().event())
            refusal = await one_more.read_event()
        told = await asyncio.gather(*(asyncio.wait_for(reader.read(), 10) for reader, _ in many))
        for _, writer in many:
            writer.close()
        return refusal, told

    refusal, told = asyncio.run(crowd())
    assert Error.from_event(refusal).code == "busy"
    assert sum(b'"code": "busy"' in said for said in told) == 60 - CLIENTS
    assert sum(said == b"" for said in told) == CLIENTS  # those that were served, and said nothing for too long


def test_what_was_said_is_not_logged_and_sigterm_ends_cleanly(exported, tones, tmp_path):
    log = tmp_path / "server.log"

    async def use(uri: str, process: subprocess.Popen) -> tuple[str, int]:
        host, port = uri.removeprefix("tcp://").split(":")
        _, waiting = await asyncio.open_connection(host, int(port))  # it must not hold the server up
        _, broken = await asyncio.open_connection(host, int(port))
        broken.write(b'{"type": "audio-chunk", "payload_length": 10}\nlamp')
        await broken.drain()
        broken.close()
        text = await _hear(uri, tones.say("lamp lamp now", np.random.default_rng(7)))
        process.send_signal(signal.SIGTERM)
        status = await asyncio.to_thread(process.wait, 10)
        waiting.close()
        return text, status

    with _running(exported, log) as running:
        assert asyncio.run(use(*running)) == ("lamp lamp now", 0)
    written = log.read_text()
    assert "s of audio answered in" in written
    assert "stopped" in written
    assert "Traceback" not in written
    assert "lamp" not in written


@pytest.mark.parametrize("address", ["stdio://", "http://127.0.0.1:1", "tcp://127.0.0.1", "tcp://127.0.0.1:99999999"])
def test_an_address_that_cannot_be_served_is_refused(tmp_path, address):
    with pytest.raises(ConfigError, match="expected tcp://HOST:PORT"):
        wyoming.serve(tmp_path, address)


def test_a_port_that_is_taken_is_an_error(exported):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="cannot be served"):
            wyoming.serve(exported, f"tcp://127.0.0.1:{taken.getsockname()[1]}")


def test_a_directory_without_a_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="missing"):
        wyoming.serve(tmp_path, "tcp://127.0.0.1:0")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(uri: str, process: subprocess.Popen) -> None:
    host, port = uri.removeprefix("tcp://").split(":")
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    os.kill(process.pid, signal.SIGKILL)
    raise RuntimeError("the server did not start")
