"""What a model promises about the people in its training data: one object from training to report
and card.

A model that was trained without privacy has no claim (None). A claim never holds an infinite or
missing epsilon.
"""

import json
from decimal import ROUND_UP, Context, Decimal
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from speechpriv.errors import ConfigError

ADJACENCY = "add or remove one unit with all its utterances"

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]

_NOT_COVERED = (
    "People who are only mentioned in a recording: they are not units of their own.",
    "Choices made outside the ledger: utility figures, and settings or models selected after a look at results.",
    (
        "Releases that the ledger does not hold: people are recognised by the exact sound of a recording, or by the "
        "names that a corpus gives them if a tenth of these recur, and only among the ledgers of one folder."
    ),
    "People whose recordings, or copies of them, are spread over several units.",
    "People who are heard in recordings of other units.",
)
_IRREGULAR = {"person": "people", "child": "children", "man": "men", "woman": "women"}


def not_covered(stated_apart: int = 0) -> tuple[str, ...]:
    """Return what a claim leaves out.

    Args:
      stated_apart: ledgers with people of the same names, who were said to be others.
    """
    if not stated_apart:
        return _NOT_COVERED
    held = "another ledger holds" if stated_apart == 1 else f"{stated_apart} other ledgers hold"
    return (*_NOT_COVERED, f"Releases that {held}, of people with the same names: the trainer stated that they differ.")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class OtherRelease(_Frozen):
    """Another run on the same recordings, from the ledger."""

    run_id: str
    epsilon: Annotated[float, Field(ge=0)]  # at the claim's delta


class UtteranceLevel(_Frozen):
    """What the same noise is worth to somebody with so many utterances, if each were drawn and
    clipped alone.
    """

    utterances: Count
    epsilon: Annotated[float, Field(ge=0)]  # at the claim's delta


class GroupPrivacy(_Frozen):
    """What is guaranteed to so many units that are added or removed together."""

    size: Annotated[int, Field(ge=2)]
    epsilon: Annotated[float, Field(ge=0)]
    delta: Annotated[float, Field(gt=0, le=1)]  # 1: no bound, as they may have published what only they say
    published: Annotated[float, Field(ge=0, le=1)] = 0.0  # probability of that, at most; the rest of delta is for sums

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if not self.published <= self.delta:
            raise ValueError(f"published = {self.published} is above delta = {self.delta}, of which it is a part")
        return self


