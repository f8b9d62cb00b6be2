"""The only file that opens or writes audio. Inside, audio is float32 samples at 16 kHz, mono, in
[-1, 1].
"""

import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
import soundfile
import soxr

from speechpriv import containers
from speechpriv.errors import DataError

RATE_HZ = 16_000
_MAX_CHANNELS = 8
_RATES_HZ = (1_000, 1_000_000)  # below, a block of a few kilobytes would become hours at 16 kHz
_BLOCK = 65_536  # frames decoded at a time
_SLACK_S = 0.1  # headers of lossy formats round their length
_KNOWN_S = 1e7  # four months; headers that say more mean that they do not know
_FAINT = 1e-4  # of the energy of the loudest: 40 dB below it, nobody is heard
_MOST_OVER = 2.0  # full scale is 1; what goes further is at another scale
_INTEGER_SCALES = (2.0**15, 2.0**23, 2.0**31)


class Unusable(DataError):  # noqa: N818  as DataError
    """As DataError; its text begins with the kind of reason and a colon."""


@dataclass(frozen=True)
class Stream:
    """An open recording.

    `blocks` has arrays (N, channels) of float32 at `rate_hz`, to the end of the sound, whatever the
    header says of its length; iterating raises DataError where the file breaks off. All before that
    was yielded.
    """

    rate_hz: int
    channels: int
    header_s: float | None  # length by the header, None where it does not say
    any_scale: bool  # samples are floating point: full scale need not be 1
    blocks: Iterator[np.ndarray]


@dataclass(frozen=True)
class Survey:
    """What only the whole recording tells."""

    full_scale: float  # what samples are divided by
    loudest: int  # the channel
    one_voice: bool  # no channel has anything that the loudest lacks: copies, inverted or not, and silence
    mix: np.ndarray  # weight of each channel, (channels,)


@contextmanager
def open_stream(source: Path | bytes) -> Iterator[Stream]:
    """Open a recording to decode it block by block.

    Raises:
      DataError: unreadable, more than 8 channels, or a rate that is none of sound.
    """
    if isinstance(source, Path) and not source.is_file():
        raise DataError("a folder" if source.is_dir() else "no such file")
    try:
        # Never by its name: libsndfile takes a file beside it, called "._" and the same, for a part
        # of it.
        file: BinaryIO = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
    except OSError as error:
        raise DataError(f"unreadable audio ({type(error).__name__})") from error
    with file:
        found = containers.check_container(file)
        try:
            decoder: Any = _Decoder(found.file)
        except (soundfile.LibsndfileError, OSError, TypeError) as error:
            if found.missing:
                raise Unusable(f"cut off: unreadable; {found.missing}") from error
            if not found.demuxer:
                reason = error.error_string if isinstance(error, soundfile.LibsndfileError) else type(error).__name__
                raise DataError(f"unreadable audio ({reason})") from error
            file.seek(0)
            decoder = _FFmpeg(file, found.demuxer)
        with decoder:
            if not 1 <= decoder.channels <= _MAX_CHANNELS:
                raise DataError(f"{decoder.channels} channels; expected 1 to {_MAX_CHANNELS}")
            if not _RATES_HZ[0] <= decoder.samplerate <= _RATES_HZ[1]:
                raise DataError(f"{decoder.samplerate} samples a second; expected {_RATES_HZ[0]} to {_RATES_HZ[1]}")
            said_s = decoder.header_s
            yield Stream(
                decoder.samplerate, decoder.channels, said_s, decoder.any_scale, _checked(decoder, found.missing)
            )


