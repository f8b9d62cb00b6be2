"""Which part of a verdict may leave: what comes of the private model, of synthetic canaries and of
public settings.

The verdict also holds exact figures that no epsilon covers: of the non-private baseline, which
learned from people without noise, and of people's own recordings (who was told to have taken part,
what one unit alone says). They stay in `private/`. docs/guarantees.md says of every number in a
release what covers it.
"""

from collections.abc import Mapping
from typing import Any

FILE = "released.json"

_WHOLE = (
    "verdict", "reasons", "unit", "adjacency", "claimed_epsilon", "claimed_mu", "claimed_named",
    "delta", "alpha", "alpha_of_all_audits", "audit", "earlier_verdicts", "confidence",
    "confidence_of_bounds", "canaries", "private", "negative_control", "detectable",
)  # fmt: skip
_PARTS: Mapping[str, tuple[str, ...]] = {
    "weights": ("private",),
    "stress": ("private",),
    "extraction": ("private",),
    "survival": ("whole", "lost", "altered", "left_out", "unscored", "personal", "missed"),
    "published": ("phrases", "slip", "planted", "spread"),
}


def select_released(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a verdict is released: the fields that are named here, and no others.

    Args:
      verdict: as `stage.run` writes it to verdict.json.
    """
    parts = {
        name: {key: verdict[name][key] for key in keys if key in verdict[name]}
        for name, keys in _PARTS.items()
        if verdict.get(name)
    }
    return {name: verdict[name] for name in _WHOLE if name in verdict} | parts
