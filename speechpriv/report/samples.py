"""Before and after, to listen to: made-up voices only."""

import base64
from pathlib import Path

from speechpriv import corpus as corpora
from speechpriv import store

_COUNT = 4
_MAX_S = 6.0


def write(raw: Path, prepared: Path, destination: Path) -> str:
    """Write a few recordings of a made-up corpus, as they were and as they are trained on.

    Rows that lost words come first, since there is most to hear.

    Args:
      raw: the ingested corpus.
      prepared: the scrubbed and disguised corpus, same ids.
      destination: a JSON list for the report page.

    Returns:
      The words that the report will show; nobody real said them.
    """
    before = corpora.read(raw)
    position = {name: index for index, name in enumerate(before.table["id"])}
    # What was planted to test the scrubber is nobody's, and not shown.
    after = [r for r in corpora.read(prepared).rows("train") if r.seconds <= _MAX_S and r.id in position]
    after.sort(key=lambda row: "[" not in row.text)
    samples = []
    for row in after[:_COUNT]:
        original = before[position[row.id]]
        samples.append({
            "title": "words removed, voice disguised" if original.text != row.text else "voice disguised",
            "text_before": original.text,
            "text_after": row.text,
            "before_flac_base64": base64.b64encode(original.flac).decode(),
            "after_flac_base64": base64.b64encode(row.flac).decode(),
        })  # fmt: skip
    store.write_json(destination, samples)
    return " ".join(text for sample in samples for text in (sample["text_before"], sample["text_after"]))