def survey_channels(sound: Stream) -> Survey:
    """Decode a recording once to learn its scale, and which of its channels carry sound.

    Raises:
      Unusable: samples are far beyond full scale, and no whole numbers.
    """
    shape = (sound.channels, sound.channels)
    together, alone, apart = np.zeros(shape), np.zeros(sound.channels), np.zeros(shape)
    peak, whole = 0.0, True
    with suppress(DataError):  # what comes before a break tells as much
        for block in sound.blocks:
            gram = block.astype(np.float64).T @ block.astype(np.float64)
            energy = gram.diagonal()
            together += gram
            alone = np.maximum(alone, energy)
            # apart[i, j]: energy in channel i that no multiple of channel j explains
            apart = np.maximum(apart, energy[:, None] - gram**2 / np.maximum(energy, 1e-30))
            peak = max(peak, float(np.abs(block).max(initial=0)))
            whole = whole and bool((block == np.rint(block)).all())
    far_over = sound.any_scale and peak > _MOST_OVER
    full_scale = next((scale for scale in _INTEGER_SCALES if peak <= scale), 0.0) if far_over else 1.0
    if full_scale != 1 and not (whole and full_scale):
        raise Unusable(
            f"bad scale: samples reach {peak:.4g}, expected at most 1; and they are no whole numbers, which would tell "
            "what full scale is"
        )
    loudest = int(np.argmax(alone))
    heard = alone > _FAINT * alone[loudest]
    one_voice = bool((apart[:, loudest] <= _FAINT * alone[loudest]).all())
    # A sum, since a mean of many channels would bury a voice that is in one of them; copies are
    # added in phase.
    inverted = together[loudest] < -0.5 * np.sqrt(together[loudest, loudest] * together.diagonal())
    weights = np.where(heard, np.where(inverted, -1.0, 1.0), 0.0)
    level = float(weights @ together @ weights)
    if one_voice or level <= 0:
        weights = np.eye(sound.channels)[loudest]
    else:
        weights *= min(1.0, float(np.sqrt(together[loudest, loudest] / level)))
    return Survey(full_scale, loudest, one_voice, weights.astype(np.float32))


def read(source: Path | bytes) -> np.ndarray:
    """Decode a file (WAV, FLAC, Ogg, MP3, NIST; more with PyAV) to float32 samples (N,) at 16 kHz.

    Channels are mixed as `survey_channels` says.

    Raises:
      DataError: unreadable, cut off, no samples, more than 8 channels, or samples that are not
        finite.
    """
    with ExitStack() as stack:
        sound = stack.enter_context(open_stream(source))
        seen = survey_channels(sound) if sound.channels > 1 or sound.any_scale else None
        if seen:
            sound = stack.enter_context(open_stream(source))
        blocks = [block @ seen.mix / np.float32(seen.full_scale) if seen else block[:, 0] for block in sound.blocks]
    if not blocks:
        raise DataError("no samples")
    return resample(np.concatenate(blocks), sound.rate_hz)


def resample(samples: np.ndarray, rate_hz: float) -> np.ndarray:
    """Resample samples (N,) at `rate_hz` to 16 kHz."""
    if rate_hz == RATE_HZ:
        return samples
    return soxr.resample(samples, rate_hz, RATE_HZ).astype(np.float32)


class Resampler:
    """Blocks of samples at `rate_hz` to 16 kHz: together the very samples that `resample` gives."""

    def __init__(self, rate_hz: float) -> None:
        self._stream = None if rate_hz == RATE_HZ else soxr.ResampleStream(rate_hz, RATE_HZ, 1, dtype="float32")

    def __call__(self, samples: np.ndarray, *, last: bool = False) -> np.ndarray:
        """The next samples (N,), some of them held back until more come or these are the last."""
        return samples if self._stream is None else self._stream.resample_chunk(samples, last=last)


def encode_flac(samples: np.ndarray) -> bytes:
    """Encode as canonical FLAC: 16 kHz, mono, 16-bit, no tags, no picture, no time; the same
    samples give the same bytes.
    """
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1, 1), RATE_HZ, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def _checked(decoder: Any, missing: str) -> Iterator[np.ndarray]:
    """The blocks of a decoder, and the error that is due where they end."""
    n_frames = 0
    for block in decoder.blocks():
        if not np.isfinite(block).all():
            raise DataError("samples that are not finite")
        n_frames += len(block)
        yield block
    if missing:
        raise Unusable(f"cut off: after {n_frames / decoder.samplerate:.1f} s; {missing}")
    end_s = max(decoder.end_s, n_frames / decoder.samplerate)
    if decoder.header_s is not None and not decoder.header_s - end_s <= decoder.slack_s:
        raise Unusable(f"cut off: {end_s:.1f} s of the {decoder.header_s:.1f} s in its header")


