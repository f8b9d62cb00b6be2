"""No message tells what is in a corpus: words, people, names of files are marked, corpora broken, and all is read."""

import runpy
import shutil
import traceback
from pathlib import Path

import pytest

from speechpriv import progress
from speechpriv.data import ingest, preview, sources
from speechpriv.errors import DataError, SpeechprivError
from speechpriv.sections import DataConfig

MARK = "qx"
_LAYOUTS = runpy.run_path(str(Path(__file__).with_name("test_layouts.py")))["LAYOUTS"]
WRITERS = [write for writers in _LAYOUTS.values() for write in writers]
SAID = [(f"qx{unit}", f"qxthis is {number}") for unit in ("anna", "ben", "cy") for number in ("one", "two")]

FAULTS = {
    "empty": lambda _: b"",
    "cut off": lambda data: data[: len(data) // 2],
    "without its first line": lambda data: data.partition(b"\n")[2],
    "twice": lambda data: data + data,
    "of bytes": lambda data: b"\xffqx\0\n" + data[::-1],
    "with other columns": lambda data: data.replace(b"text", b"utterance").replace(b"speaker", b"who"),
    "with other words": lambda data: data.replace(b"qxthis", b"qxthat\n").replace(b"qxben", b"qxanna"),
    "a folder": lambda _: None,
}


def told(root, out, capfd, caplog):
    """All that is printed, logged or raised when a corpus is looked at and taken in."""
    config = ingest.IngestConfig(data=DataConfig(path=str(root), test_fraction=0.5), seed=1)
    said = []
    try:
        said += preview.preview_corpus(config).lines()
        progress.show_summary("ingest", ingest.run(config, sources.list_inputs(config.data), out, key=bytes(32)))
    except SpeechprivError as error:
        said += traceback.format_exception(error)  # what a script of the user's would print
    printed = capfd.readouterr()
    return "\n".join([*said, printed.out, printed.err, caplog.text]).replace(str(root), "")


def break_all(root, suffix, fault):
    for path in [path for path in root.rglob(f"*{suffix}") if path.is_file() and path.suffix == suffix]:
        broken = fault(path.read_bytes())
        if broken is None:
            path.unlink()
            path.mkdir()
        else:
            path.write_bytes(broken)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # lhotse leaves shards open
@pytest.mark.parametrize("fault", FAULTS)
def test_a_corpus_with_a_fault_is_told_of_without_its_contents(tmp_path, capfd, caplog, monkeypatch, fault):
    for write in WRITERS:
        monkeypatch.setitem(write.__globals__, "SAID", SAID)
        monkeypatch.setitem(write.__globals__, "PEOPLE", tuple(dict.fromkeys(unit for unit, _ in SAID)))
    leaks = []
    for number, write in enumerate(WRITERS):
        whole = tmp_path / f"whole {number}"
        whole.mkdir()
        try:
            write(whole)
        except pytest.skip.Exception:
            continue
        for suffix in sorted({path.suffix for path in whole.rglob("*") if path.is_file()}):
            root = tmp_path / "corpus"
            shutil.copytree(whole, root)
            break_all(root, suffix, FAULTS[fault])
            found = told(root, tmp_path / "out", capfd, caplog)
            leaks += [(write.__name__, suffix, line) for line in found.splitlines() if MARK in line.lower()]
            shutil.rmtree(root)
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
            caplog.clear()
    assert leaks == []


@pytest.mark.parametrize("words", ["qxgo home", "file", "label", "audio"])
def test_a_row_in_place_of_the_column_names_is_not_told(tmp_path, words):
    (tmp_path / "metadata.csv").write_text(f"qxclips/1.wav,{words},qxanna\n" * 3)
    with pytest.raises(DataError, match=r"no line of column names \(3 columns\).*set data.unit_column") as caught:
        list(sources.open_source(DataConfig(path=str(tmp_path))))
    assert MARK not in str(caught.value)
