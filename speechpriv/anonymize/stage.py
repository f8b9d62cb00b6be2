"""The anonymize stage: every training recording spoken by somebody else."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from speechpriv import corpus as corpora
from speechpriv import store
from speechpriv.anonymize import convert
from speechpriv.corpus import Row
from speechpriv.data import audio
from speechpriv.sections import AnonymizeConfig


@store.stage(version=1)
def run(
    config: AnonymizeConfig,
    inputs: Mapping[str, Path],
    out_dir: Path,
    *,
    key: bytes,
    on_row: Callable[[int], None] = store.silent,
) -> dict[str, Any]:
    """Disguise the train split of `inputs["corpus"]`.

    The test split is left as it was spoken: the recogniser will hear undisguised people.

    Args:
      config: the method.
      inputs: `corpus`.
      out_dir: the stage directory.
      key: makes one draw an utterance that nobody without it can repeat.
      on_row: told how many rows are done.
    """
    corpus = corpora.read(inputs["corpus"])

    def disguised() -> Iterator[Row]:
        for done, row in enumerate(corpus.rows(), start=1):
            if row.split == "test" or config.method == "none":
                yield row
            else:
                samples = convert.disguise(row.samples(), audio.RATE_HZ, config.method, key, row.id)
                yield replace(row, flac=audio.flac(samples), seconds=len(samples) / audio.RATE_HZ)
            on_row(done)

    kept = corpora.write(disguised(), out_dir, lineage=corpus.lineage)
    return {"rows": len(kept), "method": config.method}
