"""Training in processes that are killed: a program that tests start, not a test.

It imports everything once, then forks a child for each line of JSON it reads and says how the child ended. A child
can be killed with SIGKILL after a time, or at one of its points: each file operation in its directory, each statement
of the ledger, half of each checkpoint, and each update of the weights. A point is passed before the operation.
"""

import io
import json
import os
import select
import signal
import sqlite3
import sys
import time
import traceback
from pathlib import Path

import torch
from torch.optim import optimizer

from speechpriv.config import PrivacyConfig, TrainConfig
from speechpriv.errors import SpeechprivError
from speechpriv.train import finetune

FILE_EVENTS = {"open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "shutil.rmtree"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Points:
    """What a child has passed so far; it dies at one of them."""

    def __init__(self, inside, last=None, nth=1):
        self.inside, self.last, self.nth, self.passed = inside, last, nth, []

    def reach(self, name):
        self.passed.append(name)
        if self.last == len(self.passed) or (name == self.last and self.passed.count(name) == self.nth):
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self):
        """Nothing of this can be undone: for a child that will end."""
        sys.addaudithook(self._file_event)
        fsync, save = os.fsync, torch.save

        def watched_fsync(descriptor):
            self.reach(f"os.fsync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
            fsync(descriptor)

        def half_then_all(state, file):
            content = io.BytesIO()
            save(state, content)
            half = len(content.getvalue()) // 2
            file.write(content.getvalue()[:half])
            file.flush()
            self.reach(f"half of {Path(file.name).name}")
            file.write(content.getvalue()[half:])

        reach, connect = self.reach, sqlite3.connect

        class Watched(sqlite3.Connection):
            def execute(self, statement, *values):
                if not statement.startswith("SELECT"):
                    reach(f"sql {statement.split()[0]}")
                return super().execute(statement, *values)

        os.fsync, torch.save = watched_fsync, half_then_all
        sqlite3.connect = lambda *arguments, **options: connect(*arguments, **options, factory=Watched)
        optimizer.register_optimizer_step_pre_hook(lambda *_: reach("before the update"))
        optimizer.register_optimizer_step_post_hook(lambda *_: reach("after the update"))

    def _file_event(self, event, arguments):
        if event not in FILE_EVENTS or (event == "open" and not arguments[2] & WRITING):
            return
        path = arguments[1 if event == "os.rename" else 0]  # a renamed file goes by its new name
        if isinstance(path, str | os.PathLike) and self.inside in Path(path).parents:
            self.reach(f"{event} {Path(path).name}")


def forget_momentum():
    """A fault that a test must see: the optimizer's state is not taken up again."""
    load = torch.load

    def forgetful(*arguments, **options):
        state = load(*arguments, **options)
        state["optimizer"]["state"] = {}
        return state

    torch.load = forgetful


def train(base, corpus, request, points):
    """Train in the directory `in`."""
    directory = Path(request["in"])
    privacy = PrivacyConfig(units=9, epsilon=8, delta=1e-2, cohort=6, cap_per_unit=2, steps=request["steps"])
    finetune.run(
        finetune.FinetuneConfig(
            privacy=privacy, train=TrainConfig(base=base, trainable="all", learning_rate=1e-2)
        ),
        {"corpus": Path(corpus)}, directory / "train",
        key=bytes(range(32)), ledger=directory / "ledger.sqlite", checkpoint_every=request.get("checkpoint_every", 1),
    )  # fmt: skip
    return {"ended": "done", "points": points.passed}


def child(base, corpus, request):
    """The answer of one training."""
    torch.set_num_threads(1)
    points = Points(Path(request["in"]), request.get("at"), request.get("nth", 1))
    points.watch()
    if request.get("forget_momentum"):
        forget_momentum()
    try:
        return train(base, corpus, request, points)
    except SpeechprivError as error:
        return {"ended": type(error).__name__, "message": str(error)}
    except Exception:  # noqa: BLE001  told to the test, which fails
        return {"ended": "crash", "message": traceback.format_exc()}


def forked(base, corpus, request):
    """Run one child and wait for its end."""
    started_s = time.monotonic()
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as answer:
            json.dump(child(base, corpus, request), answer)
        os._exit(0)
    os.close(writing)
    if not select.select([reading], [], [], request.get("kill_after_s"))[0]:
        os.kill(pid, signal.SIGKILL)
    with os.fdopen(reading) as answer:
        said = answer.read()
    _, status = os.waitpid(pid, 0)
    took = {"seconds": time.monotonic() - started_s}
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return {"ended": "killed"} | took
    return json.loads(said) | took


def main():
    for line in sys.stdin:
        print(json.dumps(forked(sys.argv[1], sys.argv[2], json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
