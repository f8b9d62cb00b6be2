"""Membership: can somebody who holds the model tell whether a whole person was in its training
data?

A person's utterances are pooled into one score, and scores of members are compared with those of
people who stayed out. An attacker with label access knows what was said; one without has the
recordings alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.special
import scipy.stats
import torch

from speechpriv.audit.attacks import scores
from speechpriv.audit.inference import intervals
from speechpriv.corpus import Corpus
from speechpriv.errors import AuditError
from speechpriv.models.asr import Classifier, Recogniser, Utterance

_BATCH = 16
_MIN_PEOPLE = 10  # on each side
_FALSE_ALARMS = 0.01
_TAIL = 0.025  # on each side of a 95 % interval
_ALIKE = 1.1  # seconds of speech of one side over the other's, up to which nothing is said


@dataclass(frozen=True)
class Told:
    """How well one score tells members from others.

    AUC is P(a member's score is lower than another's), 0.5 for chance, with a 95 % interval over
    people; `named` the share of members below all but 1 % of the others, `named_at_most` its upper
    bound, one-sided, 95 %.
    """

    auc: float
    auc_low: float
    auc_high: float
    named: float
    named_at_most: float


@dataclass(frozen=True)
class Membership:
    """What was found out about people; holds no id."""

    members: int
    others: int
    left_out: int  # people without a counterpart of as many utterances
    utterances: int  # of each side
    with_labels: Told  # loss of the transcript
    pseudo_labels: Told  # the model's loss of what it writes itself, a letter or a label; the base has no say in that
    confidence: Told  # probability that the model gives to what it finds likeliest
    notes: tuple[str, ...]  # where the two sides differ in more than membership


def compare_units(
    model: Recogniser,
    base: Recogniser,
    corpus: Corpus,
    members: Mapping[str, Sequence[int]],
    others: Mapping[str, Sequence[int]],
    *,
    cap: int = 8,
    seed: int = 0,
) -> Membership:
    """Compare people a model was trained on with people it was not.

    Both sides must come from one population and have gone through the same stages (where only the
    training part was disguised, disguise is what is told). As many people of each number of
    utterances are drawn from either side, so that the number tells nothing.

    Args:
      model: the model under audit.
      base: the model before training; the score of a transcript, and confidence, are the model's
        minus the base's.
      corpus: holds everybody's utterances.
      members: rows of the corpus for each member, as `corpus.units("train")` gives them.
      others: the same for people who stayed out.
      cap: utterances of a person that are used, >= 1, drawn at random.
      seed: of the drawing.

    Raises:
      AuditError: fewer than ten people a side have a counterpart, somebody is on both sides, or an
        utterance cannot be scored.

    Source: a whole person, from an assistant's model: Miao et al. 2019, arXiv:1905.07082.
    """
    if not cap >= 1 or members.keys() & others.keys():
        raise AuditError(
            f"membership: cap = {cap}, {len(members.keys() & others.keys())} people on both sides; expected a cap of "
            "at least 1 and nobody on both."
        )
    inside, outside = _matched(members, others, cap, np.random.default_rng(seed))
    rows = sorted({row for person in (*inside, *outside) for row in person}, key=corpus.table["seconds"][:].__getitem__)
    measured, place = _measured(model, base, corpus, rows), {row: i for i, row in enumerate(rows)}
    labelled, pseudo, doubt = (
        separate_members(
            *(
                np.array([by_row[[place[row] for row in person]].mean() for person in side])
                for side in (inside, outside)
            )
        )
        for by_row in measured
    )
    return Membership(
        members=len(inside),
        others=len(outside),
        left_out=len(members) + len(others) - len(inside) - len(outside),
        utterances=sum(map(len, inside)),
        with_labels=labelled,
        pseudo_labels=pseudo,
        confidence=doubt,
        notes=_notes(corpus, inside, outside),
    )


def separate_members(members: np.ndarray, others: np.ndarray) -> Told:
    """Return how well scores, shapes (M,) and (R,), tell members from others; a member's should be
    lower.

    The interval of the AUC is DeLong's on the logit scale, and at the ends, where that has no
    width, what so many people of the smaller side could hide (Clopper-Pearson). The bound on
    `named` needs no assumption: a threshold that lets more than 1 % of others pass with probability
    97.5 % or more, and Clopper-Pearson there.

    Raises:
      AuditError: fewer than two scores on a side, or one is not finite.

    Source: DeLong et al. 1988; Sun and Xu 2014 (ranks); order statistics of a uniform sample are
    beta distributed.
    """
    for values in (members, others):
        if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
            raise AuditError(
                f"membership: scores of shape {values.shape}, {np.count_nonzero(~np.isfinite(values))} of them not "
                "finite; expected at least two people a side, with finite scores."
            )
    below = np.sort(others)
    # Of each member the share of others above, of each other the share of members below; ties count
    # half.
    of_members, of_others = 1 - intervals.rank_among(members, others), intervals.rank_among(others, members)
    auc = float(of_members.mean())
    deviation = math.sqrt(of_members.var(ddof=1) / len(members) + of_others.var(ddof=1) / len(others))
    low, high = _interval(auc, deviation, min(len(members), len(others)))
    rank = math.floor(_FALSE_ALARMS * len(others))
    named = int(np.count_nonzero(members < below[rank]))
    # The k-th lowest of n others lets a share of them pass that is Beta(k, n - k + 1).
    ranks = np.arange(1, len(others) + 1)
    sure = scipy.stats.beta.cdf(_FALSE_ALARMS, ranks, len(others) - ranks + 1) <= _TAIL
    caught = int(np.count_nonzero(members <= below[int(np.argmax(sure))]))
    return Told(auc, low, high, named / len(members), intervals.upper_bound(caught, len(members), 1 - _TAIL))


def _interval(auc: float, deviation: float, people: int) -> tuple[float, float]:
    if auc in (0.0, 1.0):
        hidden = intervals.upper_bound(0, people, 1 - _TAIL)
        return (1 - hidden, 1.0) if auc else (0.0, hidden)
    half = scipy.stats.norm.ppf(1 - _TAIL) * deviation / (auc * (1 - auc))
    logit = math.log(auc / (1 - auc))
    return float(scipy.special.expit(logit - half)), float(scipy.special.expit(logit + half))


def _matched(
    members: Mapping[str, Sequence[int]], others: Mapping[str, Sequence[int]], cap: int, rng: np.random.Generator
) -> tuple[list[list[int]], list[list[int]]]:
    """As many people of either side for each number of utterances, each with at most `cap` of
    theirs.
    """
    sides = [
        [rng.permutation(list(rows))[:cap].tolist() for _, rows in sorted(side.items()) if rows]
        for side in (members, others)
    ]
    found: tuple[list[list[int]], list[list[int]]] = ([], [])
    for count in range(1, cap + 1):
        groups = [[rows for rows in side if len(rows) == count] for side in sides]
        for chosen, group in zip(found, groups, strict=True):
            chosen += [group[i] for i in rng.permutation(len(group))[: min(map(len, groups))]]
    if len(found[0]) < _MIN_PEOPLE:
        raise AuditError(
            f"membership: {len(members)} members and {len(others)} others, of whom {len(found[0])} a side have as many "
            f"utterances as somebody on the other; expected at least {_MIN_PEOPLE}. Hold more people out, or lower cap."
        )
    return found


@torch.inference_mode()
def _measured(model: Recogniser, base: Recogniser, corpus: Corpus, rows: Sequence[int]) -> np.ndarray:
    """Scores of rows, lower for better known, (3, len(rows)): transcript, what the model writes,
    confidence.
    """
    parts = []
    for start in range(0, len(rows), _BATCH):
        batch = [corpus[row] for row in rows[start : start + _BATCH]]
        said = [Utterance(row.samples(), row.text) for row in batch]
        labelled = _losses(model, "audited", said) - _losses(base, "base", said)  # first: it says where one is broken
        waveforms = [samples for samples, _ in said]
        written = [Utterance(s, text) for s, text in zip(waveforms, model.transcribe(waveforms), strict=True)]
        spelled = [i for i, (samples, text) in enumerate(written) if text and model.fits(len(samples), text)]
        pseudo = np.full(len(said), np.nan)
        if spelled:
            # Not above the base's: what is wrongly written of a stranger surprises the base more
            # than the model.
            known = [written[i] for i in spelled]
            # A label is one choice, however many letters its name has.
            letters = 1 if isinstance(model, Classifier) else [len(utterance.text) for utterance in known]
            pseudo[spelled] = _losses(model, "audited", known) / letters
        doubt = base.confidence(waveforms) - model.confidence(waveforms)
        parts.append(np.stack([labelled, pseudo, doubt]))
    found = np.concatenate(parts, axis=1)
    nothing = np.isnan(found[1])  # is written: nothing is known
    found[1, nothing] = found[1, ~nothing].max(initial=0.0)
    return scores.check_finite(found, "audited or base", "scores of utterances")


def _losses(recogniser: Recogniser, name: str, utterances: Sequence[Utterance]) -> np.ndarray:
    return scores.check_finite(recogniser.losses(utterances).double().cpu().numpy(), name, "utterances")


def _notes(corpus: Corpus, *sides: Sequence[Sequence[int]]) -> tuple[str, ...]:
    seconds = corpus.table["seconds"][:]
    inside, outside = (sum(seconds[row] for person in side for row in person) for side in sides)
    if max(inside, outside) <= _ALIKE * min(inside, outside):
        return ()
    return (f"members have {inside:.0f} s of speech and others {outside:.0f} s: length may tell them apart",)
