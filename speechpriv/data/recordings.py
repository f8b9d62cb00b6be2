"""From recordings to the sound of rows: each is decoded once, block by block, and its segments are
cut as they pass.

Memory holds one block and the segments that it is in, however long the recording is. What becomes
of a row depends on its file and on the row, never on what others say in the same recording. A
recording that breaks off costs every row that ends after the break, and no other.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import numpy as np

from speechpriv import audio
from speechpriv.audio import RATE_HZ
from speechpriv.data import lineage, people
from speechpriv.data.rows import Rejected, SourceRow
from speechpriv.errors import DataError
from speechpriv.sections import DataConfig

_SLACK = round(0.1 * RATE_HZ)  # manifests round their times
_MOST_LISTENED = 5000  # rows
_MOST_ROWS = 5000  # of one recording at a time; what comes out of order is held back by the caller

Voice = int | str  # a channel, or one of
_MIX = "mix"
_MEAN = "mean"  # of all channels: what the marks of recordings have always been of; no row is cut from it


def group_by_recording(found: Iterable[SourceRow | Rejected]) -> Iterator[list[SourceRow] | Rejected]:
    """Return rows in a row that are of one recording together; the order stays."""
    group: list[SourceRow] = []
    for row in found:
        if group and (isinstance(row, Rejected) or not _same(row, group[0]) or len(group) == _MOST_ROWS):
            yield group
            group = []
        if isinstance(row, Rejected):
            yield row
        else:
            group.append(row)
    if group:
        yield group


def decode_rows(
    rows: Sequence[SourceRow], config: DataConfig, sketcher: lineage.Sketcher
) -> Iterator[tuple[int, np.ndarray | DataError]]:
    """Decode the sound of rows of one recording, each as soon as it has passed.

    Args:
      rows: all with the same `audio`.
      config: `max_seconds` bounds a row, not a recording; `channel` is for rows that name none.
      sketcher: gets the whole recording, unless no row needs its end.

    Yields:
      Index of a row, and its float32 samples (N,) at 16 kHz or why there are none: the kind, a
      colon, the particulars.
    """
    left = set(range(len(rows)))
    try:
        for index, sound in _cut(rows, config, sketcher):
            left.discard(index)
            yield index, _reason(sound) if isinstance(sound, DataError) else sound
    except Exception as error:  # noqa: BLE001  a codec may raise anything, and it costs this recording alone
        yield from ((index, _reason(error)) for index in sorted(left))


def sketch_corpus(
    found: Iterable[SourceRow | Rejected], config: DataConfig, people_key: bytes | None = None
) -> lineage.Sketch:
    """Sketch a corpus that was not taken in, by its first 5,000 rows: what the first stage would
    hear of them.
    """
    sketcher = lineage.Sketcher(people_key)
    for group in group_by_recording(itertools.islice(found, _MOST_LISTENED)):
        if isinstance(group, Rejected):
            continue
        for row in group:
            sketcher.add_person(people.unit_name(row.unit, config))
        for _ in decode_rows(group, config, sketcher):
            pass
    return sketcher.sketch()


@dataclass
class _Span:
    """A part of a recording, in samples at 16 kHz; `end` None is where the recording ends."""

    index: int
    start: int
    end: int | None
    parts: list[np.ndarray] = field(default_factory=list)
    n_samples: int = 0

    def add(self, block: np.ndarray, at: int) -> None:
        part = block[max(0, self.start - at) : None if self.end is None else self.end - at]
        self.parts.append(part)
        self.n_samples += len(part)

    def take(self) -> np.ndarray:
        """All its samples (N,), of which it keeps none."""
        parts, self.parts = self.parts, []
        return np.concatenate([np.zeros(0, np.float32), *parts])


class _Listener:
    """One voice of a recording at 16 kHz: heard whole, its spans cut as they pass."""

    def __init__(self, rate_hz: int, spans: Iterable[_Span]) -> None:
        self.heard = lineage.SketchBuilder()
        self.n_samples = 0
        self.open: list[_Span] = []
        self.later = sorted(spans, key=lambda span: span.start, reverse=True)
        self._resample = audio.Resampler(rate_hz)

    def feed(self, samples: np.ndarray, *, last: bool) -> list[_Span]:
        """Take in the next samples; returns the spans that are over."""
        block = self._resample(samples, last=last)
        self.heard.update(block)
        at, self.n_samples = self.n_samples, self.n_samples + len(block)
        while self.later and self.later[-1].start < self.n_samples:
            self.open.append(self.later.pop())
        for span in self.open:
            span.add(block, at)
        return self._close(lambda span: span.end is not None and span.end <= self.n_samples)

    def drop_longer(self, n_samples: int) -> list[_Span]:
        """Spans to the end of the recording that are longer already, and of which no more is kept."""
        return self._close(lambda span: span.end is None and span.n_samples > n_samples)

    def left(self) -> list[_Span]:
        """Spans that are not over."""
        return self.open + self.later

    def _close(self, over: Callable[[_Span], bool]) -> list[_Span]:
        closed = [span for span in self.open if over(span)]
        self.open = [span for span in self.open if not over(span)]
        return closed


def _cut(
    rows: Sequence[SourceRow], config: DataConfig, sketcher: lineage.Sketcher
) -> Iterator[tuple[int, np.ndarray | DataError]]:
    source = rows[0].audio
    if not (len(source) if isinstance(source, bytes) else source.stat().st_size):
        raise audio.Unusable("empty: no samples")
    # Rows that are whole recordings cannot be longer than a row may be, so no more is decoded for
    # them.
    limit_s = config.max_seconds if all(map(_is_whole, rows)) else None
    with ExitStack() as stack:
        sound = stack.enter_context(audio.open_stream(source))
        said_s = sound.header_s or 0.0
        if limit_s is not None and not said_s <= limit_s:
            raise _too_long(said_s, config)
        seen = _survey(sound, rows, config, limit_s)
        if seen:
            sound = stack.enter_context(audio.open_stream(source))
        spans: dict[Voice, list[_Span]] = {}
        for index, row in enumerate(rows):
            try:
                if _is_whole(row) and not said_s <= config.max_seconds:  # with or without parts of it beside
                    raise _too_long(said_s, config)
                spans.setdefault(_voice(row, config, sound.channels, seen), []).append(_span(index, row, config))
            except DataError as error:
                yield index, error
        if spans:
            yield from _decode(sound, seen, spans, config, sketcher, whole=limit_s is not None)


def _decode(
    sound: audio.Stream,
    seen: audio.Survey | None,
    spans: Mapping[Voice, Sequence[_Span]],
    config: DataConfig,
    sketcher: lineage.Sketcher,
    *,
    whole: bool,
) -> Iterator[tuple[int, np.ndarray | DataError]]:
    """Cut the spans of each voice; `whole` recordings that prove too long are left where that is
    known.
    """
    listeners = {voice: _Listener(sound.rate_hz, found) for voice, found in spans.items()}
    if sound.channels > 1:
        listeners[_MEAN] = _Listener(sound.rate_hz, ())
    block: np.ndarray | DataError | None
    for block in _and_its_end(sound):
        last = not isinstance(block, np.ndarray)
        frames = block if isinstance(block, np.ndarray) else np.zeros((0, sound.channels), np.float32)
        for voice, listener in listeners.items():
            for span in listener.feed(_heard(frames, voice, seen), last=last):
                yield span.index, span.take()
            for span in listener.drop_longer(round(config.max_seconds * RATE_HZ)):
                span.take()
                yield span.index, _too_long(span.n_samples / RATE_HZ, config, more=not last)
        if whole and not any(listener.left() for listener in listeners.values()):
            return
    for listener in listeners.values():
        sketcher.add(listener.heard)
        for span in listener.left():
            yield span.index, block if isinstance(block, DataError) else _at_the_end(span, listener.n_samples)


def _and_its_end(sound: audio.Stream) -> Iterator[np.ndarray | DataError | None]:
    """The blocks, and then None, or why there are no more."""
    try:
        yield from sound.blocks
    except DataError as error:
        yield error
    else:
        yield None


def _heard(frames: np.ndarray, voice: Voice, seen: audio.Survey | None) -> np.ndarray:
    """Samples (N,) of a voice from frames (N, channels)."""
    if seen and seen.full_scale != 1:
        frames = frames / np.float32(seen.full_scale)
    if isinstance(voice, int):
        return np.ascontiguousarray(frames[:, voice])
    return frames @ seen.mix if seen and voice == _MIX else frames.mean(axis=1)


def _at_the_end(span: _Span, n_samples: int) -> np.ndarray | DataError:
    """What becomes of a span that is not over when its recording is."""
    if span.end is not None and span.end > n_samples + _SLACK:
        return audio.Unusable("bad segment: it ends after its recording")
    if span.end is None and span.start >= n_samples > 0:
        return audio.Unusable("bad segment: it starts after its recording")
    return span.take()


def _span(index: int, row: SourceRow, config: DataConfig) -> _Span:
    try:
        start = round(row.start_s * RATE_HZ)
        end = None if row.duration_s is None else round((row.start_s + row.duration_s) * RATE_HZ)
    except (ValueError, OverflowError):
        start, end = -1, None
    if start < 0 or (end is not None and end <= start):
        raise audio.Unusable("bad segment: expected a start and a later end in seconds")
    if end is not None and end - start > round(config.max_seconds * RATE_HZ):
        raise _too_long((end - start) / RATE_HZ, config)
    return _Span(index, start, end)


def _survey(
    sound: audio.Stream, rows: Sequence[SourceRow], config: DataConfig, limit_s: float | None
) -> audio.Survey | None:
    """What only the whole recording tells, if that is needed; `sound` is used up then."""
    unnamed = not isinstance(config.channel, int) and any(row.channel is None for row in rows)
    if not sound.any_scale and not (sound.channels > 1 and unnamed):
        return None
    return audio.survey_channels(sound if limit_s is None else replace(sound, blocks=_first(sound, limit_s)))


def _first(sound: audio.Stream, limit_s: float) -> Iterator[np.ndarray]:
    n_frames = 0
    for block in sound.blocks:
        yield block
        n_frames += len(block)
        if n_frames > limit_s * sound.rate_hz:
            return


def _is_whole(row: SourceRow) -> bool:
    return row.start_s == 0 and row.duration_s is None


def _voice(row: SourceRow, config: DataConfig, n_channels: int, seen: audio.Survey | None) -> Voice:
    channel = config.channel if row.channel is None else row.channel
    if n_channels == 1:  # whatever is named: of split calls, tables keep the channel that a file once was
        return 0
    if isinstance(channel, int):
        if channel < n_channels:
            return channel
        raise audio.Unusable(f"channels: channel {channel} is asked for; of {n_channels} the last is {n_channels - 1}")
    if seen and seen.one_voice:
        return seen.loudest
    if channel == _MIX:
        return _MIX
    raise audio.Unusable(
        f"channels: {n_channels} channels and none is named; set data.channel to a number from 0 or to mix"
    )


def _reason(error: Exception) -> DataError:
    if isinstance(error, audio.Unusable):
        return error
    return DataError(f"unreadable: {error if isinstance(error, DataError) else type(error).__name__}")


def _too_long(seconds: float, config: DataConfig, *, more: bool = False) -> audio.Unusable:
    beyond = " or more" if more else ""
    return audio.Unusable(f"too long: {seconds:.1f} s{beyond}, expected at most {config.max_seconds}")


def _same(one: SourceRow, other: SourceRow) -> bool:
    return one.audio is other.audio or (not isinstance(one.audio, bytes) and one.audio == other.audio)
