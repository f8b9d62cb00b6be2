"""Lhotse's manifests and Shar directories, read by the lhotse library (the extra `lhotse`).

Only what a manifest says is taken from the library: it would run the commands that a manifest may
name, so recordings are opened by `audio.py` alone.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from speechpriv.data import rows
from speechpriv.data.rows import Found, Rejected, Roots, SourceRow
from speechpriv.errors import DataError


def read_lhotse(roots: Roots) -> Found:
    """Read a row a supervision: of Shar shards, of cuts*.jsonl(.gz), or of recordings with
    supervisions.

    Raises:
      DataError: lhotse is not installed, or a manifest cannot be read.
    """
    try:
        import lhotse  # noqa: PLC0415  an extra, and slow to import
    except ImportError as error:
        raise DataError(
            f"{roots.corpus}: holds manifests of lhotse, which is not installed. Run: pip install 'speechpriv[lhotse]'"
        ) from error
    try:
        for supervision, recording, start_s in _segments(lhotse, roots.corpus):
            yield _row(roots, supervision, recording, start_s)
    except DataError:
        raise
    except Exception as error:  # noqa: BLE001  whatever it was, its words may quote a manifest: only its kind is told
        raise DataError(f"{roots.corpus}: lhotse cannot read its manifests ({type(error).__name__}).") from None


def _segments(lhotse: Any, root: Path) -> Iterator[tuple[Any, Any, float]]:
    """Supervisions with their recording, None if the cut has no single one, and where they start in
    it.
    """
    if any(root.glob("recording*.tar")):
        cuts = [lhotse.CutSet.from_shar(in_dir=root)]
    else:
        cuts = [lhotse.load_manifest_lazy(file) for file in sorted(root.glob("cuts*.jsonl*"))]
    for cut in (cut for part in cuts for cut in part):
        recording = getattr(cut, "recording", None)
        for supervision in cut.supervisions:
            yield supervision, recording, getattr(cut, "start", 0.0) + supervision.start
    if not cuts:
        files = sorted(root.glob("*recordings*.jsonl*"))
        recordings = {one.id: one for file in files for one in lhotse.load_manifest_lazy(file)}
        for file in sorted(root.glob("*supervisions*.jsonl*")):
            for supervision in lhotse.load_manifest_lazy(file):
                yield supervision, recordings.get(supervision.recording_id), supervision.start


def _row(roots: Roots, supervision: Any, recording: Any, start_s: float) -> SourceRow | Rejected:
    name, channels = str(supervision.id), supervision.channel
    channels = channels if isinstance(channels, list) else [channels]
    if recording is None:
        return Rejected(name, "no audio: the manifest names no recording for it, or mixes several")
    if recording.transforms:
        return Rejected(name, "no audio: the manifest changes the sound (transforms). Save the cuts as recordings")
    source = next((one for one in recording.sources if set(channels) <= set(one.channels)), None)
    if source is None or source.type not in ("file", "memory"):
        return Rejected(name, "no audio: neither a file nor bytes. Save the cuts with their recordings")
    audio = source.source if source.type == "memory" else roots.corpus / source.source
    return rows.make_row(
        roots, audio, rows.format_cell(supervision.speaker), rows.format_cell(supervision.text), name=name,
        segment=(start_s, supervision.duration),
        channel=source.channels.index(channels[0]) if len(channels) == 1 and len(source.channels) > 1 else None,
    )  # fmt: skip
