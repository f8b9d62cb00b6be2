"""The report's pictures: each takes facts of a run and says what is drawn; plots.py draws it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from speechpriv.report import losses, plots
from speechpriv.report.facts import Facts
from speechpriv.report.plots import Frame, Mark, Place, Plot, Tone, to_finite
from speechpriv.report.words import (
    MOST_ITEMS,
    format_cost,
    format_duration,
    format_gain,
    format_number,
    format_percent,
    format_size,
    format_value,
)

MODELS: tuple[tuple[str, str, Tone], ...] = (
    ("base", "Before: the base model", "base"),
    ("baseline", "Trained without privacy", "baseline"),
    ("private", "Trained with privacy", "private"),
    ("private_with_lm", "The same, told the phrases", "private"),
)
COMPARED = ("base", "baseline", "private")  # like with like: all three write what they hear, and know no phrases
AUDITED: tuple[tuple[str, str, Tone], ...] = (
    ("private", "private model", "private"),
    ("baseline", "baseline without privacy", "baseline"),
)

_ATTACKERS = {
    "with_labels": "with transcripts", "pseudo_labels": "without transcripts", "confidence": "by how sure it is",
}  # fmt: skip
_GRAM = 3  # words of a phrase that is shown, at most: longer ones might be whole sentences
_DROPS = {
    "ingest": "Set aside: not usable", "personal": "Dropped", "scrub": "Dropped: scrubbing was not certain",
    "anonymize": "Dropped: the voice could not be disguised", "plant": "Dropped",
    **dict.fromkeys(losses.TRAINED, "Dropped: words do not fit their sound"),
}  # fmt: skip
_ADDED = {losses.PROBES: "Synthetic personal phrases, as a test", losses.CANARIES: "Canaries planted"}
_REMOVED = {losses.PROBES: "The synthetic personal phrases again", losses.TEST: "Kept for testing"}
_REASONS = {
    ("scrub", "low confidence"): "personal words not found in the sound",
    ("scrub", "not alignable"): "text does not fit the sound",
    ("scrub", "nothing left"): "nothing left after scrubbing",
    ("anonymize", "low confidence"): "words not found in the sound",
    ("anonymize", "not alignable"): "text does not fit the sound",
    ("anonymize", "nothing to say"): "nothing left after scrubbing",
    ("anonymize", "failed"): "the disguise failed",
    ("anonymize", "too slow"): "the disguise took too long",
    **{(stage, "not alignable"): "text does not fit the sound" for stage in losses.TRAINED},
}


def draw_members(facts: Facts) -> Plot | None:
    """Draw, of 100 members, how many the best attacker names at 1 % false alarms."""
    if facts.claim is None:
        return None
    named = math.ceil(100 * facts.claim.max_tpr_at_1_percent_fpr)  # as in its sentence, rounded up
    return plots.draw_hundred(
        Frame("members", "Recognised of 100", f"{named} of 100 dots are filled.", "people"), named
    )


def draw_accuracy(facts: Facts) -> Plot | None:
    """Draw word accuracy and WER of the models; only a run that published phrases has a model that
    is told them.
    """
    if gives_labels(facts):
        return _areas(facts)
    marks = []
    for name, label, tone in MODELS:
        found = facts.figures.get(name, {})
        if not found and (name not in COMPARED or facts.is_release):
            continue
        text = (
            f"{format_percent(found.get('word_accuracy'))} · WER {format_percent(found.get('wer'))}"
            if found
            else "not measured"
        )
        marks.append(Mark(label, to_finite(found.get("word_accuracy")), text, tone))
    frame = Frame("accuracy", "Words recognised correctly", _read_out(marks), "word accuracy")
    return plots.draw_bars(frame, marks, maximum=1) if facts.figures else None


def gives_labels(facts: Facts) -> bool:
    """Return whether the models give labels, and no words."""
    return any("auroc" in found for found in facts.figures.values())


def describe_cost(facts: Facts) -> str:
    """Return what privacy cost, by word accuracy or by AUROC; in a release, without baseline, the
    gain.
    """
    value, measure = ("auroc", "AUROC") if gives_labels(facts) else ("word_accuracy", "word accuracy")
    base, baseline, private = (to_finite(facts.figures.get(name, {}).get(value)) for name in COMPARED)
    return format_gain(base, private, measure) if facts.is_release else format_cost(base, baseline, private, measure)


def _areas(facts: Facts) -> Plot:
    """How well each model ranks people by what is looked for."""
    marks = []
    for name, label, tone in MODELS:
        found = facts.figures.get(name, {})
        area, low, high = (to_finite(found.get(key)) for key in ("auroc", "auroc_low", "auroc_high"))
        if found:
            text = f"{format_number(area)} ({format_number(low)} to {format_number(high)})"
            marks.append(Mark(label, area, text, tone, low, high))
    frame = Frame("accuracy", "People told right", _read_out(marks), "AUROC; 1 ranks everybody right")
    return plots.draw_dots(frame, marks, Mark("guessing", 0.5, "0.5"))


def draw_calibration(facts: Facts) -> Plot | None:
    """Draw, of fifths of the test people, by probability: how many have what is looked for."""
    found = facts.figures.get("private", {}).get("calibration") or ()
    places = [
        Place(
            f"fifth {index}",
            100 * x,
            100 * y,
            None,
            None,
            f"{format_percent(mean)} given, {format_percent(share)} have it",
        )
        for index, (mean, share, *_) in enumerate(found, start=1)
        if (x := to_finite(mean)) is not None and (y := to_finite(share)) is not None
    ]
    told = "; ".join(f"{place.label}: {place.text}" for place in places) + "."
    frame = Frame("calibration", "Calibration of the private model", told, "have it, %")
    return (
        plots.draw_scatter(frame, places, "mean probability given, %", Mark("half", 50.0, "50 %")) if places else None
    )


def draw_flow(facts: Facts) -> Plot | None:
    """Draw recordings on their way from the source to training: what left them on the way, and what
    was added.
    """
    way = losses.list_way(facts)
    if not way:
        return None
    left = way[0].rows_in
    marks = [Mark("Read from the source", left, format_number(left), "plain")]

    def change(label: str, by: int) -> None:
        nonlocal left
        if by:
            low, high = sorted((left, left + by))
            marks.append(Mark(label, high, f"{'+' if by > 0 else '−'} {format_number(abs(by))}", "base", low))
            left += by

    for step in way:
        for kind, count in step.removed.items():
            change(_REMOVED[kind], -count)
        change(_DROPS[step.stage], -sum(step.dropped.values()))
        for kind, count in step.added.items():
            change(_ADDED[kind], count)
        change(f"Not accounted for: {step.stage}", step.unexplained)
    if way[-1].stage in losses.TRAINED:
        marks.append(Mark("Trained on", left, format_number(left), "private"))
    return plots.draw_bars(Frame("flow", "Recordings from source to training", _read_out(marks), "recordings"), marks)


def draw_people(facts: Facts) -> Plot | None:
    """Return how many units each part of the corpus has."""
    ingest, planted = facts.counts("ingest"), facts.counts("plant").get("planted")
    parts: tuple[tuple[str, Any, Tone], ...] = (
        ("To train on", ingest.get("units_train"), "private"),
        ("Kept for testing", ingest.get("units_test"), "plain"),
        ("Canaries (synthetic), to train on", planted, "base"),
    )
    marks = [
        Mark(label, to_finite(count), format_number(count), tone) for label, count, tone in parts if count is not None
    ]
    return plots.draw_bars(Frame("people", "Number of units", _read_out(marks), "units"), marks) if marks else None


def set_aside(facts: Facts) -> Plot | None:
    """Return recordings not used, by reason: quarantined when read, or dropped by a stage before
    training, or by training.
    """
    reasons: dict[str, int] = {}
    for step in losses.list_way(facts):
        for reason, count in step.dropped.items():
            label = _REASONS.get((step.stage, reason), reason)
            reasons[label] = reasons.get(label, 0) + count
    return draw_tally("set-aside", "Recordings not used, by reason", reasons, "base")


def draw_tally(name: str, title: str, found: Any, tone: Tone) -> Plot | None:
    """Draw counts by kind, largest first; what follows a colon in a kind is about single rows and
    stays out.
    """
    counts: dict[str, float] = {}
    for kind, count in (found if isinstance(found, Mapping) else {}).items():
        short = format_value(str(kind).partition(":")[0].replace("_", " ").lower())
        counts[short] = counts.get(short, 0) + (to_finite(count) or 0)
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    shown, rest = ranked[:MOST_ITEMS], ranked[MOST_ITEMS:]
    if rest:
        shown.append((f"{len(rest)} other kinds", sum(count for _, count in rest)))
    marks = [Mark(kind, count, format_number(count), tone) for kind, count in shown]
    return plots.draw_bars(Frame(name, title, _read_out(marks), "count"), marks) if marks else None


def draw_spent(facts: Facts) -> Plot | None:
    """Draw epsilon over the steps, from nothing to what is claimed."""
    claimed = facts.claim.epsilon if facts.claim else None
    points = _points(facts.epsilon_by_step)
    first = format_number(points[0][1]) if points and points[0][0] == 0 else "0"
    frame = Frame(
        "spent",
        "Epsilon spent by step",
        f"It rises from {first} to {format_number(claimed)} at the last step.",
        "epsilon",
    )
    level = Mark("claimed", to_finite(claimed), format_number(claimed))
    return plots.draw_curve(frame, [(0.0, 0.0), *points], level, stairs=True) if points else None


def draw_published(facts: Facts) -> list[tuple[str, float]]:
    """Draw phrases that were published and their noisy weights, largest first; long ones are left
    out.
    """
    said = [(_in_words(gram), to_finite(weight)) for *gram, weight in facts.phrases if 0 < len(gram) <= _GRAM]
    return sorted(((gram, weight) for gram, weight in said if weight is not None), key=lambda pair: -pair[1])


def draw_phrases(facts: Facts) -> Plot | None:
    """Return what most people say, as it was published: with noise, and only what many say."""
    ranked = draw_published(facts)
    marks = [Mark(gram, weight, format_number(weight), "private") for gram, weight in ranked]
    frame = Frame("phrases", "Published phrases", _read_out(marks[:MOST_ITEMS]), "weight, with noise")
    return plots.draw_bars(frame, marks[:MOST_ITEMS]) if marks else None


def draw_rehearsal(facts: Facts) -> Plot | None:
    """Draw the loss while learning from published phrases: it is on synthetic speech, and tells
    nothing more than they do.
    """
    points = _points(facts.rehearsal)
    if not points:
        return None
    told = f"It goes from {format_number(points[0][1])} to {format_number(points[-1][1])}."
    return plots.draw_curve(Frame("rehearsal", "Loss on synthetic speech", told, "loss"), points)


def public_errors(facts: Facts) -> Plot | None:
    """Return the WER on synthetic speech during private training: what of its own hearing the model
    forgets, or wins.
    """
    points = _points(facts.wer_by_step)
    if not points:
        return None
    told = f"It goes from {format_number(points[0][1])} to {format_number(points[-1][1])}."
    return plots.draw_curve(Frame("public-errors", "Word error rate on public speech", told, "WER"), points)


def draw_exposures(facts: Facts) -> list[tuple[str, Plot]]:
    """Draw the exposure of the canaries by repeats, one picture a model, all on the same vertical
    axis.
    """
    columns = {name: _by_repeats(facts.exposures.get(name, ())) for name, _, _ in AUDITED}
    largest = max((bits for groups in columns.values() for _, values in groups for bits in values), default=0.0)
    chance = Mark("chance", 1.0, "1 bit")
    drawn = []
    for name, label, tone in AUDITED:
        if columns[name]:
            ends = (
                f"{len(columns[name])} columns of dots, by how often a phrase was planted; the table has their medians."
            )
            frame = Frame(f"exposure-{name}", f"Exposure of phrases, {label}", ends, "exposure, bits")
            drawn.append(
                (label, plots.draw_strip(frame, columns[name], tone=tone, maximum=max(largest, 2), reference=chance))
            )
    return drawn


def draw_bounds(facts: Facts) -> Plot:
    """Draw epsilon that the attack proves, against epsilon that is claimed."""
    marks = []
    for name, label, tone in AUDITED:
        if facts.is_release and name not in facts.verdict:
            continue
        bound = (facts.verdict.get(name) or {}).get("epsilon_lower_bound")
        marks.append(
            Mark(
                label,
                to_finite(bound),
                format_number(bound) if bound is None else f"at least {format_number(bound)}",
                tone,
            )
        )
    claimed = facts.verdict.get("claimed_epsilon")
    level = Mark("claimed", to_finite(claimed), format_number(claimed))
    frame = Frame("bounds", "Epsilon, measured and claimed", _read_out(marks), "epsilon")
    return plots.draw_dots(frame, marks, level if claimed is not None else None)


def told_apart(facts: Facts) -> Plot | None:
    """Return how well those who took part are told from others, with intervals."""
    membership = facts.verdict.get("membership") or {}
    marks = []
    for attacker, label in _ATTACKERS.items():
        for model, _, tone in AUDITED:
            found = (membership.get(model) or {}).get(attacker) or {}
            auc, low, high = (to_finite(found.get(name)) for name in ("auc", "auc_low", "auc_high"))
            if auc is not None:
                text = f"{auc:.2f} ({format_number(low, 2)} to {format_number(high, 2)})"
                marks.append(
                    Mark(f"{'baseline' if model == 'baseline' else 'private'}, {label}", auc, text, tone, low, high)
                )
    frame = Frame("told-apart", "Members told from others", _read_out(marks), "AUC; 1 is always right")
    return plots.draw_dots(frame, marks, Mark("guessing", 0.5, "0.5")) if marks else None


def draw_ledger(facts: Facts) -> Plot | None:
    """Draw epsilon of each run on the corpus, of all together, and what is left of the budget set
    on it.
    """
    claim, limit, left = facts.claim, *(to_finite(facts.budget.get(name)) for name in ("epsilon", "left"))
    if claim is None:
        return None
    others, rest = claim.other_releases[:MOST_ITEMS], claim.other_releases[MOST_ITEMS:]
    marks = [Mark("This run", claim.epsilon, format_number(claim.epsilon), "private")]
    marks += [
        Mark(f"Run {run.run_id.rpartition('-')[2]}", run.epsilon, format_number(run.epsilon), "base") for run in others
    ]
    if rest:
        marks.append(Mark("More runs", None, f"{len(rest)}, not drawn"))
    marks.append(Mark("All runs together", claim.composed_epsilon, format_number(claim.composed_epsilon), "plain"))
    if limit is not None and left is not None:
        marks.append(
            Mark(f"Left of the budget of {format_number(limit)}", limit, format_number(left), "baseline", limit - left)
        )
    return plots.draw_bars(Frame("ledger", "Epsilon on this corpus", _read_out(marks), "epsilon"), marks)


def draw_formats(facts: Facts) -> Plot | None:
    """Draw size and speed of each file that a runtime can decode with."""
    marks = []
    for name, heard in (facts.bundle.get("counts", {}).get("files") or {}).items():
        if name in facts.sizes_bytes:
            speed = to_finite(heard.get("times_real_time")) if isinstance(heard, Mapping) else None
            fast = f" · {format_number(speed)} times real time" if speed else ""
            size_bytes = facts.sizes_bytes[name]
            marks.append(Mark(format_value(name), float(size_bytes), f"{format_size(size_bytes)}{fast}", "private"))
    return (
        plots.draw_bars(Frame("formats", "Size of each format", _read_out(marks), "size and speed"), marks)
        if marks
        else None
    )


def draw_durations(facts: Facts) -> Plot | None:
    """Draw seconds that each stage took."""
    taken = [(stage, to_finite(manifest.get("duration_s"))) for stage, manifest in facts.stages.items()]
    marks = [Mark(stage, seconds, format_duration(seconds)) for stage, seconds in taken if seconds is not None]
    return plots.draw_bars(Frame("durations", "Time by stage", _read_out(marks), "time"), marks) if marks else None


def _by_repeats(canaries: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[float]]]:
    """Exposures in bits by how often the phrase was planted; those that stayed out come first."""
    groups: dict[int, list[float]] = {}
    for canary in canaries:
        bits, repeats = to_finite(canary.get("exposure_bits")), to_finite(canary.get("repeats"))
        if bits is not None and repeats is not None:
            groups.setdefault(int(repeats) if canary.get("planted") else 0, []).append(bits)
    return [(f"{repeats} ×" if repeats else "never", groups[repeats]) for repeats in sorted(groups)]


def _points(pairs: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Steps and values that can be drawn."""
    found = [(to_finite(step), to_finite(value)) for step, value in pairs]
    return [(step, value) for step, value in found if step is not None and value is not None]


def _in_words(gram: Sequence[Any]) -> str:
    """A phrase as people read it; the table marks where a sentence begins and ends."""
    said = " ".join(format_value(word) for word in gram if word not in ("<s>", "</s>"))
    return said + ", at the beginning" * (gram[0] == "<s>") + ", at the end" * (gram[-1] == "</s>")


def _read_out(marks: Sequence[Mark]) -> str:
    return "; ".join(f"{mark.label}: {mark.text}" for mark in marks) + "."
