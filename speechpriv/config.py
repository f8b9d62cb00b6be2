"""Configs: one YAML file a runnable recipe, checked as a whole before anything is read or trained.

`privacy` holds the public facts that fix the guarantee; nothing in `performance` may change it.
Nothing here is secret: keys are made by the run and never enter a config.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import Field, ValidationError, model_validator

from speechpriv import strict
from speechpriv.errors import ConfigError
from speechpriv.sections import (
    AnonymizeConfig,
    AttackersConfig,
    Count,
    DataConfig,
    Fraction,
    PathName,
    Positive,
    ScrubConfig,
    Section,
)  # fmt: skip

PhraseKind = Literal["words", "digits", "name_address"]
Placed = Literal["own_unit", "spread"]


class CanaryConfig(Section):
    """Planted phrases; a fair coin decides which of the candidates are planted."""

    candidates: Annotated[int, Field(ge=40)] = 60  # fewer plant too few for a verdict too often
    references: Annotated[int, Field(ge=1000)] = 2000
    repeats: tuple[Count, ...] = (1, 2, 4, 8, 16)
    words: Annotated[int, Field(ge=3, le=12)] = 6  # of a phrase of the kind `words`
    kinds: Annotated[tuple[PhraseKind, ...], Field(min_length=1)] = ("words",)  # each canary's is drawn
    speeds: Annotated[tuple[Annotated[float, Field(ge=1, le=4)], ...], Field(min_length=1)] = (1.0,)  # so is its speed
    placed: Placed = "own_unit"  # each phrase as one synthetic unit, or spread over `repeats` of them
    recordings: DataConfig | None = None  # the caller's own, instead of synthetic phrases; not the corpus trained on
    command: tuple[str, ...] = ()  # speaks the words {text} into the file {out}; run without a shell
    command_limit_s: Positive = 60.0
    personal: Annotated[int, Field(ge=0)] = 5  # phrases with personal data of each kind, which scrubbing must remove

    @model_validator(mode="after")
    def _has_one_source_of_speech(self) -> Self:
        if not self.repeats:
            raise ValueError("canary.repeats is empty; expected at least one number, for example [1, 4, 16]")
        if self.recordings and self.command:
            raise ValueError("canary.recordings and canary.command are both set; expected one of them at most")
        if self.command and not all(slot in " ".join(self.command[1:]) for slot in ("{text}", "{out}")):
            raise ValueError(
                "canary.command: expected a program and its arguments, with {text} (the words) and {out} (the audio "
                "file to write) among them, for example [say.sh, '{text}', '{out}']"
            )
        return self


class PhrasesConfig(Section):
    """What may be spent on publishing what many say, for the model to learn from first, spoken by
    synthetic voices.
    """

    # Of privacy.epsilon, for that alone, but nine tenths of it at most; recordings get what is
    # left. How much phrases need depends on how many people say the same, not on what there is in
    # all: where that is little they come first.
    epsilon: Positive
    order: Annotated[int, Field(ge=2, le=4)] = 2  # words in a row that are counted
    cap: Annotated[int, Field(ge=1, le=1000)] = 32  # different ones of a unit that count, at most


class PrivacyConfig(Section):
    """The public facts that fix the guarantee."""

    unit_name: str = "speaker"  # what one unit is called in the claim
    units: Annotated[int, Field(ge=2)]  # public, need not be exact: fixes the sampling rate as cohort / units
    epsilon: Positive
    delta: Annotated[float, Field(gt=0, lt=1)]
    sampling: Literal["units", "utterances"] = "units"  # what is drawn, and clipped as one
    utterances: Count | None = None  # public, for sampling=utterances: how many there are under the cap, roughly
    cohort: Count  # expected units (or utterances) per step: the public constant that sums are divided by
    steps: Count
    clip_norm: Positive = 1.0
    cap_per_unit: Count = 8  # utterances of one unit, at most: in a step (units), or in the whole run (utterances)
    cap_seconds_per_unit: Positive | None = None  # the same for seconds; one utterance is always left
    phrases: PhrasesConfig | None = None  # None: nothing is published, and training on recordings gets all of epsilon
    # On the corpus, over all runs; None: as an earlier run stated it, or else runs are recorded,
    # and a model leaves if all together have at most `epsilon`.
    budget_epsilon: Positive | None = None
    # The file that records them; None: ledgers/, by corpus. Naming it says that people who have the
    # same names as those of another ledger are other people.
    ledger: PathName | None = None

    @model_validator(mode="after")
    def _is_meaningful(self) -> Self:
        if not self.delta < 1 / self.units:
            raise ValueError(
                f"privacy.delta = {self.delta}: must be below 1/units = {1 / self.units:.3g} ({self.units:,} units). "
                "Lower it"
            )
        if (self.sampling == "utterances") != (self.utterances is not None):
            raise ValueError(
                f"privacy.utterances = {self.utterances}: expected a number if privacy.sampling is utterances, and "
                "nothing if it is units"
            )
        if not self.cohort <= self.records:
            name = "units" if self.utterances is None else "utterances"
            raise ValueError(f"privacy.cohort = {self.cohort} must be at most privacy.{name} = {self.records}")
        return self

    @property
    def records(self) -> int:
        """How many records there are to draw from, units or utterances; public."""
        return self.utterances or self.units

    @property
    def records_per_unit(self) -> int:
        """Records of one unit that may be drawn in a step, at most."""
        return self.cap_per_unit if self.sampling == "utterances" else 1

    @property
    def sampling_rate(self) -> float:
        """Probability that a record is in a step's cohort."""
        return self.cohort / self.records


