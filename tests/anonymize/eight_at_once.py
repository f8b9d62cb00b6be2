"""Rounds of eight processes that disguise at once, each round with an empty compilation cache; and a ninth afterwards.

Ends with an error unless all of a round's processes end well, make the same bytes, and leave the cache empty.
"""

import hashlib
import multiprocessing
import os
import sys
from pathlib import Path

import numpy as np

METHODS = ("cascade", "mcadams")
PROCESSES = 8


def compute(cache, made, wait):
    """Disguise something by each method, once everybody is there."""
    os.environ["NUMBA_CACHE_DIR"] = str(cache)
    from speechpriv.anonymize import convert  # noqa: PLC0415  as late as can be: what is compiled at import counts too

    samples = (0.1 * np.random.default_rng(0).standard_normal(16_000)).astype(np.float32)
    wait()
    found = [convert.disguise(samples, 16_000, method, bytes(32), "one").tobytes() for method in METHODS]
    made.put(hashlib.sha256(b"".join(found)).hexdigest())


def main(directory, rounds):
    """Run the rounds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["speechpriv.anonymize.worker"])
    digests = set()
    for number in range(rounds):
        cache, made, barrier = directory / str(number), context.Queue(), context.Barrier(PROCESSES)
        cache.mkdir()
        eight = [context.Process(target=compute, args=(cache, made, barrier.wait)) for _ in range(PROCESSES)]
        ninth = context.Process(target=compute, args=(cache, made, int))
        for group in (eight, [ninth]):
            for process in group:
                process.start()
            digests |= {made.get(timeout=100) for _ in group}
            for process in group:
                process.join()
        codes = [process.exitcode for process in (*eight, ninth)]
        if any(codes) or any(cache.iterdir()) or len(digests) != 1:
            sys.exit(f"round {number}: exit codes {codes}, {len(list(cache.rglob('*')))} files, {len(digests)} results")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
