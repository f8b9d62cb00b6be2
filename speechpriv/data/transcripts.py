"""Transcripts as people write them: what can be spelled goes on, all else is set aside by its
reason.
"""

from speechpriv.errors import DataError
from speechpriv.models import spelling, tags


def clean_transcript(text: str) -> str:
    """Bring a transcript on one line and into one form of Unicode, without tags that say no word.

    It stays as it was written, digits too: the scrubber reads it so, and `spelling.normalise`
    spells it for labels.

    Raises:
      DataError: it is not text, leaves out or hides what is said, has a word that cannot be
        spelled, or no word at all.
    """
    if "\ufffd" in text or text.encode("utf-8", "ignore").decode() != text:
        raise DataError("not text: bytes that are not UTF-8")
    text = " ".join(spelling.canonicalise(text).split())
    if spelling.is_plain(text) and not tags.MARKS.search(text) and spelling.normalise(text):
        return text
    found = tags.list_kinds(text)
    if "redacted" in found:
        raise DataError("redacted: a mark hides words that the audio still says")
    if "untranscribed" in found:
        raise DataError("untranscribed: a tag stands for speech that is not in the text")
    if "unknown" in found:
        raise DataError("unknown tag: brackets hold what is none of the tags of models/tags.py")
    pieces, at = [], 0
    for start, end, _ in tags.find_tags(text):
        pieces.append(text[at:start])
        at = end
    text = " ".join(" ".join([*pieces, text[at:]]).split())
    if reason := spelling.find_unspellable(text):
        raise DataError(f"unspellable: {reason}")
    if not spelling.normalise(text):
        raise DataError("no words: nothing that is said is left of the text")
    return text
