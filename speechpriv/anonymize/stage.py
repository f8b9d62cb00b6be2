"""The anonymize stage: every training recording spoken by somebody else."""

import collections
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from speechpriv import corpus as corpora
from speechpriv import store
from speechpriv.anonymize import convert, resynth
from speechpriv.corpus import Row
from speechpriv.data import audio
from speechpriv.errors import DataError
from speechpriv.models import asr
from speechpriv.models.asr import CtcRecogniser
from speechpriv.sections import AnonymizeConfig


@store.stage(version=2)
def run(
    config: AnonymizeConfig,
    inputs: Mapping[str, Path],
    out_dir: Path,
    *,
    key: bytes,
    device: str = "cpu",
    on_row: Callable[[int], None] = store.silent,
) -> dict[str, Any]:
    """Disguise the train split of `inputs["corpus"]`.

    The test split is left as it was spoken: the recogniser will hear undisguised people. A row whose words cannot be
    found in its audio with enough confidence is dropped and counted: its sound is never passed on instead.

    Args:
      config: the method.
      inputs: `corpus`.
      out_dir: the stage directory.
      key: makes one draw an utterance that nobody without it can repeat.
      device: where the aligner lives.
      on_row: told how many rows are done.
    """
    corpus = corpora.read(inputs["corpus"])
    dropped: collections.Counter[str] = collections.Counter()
    recogniser = asr.load_ctc(config.aligner, device) if config.method == "resynth" else None

    def disguised() -> Iterator[Row]:
        for done, row in enumerate(corpus.rows(), start=1):
            try:
                yield (
                    row if row.split == "test" or config.method == "none" else _disguised(row, config, key, recogniser)
                )
            except DataError as error:
                dropped[str(error).partition(":")[0]] += 1
            on_row(done)

    kept = corpora.write(disguised(), out_dir, lineage=corpus.lineage)
    return {"rows": len(kept), "method": config.method, **{f"dropped_{reason}": dropped[reason] for reason in dropped}}


def _disguised(row: Row, config: AnonymizeConfig, key: bytes, recogniser: CtcRecogniser | None) -> Row:
    """The row, spoken by somebody else."""
    samples, words = row.samples(), None
    if recogniser:
        words = resynth.aligned(recogniser, samples, row.text, config.min_confidence)
    samples = convert.disguise(samples, audio.RATE_HZ, config.method, key, row.id, words=words, timing=config.timing)
    return replace(row, flac=audio.flac(samples), seconds=len(samples) / audio.RATE_HZ)