class Claim(_Frozen):
    """A guarantee, with everything that is needed to compute it again.

    The number of units N is treated as public: sampling rate, normalisation and delta are chosen by
    it. Whoever must keep N secret sets `units` to None and derives the three from a rounded number
    instead.
    """

    event: str  # JSON of the mechanism, for train.accounting.event_from_json
    phrases: str | None = None  # the same of the table of phrases that the model learned from first
    epsilon: Annotated[float, Field(ge=0)]
    delta: Annotated[float, Field(gt=0, lt=1)]
    mu_gdp: Annotated[float, Field(ge=0)]  # Gomez et al. 2025, arXiv:2503.10945
    max_tpr_at_1_percent_fpr: Annotated[float, Field(ge=0, le=1)]  # largest true positive rate at 1 % false alarms
    unit: Annotated[str, Field(min_length=1)]  # whose privacy: speaker, patient, household ...
    adjacency: str = ADJACENCY
    sampling: Literal["units", "utterances"] = "units"  # what is drawn in each step, and clipped as one
    cap_per_unit: Count  # utterances of one unit, at most: in a step, or, if utterances are drawn, ever
    sampling_rate: Annotated[float, Field(gt=0, le=1)]  # of units, or of utterances
    noise_multiplier: Positive
    clip_norm: Positive
    normalisation: (
        Positive  # expected cohort, of units or of utterances: the public constant that noised sums are divided by
    )
    steps: Count
    units: Count | None
    trust_model: str = (
        "central: whoever trains sees the recordings; the guarantee holds against everyone who gets the model"
    )
    other_releases: tuple[OtherRelease, ...] = ()
    composed_epsilon: Annotated[float, Field(ge=0)]  # of this run and the other releases together, at `delta`
    ledger_head: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None  # the ledger's newest row's hash, then
    utterance_level: tuple[UtteranceLevel, ...] = ()  # what an epsilon per utterance would have hidden
    groups: tuple[GroupPrivacy, ...] = ()  # of several units; never so many times what one unit has
    not_covered: tuple[str, ...] = _NOT_COVERED

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        try:
            event = json.loads(self.event)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            raise ValueError("event must be a JSON object")  # noqa: TRY004 - pydantic collects ValueErrors
        stated = {"sampling_rate": self.sampling_rate, "noise_multiplier": self.noise_multiplier, "count": self.steps}
        if differing := [name for name, value in stated.items() if event.get(name, value) != value]:
            raise ValueError(f"the event and the claim differ in {', '.join(differing)}")
        records = self.cap_per_unit if self.sampling == "utterances" else 1
        if event.get("records", 1) != records:
            raise ValueError(
                f"the event counts {event.get('records', 1)} records of a unit, and the claim {records}: with sampling "
                "= 'utterances' it must count the cap per unit, else one"
            )
        # 1 %: both are upper bounds from different numerical grids.
        if not self.composed_epsilon >= 0.99 * self.epsilon:
            raise ValueError(
                f"composed_epsilon = {self.composed_epsilon} is below epsilon = {self.epsilon}: it must count this "
                "run and the other releases together"
            )
        return self

    def named_of_100(self) -> str:
        """Count how many of 100 units who took part the best attacker recognises at 1 % false
        alarms, rounded up.
        """
        return _up(100 * self.max_tpr_at_1_percent_fpr, 2)

    def sentence(self) -> str:
        """Return the claim in one plain sentence; every number in it is rounded up."""
        units = _plural(self.unit)
        every = "" if self.unit == "utterance" else " with all recordings"
        others = ""
        if self.other_releases:
            count = len(self.other_releases)
            others = f" (together with {count} other release{'s' * (count > 1)} from the same recordings: epsilon "
            others += f"{_up(self.composed_epsilon, 3)})"
        return (
            f"The best possible attacker who holds this model and accepts 1 false alarm in 100 recognises, on average, "
            f"at most {self.named_of_100()} of 100 {units} who took part; epsilon {_up(self.epsilon, 3)}{others}, "
            f"delta {_up(self.delta, 2)}, per {self.unit}{every}."
        )

    def of_groups(self) -> str:
        """Return what is guaranteed to several units together, every number rounded up."""
        told = [f"{one.size}: epsilon {_up(one.epsilon, 3)}, delta {_up(one.delta, 2)}" for one in self.groups]
        if not told:
            return "not stated"
        shared = ". In delta is the chance that a phrase is published that only they say: where delta is 1, it may be"
        return "; ".join(told) + (shared if self.phrases else "")

    def to_json(self) -> str:
        """Return the claim as indented JSON."""
        return self.model_dump_json(indent=2)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
          ConfigError: the text is not a claim; the message names each field that is wrong.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, problem['loc'])) or 'claim'}: {problem['msg']}" for problem in error.errors()
            )
            raise ConfigError(f"claim: {problems}. Use the claim.json that the training wrote.") from error


def _plural(noun: str) -> str:
    """The plural of an English noun, by the simple rules."""
    if noun in _IRREGULAR:
        return _IRREGULAR[noun]
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2:-1] not in set("aeiou"):
        return noun[:-1] + "ies"
    return noun + "s"


def _up(value: float, digits: int) -> str:
    """`value` rounded up to so many significant digits: 7.9154 -> 7.92, 1e-05 -> 1e-5."""
    rounded = Context(prec=digits, rounding=ROUND_UP).create_decimal(Decimal(repr(float(value)))).normalize()
    if rounded and not -4 <= rounded.adjusted() < 6:
        mantissa = rounded.scaleb(-rounded.adjusted()).normalize()
        return f"{mantissa:f}e{rounded.adjusted()}"
    return f"{rounded:f}"
