"""What a stranger who holds the released model gets: words of canaries, and who took part; printed
beside the verdict.

The same is asked of the non-private baseline, so that it is seen that the asking works. Nothing
here decides the verdict: the tests of the scores see more, and share an alpha that was fixed
before.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from speechpriv.audit.attacks import extraction, membership
from speechpriv.audit.canaries.canary import Canary
from speechpriv.corpus import Corpus
from speechpriv.data.voices import Speech, SpokenWord
from speechpriv.errors import AuditError
from speechpriv.models.asr import Recogniser

_PHRASES = 30  # of each side, at most
_GIVEN = 2  # words that the attacker knows
_PEOPLE = 500  # of each side, at most: more would take hours on a large corpus, and tell little more


def extract_words(
    models: Mapping[str, Recogniser], base: Recogniser, registry: Sequence[Canary], phrases: Corpus
) -> dict[str, list[dict[str, Any]]]:
    """Return how often words of planted phrases come out of each model, and words of as many
    phrases that stayed out.

    Args:
      models: what is asked, by name.
      base: the model before training.
      registry: the canaries.
      phrases: their recordings, in the registry's order.

    Returns:
      For each model its attacks (`extraction.attempt_extraction`): tries, hits, and the upper bound
      on the rate of hits.
    """
    planted = [i for i, one in enumerate(registry) if one.planted][:_PHRASES]
    controls = [i for i, one in enumerate(registry) if not one.planted][: len(planted)]
    sides = [[_speech(phrases, i) for i in side] for side in (planted, controls)]
    if min(len(speech.words) for side in sides for speech in side) < 2:
        return {}  # of a single word, such as a label, nothing can be given, and every stranger knows the others
    given = min(_GIVEN, min(len(speech.words) for side in sides for speech in side) - 1)
    return {
        name: [
            {"attack": attack.name, "planted": _rate(attack.planted), "controls": _rate(attack.controls)}
            for attack in extraction.attempt_extraction(model, base, *sides, given=given)
        ]
        for name, model in models.items()
    }


def infer_membership(
    models: Mapping[str, Recogniser], base: Recogniser, people: Corpus, trained_on: Corpus
) -> dict[str, Any]:
    """Return how well each model tells whole people who took part from others, up to 500 a side;
    see `membership.compare_units`.

    A corpus is in random order, so the first of its people are as good as any.

    Args:
      models: what is asked, by name.
      base: the model before training.
      people: recordings of both, as they were before anything was done to those of one side alone.
      trained_on: what the models learned from; its units are the members.

    Returns:
      For each model what was found, or, where too few people are there, `not_measured` with the
      reason.
    """
    trained = trained_on.units("train").keys()
    members = ((unit, rows) for unit, rows in people.units("train").items() if unit in trained)
    sides = [dict(itertools.islice(side, _PEOPLE)) for side in (members, people.units("test").items())]
    try:
        return {name: asdict(membership.compare_units(model, base, people, *sides)) for name, model in models.items()}
    except AuditError as error:
        return {"not_measured": str(error)}


def _speech(phrases: Corpus, index: int) -> Speech:
    """A phrase, its words where they are if every letter takes as long, which is near enough to
    mask them.
    """
    row = phrases[index]
    samples, words = row.samples(), row.text.split()
    ends = np.cumsum([len(word) for word in words]) * len(samples) // sum(map(len, words))
    starts = [0, *ends[:-1].tolist()]
    spoken = zip(words, starts, ends.tolist(), strict=True)
    return Speech(samples, tuple(SpokenWord(word, start, end) for word, start, end in spoken))


def _rate(hits: extraction.Hits) -> dict[str, Any]:
    return {**asdict(hits), "at_most": hits.at_most}
