"""Canaries for models that give labels: synthetic patients with the wrong label, by a secret coin
in training or not.

A model that has learned what labels mean gives such a recording the right one; one that has learned
the recordings by heart gives the wrong one to those that were planted. They are planted, scored and
judged as phrases are.

Source: mislabelled canaries, Nasr et al. 2023, arXiv:2302.07956; Steinke et al. 2023,
arXiv:2305.08846.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from speechpriv.audit.canaries.phrases import Phrase
from speechpriv.config import CanaryConfig
from speechpriv.data import disorder


def speak_mislabelled(
    kinds: Sequence[str], _config: CanaryConfig, rng: np.random.Generator, *, labels: Sequence[str]
) -> Iterator[Phrase]:
    """Return a recording of another synthetic patient for each of `kinds`, with the label that is
    wrong.

    Args:
      kinds: one a recording.
      rng: seeded; the same gives the same patients.
      labels: the model's two, what is looked for last: here, a voice disorder.

    Raises:
      ConfigError: the synthesiser is not installed.
    """
    for _ in kinds:
        label, recordings = disorder.draw_patient(np.random.default_rng(rng.integers(2**63)), 1)
        yield Phrase(labels[1 - disorder.LABELS.index(label)], next(recordings))
