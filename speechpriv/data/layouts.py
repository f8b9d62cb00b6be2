"""Corpora whose files and folders say who speaks and what: one function a layout, as their makers
unpack them.

Each function takes the folder and yields its rows; see docs/sources.md for what each expects.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from speechpriv.data import rows
from speechpriv.data.rows import Found, Roots

SUFFIXES = (
    ".flac", ".wav", ".mp3", ".ogg", ".opus", ".m4a", ".mp4", ".aac", ".webm", ".sph", ".aiff", ".amr",
    ".3gp", ".wma",
)  # fmt: skip
TEXTS = (".txt", ".lab")
_TIMIT_SAMPLES = re.compile(r"^\d+\s+\d+\s+")  # first and last sample, before the words
_COMMAND = re.compile(r"(\w+)_nohash_\d+")


def read_librispeech(roots: Roots) -> Found:
    """Read LibriSpeech: SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt beside one recording a line."""
    for file in sorted(roots.corpus.glob("**/*.trans.txt")):
        for name, text in rows.read_pairs(file):
            yield rows.make_row(roots, _recording(file.parent / name), name.partition("-")[0], text)


def read_libritts(roots: Roots) -> Found:
    """Read LibriTTS: SPEAKER_CHAPTER_..._....wav beside a .normalized.txt of the same name."""
    for file in sorted(roots.corpus.glob("**/*.normalized.txt")):
        name = file.name.removesuffix(".normalized.txt")
        yield rows.make_row(roots, _recording(file.with_name(name)), name.partition("_")[0], _text(file))


def read_mls(roots: Roots) -> Found:
    """Read Multilingual LibriSpeech: PART/transcripts.txt, recordings in PART/audio/SPEAKER/BOOK/."""
    for file in sorted(roots.corpus.glob("**/transcripts.txt")):
        for name, text in rows.read_pairs(file):
            speaker, book = (*name.split("_"), "", "")[:2]
            yield rows.make_row(roots, _recording(file.parent / "audio" / speaker / book / name), speaker, text)


def read_voxforge(roots: Roots) -> Found:
    """Read VoxForge: USER-DATE-CODE/etc/PROMPTS, recordings in wav/ or flac/ beside etc/."""
    for file in sorted(roots.corpus.glob("**/etc/PROMPTS")):
        session = file.parents[1]
        for name, text in rows.read_pairs(file):
            stem = name.rpartition("/")[2]
            found = (_beside(session / kind / stem) for kind in ("wav", "flac"))
            audio = next(filter(None, found), session / "wav" / stem)
            yield rows.make_row(roots, audio, session.name.partition("-")[0], text)


def read_vctk(roots: Roots) -> Found:
    """Read VCTK: txt/SPEAKER/NAME.txt, and wav48*/SPEAKER/NAME, of two microphones the first."""
    for file in sorted(roots.corpus.glob("**/txt/*/*.txt")):
        corpus, speaker = file.parents[2], file.parent.name
        names = (file.stem, f"{file.stem}_mic1", f"{file.stem}_mic2")
        found = (_beside(folder / speaker / name) for folder in sorted(corpus.glob("wav48*")) for name in names)
        audio = next(filter(None, found), corpus / "wav48" / speaker / file.stem)
        yield rows.make_row(roots, audio, speaker, _text(file))


def read_timit(roots: Roots) -> Found:
    """Read TIMIT: PART/DIALECT/SPEAKER/NAME.WAV and .TXT, in either case of letters."""
    for file, audio in with_text(roots.corpus, (".txt",)):
        yield rows.make_row(roots, audio, file.parent.name, _TIMIT_SAMPLES.sub("", _text(file)))


def read_text_files(roots: Roots) -> Found:
    """Read recordings with a text file of the same name beside each; who speaks is the folder's
    name.
    """
    for file, audio in with_text(roots.corpus, TEXTS):
        yield rows.make_row(roots, audio, file.parent.name, _text(file))


def read_speech_commands(roots: Roots) -> Found:
    """Read Speech Commands as it is unpacked: WORD/SPEAKER_nohash_NUMBER.wav."""
    for file in sorted(roots.corpus.glob("**/*_nohash_*.wav")):
        if speaker := _COMMAND.fullmatch(file.stem):
            yield rows.make_row(roots, file, speaker[1], file.parent.name)


def read_ljspeech(roots: Roots) -> Found:
    """Read LJSpeech: metadata.csv with NAME|TEXT|SPELLED OUT and wavs/NAME.wav; one person reads it
    all.
    """
    with rows.open_text(roots.corpus / "metadata.csv") as lines:
        for line in lines:
            name, *texts = line.strip().split("|")
            if name:
                text = next((text for text in reversed(texts) if text), "")
                yield rows.make_row(roots, _recording(roots.corpus / "wavs" / name), roots.corpus.name, text)


def is_ljspeech(root: Path) -> bool:
    """Return whether a folder's metadata.csv is LJSpeech's, whose columns have bars between them
    and no names.
    """
    file = root / "metadata.csv"
    if not ((root / "wavs").is_dir() and file.is_file()):
        return False
    with rows.open_text(file) as lines:
        return "|" in next(iter(lines), "")


def with_text(root: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[Path, Path]]:
    """Find text files with a recording of the same name beside them."""
    for file in sorted(root.rglob("*")):
        if file.suffix.lower() in suffixes and (audio := _beside(file.with_suffix(""))):
            yield file, audio


def _beside(stem: Path) -> Path | None:
    """The recording of this name, whatever its suffix and its case."""
    for suffix in SUFFIXES:
        for spelled in (suffix, suffix.upper()):
            if (file := stem.with_name(stem.name + spelled)).is_file():
                return file
    return None


def _recording(stem: Path) -> Path:
    """The recording of this name, or, where there is none, the name that a message may tell."""
    return _beside(stem) or stem.with_name(f"{stem.name}.*")


def _text(file: Path) -> str:
    with rows.open_text(file) as lines:
        return " ".join(" ".join(lines).split())
