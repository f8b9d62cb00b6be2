"""Whether the audit could see anything: planted canaries are still there to be learned, and
personal data is gone.

Between planting and training a phrase may be masked, filtered out or have no finite loss. An audit
that finds no trace of such phrases has found nothing out.
"""

import collections
import dataclasses
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from speechpriv import corpus as corpora
from speechpriv import store
from speechpriv.audit.canaries import canary, personal
from speechpriv.audit.canaries.canary import Canary
from speechpriv.corpus import Corpus
from speechpriv.errors import AuditError
from speechpriv.models import asr
from speechpriv.models.asr import Recogniser, Utterance
from speechpriv.sections import Section

FILE = "survival.json"
_MOST_GONE = 0.2  # of the planted canaries
_State = Literal["whole", "lost", "altered", "left_out", "unscored"]


class SurvivalConfig(Section):
    """The model before training."""

    base: str


@dataclass(frozen=True)
class Survival:
    """Counts of phrases; each planted canary is in one of `whole` to `unscored`.

    `stage.judge` takes it into its verdict. Kinds of personal data are those of
    audit/canaries/personal.py.
    """

    whole: int  # as planted, and can be learned
    lost: int  # a recording is missing, or there more often than planted
    altered: int  # says other words than were planted
    left_out: int  # its words do not fit its audio, so training leaves it out
    unscored: int  # the base model's loss is not finite
    strays: int  # phrases that were to stay out, and whose words are said in the corpus all the same
    personal: Mapping[str, int] = field(default_factory=dict)  # planted before scrubbing, by kind
    missed: Mapping[str, int] = field(default_factory=dict)  # of these, still there after it

    @property
    def planted(self) -> int:
        """Planted canaries."""
        return self.whole + self.lost + self.altered + self.left_out + self.unscored

    def doubts(self) -> list[str]:
        """Return why no PASS can be given, for people; empty if nothing speaks against one."""
        told = (
            (self.lost, "are not in the training corpus as often as planted: something dropped or doubled them"),
            (self.altered, "say other words there than were planted: something masked them"),
            (self.left_out, "do not fit their audio, so that training leaves them out: lower canary.speeds"),
            (self.unscored, "have no finite loss under the base model, so that it cannot learn them"),
        )
        found = [f"{count} of {self.planted} planted canaries {what}" for count, what in told if count]
        if self.strays:  # without their number: reasons are released, and people said these words
            found.append("phrases that were to stay out are said in the training corpus anyway")
        return found

    def failures(self) -> list[str]:
        """Return what is wrong with the scrubber, for people; empty if nothing was seen."""
        return [
            f"the scrubber left personal words in {count} of {self.personal[kind]} synthetic phrases of the kind {kind}"
            for kind, count in self.missed.items()
            if count
        ]


@store.stage(version=2)
def run(config: SurvivalConfig, inputs: Mapping[str, Path], out_dir: Path, *, device: str = "cpu") -> dict[str, Any]:
    """Write `survival.json`: counts alone, no phrase.

    Args:
      config: see `SurvivalConfig`.
      inputs: `plant` (the plant stage) and `corpus` (what is trained on); `personal` (the stage of
        that name) and `scrubbed` (the corpus after scrubbing), if personal phrases were planted.
      out_dir: gets the counts.
      device: where the base model lives.

    Raises:
      AuditError: a registry is damaged, or too many canaries cannot be learned for an audit to
        see anything: better now than after epsilon is spent.
    """
    registry, said = canary.read(inputs["plant"])
    corpus = corpora.read(inputs["corpus"])
    found = check(registry, said, *_trained_on(registry, corpus), asr.load(config.base, device))
    if "personal" in inputs:
        probes = personal.read(inputs["personal"])
        found = dataclasses.replace(
            found,
            personal=dict(collections.Counter(probe.kind for probe in probes)),
            missed=personal.count_missed(probes, corpora.read(inputs["scrubbed"])),
        )
    _check_enough(found)
    told = dataclasses.asdict(found)
    store.write_json(out_dir / FILE, told)
    dropped = {state: told.pop(state) for state in ("lost", "altered", "left_out", "unscored")}
    return {"planted": found.planted, **told, "dropped": {state: count for state, count in dropped.items() if count}}


@torch.inference_mode()
def check(
    registry: Sequence[Canary],
    said: Corpus,
    found: Mapping[str, Sequence[Utterance]],
    texts: Iterable[str],
    base: Recogniser,
) -> Survival:
    """See that each planted canary is in the corpus that is trained on, and can be learned.

    Args:
      registry: what was drawn.
      said: the phrases, in the registry's order.
      found: recordings in the corpus by their id, of those that the registry names (`Canary.rows`).
      texts: what all recordings of the corpus say.
      base: the model before training.
    """
    words = said.table["text"][:]
    states = collections.Counter(
        _state(one, text, found, base) for one, text in zip(registry, words, strict=True) if one.planted
    )
    out = {text.lower() for one, text in zip(registry, words, strict=True) if not one.planted}
    return Survival(
        whole=states["whole"],
        lost=states["lost"],
        altered=states["altered"],
        left_out=states["left_out"],
        unscored=states["unscored"],
        strays=len(out & {text.lower() for text in texts}),
    )


def read(directory: Path) -> Survival:
    """Return what `run` left.

    Raises:
      AuditError: it is missing or damaged.
    """
    try:
        return Survival(**json.loads((directory / FILE).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise AuditError(
            f"{directory.name}/{FILE}: not a survival check ({type(error).__name__}). Run the stage again."
        ) from error


def _check_enough(found: Survival) -> None:
    gone = found.planted - found.whole
    if gone > _MOST_GONE * found.planted:
        raise AuditError(
            f"{gone} of {found.planted} planted canaries cannot be learned ({'; '.join(found.doubts())}); expected at "
            f"most {_MOST_GONE:.0%}. No audit would see anything: nothing was trained, and nothing spent."
        )


def _state(one: Canary, text: str, found: Mapping[str, Sequence[Utterance]], base: Recogniser) -> _State:
    recordings = [found.get(name, ()) for name in one.rows]
    if any(len(same) != 1 for same in recordings):
        return "lost"
    utterances = list(itertools.chain.from_iterable(recordings))
    if any(utterance.text != text for utterance in utterances):
        return "altered"
    if not all(base.fits(len(utterance.samples), utterance.text) for utterance in utterances):
        return "left_out"
    distinct = {utterance.samples.tobytes(): utterance for utterance in utterances}
    losses = [base.losses([utterance]) for utterance in distinct.values()]
    return "whole" if torch.isfinite(torch.cat(losses)).all() else "unscored"


def _trained_on(registry: Sequence[Canary], corpus: Corpus) -> tuple[dict[str, list[Utterance]], list[str]]:
    """The recordings of the train split that the registry names, and what all of the split say."""
    names = {name for one in registry for name in one.rows}
    found: dict[str, list[Utterance]] = {}
    texts = []
    for index, row in enumerate(corpus.table.select_columns(["id", "split", "text"])):
        if row["split"] == "train":
            texts.append(row["text"])
            if row["id"] in names:
                found.setdefault(row["id"], []).append(Utterance(corpus[index].samples(), row["text"]))
    return found, texts
