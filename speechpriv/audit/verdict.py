"""PASS, FAIL or INCONCLUSIVE: the audit's one word, and why."""

from dataclasses import dataclass
from typing import Literal

from speechpriv.audit.statistics import Leakage
from speechpriv.claim import Claim

Word = Literal["PASS", "FAIL", "INCONCLUSIVE"]
MIN_PLANTED = 10
MIN_REFERENCES = 1000  # with fewer, Simes cannot fire on a few canaries, however well they are known
_QUIET = 0.001  # a control may be this unlikely before it counts as noise in the test itself


@dataclass(frozen=True)
class Verdict:
    """The word and its reasons, for people."""

    word: Word
    reasons: tuple[str, ...]


def leaks(found: Leakage, *, claimed: bool, alpha: float) -> list[str]:
    """What is wrong with a model that knows planted phrases this well; empty if nothing is.

    A model without a claim may know nothing at all of them. One with a claim may know as much as it says, and no more:
    differential privacy bounds what a unit leaves behind, and bounds it above zero. The two tests share alpha.

    Args:
      found: the leakage, tested against what the model may know.
      claimed: whether that comes from a claim.
      alpha: probability of any reason for a model that knows just as much as it may.
    """
    limit = "the claim" if claimed else "chance"
    reasons = []
    if found.p_simes < alpha / 2:
        reasons.append(f"single planted phrases are known better than {limit} allows (p = {found.p_simes:.2g})")
    if found.p_mann_whitney < alpha / 2:
        reasons.append(
            f"planted phrases together are known better than {limit} allows (AUC {found.auc:.2f}, "
            f"p = {found.p_mann_whitney:.2g})"
        )
    return reasons


def decide(
    *,
    model: Leakage,
    positive: Leakage,
    negative: Leakage,
    reverse: Leakage,
    planted: int,
    epsilon_lower_bound: float,
    claim: Claim | None,
    alpha: float,
) -> Verdict:
    """Judge a model.

    A leak that is seen is a FAIL whatever the controls say. A PASS needs an audit that could have failed: the
    positive control (the non-private twin, trained on the same data) is caught by the same tests under the same claim,
    and the negative control is quiet both ways: neither candidates whose coin kept them out nor references look known.
    References that were trained on would hide a leak.

    Args:
      model: leakage of the model under audit, tested against what its claim allows.
      positive: leakage of the non-private twin, tested against the same.
      negative: candidates that stayed out against references, scored by the model under audit.
      reverse: references against candidates that stayed out, scored by it too.
      planted: number of planted canaries.
      epsilon_lower_bound: what the coins' guesses prove, see audit/onerun.py.
      claim: of the model, about the same unit and adjacency; None if there is none.
      alpha: see `leaks`. The bound adds to the probability of a false FAIL at most 1 - its confidence, and nothing
        where the claim is above what so many guesses could prove if all were right.
    """
    failures = leaks(model, claimed=claim is not None, alpha=alpha)
    if claim and not epsilon_lower_bound <= claim.epsilon:
        failures.append(f"the audit proves epsilon >= {epsilon_lower_bound:.2f}, above the claim {claim.epsilon:.2f}")
    if failures:
        return Verdict("FAIL", tuple(failures))
    doubts = []
    if planted < MIN_PLANTED:
        doubts.append(f"only {planted} canaries were planted, of {MIN_PLANTED} that are needed: draw more candidates")
    if not leaks(positive, claimed=claim is not None, alpha=alpha):
        doubts.append(f"the non-private twin was not caught (p = {positive.p_value:.2g}): the audit is too weak")
    if negative.p_value < _QUIET:
        doubts.append(f"phrases that were never planted look known (p = {negative.p_value:.2g}): the test is biased")
    if reverse.p_value < _QUIET:
        doubts.append(f"references look known (p = {reverse.p_value:.2g}), which hides leaks: were they trained on?")
    if doubts:
        return Verdict("INCONCLUSIVE", tuple(doubts))
    return Verdict("PASS", _why_it_passes(model, claim))


def _why_it_passes(model: Leakage, claim: Claim | None) -> tuple[str, ...]:
    limit = "the claim" if claim else "chance"
    told = ""
    if claim:
        told = (
            f"; at one false alarm in 100, {model.named:.0%} are told, {claim.members_named_at_1_percent:.0%} allowed"
        )
    return (
        f"no planted phrase is known better than {limit} allows (p = {model.p_simes:.2g})",
        f"nor are all of them together (AUC {model.auc:.2f}, p = {model.p_mann_whitney:.2g}{told})",
    )
