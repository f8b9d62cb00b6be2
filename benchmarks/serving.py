"""Cost of answering with an exported model: each runtime on one core, and a command over the Wyoming protocol.

OMP_NUM_THREADS=1 python benchmarks/serving.py [BUNDLE]

Without a bundle, tiny-en is exported. Commands are 2 s of synthetic voices. Each runtime is a process of its own on one
core: real-time factor is processor time over the length of the audio, the least of five rounds; memory is the most that
the process had, with all that it imports. The server has one core, and its clients the others. Latency is what a client
waits: from its first byte where a command is sent at once, from the end of speech where chunks come as they are spoken.
"""

# ruff: noqa: PLC0415  a process imports only what it measures

import argparse
import asyncio
import json
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from speechpriv.audio import RATE_HZ

SECONDS = 2
COMMANDS = (
    "turn on the kitchen lights", "set a timer for ten minutes", "play some music", "what is the weather tomorrow",
    "stop the music", "open the garage door", "add milk to the list", "good night",
)  # fmt: skip
CLIPS, ROUNDS = 24, 5
RUNTIMES = ("torch", "onnxruntime", "onnxruntime int8", "sherpa-onnx", "sherpa-onnx int8")
EXAMPLE = Path(__file__).parents[1] / "examples" / "with_onnxruntime.py"
CHUNK = 1_024  # samples, as Home Assistant sends them
CORES = sorted(os.sched_getaffinity(0))


def clips() -> np.ndarray:
    """Samples (CLIPS, N) of commands, with silence at their ends or cut to length."""
    from speechpriv.data import voices

    rng = np.random.default_rng(0)
    found = np.zeros((CLIPS, SECONDS * RATE_HZ), np.float32)
    for row, clip in enumerate(found):
        said = voices.speak(COMMANDS[row % len(COMMANDS)], voices.random_voice(rng)).samples[: len(clip)]
        clip[: len(said)] = said
    return found


def decoder(name: str, directory: Path) -> Callable[[np.ndarray], object]:
    """What one runtime does with one clip."""
    weights = "model.int8.onnx" if name.endswith("int8") else "model.onnx"
    if name == "torch":
        import torch

        from speechpriv.models import asr

        torch.set_num_threads(1)
        recogniser = asr.load(str(directory))
        return lambda samples: recogniser.transcribe([samples])
    if name.startswith("sherpa-onnx"):
        from speechpriv.export import runtime

        transcriber = runtime.Transcriber(directory, weights)
        return lambda samples: transcriber.transcribe([samples])
    import onnxruntime

    example = runpy.run_path(str(EXAMPLE))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(directory / weights, options)
    tokens = [line.split(" ")[0] for line in (directory / "tokens.txt").read_text(encoding="utf-8").splitlines()]

    def decode(samples: np.ndarray) -> str:
        features = example["log_mel"](samples)[None].astype(np.float32)
        inputs = {"audio_signal": features, "length": np.array([features.shape[2]])}
        return str(example["words"](session.run(None, inputs)[0][0], tokens))

    return decode


def one_runtime(name: str, directory: Path, said: np.ndarray) -> None:
    """The child: print what it took."""
    os.sched_setaffinity(0, CORES[:1])
    decode = decoder(name, directory)
    took_s = []
    for _ in range(ROUNDS):
        start_s = time.process_time()
        for samples in said:
            decode(samples)
        took_s.append(time.process_time() - start_s)
    print(json.dumps({"factor": min(took_s) / (said.size / RATE_HZ), "used_mib": most_memory_mib("self")}))


