"""Files and streams from strangers: whatever is in them, a clear error, no crash of this process and no code run."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from speechpriv import store
from speechpriv.claim import Claim
from speechpriv.errors import SpeechprivError
from speechpriv.export import onnx, registry, runtime, signature, wyoming
from speechpriv.models import arpa, asr

MANY = 1_000  # of each kind, in the slow run


def some(few: int) -> pytest.MarkDecorator:
    """So many in a fast run, and `MANY` in a slow one."""
    many = pytest.param(MANY, marks=(pytest.mark.slow, pytest.mark.timeout(3600)))
    return pytest.mark.parametrize("count", [few, many])


SPOKEN = [
    {"type": "describe"},
    {"type": "transcribe", "data": {"language": "en"}},
    {"type": "audio-start", "data": {"rate": 16_000, "width": 2, "channels": 1}},
    {"type": "audio-chunk", "data": {"rate": 16_000, "width": 2, "channels": 1}, "payload_length": 640},
    {"type": "audio-stop"},
]


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed, put in, left out or doubled; or the end cut off."""
    found = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        place = int(rng.integers(0, len(found) + 1))
        match rng.integers(0, 5):
            case 0:
                found[place : place + 1] = rng.bytes(1)
            case 1:
                found[place:place] = rng.bytes(int(rng.integers(1, 20)))
            case 2:
                del found[place : place + int(rng.integers(1, 30))]
            case 3:
                found[place:place] = found[place : place + int(rng.integers(1, 60))]
            case _:
                numbers = [b"-1", b"99999999999", b"null", b"1e309", b"{}", b'"\\u0000"', b"[" * 200]
                found[place : place + 3] = numbers[rng.integers(0, len(numbers))]
    return bytes(found[: int(rng.integers(1, len(found) + 1))]) if found and rng.random() < 0.2 else bytes(found)


def streams(count: int) -> Iterator[bytes]:
    rng = np.random.default_rng(1)
    whole = b"".join(json.dumps(event).encode() + b"\n" + bytes(event.get("payload_length", 0)) for event in SPOKEN)
    return (mutated(whole, rng) for _ in range(count))


class Deaf:
    """A transcriber that is asked and says nothing: what is tried is the server."""

    def transcribe(self, waveforms):
        return [""] * len(waveforms)


