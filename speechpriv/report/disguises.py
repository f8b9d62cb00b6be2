"""What attackers get of the disguised voices, of this run's and, if they were compared, of every
method's.
"""

from collections.abc import Mapping
from typing import Any

from speechpriv.report import plots
from speechpriv.report.facts import Facts
from speechpriv.report.plots import Frame, Mark, Place, Plot, Tone, to_finite
from speechpriv.report.words import format_number, format_percent, format_value

_ATTACKERS: tuple[tuple[str, str, Tone], ...] = (
    ("undisguised", "without a disguise", "base"),
    ("ignorant", "ignorant of the disguise", "plain"),
    ("lazy_informed", "lazy-informed", "baseline"),
    ("semi_informed", "semi-informed", "private"),
)
_GUESSING = Mark("guessing", 50.0, "50 %")


def build_section(facts: Facts) -> dict[str, Any]:
    """Build the page's section on voices; parts are empty where nothing was measured."""
    voices = facts.voices
    return {
        "voices": draw_attackers(facts),
        "voice_rows": [
            (label, *(_told(_rate(voices, name, measure)) for measure in ("single", "pooled")), _named(voices, name))
            for name, label, _ in _ATTACKERS
            if name in voices
        ],
        "voice_method": format_value(voices.get("method") or facts.setting("anonymize", "method") or ""),
        "voice_voiceprint": format_value(voices.get("voiceprint", "")),
        "voice_linked": _told(voices.get("linked") or {}) if "linked" in voices else "",
        "voice_people": format_number(voices.get("people")),
        "voice_guessing": format_percent(voices.get("guessing")),
        "voice_note": format_value(voices.get("not_measured", "")),
        "voice_weak": any(_weak(_rate(voices, "semi_informed", measure)) for measure in ("single", "pooled")),
        "disguises": draw_comparison(facts),
        "disguise_rows": _compared(facts),
    }


def draw_attackers(facts: Facts) -> Plot | None:
    """Draw the equal error rate of each attacker, with its interval, several recordings of a person
    heard together.
    """
    marks = [
        Mark(label, 100 * eer, _told(rate), tone, *_ends(rate))
        for name, label, tone in _ATTACKERS
        if (eer := to_finite((rate := _rate(facts.voices, name, "pooled")).get("eer"))) is not None
    ]
    told = "; ".join(f"{mark.label}: {mark.text}" for mark in marks) + "."
    frame = Frame("voices", "Attackers on the disguised voices", told, "equal error rate, %; 0 always finds the person")
    return plots.draw_dots(frame, marks, _GUESSING) if marks else None


def draw_comparison(facts: Facts) -> Plot | None:
    """Draw the equal error rate of the strongest attacker on each method, against the words that
    learning from it costs.
    """
    places: dict[str, Place] = {}
    for found in facts.disguises:
        rate, wer = _rate(found, "semi_informed", "pooled"), to_finite(found.get("wer"))
        eer, name = to_finite(rate.get("eer")), format_value(found.get("method", ""))
        if eer is None or wer is None or (name in places and places[name].y <= 100 * eer):
            continue
        low, high = _ends(rate)
        places[name] = Place(name, 100 * wer, 100 * eer, low, high, f"{_told(rate)}, WER {format_percent(wer)}")
    told = "; ".join(f"{place.label}: {place.text}" for place in places.values()) + "."
    frame = Frame("disguises", "Disguises compared", told, "equal error rate, %")
    axis = "WER after learning from disguised speech, %"
    return plots.draw_scatter(frame, list(places.values()), axis, _GUESSING) if places else None


def _compared(facts: Facts) -> list[tuple[str, ...]]:
    """A row a method and voiceprint."""
    return [
        (
            format_value(found.get("method", "")), format_value(found.get("voiceprint", "")),
            *(_told(_rate(found, name, "pooled")) for name, _, _ in _ATTACKERS[1:]),
            _told(found.get("linked") or {}), format_percent(found.get("wer")),
        )
        for found in facts.disguises
    ]  # fmt: skip


def _rate(found: Mapping[str, Any], attacker: str, measure: str) -> Mapping[str, Any]:
    return (found.get(attacker) or {}).get(measure) or {}


def _told(rate: Mapping[str, Any]) -> str:
    eer, low, high = (to_finite(rate.get(name)) for name in ("eer", "low", "high"))
    if eer is None or low is None or high is None:
        return "not measured"
    ends = f"{format_percent(eer)} ({100 * low:.1f} to {100 * high:.1f})"
    return f"{ends}, too weak" if _weak(rate) else ends


def _weak(rate: Mapping[str, Any]) -> bool:
    return rate.get("too_weak") is True


def _ends(rate: Mapping[str, Any]) -> tuple[float | None, float | None]:
    low, high = (to_finite(rate.get(end)) for end in ("low", "high"))
    return (None, None) if low is None or high is None else (100 * low, 100 * high)


def _named(found: Mapping[str, Any], attacker: str) -> str:
    return format_percent((found.get(attacker) or {}).get("named"))