class _Virtual:
    """A file for libsndfile, which looks for places before its beginning where a header is damaged."""

    def __init__(self, file: BinaryIO | io.RawIOBase) -> None:
        self._file = file
        self.read, self.readinto, self.tell = file.read, file.readinto, file.tell  # type: ignore[union-attr]

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)
        except (ValueError, OSError):
            return self._file.tell()


class _Decoder(soundfile.SoundFile):
    """libsndfile, read to the end."""

    header_s: float | None
    slack_s: float
    any_scale: bool
    end_s = 0.0

    def __init__(self, file: BinaryIO | io.RawIOBase) -> None:
        super().__init__(_Virtual(file))
        said_s = self.frames / self.samplerate
        self.header_s = said_s if said_s < _KNOWN_S else None
        self.slack_s = 0.0 if self.format == "FLAC" else _SLACK_S
        self.any_scale = self.subtype in ("FLOAT", "DOUBLE")

    def seekable(self) -> bool:
        """Else each read ends with a seek to where it is, which lets an MP3 decoder forget what it
        needs.
        """
        return False

    def blocks(self) -> Iterator[np.ndarray]:
        n_frames = 0
        while True:
            block = np.empty((_BLOCK, self.channels), np.float32)
            try:
                n_read = self.buffer_read_into(block, "float32")
            except soundfile.LibsndfileError as error:
                at_s = n_frames / self.samplerate
                raise Unusable(f"cut off: unreadable after {at_s:.1f} s ({error.error_string})") from error
            if n_read == 0:
                return
            n_frames += n_read
            yield block[:n_read]


class _FFmpeg:
    """FFmpeg through PyAV, for what phones and browsers write."""

    slack_s = _SLACK_S
    any_scale = False

    def __init__(self, file: BinaryIO, demuxer: str) -> None:
        try:
            import av  # noqa: PLC0415  an extra
        except ImportError:
            raise DataError(
                f"a format ({demuxer}) that needs PyAV, which is not installed. Run: pip install 'speechpriv[formats]'"
            ) from None
        self._av = av
        try:
            self._container = av.open(file, format=demuxer)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise DataError(f"unreadable audio ({type(error).__name__} of {demuxer})") from error
        if not self._container.streams.audio:
            self._container.close()
            raise DataError(f"no sound in it ({demuxer})")
        self._sound = self._container.streams.audio[0]
        self.samplerate, self.channels = self._sound.rate, self._sound.channels
        if not (self.samplerate or 0) > 0:
            self._container.close()
            raise DataError(f"no sampling rate in it ({demuxer})")
        self.end_s = 0.0  # by time stamps: pauses may be left out
        self.header_s = self._header_s(demuxer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def _header_s(self, demuxer: str) -> float | None:
        if demuxer in ("aac", "amr"):  # bare frames: it would be a guess by their size
            return None
        if self._sound.duration:
            return float(self._sound.duration * self._sound.time_base)
        # With pictures, it may be their length.
        length = self._container.duration if len(self._container.streams) == 1 else None
        return length / 1e6 if length else None

    def blocks(self) -> Iterator[np.ndarray]:
        av, sound = self._av, self._sound
        planes = av.AudioResampler(format="fltp", layout=sound.layout.name, rate=self.samplerate)
        n_frames = 0
        try:
            for packet in self._container.demux(self._sound):
                if packet.is_corrupt:
                    raise Unusable(f"cut off: unreadable after {n_frames / self.samplerate:.1f} s (a part is missing)")
                for frame in packet.decode():
                    if frame.time is not None:
                        self.end_s = max(self.end_s, frame.time + frame.samples / frame.sample_rate)
                    for plane in planes.resample(frame):
                        block = np.ascontiguousarray(plane.to_ndarray().T)
                        n_frames += len(block)
                        yield block
        except (av.FFmpegError, ValueError) as error:
            at_s = n_frames / self.samplerate
            raise Unusable(f"cut off: unreadable after {at_s:.1f} s ({type(error).__name__})") from error