class TrainConfig(Section):
    """What is trained and how; the same for the private model and its non-private baseline unless
    said.
    """

    base: PathName = "tiny-en"  # tiny-en, a directory or a hub id
    labels: tuple[str, ...] = ()  # of recipe clinic_risk: what recordings are told apart by, what is looked for last
    trainable: Literal["all", "lora", "bias_norm_head", "last_layer", "head"] = "head"
    lora_rank: Count = 8
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: Positive = 1e-2
    average_from: Fraction = 0.5  # weights are averaged, evenly, over the steps after this share of them
    dropout: Literal["none", "family"] = "none"  # family: dropout, LayerDrop and SpecAugment as the model's config says
    precision: Literal["fp32", "bf16"] = "fp32"  # of the passes; gradients, sums and weights are fp32 at least
    synthetic_steps: Count = 600  # of ordinary training on sentences from privacy.phrases, if that is set
    synthetic_learning_rate: Positive = 1e-3
    replay_fraction: Fraction = 0.25  # of that speech is of the general kind the base knows, so that it forgets nothing
    baseline_epochs: Count = 8
    baseline_learning_rate: Positive = 1e-3


class AuditConfig(Section):
    """How sure the verdict is."""

    alpha: Annotated[float, Field(gt=0, le=0.2)] = 0.04  # of all audits of the same canaries; the first gets half
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95


class PublisherConfig(Section):
    """Who publishes the model and what for: printed on its card and in privacy.yaml."""

    name: Annotated[str, Field(min_length=1, pattern=r"\w")] = "Speech recogniser"
    curators: Annotated[tuple[str, ...], Field(min_length=1)] = ("not stated",)
    intended_use: str = "Speech to text for a voice assistant that runs on its owner's machines."
    region: str = "not stated"  # where the people live, or whose law applies
    sector: Literal["Technology", "Healthcare", "Education", "Government", "Energy", "Finance"] | None = None
    licence: str = "other"  # of the weights, as the Hugging Face hub spells it


class ExportConfig(Section):
    """What may leave: refused by the gate unless overridden with a reason, which is then printed
    everywhere.
    """

    min_parity: Fraction = 0.99  # share of test utterances with the same text from the exported file as from torch
    max_int8_wer_increase: Fraction = 0.01  # over torch's WER; a model.int8.onnx that loses more is not shipped
    phrases: Literal["left_out", "shipped"] = "left_out"  # what privacy.phrases published: language model, hotwords
    publisher: PublisherConfig = PublisherConfig()
    # Where the private key that signs bundles is; None: this installation's own, made when first
    # needed. Left out of every dump: a path of this machine is nobody's business, and another key
    # makes no other model.
    signing_key: Annotated[PathName | None, Field(exclude=True)] = None
    override_reason: Annotated[str, Field(min_length=10)] | None = None


class PerformanceConfig(Section):
    """Speed only: nothing in it may change the guarantee or the weights' distribution.

    Threads, device and batch_s change how sums are rounded, so a killed run goes on only with those
    that it began with.
    """

    # Of torch. Models as small as tiny-en are fastest with one: docs/experiments/speed.md#two-threads-beside-other-work
    threads: Count = 2
    workers: Count = 2  # processes that disguise voices
    device: str = "cpu"
    checkpoint_every: Count = 10
    batch_s: Positive = 60.0  # seconds of audio in one pass of private training, at most: bounds the memory
    curves: Literal["none", "tensorboard"] = "none"  # of training, in private/: of people's recordings they are private


