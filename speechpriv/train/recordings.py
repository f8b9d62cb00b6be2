"""A corpus's utterances as training takes them: those that fit, heard once where that is enough,
with copies.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from speechpriv.audio import RATE_HZ
from speechpriv.corpus import Corpus
from speechpriv.data import augment
from speechpriv.models.asr import EncodedUtterance, Recogniser, Utterance

_KEPT_BYTES = 2**31  # of encoder states; what does not fit is heard again each time


class Recordings:
    """Reads the train split of a corpus.

    Args:
      corpus: its recordings.
      recogniser: what learns.
      hear: runs what never learns, so that what is above it gets is computed once and kept; None:
        all of it learns.
      copies: distorted ones of each utterance, beside it (De et al. 2022, arXiv:2204.13650,
        augmentation multiplicity).
    """

    def __init__(
        self,
        corpus: Corpus,
        recogniser: Recogniser,
        *,
        hear: Callable[[Utterance], EncodedUtterance] | None,
        copies: int,
    ) -> None:
        self._corpus, self._recogniser, self._hear, self._copies = corpus, recogniser, hear, copies
        self._seconds, self._texts = corpus.table["seconds"][:], corpus.table["text"][:]
        self._kept: dict[int, EncodedUtterance] = {}
        self._left_bytes = _KEPT_BYTES

    def units(self) -> dict[str, list[int]]:
        """Return rows of each unit that can be learned from; none for a unit all of whose words do
        not fit their audio.
        """
        return {
            unit: [i for i in rows if self._recogniser.fits(round(self._seconds[i] * RATE_HZ), self._texts[i])]
            for unit, rows in self._corpus.units("train").items()
        }

    def counts(self) -> dict[str, Any]:
        """See `count_rows`."""
        return count_rows(self._corpus, sum(len(rows) for rows in self.units().values()))

    def seconds(self, rows: list[int]) -> list[float]:
        """Return lengths of rows."""
        return [self._seconds[i] for i in rows]

    def read(self, index: int, seed: bytes) -> list[Utterance | EncodedUtterance]:
        """Read the utterance in a row, and its copies, distorted as `seed` has it."""
        if index in self._kept and not self._copies:
            return [self._kept[index]]
        row = self._corpus[index]
        said = Utterance(row.samples(), row.text)
        rng = np.random.default_rng(np.frombuffer(seed, dtype=np.uint32))
        copies = [Utterance(augment.distort(said.samples, rng), said.text) for _ in range(self._copies)]
        if self._hear is None:
            return [said, *copies]
        return [self._heard(index, said, self._hear), *map(self._hear, copies)]

    def _heard(self, index: int, said: Utterance, hear: Callable[[Utterance], EncodedUtterance]) -> EncodedUtterance:
        if index in self._kept:
            return self._kept[index]
        heard = hear(said)
        if (size := heard.hidden.nbytes) <= self._left_bytes:
            self._left_bytes -= size
            self._kept[index] = heard
        return heard


def count_rows(corpus: Corpus, learned: int) -> dict[str, Any]:
    """Count rows that are learned from, kept for testing, and dropped, since their words do not fit
    their audio.
    """
    train = corpus.table["split"][:].count("train")
    dropped = {"not_alignable": train - learned} if learned < train else {}
    return {"rows": learned, "rows_test": len(corpus) - train, "dropped": dropped}
