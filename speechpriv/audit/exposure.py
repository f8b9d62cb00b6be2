"""Exposure: how far a planted phrase stands out from phrases of its kind that were never seen."""

from collections.abc import Sequence

import numpy as np

from speechpriv.errors import AuditError


def exposure_bits(canary: float, references: Sequence[float] | np.ndarray) -> float:
    """Exposure of one canary, in bits.

    Under the null (the canary was not learned) P(exposure >= x) <= 2^-x, whatever the scores' distribution.

    Args:
      canary: score of the canary; lower is better known to the model.
      references: scores, shape (R,), of phrases of the same kind that were not planted; R >= 1.

    Returns:
      -log2((1 + #{reference <= canary}) / (R + 1)), from 0 to log2(R + 1).

    Raises:
      AuditError: no reference, or a score that is not a number.

    Source: Carlini et al. 2019, arXiv:1802.08232, section 4; the rank p-value of Phipson & Smyth 2010.
    """
    return float(bits(p_values(np.array([canary]), references))[0])


def bits(p_values: np.ndarray) -> np.ndarray:
    """Exposures of p-values in (0, 1], any shape."""
    return np.log2(1 / p_values)


def p_values(canaries: np.ndarray, references: Sequence[float] | np.ndarray) -> np.ndarray:
    """(1 + #{reference <= canary}) / (R + 1) of each canary: valid p-values of "was not learned".

    A tie counts against the canary, so that a model to which all phrases are alike exposes none.

    Args:
      canaries: scores, shape (P,); lower is better known.
      references: scores, shape (R,), R >= 1.

    Returns:
      Shape (P,), from 1 / (R + 1) to 1.

    Raises:
      AuditError: a shape is wrong, or a score is not a number.
    """
    planted, known = np.asarray(canaries, dtype=np.float64), np.asarray(references, dtype=np.float64)
    if planted.ndim != 1 or known.ndim != 1 or len(known) == 0:
        raise AuditError(
            f"exposure: canaries have shape {planted.shape} and references {known.shape}; expected (P,) and (R,) with "
            "at least one reference."
        )
    if missing := int(np.count_nonzero(np.isnan(planted)) + np.count_nonzero(np.isnan(known))):
        raise AuditError(
            f"exposure: {missing} of {len(planted) + len(known)} scores are not numbers. Look for phrases that the "
            "model cannot score."
        )
    return (1 + np.searchsorted(np.sort(known), planted, side="right")) / (len(known) + 1)
