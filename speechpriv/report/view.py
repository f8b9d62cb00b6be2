"""What the page says besides its pictures: each part takes the facts it names, and leaves all
others out.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from speechpriv.claim import Claim
from speechpriv.report import attacks, disguises, losses, pictures, recompute
from speechpriv.report.facts import Facts
from speechpriv.report.plots import to_finite
from speechpriv.report.summary import Line
from speechpriv.report.words import format_lines, format_number, format_percent, format_size, format_value
from speechpriv.sections import SYNTHETIC

View = dict[str, Any]
_VERDICTS = {
    "PASS": (
        "pass",
        "The audit can catch a leak, as the baseline shows; it found none in the private model beyond its claim.",
    ),
    "FAIL": ("fail", "The audit found that the model gives away what it should not. It must not be shipped."),
    "INCONCLUSIVE": ("unsure", "The audit could not tell: if there were a leak, it might have missed it."),
}
_NO_VERDICT = ("unsure", "There is no verdict: nothing has been tested.")
_SECTIONS = {
    "data": "Data", "losses": "Rows in, rows out", "voices": "Voices", "training": "Training", "audit": "Audit",
    "limits": "Not covered", "ledger": "Ledger", "listen": "Listen", "export": "Shipped files",
    "environment": "How to check",
}  # fmt: skip
_CLAIM = {
    "epsilon": "epsilon", "delta": "delta", "mu_gdp": "mu (Gaussian DP)", "unit": "protected unit",
    "adjacency": "adjacency", "sampling": "drawn in each step, and clipped as one",
    "cap_per_unit": "utterances of one unit, at most: in a step; ever, if utterances are drawn",
    "sampling_rate": "sampling rate", "noise_multiplier": "noise multiplier", "clip_norm": "clip norm",
    "normalisation": "sums are divided by", "units": "units (public)", "steps": "steps", "trust_model": "trust model",
}  # fmt: skip
_TESTS = {
    "median_exposure_bits": "median exposure, bits (no leak: 1)", "auc": "AUC, planted against not (no leak: 0.5)",
    "p_mann_whitney": "p, many phrases a little (Mann-Whitney)", "p_simes": "p, few phrases strongly (Simes)",
    "p_counts": "p, more of them than may be (counts)",
    "named": "share of them told at 1 false alarm in 100 (no leak: 0.01)",
    "named_high": "the same, upper bound", "epsilon_lower_bound": "epsilon, lower bound",
    "mu_lower_bound": "mu, lower bound",
}  # fmt: skip
_WORDS = "Words recognised correctly; WER is the word error rate, lower is better"
_AREA = "AUROC: how often somebody with what is looked for gets a higher probability than somebody without"
_MOST_AUDIO_LETTERS = 1_500_000  # of base64, in all players together
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


def build_view(facts: Facts) -> View:
    """Build everything that the template shows."""
    parts: tuple[Callable[[Facts], View], ...] = (
        _top, _data, disguises.build_section, _training, _audit, attacks.build_section, _samples, _export, _check,
    )  # fmt: skip
    view: View = {"name": facts.name, "is_release": facts.is_release}
    for part in parts:
        view |= part(facts)
    absent = {anchor for anchor, shown in (("losses", "losses"), ("listen", "samples")) if not view[shown]}
    view["sections"] = [(anchor, label) for anchor, label in _SECTIONS.items() if anchor not in absent]
    return view


def _top(facts: Facts) -> View:
    word = format_value(facts.verdict.get("verdict", "NOT AUDITED"))
    tone, meaning = _VERDICTS.get(word, _NO_VERDICT)
    measured, exported = facts.figures.get("private", {}), facts.bundle.get("counts", {})
    crowd = "On {} utterances with {} words, by {} units (one {} each) that no training saw."
    sizes = [format_number(measured.get(name)) for name in ("utterances", "words", "speakers")]
    reasons = [reason[:1].upper() + reason[1:] for reason in format_lines(facts.verdict.get("reasons"))]
    return {
        "verdict": {"word": word, "tone": tone, "meaning": meaning, "reasons": reasons},
        "override": format_value(exported.get("override") or ""),
        "overridden": format_lines(exported.get("overridden")),
        "sentence": facts.claim.sentence() if facts.claim else "",
        "members": pictures.draw_members(facts),
        "accuracy": pictures.draw_accuracy(facts),
        "accuracy_caption": _AREA if pictures.gives_labels(facts) else _WORDS,
        "calibration": pictures.draw_calibration(facts),
        "price": pictures.describe_cost(facts),
        "crowd": crowd.format(*sizes, name_unit(facts)) if measured else "",
    }


def _data(facts: Facts) -> View:
    ingest, scrub = facts.counts("ingest"), facts.counts("scrub")
    tiles = (
        ("hours of speech", ingest.get("hours")),
        ("utterances with personal data", scrub.get("utterances_changed")),
    )
    return {
        "ingested": bool(ingest),
        "scrubbed": bool(scrub),
        "probed": bool(facts.counts("personal")),
        "tiles": [(label, format_number(value)) for label, value in tiles if value is not None],
        "flow": pictures.draw_flow(facts),
        "people": pictures.draw_people(facts),
        "findings": pictures.draw_tally("findings", "Personal data removed", scrub.get("findings"), "private"),
        "set_aside": pictures.set_aside(facts),
        "losses": losses.build_table(facts),
    }


def _training(facts: Facts) -> View:
    claim = facts.claim
    return {
        "unit": name_unit(facts),
        "claim_rows": [
            *((label, format_number(getattr(claim, name))) for name, label in _CLAIM.items()),
            *_phrases(claim),
        ]
        if claim
        else [],
        "utterance_level": [
            (format_number(one.utterances), format_number(one.epsilon)) for one in claim.utterance_level
        ]
        if claim
        else [],
        "groups": claim.of_groups() if claim and claim.groups else "",
        "epsilon": format_number(claim.epsilon) if claim else "",
        "spent": pictures.draw_spent(facts),
        "public_errors": pictures.public_errors(facts),
        "phrases": pictures.draw_phrases(facts),
        "phrases_told": _phrases_told(facts),
        "rehearsal": pictures.draw_rehearsal(facts),
        "not_covered": format_lines(claim.not_covered) if claim else [],
        "others": len(claim.other_releases) if claim else 0,
        "composed": format_number(claim.composed_epsilon) if claim else "",
        "ledger": pictures.draw_ledger(facts),
        "left": _left(facts),
    }


def _left(facts: Facts) -> str:
    """What could still be spent on these recordings after this run, as their ledger says."""
    limit, left = (to_finite(facts.budget.get(name)) for name in ("epsilon", "left"))
    if limit is None or left is None:
        return "No run has set a budget on them."
    return f"Of the budget of epsilon {format_number(limit)}, {format_number(left)} is left."


def _phrases_told(facts: Facts) -> str:
    """How many phrases were published, at what price, and how much was learned from them."""
    counts = facts.counts("phrases")
    if not counts:
        return ""
    phrases, words, epsilon = (format_number(counts.get(name)) for name in ("phrases", "words", "epsilon"))
    claimed = format_number(facts.claim.epsilon if facts.claim else None)
    told = f"{phrases} phrases of {words} words, for epsilon {epsilon} of the {claimed} in all."
    steps = to_finite(facts.counts("rehearse").get("steps"))
    learned = f"Synthetic voices spoke sentences of them; the base learned from these for {format_number(steps)} steps."
    return f"{told} {learned}" if steps else told


def _phrases(claim: Claim) -> list[tuple[str, str]]:
    """What was published before training, if anything was."""
    if claim.phrases is None:
        return []
    event = json.loads(claim.phrases)
    noise, slip = format_number(event["noise_multiplier"]), format_number(event["slip"])
    told = f"noise multiplier {noise}; thresholding delta {slip}"
    return [("phrases of many, learned first", told)]


def _audit(facts: Facts) -> View:
    verdict, claim = facts.verdict, facts.claim
    models = [verdict.get(name) or {} for name, _, _ in pictures.AUDITED]
    rows = [
        (label, *(format_number(found.get(name)) for found in models))
        for name, label in _TESTS.items()
        if any(name in found for found in models)
    ]
    if rows:
        rows.append(
            ("verdict", format_value(verdict.get("verdict")), format_value(models[1].get("verdict", "not judged")))
        )
    canaries = verdict.get("canaries") or {}
    drawn = [format_number(canaries.get(name)) for name in ("candidates", "planted", "references")]
    same = claim is None or (verdict.get("unit"), verdict.get("adjacency")) == (claim.unit, claim.adjacency)
    return {
        "audit_rows": rows,
        "canaries": "{} candidates, {} of them planted; {} references.".format(*drawn) if canaries else "",
        "alpha": format_number(verdict.get("alpha")),
        "least": _least(verdict.get("detectable") or {}),
        "allowed": format_number(verdict.get("claimed_named")),
        "mu": format_number(verdict.get("claimed_mu")),
        "negative": format_number((verdict.get("negative_control") or {}).get("p_value")),
        "exposures": pictures.draw_exposures(facts),
        "told_apart": pictures.told_apart(facts),
        "bounds": pictures.draw_bounds(facts)
        if rows and same
        else None,  # of different things they must not be compared
        "mismatch": bool(rows) and not same,
    }


def _least(detectable: Mapping[str, Any]) -> list[str]:
    """What the audit would just have seen."""
    return [
        "more than there can be"
        if name in detectable and detectable[name] is None
        else format_number(detectable.get(name))
        for name in ("auc", "memorised", "memorised_far")
    ]


def _samples(facts: Facts) -> View:
    """Players, if nobody real can be heard in them."""
    return {"samples": list_players(facts.samples) if facts.setting("data", "source") in SYNTHETIC else []}


def list_players(samples: Sequence[Mapping[str, Any]]) -> list[View]:
    """List recordings to listen to, as many as fit."""
    shown: list[View] = []
    letters = 0
    for sample in samples:
        versions = [
            (
                format_value(version.get("moment")),
                str(version.get("flac_base64", "")),
                format_value(version.get("text", "")),
            )
            for version in sample.get("versions") or ()
        ]
        letters += sum(len(sound) for _, sound, _ in versions)
        if letters > _MOST_AUDIO_LETTERS:
            break
        if versions and all(_BASE64.fullmatch(sound) for _, sound, _ in versions):
            shown.append({"title": format_value(sample.get("title", "sample")), "versions": versions})
    return shown


def _export(facts: Facts) -> View:
    digests: Mapping[str, Any] = facts.bundle.get("files", {})
    counts = facts.bundle.get("counts", {})
    compared = f"{format_percent(counts.get('parity'))} of {format_number(counts.get('compared'))} test recordings"
    return {
        "files": [
            (
                format_value(name),
                format_size(facts.sizes_bytes[name]) if name in facts.sizes_bytes else "missing",
                format_value(digest),
            )
            for name, digest in digests.items()
        ],
        "parity": compared if "parity" in counts else "",
        "formats": pictures.draw_formats(facts),
        "heard": [
            (
                format_value(name),
                format_percent(heard.get("parity")),
                format_percent(heard.get("wer")),
                format_number(heard.get("times_real_time")),
            )
            for name, heard in (counts.get("files") or {}).items()
            if isinstance(heard, Mapping)
        ],
        "torch_wer": format_percent(counts.get("torch_wer")),
        "int8": format_value(counts.get("int8", "")),
    }


def _check(facts: Facts) -> View:
    """Versions, times, settings, and the commands that compute the figures again."""
    versions: dict[str, str] = {}
    for manifest in facts.stages.values():
        versions |= {
            format_value(name): format_value(version) for name, version in manifest.get("versions", {}).items()
        }
    settings = _settings(facts)
    return {
        "versions": list(versions.items()),
        "durations": pictures.draw_durations(facts),
        "settings": json.dumps(settings, indent=1, ensure_ascii=False) if settings else "",
        "commands": recompute.list_commands(facts),
    }


def _settings(facts: Facts) -> dict[str, Any]:
    """The config as it may be shown."""
    settings = {key: value for key, value in facts.config.items() if key != "performance"}
    # Paths of the machine stay on it, and so does what the user wants removed.
    if isinstance(settings.get("data"), dict):
        settings["data"] = {**settings["data"], "path": None}
    if isinstance(settings.get("privacy"), dict):
        settings["privacy"] = {**settings["privacy"], "ledger": None}
    if isinstance(settings.get("scrub"), dict):
        settings["scrub"] = {**settings["scrub"], **dict.fromkeys(("terms", "keep", "patterns", "tagger"), "left out")}
    if isinstance(settings.get("train"), dict):
        settings["train"] = {**settings["train"], "base": PurePath(str(settings["train"].get("base"))).name}
    return settings


def find_differing(runs: Sequence[Facts]) -> list[Line]:
    """Find settings that are not the same in all runs, by their dotted names."""
    found = [dict(_leaves(_settings(facts))) for facts in runs]
    names = dict.fromkeys(name for one in found for name in one)
    settings = [Line(name, tuple(format_value(one.get(name, "-")) for one in found)) for name in names]
    return [line for line in settings if line.differs]


def _leaves(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def name_unit(facts: Facts) -> str:
    """Return whose privacy is protected: the noun."""
    return facts.claim.unit if facts.claim else format_value(facts.setting("privacy", "unit_name") or "speaker")
