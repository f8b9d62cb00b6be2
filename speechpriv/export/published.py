"""What many people say, as it was published under the claim, in the files that decoders read."""

from pathlib import Path

from speechpriv import store
from speechpriv.claim import Claim
from speechpriv.errors import ModelError
from speechpriv.models import arpa
from speechpriv.models.arpa import Gram
from speechpriv.models.spelling import is_slot

LANGUAGE_MODEL, HOTWORDS = "phrases.arpa", "hotwords.txt"
_BOOST = 1.5  # sherpa-onnx's own default


def write_published(source: Path, claim: Claim | None, directory: Path) -> bool:
    """Write the n-gram language model and the hotwords of a published table; both are made of
    nothing else.

    Args:
      source: what the stage that published left: phrases.json (n-grams with weights) and
        release.json (the event).
      claim: that of the model they go with.
      directory: exists.

    Returns:
      False, with nothing written, if the table is empty.

    Raises:
      ModelError: the claim does not cover the table.
    """
    if claim is None or claim.phrases != store.read_json(source / "release.json")["event"]:
        raise ModelError("export.phrases: the model's claim does not cover these phrases. Train on them, or leave it.")
    if not (table := arpa.sort_published(source)):
        return False
    (directory / LANGUAGE_MODEL).write_text(arpa.render_arpa(table), encoding="utf-8")
    (directory / HOTWORDS).write_text("".join(f"{phrase} :{_BOOST}\n" for phrase in _hotwords(table)), encoding="utf-8")
    return True


def _hotwords(table: dict[Gram, float]) -> list[str]:
    """Runs of two words and more, heaviest first; none with what was scrubbed (`[NAME]`), which
    nobody says.
    """
    runs = (tuple(word for word in gram if not word.startswith("<")) for gram in table)
    spoken = (run for run in runs if len(run) >= 2 and not any(map(is_slot, run)))
    return list(dict.fromkeys(" ".join(run) for run in spoken))