def most_memory_mib(process: int | str) -> float:
    """What a process had at most; unlike ru_maxrss, nothing of who started it."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024


def runtimes(directory: Path, said: np.ndarray) -> None:
    """The table of runtimes."""
    print(f"{'one core':18}{'real-time factor':>18}{'of torch':>10}{'memory, MiB':>13}")
    first = None
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file, said)
        file.flush()
        for name in RUNTIMES:
            command = [sys.executable, __file__, str(directory), "--runtime", name, "--clips", file.name]
            shown = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(shown.stdout.splitlines()[-1])
            first = first or found["factor"]
            print(f"{name:18}{found['factor']:18.4f}{found['factor'] / first:10.2f}{found['used_mib']:13.0f}")


@contextmanager
def server(directory: Path, *options: str) -> Iterator[tuple[str, int]]:
    """Address and process id of `speechpriv serve`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host, port = probe.getsockname()
    uri = f"tcp://{host}:{port}"
    program = f"import os; os.sched_setaffinity(0, {CORES[:1]}); from speechpriv.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", str(directory), "--uri", uri, *options]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            try:
                socket.create_connection((host, port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield uri, process.pid
    finally:
        process.terminate()
        process.wait()


async def ask(uri: str, said: np.ndarray, times: int, *, as_spoken: bool) -> list[float]:
    """One client's waits in seconds, one command after the other on one connection."""
    from wyoming.audio import AudioChunk, AudioStart, AudioStop
    from wyoming.client import AsyncClient

    form = {"rate": RATE_HZ, "width": 2, "channels": 1}
    waits_s = []
    async with AsyncClient.from_uri(uri) as client:
        for number in range(times):
            pcm = (said[number % len(said)] * 32_767).astype("<i2").tobytes()
            start_s = time.perf_counter()
            await client.write_event(AudioStart(**form).event())
            for chunk, at in enumerate(range(0, len(pcm), 2 * CHUNK)):
                if as_spoken:
                    await asyncio.sleep(max(0.0, start_s + (chunk + 1) * CHUNK / RATE_HZ - time.perf_counter()))
                await client.write_event(AudioChunk(**form, audio=pcm[at : at + 2 * CHUNK]).event())
            if as_spoken:
                start_s = time.perf_counter()
            await client.write_event(AudioStop().event())
            answer = await client.read_event()
            if answer is None or answer.type != "transcript":
                raise RuntimeError("the server did not answer")
            waits_s.append(time.perf_counter() - start_s)
    return waits_s


async def crowd(uri: str, said: np.ndarray, clients: int, times: int, *, as_spoken: bool) -> list[float]:
    """The waits of so many clients at once, who begin within two seconds of each other if they speak."""
    rng = np.random.default_rng(1)

    async def one() -> list[float]:
        await asyncio.sleep(rng.uniform(0, 2) if as_spoken else 0)
        return await ask(uri, said, times, as_spoken=as_spoken)

    return [wait_s for waits_s in await asyncio.gather(*(one() for _ in range(clients))) for wait_s in waits_s]


def wyoming(directory: Path, said: np.ndarray) -> None:
    """The table of waits."""
    print(f"\n{'Wyoming, 2 s':36}{'median, ms':>12}{'p95, ms':>10}")
    for weights, options in (("fp32", ()), ("int8", ("--int8",))):
        if options and not (directory / "model.int8.onnx").is_file():
            continue
        with server(directory, *options) as (uri, process_id):
            asyncio.run(ask(uri, said, 10, as_spoken=False))
            for clients, times, as_spoken in ((1, 200, False), (1, 10, True), (16, 20, False), (16, 5, True)):
                waits_s = asyncio.run(crowd(uri, said, clients, times, as_spoken=as_spoken))
                median_ms, late_ms = 1000 * np.quantile(waits_s, (0.5, 0.95))
                how = "as spoken" if as_spoken else "sent at once"
                print(f"{f'{weights}, clients: {clients}, {how}':36}{median_ms:12.1f}{late_ms:10.1f}")
            print(f"memory of the server, at most: {most_memory_mib(process_id):.0f} MiB")


def main() -> None:
    """Export if need be, and print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("--runtime", choices=RUNTIMES, help=argparse.SUPPRESS)
    parser.add_argument("--clips", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.runtime:
        one_runtime(given.runtime, given.bundle, np.load(given.clips))
        return
    with tempfile.TemporaryDirectory() as temporary:
        directory = given.bundle or exported(Path(temporary))
        said = clips()
        runtimes(directory, said)
        os.sched_setaffinity(0, CORES[1:] or CORES)
        wyoming(directory, said)
        print()
        for path in sorted(directory.iterdir(), key=lambda path: -path.stat().st_size)[:4]:
            print(f"{path.name:36}{path.stat().st_size / 1e6:9.1f} MB")
        print(f"{'all files':36}{sum(path.stat().st_size for path in directory.iterdir()) / 1e6:9.1f} MB")


def exported(directory: Path) -> Path:
    """The files of tiny-en's bundle that it runs with."""
    from speechpriv.export import int8, onnx
    from speechpriv.models import asr

    recogniser = asr.load("tiny-en")
    recogniser.save(directory)
    onnx.export_recogniser(recogniser, directory)
    int8.quantise_weights(directory / onnx.MODEL, directory / int8.MODEL)
    return directory


if __name__ == "__main__":
    main()
