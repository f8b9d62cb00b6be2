"""Sections of a config that say where recordings come from and what is taken out of them before
training.
"""

import os.path
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import re2
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
PathName = Annotated[str, AfterValidator(os.path.expanduser)]  # a path, with ~ for home, or a name that is none
Term = Annotated[str, Field(pattern=r"\w")]  # has a letter or a digit
Method = Literal["mcadams", "formant", "cascade", "resynth", "none"]
Timing = Literal["kept", "randomised", "quantised", "replaced"]
Layout = Literal[
    "folder", "common_voice", "librispeech", "libritts", "mls", "voxforge", "vctk", "timit", "speech_commands",
    "ljspeech", "text_files", "nemo", "kaldi", "lhotse", "webdataset", "datasets", "parquet", "hub",
]  # fmt: skip
SYNTHETIC = ("demo", "clinic", "risk")  # sources in which nobody is real
Kind = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]  # of personal data, as in [NAME]


class Section(BaseModel):
    """A frozen section: unknown keys are errors, numbers are never guessed from strings of another
    kind.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _no_yes_or_no(cls, value: Any) -> Any:
        """No setting is a yes or no; YAML's `yes` and `true` would pass for the number 1."""
        if isinstance(value, bool):
            raise ValueError(f"{value} is a yes or no; expected a number, a text or a section")  # noqa: TRY004  pydantic
        return value


class DemoConfig(Section):
    """The synthetic assistant corpus."""

    units: Count = 400
    utterances_per_unit: Count = 4


class ClinicConfig(Section):
    """The synthetic clinic: doctors dictate, patients are the units."""

    patients: Count = 600
    dictations_per_patient: Count = 4
    doctors: Annotated[int, Field(ge=2)] = 40  # a fifth of them dictate the test patients, and nobody else


class RiskConfig(Section):
    """Synthetic patients who read a sentence, with a voice disorder or without."""

    patients: Count = 600
    recordings_per_patient: Count = 3


class DataConfig(Section):
    """Where recordings come from, whose they are, and what makes a row unusable."""

    source: Literal["auto", "demo", "clinic", "risk", Layout] = "auto"
    path: PathName | None = None  # a directory, a manifest file, or a hub id such as google/speech_commands
    audio_root: PathName | None = None  # another folder that rows may name recordings in
    audio_column: str | None = None  # None: the usual names of each layout are tried
    text_column: str | None = None
    unit_column: str | None = None
    unit_names: Literal["normalised", "as_given"] = "normalised"  # as_given: not even spaces are changed, no warnings
    # Of a file of several channels, where the row names none: a number from 0, or mix; None: such a
    # row is set aside.
    channel: Annotated[int, Field(ge=0)] | Literal["mix"] | None = None
    hub_config: str | None = None
    hub_split: str = "train"
    hub_revision: str | None = None
    demo: DemoConfig = DemoConfig()
    clinic: ClinicConfig = ClinicConfig()
    risk: RiskConfig = RiskConfig()
    test_fraction: Fraction = 0.2  # of units: nobody is in both parts
    min_seconds: Positive = 0.1
    max_seconds: Positive = 30.0
    max_quarantined: Fraction = 0.2  # of rows; more than this ends the run

    @field_validator("path")
    @classmethod
    def _is_spelled_in_one_way(cls, path: str | None) -> str | None:
        """`./a/` is `a`: another name of one folder would be another run, and would be spent for
        again.
        """
        return str(Path(path)) if path else path

    @model_validator(mode="after")
    def _path_is_given(self) -> Self:
        if not self.synthetic and self.path is None:
            raise ValueError(
                "data.path is missing: expected a folder with metadata.jsonl, another corpus layout, or a hub id. "
                "Set it in the config or as an override: data.path=PATH (or data.source=demo for synthetic voices)"
            )
        if not self.min_seconds < self.max_seconds:
            raise ValueError(f"data.min_seconds = {self.min_seconds} must be below max_seconds = {self.max_seconds}")
        return self

    @property
    def synthetic(self) -> bool:
        """Whether nobody in the recordings is real."""
        return self.source in SYNTHETIC


class ScrubConfig(Section):
    """Personal data in transcripts and, at the same words, in the audio."""

    profile: Literal["default", "hipaa", "strict"] = "default"
    terms: tuple[Term, ...] = ()  # removed wherever they are said: contacts, projects; they stay in private/
    keep: tuple[Term, ...] = ()  # never removed: names of products, of the assistant itself
    patterns: dict[Kind, str] = {}  # regular expressions (RE2, case ignored) by the kind they stand for
    tagger: PathName | None = None  # a token-classification model beside the rules: a directory or a hub id
    tagger_kinds: dict[str, Kind] = {  # kind by the model's label; other labels are nothing personal
        **dict.fromkeys(("PER", "PERSON"), "NAME"),
        **dict.fromkeys(("LOC", "GPE"), "CITY"),
    }
    aligner: PathName = "tiny-en"  # the CTC recogniser that tells when a word is said: tiny-en, a directory or a hub id
    min_word_confidence: Fraction = 0.02  # below this mean probability an alignment is not trusted: the row is dropped
    redaction: Literal["silence", "beep", "cut", "replace"] = "cut"  # what is heard instead; cut: 0.1 s of silence
    mark: Literal["token", "remove"] = (
        "token"  # what is read instead: [KIND], or nothing (replace: the synthetic values)
    )

    @field_validator("patterns")
    @classmethod
    def _patterns_are_linear(cls, patterns: dict[str, str]) -> dict[str, str]:
        """RE2 has no expression that needs more than linear time, so none that a transcript could
        hang.
        """
        options = re2.Options()
        options.log_errors = False
        for kind, pattern in patterns.items():
            try:
                empty = re2.compile(pattern, options).search("")
            except re2.error as error:
                reason = error.args[0].decode() if isinstance(error.args[0], bytes) else error.args[0]
                raise ValueError(
                    f"scrub.patterns.{kind}: {reason}; expected an RE2 expression (no look-around, no back-references)"
                ) from error
            if empty:
                raise ValueError(f"scrub.patterns.{kind} matches the empty text; expected at least one character")
        return patterns

    @model_validator(mode="after")
    def _nothing_is_kept_and_removed(self) -> Self:
        both = {term.lower() for term in self.terms} & {term.lower() for term in self.keep}
        if both:
            raise ValueError(f"scrub.terms and scrub.keep share {len(both)} terms; expected each in one of them")
        return self


class AnonymizeConfig(Section):
    """Voice disguise of the training recordings."""

    method: Method = "cascade"
    timing: Timing | None = None  # None: as it was said, but for resynth, which has its voice's own (replaced)
    aligner: PathName = "tiny-en"  # the CTC recogniser that tells resynth when a word is said
    min_confidence: Fraction = (
        0.004  # of resynth, see resynth.align_words; below it a row's words are not trusted: dropped
    )
    max_failed: Fraction = 0.01  # of recordings, here and by attackers; more that crash or take too long end the run

    @model_validator(mode="after")
    def _timing_goes_with_the_method(self) -> Self:
        if self.timing in ("quantised", "replaced") and self.method != "resynth":
            raise ValueError(
                f"anonymize.timing = {self.timing}: expected anonymize.method = resynth, which alone knows the words; "
                f"got {self.method}"
            )
        return self


class AttackersConfig(Section):
    """Those who look for people by their voices among what `anonymize` made, to see what it is
    worth.
    """

    voiceprint: PathName = "statistics"  # or network (trained on the spot), or a model for x-vectors: path, hub id
    people: Count = 200  # whose voices are looked for, or learned from, at most
