"""Lower bounds on epsilon and mu from one training run: what an auditor could prove against the
claim.
"""

import numpy as np
import scipy.special

from speechpriv.errors import AuditError


def epsilon_lower_bound(*, canaries: int, guesses: int, correct: int, delta: float, confidence: float) -> float:
    """Return the largest epsilon that the guesses refute, or 0.

    Each of `canaries` units was planted or not by its own fair coin; the auditor, who sees only the
    model, guessed `guesses` of the coins and had `correct` right. If the training were (epsilon,
    delta)-private for a smaller epsilon, so many right guesses would have a probability of at most
    1 - confidence. Rigorous also where canaries influence one another. Private means here: against
    adding or removing one unit, as a coin does.

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
    _check(canaries, guesses, correct, confidence)
    if not 0 <= delta < 1:
        raise AuditError(f"one-run bound: delta = {delta}; expected a number in [0, 1).")
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


def mu_lower_bound(*, canaries: int, guesses: int, correct: int, confidence: float) -> float:
    """Return the largest mu that the guesses refute, or 0: as `epsilon_lower_bound`, for
    mu-Gaussian differential privacy.

    It looks at the whole trade-off curve of the Gaussian mechanism instead of one point of it, so
    it proves more.

    Args:
      canaries: m >= 1, coins thrown.
      guesses: r, 0 <= r <= m; which to guess was fixed before the scores were seen.
      correct: v, 0 <= v <= r.
      confidence: in (0, 1), for example 0.95.

    Raises:
      AuditError: a number is out of its range.

    Source: Mahloujifar et al. 2024, arXiv:2410.22235, for the trade-off curve of Dong et al. 2019,
    arXiv:1905.02383.
    """
    _check(canaries, guesses, correct, confidence)
    low, high = 0.0, 16.0
    while high - low > 1e-6:
        mu = np.linspace(low, high, 65)
        refuted = int(np.count_nonzero(_refuted(mu, canaries, guesses, correct, 1 - confidence)))  # all smaller ones
        if refuted == len(mu):
            return high
        low, high = mu[max(refuted - 1, 0)], mu[refuted]
        if refuted == 0:
            return 0.0
    return float(low)


def _refuted(mu: np.ndarray, canaries: int, guesses: int, correct: int, probability: float) -> np.ndarray:
    """Whether `correct` or more right guesses have less than `probability` under mu-GDP, by each of
    `mu`, shape (K,).

    Let N guesses be right. If one coin were turned over, a right guess with N >= i would become a
    wrong one with N >= i - 1; so P[right, N >= i] <= Phi(Phi^-1(P[wrong, N >= i - 1]) + mu), on
    average over the coins. Starting with P[N = correct] = probability, that tells the least that N
    = correct - 1, correct - 2 ... must have. If it all adds up to more than 1, `probability` was
    too much.
    """
    right = np.full(len(mu), probability * correct / canaries)  # P[guess is right, N >= i], averaged over the coins
    wrong = np.full(len(mu), probability * (guesses - correct) / canaries)
    for i in range(correct - 1, -1, -1):
        least = np.maximum(wrong, scipy.special.ndtr(scipy.special.ndtri(np.minimum(right, 1.0)) - mu))
        right += i / (guesses - i) * (least - wrong)
        wrong = least
    return np.asarray(right + wrong > guesses / canaries) & (correct > 0)


def _check(canaries: int, guesses: int, correct: int, confidence: float) -> None:
    if not (canaries >= 1 and 0 <= correct <= guesses <= canaries):
        raise AuditError(
            f"one-run bound: correct = {correct}, guesses = {guesses}, canaries = {canaries}; "
            "expected 0 <= correct <= guesses <= canaries and at least one canary."
        )
    if not 0 < confidence < 1:
        raise AuditError(f"one-run bound: confidence = {confidence}; expected a number between 0 and 1.")


def _p_value(epsilon: float, canaries: int, guesses: int, correct: int, delta: float) -> float:
    """Bound on the probability of at least `correct` right guesses under (epsilon, delta)-DP."""
    if correct == 0:
        return 1.0
    accuracy = scipy.special.expit(epsilon)  # of randomised response, the best an epsilon-private mechanism allows
    beta = scipy.special.bdtrc(correct - 1, guesses, accuracy)  # P[Bin >= correct]
    # alpha = max_i P[correct > Bin >= correct - i] / i: the help that delta can give, i guesses at
    # a time.
    i = np.arange(1, correct + 1)
    alpha = np.max((scipy.special.bdtrc(correct - i - 1, guesses, accuracy) - beta) / i)
    return float(min(1.0, beta + 2 * canaries * delta * alpha))
