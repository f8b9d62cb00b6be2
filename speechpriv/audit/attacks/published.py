"""Whether a table of published phrases tells on anybody: what one unit alone says, and planted
phrases.

Shares no code with what published it.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy import stats

from speechpriv import store
from speechpriv.audit.canaries.canary import Canary
from speechpriv.corpus import Corpus
from speechpriv.models import arpa
from speechpriv.models.spelling import words_and_slots

_UNLIKELY = 1e-3  # so seldom may an honest table be called leaky

Words = tuple[str, ...]


@dataclass(frozen=True)
class Published:
    """Counts; no phrase."""

    phrases: int  # published
    of_one_unit: int  # of these, said by one unit alone: what the threshold is there to hide
    units: int
    slip: float  # how often, at most, any such of a unit may be published
    planted: int  # canaries of one unit each
    planted_seen: int  # of these, how many have an n-gram published that nobody else says
    spread: int  # canaries spread over several units each, which the claim does not cover as one
    spread_seen: int

    def failures(self) -> list[str]:
        """Return what is wrong with the table, for people; empty if nothing was seen."""
        chance = float(stats.binom.sf(self.of_one_unit - 1, self.units, self.slip))
        if chance >= _UNLIKELY:
            return []
        # Without a number: reasons are released, and these are of people's own words.
        return ["more published phrases are said by one unit alone than a right threshold lets by"]


def check_published(directory: Path, registry: Sequence[Canary], said: Corpus, trained_on: Corpus) -> Published:
    """Compare a published table with the corpus it was published of.

    Args:
      directory: holds `phrases.json` (n-grams with weights) and `release.json` (the event).
      registry: the canaries.
      said: their recordings, in the registry's order.
      trained_on: the corpus, canaries included.
    """
    table = set(arpa.sort_published(directory))
    slip = json.loads(store.read_json(directory / "release.json")["event"])["slip"]
    order = len(next(iter(table), ("", "")))
    units, texts = trained_on.units("train"), trained_on.table["text"][:]
    sayers = Counter(
        gram for rows in units.values() for gram in {gram for row in rows for gram in _grams(texts[row], order)}
    )
    planted, seen = Counter[bool](), Counter[bool]()
    for canary, text in zip(registry, said.table["text"][:], strict=True):
        if canary.planted:
            own = 1 if canary.adds_one_unit else canary.repeats
            planted[canary.adds_one_unit] += 1
            seen[canary.adds_one_unit] += any(sayers[gram] <= own for gram in table.intersection(_grams(text, order)))
    return Published(
        phrases=len(table), of_one_unit=sum(sayers[gram] <= 1 for gram in table), units=len(units), slip=slip,
        planted=planted[True], planted_seen=seen[True], spread=planted[False], spread_seen=seen[False],
    )  # fmt: skip


def _grams(text: str, order: int) -> set[Words]:
    """Runs of `order` words of a sentence, with marks before and after it."""
    words = [*["<s>"] * (order - 1), *words_and_slots(text), "</s>"]
    return {tuple(words[i : i + order]) for i in range(len(words) - order + 1)}
