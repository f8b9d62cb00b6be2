"""How well a model that gives one of two labels finds whom it looks for, on people who were not
trained on.

Everybody counts once: a person's probability is the mean over their recordings.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from speechpriv import corpus as corpora
from speechpriv import store
from speechpriv.audit.attacks import membership
from speechpriv.corpus import Corpus
from speechpriv.errors import AuditError, DataError
from speechpriv.models import asr
from speechpriv.sections import Section

_BATCH, _BINS = 16, 5

Pairs = dict[str, tuple[float, float]]  # of each person: the probability of what is looked for, and 1 if it is there


class ScreeningConfig(Section):
    """The classifier before training, and what is looked for: the last of its labels."""

    base: str


@store.stage(version=1)
def run(
    config: ScreeningConfig, inputs: Mapping[str, Path], out_dir: Path, *, device: str = "cpu",
    on_model: Callable[[str], None] = store.ignore_progress,
) -> dict[str, Any]:  # fmt: skip
    """Score the base, the private model and the baseline on the test split of `inputs["corpus"]`;
    write `figures.json`.

    These figures describe the test people without noise: a release outside the ledger, said so in
    the claim.
    """
    corpus = corpora.read(inputs["corpus"])
    sources = {
        "base": config.base, "baseline": str(inputs["baseline"] / "model"), "private": str(inputs["model"] / "model"),
    }  # fmt: skip
    figures = {}
    for name, source in sources.items():
        figures[name] = summarise(by_person(source, corpus, device))
        on_model(name)
    store.write_json(out_dir / "figures.json", figures)
    return {"people": figures["base"]["speakers"], "auroc": {name: found["auroc"] for name, found in figures.items()}}


def by_person(model: str, corpus: Corpus, device: str = "cpu") -> Pairs:
    """Return, of each person in the test split: mean probability of the last label, and whether it
    is theirs (1 or 0).

    Raises:
      DataError: nobody is in the test split, or somebody has two labels or one that the model does
        not know.
      ModelError: the model cannot be read.
    """
    classifier = asr.load(model, device)
    if not isinstance(classifier, asr.Classifier):
        raise DataError("the model gives words and no labels; expected a classifier.")
    people = corpus.units("test")
    if not people:
        raise DataError("nobody is in the test split; expected at least one person. Raise data.test_fraction.")
    found: Pairs = {}
    for person, rows in people.items():
        recordings = [corpus[i] for i in rows]
        labels = {tuple(classifier.encode(row.text)) for row in recordings}
        if len(labels) != 1 or labels == {()}:
            raise DataError(
                f"somebody in the test split has {len(labels)} labels, or one that is none of "
                f"{', '.join(classifier.labels)}; expected one of them on all recordings of a person."
            )
        parts = [
            classifier.probabilities([row.samples() for row in recordings[start : start + _BATCH]])[:, -1]
            for start in range(0, len(rows), _BATCH)
        ]
        found[person] = float(np.concatenate(parts).mean()), float(labels == {(len(classifier.labels) - 1,)})
    return found


def summarise(pairs: Pairs) -> dict[str, Any]:
    """Return what persons and probabilities come to.

    Returns:
      `auroc`, P(somebody with what is looked for gets a higher probability than somebody without),
      with `auroc_low` and `auroc_high` (95 %, DeLong); `calibration`, (mean probability, share who
      have it, people) of fifths of the people by probability; `calibration_error`, the mean
      distance of the two, weighted by people (expected calibration error, Naeini et al. 2015);
      `word_accuracy`, the share of people whose likelier label is theirs, `wer`, the others;
      `utterances`, `words` and `speakers`, the number of people.

    Raises:
      AuditError: fewer than two people have what is looked for, or have not.
    """
    chances, there = np.array(list(pairs.values())).T
    if min(there.sum(), (1 - there).sum()) < 2:
        raise AuditError(
            f"screening: {int(there.sum())} of {len(there)} test people have what is looked for; expected two with it "
            "and two without. Raise data.test_fraction, or take in more people."
        )
    told = membership.separate_members(-chances[there == 1], -chances[there == 0])
    bins = [part for part in np.array_split(np.argsort(chances), _BINS) if len(part)]
    calibration = [[float(chances[part].mean()), float(there[part].mean()), len(part)] for part in bins]
    right = float(np.mean((chances > 0.5) == (there == 1)))
    return {
        "auroc": told.auc, "auroc_low": told.auc_low, "auroc_high": told.auc_high, "calibration": calibration,
        "calibration_error": sum(abs(mean - share) * people for mean, share, people in calibration) / len(chances),
        "word_accuracy": right, "wer": 1 - right, "exact": right,
        "utterances": len(chances), "words": len(chances), "speakers": len(chances),
    }  # fmt: skip


def compute_auroc(pairs: np.ndarray) -> float:
    """Compute the AUROC of pairs, shape (U, 2), as `by_person` has them; NaN where all or none have
    what is looked for.
    """
    chances, there = pairs[:, 0], pairs[:, 1] == 1
    if there.all() or not there.any():
        return float("nan")
    ranks = np.searchsorted(np.sort(chances[~there]), chances[there], side="left")
    ties = np.searchsorted(np.sort(chances[~there]), chances[there], side="right")
    return float((ranks + ties).mean() / (2 * (~there).sum()))