@some(200)
def test_no_stream_harms_the_server_or_another_client(count):
    """All in one event loop with a good client, who is answered to the last."""
    desk = wyoming._Desk(Deaf(), wyoming._info(), wyoming.Limits(idle_s=2.0), wyoming.ThreadPoolExecutor(1))
    broken = []

    async def connected(reader, writer):
        client = wyoming._Client(desk, reader, writer)
        try:
            await client.run()
        except BaseException as error:
            broken.append(error)
            raise

    async def send(port: int, stream: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(stream)
            writer.write_eof()
            return await asyncio.wait_for(reader.read(), 10)
        except ConnectionError:
            return b""
        finally:
            writer.close()

    async def everyone() -> list[bytes]:
        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        answers = []
        pending = list(streams(count))
        for start in range(0, len(pending), 20):
            answers += await asyncio.gather(*(send(port, stream) for stream in pending[start : start + 20]))
        good = b"".join(json.dumps(event).encode() + b"\n" + bytes(event.get("payload_length", 0)) for event in SPOKEN)
        answers.append(await send(port, good))
        server.close()
        return answers

    answers = asyncio.run(everyone())
    desk.pool.shutdown()
    assert broken == []
    assert desk.clients == 0
    assert b'"type": "transcript"' in answers[-1]
    for answer in answers:  # events of ours, and nothing else
        for line in answer.split(b"\n"):
            if line.startswith(b'{"type"'):
                assert json.loads(line)["type"] in {"info", "transcript", "error"}
    assert any(b'"type": "error"' in answer for answer in answers)


@pytest.fixture(scope="module")
def texts(exported, claim, recogniser, tmp_path_factory):
    """A bundle's small files, and the model they stand beside."""
    directory = tmp_path_factory.mktemp("texts") / "bundle"
    recogniser.save(directory)
    shutil.copy(exported / onnx.TOKENS, directory)
    (directory / "claim.json").write_text(claim.to_json())
    (directory / "phrases.arpa").write_text(
        arpa.render_arpa({("<s>", "door", "now"): 2.0, ("door", "now", "</s>"): 1.0})
    )
    store.write_json(directory / store.MANIFEST, {"identity": "x", "counts": {}, "files": {}})
    signature.sign_bundle(directory, signature.load_signing_key(None))
    return directory


def _open_claim(directory: Path) -> None:
    Claim.from_json((directory / "claim.json").read_text(encoding="utf-8", errors="replace"))


READERS = {
    "claim.json": _open_claim,
    store.MANIFEST: store.require_stage,
    store.SIGNATURE: lambda directory: signature.find_changes(directory, signature.own_public_key()),
    "claim.json as privacy.yaml": lambda directory: registry.problems_of(
        (directory / "claim.json").read_text(encoding="utf-8", errors="replace")
    ),
    "phrases.arpa": lambda directory: arpa.read(directory / "phrases.arpa").chance(("door", "now"), "light"),
    "config.json": lambda directory: asr.family_name(str(directory)),
}


@some(50)
@pytest.mark.parametrize("name", READERS)
def test_no_small_file_is_more_than_an_error(texts, name, count, tmp_path):
    read, file = READERS[name], name.split(" as ")[0]
    rng = np.random.default_rng(2)
    directory = shutil.copytree(texts, tmp_path / "bundle")
    whole, told = (directory / file).read_bytes(), 0
    for _ in range(count):
        (directory / file).write_bytes(mutated(whole, rng))
        try:
            told += bool(read(directory))
        except SpeechprivError:
            told += 1
    assert told > count // 2


@some(50)
def test_a_damaged_signature_never_passes(texts, count, tmp_path):
    rng = np.random.default_rng(3)
    directory = shutil.copytree(texts, tmp_path / "bundle")
    (directory / "config.json").write_text("{}")
    whole = (directory / store.SIGNATURE).read_bytes()
    for _ in range(count):
        (directory / store.SIGNATURE).write_bytes(mutated(whole, rng))
        assert signature.find_changes(directory, signature.own_public_key())


def _refused(directory: Path, models: Iterator[bytes]) -> tuple[int, int]:
    """How many were tried, and how many were refused with an error; any other end of this process fails the test."""
    tried = refused = 0
    for content in models:
        (directory / onnx.MODEL).write_bytes(content)
        tried += 1
        try:
            runtime.validate_model(directory, timeout_s=60)
        except SpeechprivError as error:
            refused += str(error).startswith(str(directory))  # one that does not say which bundle counts as none
    return tried, refused


@some(8)
def test_no_model_file_ends_this_process(exported, tmp_path, count):
    rng = np.random.default_rng(4)
    directory = shutil.copytree(exported, tmp_path / "bundle")
    whole = (directory / onnx.MODEL).read_bytes()
    # The graph is a few per cent of the file; changes in the weights alone make another model, not a broken one.
    models = (mutated(whole[:20_000], rng) + whole[20_000:] for _ in range(count))
    tried, refused = _refused(directory, models)
    assert tried == count
    assert refused > 0.5 * count


@some(6)
def test_no_list_of_tokens_ends_this_process(exported, tones, tmp_path, count):
    """What the child has let through is used here as well."""
    rng, refused = np.random.default_rng(4), 0
    directory = shutil.copytree(exported, tmp_path / "bundle")
    whole = (directory / onnx.TOKENS).read_bytes()
    said = tones.say("fan light door lamp now", rng)
    for _ in range(count):
        (directory / onnx.TOKENS).write_bytes(mutated(whole, rng))
        try:
            runtime.Transcriber(directory).transcribe([said])
        except SpeechprivError as error:
            refused += str(error).startswith(str(directory))
    assert refused > 0.5 * count


def test_a_config_that_names_code_runs_none_of_it(texts, tmp_path):
    directory = shutil.copytree(texts, tmp_path / "bundle")
    ran = tmp_path / "ran"
    (directory / "evil.py").write_text(f"open({str(ran)!r}, 'w')\nclass Evil: pass\n")
    for model_type in ("parakeet_ctc", "evil"):
        for name, keys in (
            ("config.json", ("AutoConfig", "AutoModelForCTC")),
            ("preprocessor_config.json", ("AutoFeatureExtractor",)),
            ("tokenizer_config.json", ("AutoTokenizer",)),
        ):
            found = json.loads((texts / name).read_text())
            codes = {key: ["evil.Evil", None] if key == "AutoTokenizer" else "evil.Evil" for key in keys}
            (directory / name).write_text(json.dumps({**found, "auto_map": codes}))
        found = json.loads((directory / "config.json").read_text())
        (directory / "config.json").write_text(json.dumps({**found, "model_type": model_type}))
        try:
            asr.load(str(directory))
        except SpeechprivError:
            assert model_type == "evil"
    assert not ran.exists()
