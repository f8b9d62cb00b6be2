"""PASS, FAIL or INCONCLUSIVE: the audit's one word, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from speechpriv.audit.inference.power import Detectable
from speechpriv.audit.inference.statistics import Leakage
from speechpriv.claim import Claim

Word = Literal["PASS", "FAIL", "INCONCLUSIVE"]
EXIT_CODES: Mapping[Word, int] = {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 2}
MIN_PLANTED = 10
MIN_REFERENCES = 1000  # with fewer, no one phrase is rare enough among them
TESTS = 5  # that share alpha: three of leakage, two bounds against the claim
_QUIET = 0.001  # a control may be this unlikely before it counts as noise in the test itself


@dataclass(frozen=True)
class Verdict:
    """The word and its reasons, for people.

    Both are released: no reason holds a figure of training people.
    """

    word: Word
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Proved:
    """Lower bounds from the guesses of the coins (onerun.py), each with confidence 1 - alpha /
    TESTS.
    """

    guesses: int
    correct: int
    epsilon: float  # at the claim's delta; 0 where there is none
    mu: float


def find_leaks(found: Leakage, *, claimed: bool, alpha: float) -> list[str]:
    """Find what is wrong with a model that knows planted phrases this well; empty if nothing is.

    A model without a claim may know nothing at all of them. One with a claim may know as much as it
    says, and no more: differential privacy bounds what a unit leaves behind, and bounds it above
    zero.

    Args:
      found: the leakage, tested against what the model may know.
      claimed: whether that comes from a claim.
      alpha: of the whole audit; each test has a `TESTS`-th of it.
    """
    limit, level = "the claim" if claimed else "chance", alpha / TESTS
    reasons = []
    if found.p_simes < level:
        reasons.append(f"single planted phrases are known better than {limit} allows (p = {found.p_simes:.2g})")
    if found.p_counts < level:
        reasons.append(f"more planted phrases stand out than {limit} allows (p = {found.p_counts:.2g})")
    if found.p_mann_whitney < level:
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
    proved: Proved,
    detectable: Detectable,
    claim: Claim | None,
    alpha: float,
    failures: Sequence[str] = (),
    doubts: Sequence[str] = (),
) -> Verdict:
    """Judge a model.

    A leak that is seen is a FAIL whatever the controls say. A PASS needs an audit that could have
    failed: the positive control (the non-private baseline, trained on the same data) is caught by
    the same tests under the same claim, and the negative control is quiet both ways: neither
    candidates whose coin kept them out nor references look known. References that were trained on
    would hide a leak.

    Args:
      model: leakage of the model under audit, tested against what its claim allows.
      positive: leakage of the non-private baseline, tested against the same.
      negative: candidates that stayed out against references, scored by the model under audit.
      reverse: references against candidates that stayed out, scored by it too.
      planted: number of planted canaries.
      proved: what the coins' guesses prove.
      detectable: the least that would have been seen; a PASS says it.
      claim: of the model, about the same unit and adjacency; None if there is none.
      alpha: probability of a FAIL, for any of these reasons, of a model that knows just as much as
        it may.
      failures: sentences without a figure of training people; what else fails the model.
      doubts: the same; why else a PASS would mean nothing.
    """
    found = [*find_leaks(model, claimed=claim is not None, alpha=alpha), *failures]
    if claim and not proved.epsilon <= claim.epsilon:
        found.append(f"the audit proves epsilon >= {proved.epsilon:.2f}, above the claim {claim.epsilon:.2f}")
    if claim and not proved.mu <= claim.mu_gdp:
        found.append(f"the audit proves mu >= {proved.mu:.2f}, above the claim {claim.mu_gdp:.2f}")
    if found:
        return Verdict("FAIL", tuple(found))
    doubts = list(doubts)
    if planted < MIN_PLANTED:
        doubts.append(f"only {planted} canaries were planted, of {MIN_PLANTED} that are needed: draw more candidates")
    if not find_leaks(positive, claimed=claim is not None, alpha=alpha):
        # Without its p: reasons are released, and the baseline learned from people without noise.
        doubts.append("the non-private baseline was not caught: the audit is too weak")
    if negative.p_value < _QUIET:
        doubts.append(f"phrases that were never planted look known (p = {negative.p_value:.2g}): the test is biased")
    if reverse.p_value < _QUIET:
        doubts.append(f"references look known (p = {reverse.p_value:.2g}), which hides leaks: were they trained on?")
    if doubts:
        return Verdict("INCONCLUSIVE", tuple(doubts))
    return Verdict("PASS", _why_it_passes(model, detectable, claim))


def _why_it_passes(model: Leakage, detectable: Detectable, claim: Claim | None) -> tuple[str, ...]:
    limit = "the claim" if claim else "chance"
    told = ""
    if claim:
        told = f"; at one false alarm in 100, {model.named:.0%} are told, {claim.named_of_100()}% allowed"
    return (
        f"no planted phrase is known better than {limit} allows (p = {model.p_simes:.2g})",
        f"no more of them stand out than may (p = {model.p_counts:.2g})",
        f"nor are all of them together (AUC {model.auc:.2f}, p = {model.p_mann_whitney:.2g}{told})",
        _least(detectable),
    )


def _least(found: Detectable) -> str:
    said = [
        f"an AUC of {found.auc:.2f}" if found.auc is not None else "",
        f"{found.memorised} phrases just beyond the references" if found.memorised else "",
        f"{found.memorised_far} far beyond" if found.memorised_far else "",
    ]
    return f"the least that would have been seen: {' or '.join(filter(None, said)) or 'nothing'}"
