"""A lower bound on epsilon from one training run: what an auditor could prove against the claim."""

import numpy as np
import scipy.special

from speechpriv.errors import AuditError


def epsilon_lower_bound(*, canaries: int, guesses: int, correct: int, delta: float, confidence: float) -> float:
    """The largest epsilon that the guesses refute, or 0.

    Each of `canaries` units was planted or not by its own fair coin; the auditor, who sees only the model, guessed
    `guesses` of the coins and had `correct` right. If the training were (epsilon, delta)-private for a smaller
    epsilon, so many right guesses would have a probability of at most 1 - confidence. Rigorous also where canaries
    influence one another. Private means here: against adding or removing one unit, as a coin does.

    Args:
      canaries: m >= 1, coins thrown.
      guesses: r, 0 <= r <= m; which to guess was fixed before the scores were seen.
      correct: v, 0 <= v <= r.
      delta: of the claim, in [0, 1).
      confidence: in (0, 1), for example 0.95.

    Raises:
      AuditError: a number is out of its range.

    Source: Steinke et al. 2023, arXiv:2305.08846, Theorem 5.2 and Appendix D.
    """
    if not (canaries >= 1 and 0 <= correct <= guesses <= canaries):
        raise AuditError(
            f"one-run bound: correct = {correct}, guesses = {guesses}, canaries = {canaries}; "
            "expected 0 <= correct <= guesses <= canaries and at least one canary."
        )
    if not 0 <= delta < 1:
        raise AuditError(f"one-run bound: delta = {delta}; expected a number in [0, 1).")
    if not 0 < confidence < 1:
        raise AuditError(f"one-run bound: confidence = {confidence}; expected a number between 0 and 1.")
    low, high = 0.0, 64.0
    if _p_value(0.0, canaries, guesses, correct, delta) > 1 - confidence:
        return 0.0
    while high - low > 1e-6:  # the p-value never falls as epsilon grows
        middle = (low + high) / 2
        if _p_value(middle, canaries, guesses, correct, delta) <= 1 - confidence:
            low = middle
        else:
            high = middle
    return low


def _p_value(epsilon: float, canaries: int, guesses: int, correct: int, delta: float) -> float:
    """Bound on the probability of at least `correct` right guesses under (epsilon, delta)-DP."""
    if correct == 0:
        return 1.0
    accuracy = scipy.special.expit(epsilon)  # of randomised response, the best an epsilon-private mechanism allows
    beta = scipy.special.bdtrc(correct - 1, guesses, accuracy)  # P[Bin >= correct]
    # alpha = max_i P[correct > Bin >= correct - i] / i: the help that delta can give, i guesses at a time.
    i = np.arange(1, correct + 1)
    alpha = np.max((scipy.special.bdtrc(correct - i - 1, guesses, accuracy) - beta) / i)
    return float(min(1.0, beta + 2 * canaries * delta * alpha))