class PipelineConfig(Section):
    """The whole pipeline: recipes/assistant.py, or recipes/clinic_risk.py for labels instead of
    words.
    """

    recipe: Literal["assistant", "clinic_risk"] = "assistant"
    seed: int = 1
    data: DataConfig
    scrub: ScrubConfig = ScrubConfig()
    anonymize: AnonymizeConfig = AnonymizeConfig()
    attackers: AttackersConfig = AttackersConfig()
    canary: CanaryConfig = CanaryConfig()
    privacy: PrivacyConfig
    train: TrainConfig = TrainConfig()
    audit: AuditConfig = AuditConfig()
    export: ExportConfig = ExportConfig()
    performance: PerformanceConfig = PerformanceConfig()

    @model_validator(mode="after")
    def _labels_are_for_those_who_give_them(self) -> Self:
        labels = len(set(self.train.labels))
        if labels != len(self.train.labels) or labels != (2 if self.recipe == "clinic_risk" else 0):
            raise ValueError(
                f"train.labels has {len(self.train.labels)}: expected two different ones with the recipe clinic_risk, "
                "what is looked for last, and none with other recipes"
            )
        if labels and self.privacy.phrases:
            raise ValueError("privacy.phrases: labels are no phrases. Leave it out")
        return self

    @model_validator(mode="after")
    def _no_term_is_printed(self) -> Self:
        printed = [*self.export.publisher.model_dump().values(), self.export.override_reason]
        if any(re.search(rf"\b{re.escape(term)}\b", str(printed), re.IGNORECASE) for term in self.scrub.terms):
            raise ValueError("scrub.terms: export.publisher or override_reason has one, and the gate lets none out")
        return self

    @model_validator(mode="after")
    def _phrases_that_are_shipped_are_published(self) -> Self:
        if self.export.phrases == "shipped" and (self.privacy.phrases is None or self.privacy.phrases.order > 3):
            raise ValueError(
                "export.phrases = shipped: expected privacy.phrases with an order of at most 3 (four words may be all "
                "that somebody said, and the gate refuses a bundle with that in it)"
            )
        return self


class PretrainConfig(Section):
    """A base model from synthetic voices: recipes/pretrain.py."""

    recipe: Literal["pretrain"] = "pretrain"
    seed: int = 1
    steps: Count = 12_000
    warmup: Count = 200
    peak_learning_rate: Positive = 2e-3
    batch_s: Positive = 48.0
    pieces: Annotated[int, Field(ge=40)] = 256
    hidden: Annotated[int, Field(ge=8, multiple_of=8)] = 144
    layers: Count = 8
    channels: Count = 32
    subsampling: Literal[4, 8] = 4  # features of 10 ms a frame; 8 leave fast speech hardly more frames than pieces
    precision: Literal["fp32", "bf16"] = "fp32"  # of the passes; weights are fp32
    checkpoint_every: Count = 500
    performance: PerformanceConfig = PerformanceConfig(threads=1)


Config = PipelineConfig | PretrainConfig
_S = TypeVar("_S", bound=Section)
_SCHEMAS: dict[str, type[Config]] = {
    "assistant": PipelineConfig,
    "clinic_risk": PipelineConfig,
    "pretrain": PretrainConfig,
}


def load(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read and check a config.

    Args:
      path: a YAML file.
      overrides: `section.key=value` each; see `strict.set_override`.

    Raises:
      ConfigError: with every problem found, each with where it is, what was expected and what was
        got.
    """
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=strict.Loader)  # noqa: S506  a SafeLoader, see there
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}).") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: expected a mapping of sections, got {type(raw).__name__}.")
    schema = _SCHEMAS.get(str(raw.get("recipe")), PipelineConfig)
    problems = [problem for override in overrides if (problem := strict.set_override(raw, override, schema))]
    recipe = raw.get("recipe")
    if not isinstance(recipe, str) or recipe not in _SCHEMAS:
        problems.append(f"{path}: recipe = {recipe!r}: expected one of {', '.join(_SCHEMAS)}.")
        raise ConfigError("\n".join(problems))
    return _checked(_SCHEMAS[recipe], raw, problems, path)


def load_canary(settings: Sequence[str]) -> CanaryConfig:
    """Load the section `canary` by itself, from `key=value` settings.

    Raises:
      ConfigError: with every problem found.
    """
    raw: dict[str, Any] = {}
    problems = [problem for setting in settings if (problem := strict.set_override(raw, setting, CanaryConfig))]
    return _checked(CanaryConfig, raw, problems, Path("canary"))


def fingerprint(config: Config) -> str:
    """Return eight hex digits of the resolved config, less what no training depends on: to say it
    makes no other run.
    """
    left_out: dict[str, Any] = {"performance": True, "export": {"override_reason"}}
    canonical = json.dumps(config.model_dump(mode="json", exclude=left_out), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]


def _checked(schema: type[_S], raw: dict[str, Any], problems: list[str], path: Path) -> _S:
    """`raw` as a section; what is wrong with it is told together with the problems found before."""
    try:
        found = schema.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(
            "\n".join([*problems, *(strict.describe_problem(path, one) for one in error.errors())])
        ) from error
    if problems:
        raise ConfigError("\n".join(problems))
    return found
