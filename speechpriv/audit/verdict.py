"""PASS, FAIL or INCONCLUSIVE: the audit's one word, and why."""

from dataclasses import dataclass
from typing import Literal

from speechpriv.audit.statistics import Leakage

Word = Literal["PASS", "FAIL", "INCONCLUSIVE"]
MIN_PLANTED = 10
MIN_REFERENCES = 1000  # with fewer, Simes cannot fire on a few canaries, however well they are known
_QUIET = 0.001  # a control may be this unlikely before it counts as noise in the test itself


@dataclass(frozen=True)
class Verdict:
    """The word and its reasons, for people."""

    word: Word
    reasons: tuple[str, ...]


def leaks(found: Leakage, alpha: float) -> bool:
    """Whether planted phrases are known better than chance allows."""
    return found.p_value < alpha


def decide(
    *,
    model: Leakage,
    positive: Leakage,
    negative: Leakage,
    reverse: Leakage,
    planted: int,
    epsilon_lower_bound: float,
    claimed_epsilon: float | None,
    alpha: float,
) -> Verdict:
    """Judge a model.

    A leak that is seen is a FAIL whatever the controls say. A PASS needs an audit that could have failed: the
    positive control (the non-private twin, trained on the same data) is caught, and the negative control is quiet
    both ways: neither candidates whose coin kept them out nor references look known. References that were trained on
    would hide a leak.

    Args:
      model: leakage of the model under audit.
      positive: leakage of the non-private twin.
      negative: candidates that stayed out against references, scored by the model under audit.
      reverse: references against candidates that stayed out, scored by it too.
      planted: number of planted canaries.
      epsilon_lower_bound: what the coins' guesses prove, see audit/onerun.py.
      claimed_epsilon: of the claim with the same unit and adjacency; None if there is no claim.
      alpha: at most this is the probability that a model which learned no planted phrase is said to know them. The
        bound adds to the probability of a false FAIL at most 1 - its confidence, and nothing where the claim is above
        what so many guesses could prove if all were right.
    """
    failures = []
    if leaks(model, alpha):
        failures.append(f"planted phrases are known better than chance allows (p = {model.p_value:.2g} < {alpha})")
    if claimed_epsilon is not None and not epsilon_lower_bound <= claimed_epsilon:
        failures.append(f"the audit proves epsilon >= {epsilon_lower_bound:.2f}, above the claim {claimed_epsilon:.2f}")
    if failures:
        return Verdict("FAIL", tuple(failures))
    doubts = []
    if planted < MIN_PLANTED:
        doubts.append(f"only {planted} canaries were planted, of {MIN_PLANTED} that are needed: draw more candidates")
    if not leaks(positive, alpha):
        doubts.append(f"the non-private twin was not caught (p = {positive.p_value:.2g}): the audit is too weak")
    if negative.p_value < _QUIET:
        doubts.append(f"phrases that were never planted look known (p = {negative.p_value:.2g}): the test is biased")
    if reverse.p_value < _QUIET:
        doubts.append(f"references look known (p = {reverse.p_value:.2g}), which hides leaks: were they trained on?")
    if doubts:
        return Verdict("INCONCLUSIVE", tuple(doubts))
    return Verdict("PASS", (f"planted phrases are not known better than chance allows (p = {model.p_value:.2g})",))
