"""PASS, FAIL or INCONCLUSIVE: the audit's one word, and why."""

from dataclasses import dataclass
from typing import Literal

import scipy.stats

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


def leaks(found: Leakage, *, planted: int, allowed: float | None, alpha: float) -> list[str]:
    """What is wrong with a model that knows planted phrases this well; empty if nothing is.

    A model without a claim may know nothing at all of them. One with a claim may know as much as it says, and no more:
    differential privacy bounds what a unit leaves behind, and bounds it above zero. In no model may single phrases
    stand out. The tests share alpha.

    Args:
      found: the leakage.
      planted: number of planted canaries, P.
      allowed: largest share of members that the claim lets anybody name at one false alarm in 100; None if no claim.
      alpha: probability of any reason for a model that knows just as much as it may. The test of `allowed` takes the
        canaries as independent given the model, which they are not quite.
    """
    reasons = []
    if found.p_simes < alpha / 2:
        reasons.append(f"single planted phrases are known better than chance allows (p = {found.p_simes:.2g})")
    if allowed is None:
        if found.p_mann_whitney < alpha / 2:
            reasons.append(f"planted phrases leave a trace (AUC {found.auc:.2f}, p = {found.p_mann_whitney:.2g})")
    elif scipy.stats.binom.sf(round(found.named * planted) - 1, planted, allowed) < alpha / 2:
        reasons.append(
            f"{found.named:.0%} of the planted phrases are told at one false alarm in 100; "
            f"the claim allows {allowed:.0%}"
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
      model: leakage of the model under audit.
      positive: leakage of the non-private twin.
      negative: candidates that stayed out against references, scored by the model under audit.
      reverse: references against candidates that stayed out, scored by it too.
      planted: number of planted canaries.
      epsilon_lower_bound: what the coins' guesses prove, see audit/onerun.py.
      claim: of the model, about the same unit and adjacency; None if there is none.
      alpha: see `leaks`. The bound adds to the probability of a false FAIL at most 1 - its confidence, and nothing
        where the claim is above what so many guesses could prove if all were right.
    """
    allowed = claim.members_named_at_1_percent if claim else None
    failures = leaks(model, planted=planted, allowed=allowed, alpha=alpha)
    if claim and not epsilon_lower_bound <= claim.epsilon:
        failures.append(f"the audit proves epsilon >= {epsilon_lower_bound:.2f}, above the claim {claim.epsilon:.2f}")
    if failures:
        return Verdict("FAIL", tuple(failures))
    doubts = []
    if planted < MIN_PLANTED:
        doubts.append(f"only {planted} canaries were planted, of {MIN_PLANTED} that are needed: draw more candidates")
    if not leaks(positive, planted=planted, allowed=allowed, alpha=alpha):
        doubts.append(f"the non-private twin was not caught (p = {positive.p_value:.2g}): the audit is too weak")
    if negative.p_value < _QUIET:
        doubts.append(f"phrases that were never planted look known (p = {negative.p_value:.2g}): the test is biased")
    if reverse.p_value < _QUIET:
        doubts.append(f"references look known (p = {reverse.p_value:.2g}), which hides leaks: were they trained on?")
    if doubts:
        return Verdict("INCONCLUSIVE", tuple(doubts))
    return Verdict("PASS", _why_it_passes(model, allowed))


def _why_it_passes(model: Leakage, allowed: float | None) -> tuple[str, ...]:
    single = f"no planted phrase stands out (p = {model.p_simes:.2g})"
    trace = f"AUC {model.auc:.2f}, p = {model.p_mann_whitney:.2g}"
    if allowed is None:
        return single, f"all together leave no trace that can be seen ({trace})"
    return single, (
        f"at one false alarm in 100, {model.named:.0%} of them are told, and the claim allows {allowed:.0%} "
        f"({trace} for a trace of all together)"
    )
