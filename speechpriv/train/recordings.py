"""Read a corpus's utterances as training takes them: those that fit, encoded once where that is enough."""

from collections.abc import Callable
from typing import Any

from speechpriv.audio import RATE_HZ
from speechpriv.corpus import Corpus
from speechpriv.models.asr import EncodedUtterance, Recogniser, Utterance

_KEPT_BYTES = 2**31  # of encoder states; what does not fit is encoded again each time


class Recordings:
    """Read the train split of a corpus.

    Args:
      corpus: its recordings.
      recogniser: what learns.
      hear: runs what never learns, so that what is above it gets it computed once and kept; None:
        all of it learns.
    """

    def __init__(
        self, corpus: Corpus, recogniser: Recogniser, *, hear: Callable[[Utterance], EncodedUtterance] | None
    ) -> None:
        self._corpus, self._recogniser, self._hear = corpus, recogniser, hear
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

    def read(self, index: int) -> Utterance | EncodedUtterance:
        """Read the utterance in a row; one that is encoded once is kept."""
        if index in self._kept:
            return self._kept[index]
        row = self._corpus[index]
        said = Utterance(row.samples(), row.text)
        if self._hear is None:
            return said
        encoded = self._hear(said)
        if (size := encoded.hidden.nbytes) <= self._left_bytes:
            self._left_bytes -= size
            self._kept[index] = encoded
        return encoded


def count_rows(corpus: Corpus, learned: int) -> dict[str, Any]:
    """Count rows that are learned from, kept for testing, and dropped, since their words do not fit
    their audio.
    """
    train = corpus.table["split"][:].count("train")
    dropped = {"not_alignable": train - learned} if learned < train else {}
    return {"rows": learned, "rows_test": len(corpus) - train, "dropped": dropped}
