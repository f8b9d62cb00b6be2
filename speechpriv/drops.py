"""Rows that a stage drops: counted by reason, and an alarm where too many of them fail.

Every stage that can drop rows says in its manifest's counts `dropped`, the number by reason.
"""

from collections import Counter
from dataclasses import dataclass

from speechpriv.errors import DataError

FAULTS = ("failed", "too_slow")  # reasons that tell of the machine or the installation rather than of a recording


@dataclass(frozen=True)
class Dropped:
    """A row that cannot be used.

    Attributes:
      reason: what it is counted under.
      cause: the kind of error, for whoever must repair something; no word of the row.
    """

    reason: str
    cause: str = ""


class Drops:
    """Counts what a stage drops.

    Args:
      stage: its name.
      rows: how many it looks at.
      max_failed: share of them that may be dropped for a reason of `FAULTS`. One row may unless
        this is 0: a single bad row never ends a run.
    """

    def __init__(self, stage: str, rows: int, max_failed: float) -> None:
        self._stage, self._rows, self._max_failed = stage, rows, max_failed
        self._counts: Counter[str] = Counter()

    def add(self, dropped: Dropped) -> None:
        """Count a row.

        Raises:
          DataError: it is one too many that failed.
        """
        self._counts[dropped.reason] += 1
        failed = {reason: self._counts[reason] for reason in FAULTS if self._counts[reason]}
        at_most = max(int(self._max_failed * self._rows), 1 if self._max_failed else 0)
        if sum(failed.values()) > at_most:
            found = ", ".join(f"{count:,} {reason}" for reason, count in failed.items())
            raise DataError(
                f"{self._stage}: {found} of {self._rows:,} recordings, which is more than {at_most:,} "
                f"(anonymize.max_failed = {self._max_failed:g}), and the stage was not finished. The last: "
                f"{dropped.cause or 'unknown'}. This tells of the installation or the machine rather than of "
                "recordings, since a process that dies or hangs was given a second chance each time: look for a "
                "damaged package, too little memory or other work on the machine, and run again. If the recordings "
                "are to blame, raise anonymize.max_failed."
            )

    def counts(self) -> dict[str, int]:
        """Return the counts by reason."""
        return dict(sorted(self._counts.items()))
