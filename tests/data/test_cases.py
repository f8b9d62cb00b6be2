"""Faulty and unusual corpora from the field: what ingest makes of each.

They are written by `shared/cases/corpora.py` beside the checkout, of real recordings that this project may not hold;
without these the tests are skipped. The same kinds with synthetic sound: test_layouts.py, test_audio.py and
test_transcripts.py.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from speechpriv import corpus as corpora
from speechpriv.data import ingest, preview, sources
from speechpriv.errors import DataError
from speechpriv.models.spelling import normalise
from speechpriv.sections import DataConfig

SHARED = Path(__file__).parents[3] / "shared"
MAKER, SENTENCES = SHARED / "cases" / "corpora.py", SHARED / "data" / "sentences"
KEY = bytes(32)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    if not (MAKER.is_file() and SENTENCES.is_dir()):
        pytest.skip("needs ../shared/cases and ../shared/data/sentences beside the checkout")
    out = tmp_path_factory.mktemp("cases")
    subprocess.run([sys.executable, MAKER, SENTENCES, out], check=True, capture_output=True)
    return out


def taken_in(path, out, **settings):
    config = ingest.IngestConfig(
        data=DataConfig(path=str(path), max_quarantined=1.0, test_fraction=0.5, **settings), seed=1
    )
    found = ingest.run(config, sources.list_inputs(config.data), out, key=KEY)
    return found.counts, corpora.read(found.directory)


@pytest.mark.parametrize(
    ("name", "kept", "units", "set_aside"),
    [
        ("nemo_duration_without_offset", 10, 10, {}),
        ("nemo_same_offset_two_speakers", 10, 10, {}),
        ("nemo_tarred", 30, 10, {}),
        ("csv_stray_quote", 29, 10, {"bad line": 1}),
        ("csv_backslashes", 30, 10, {}),
        ("csv_utf16", 30, 10, {}),
        ("apostrophes", 30, 10, {}),
        ("kaldi_no_speakers", 30, 30, {}),
        ("kaldi_to_the_end", 30, 10, {}),
        ("mp3_without_xing", 30, 10, {}),
        ("two_people_two_channels", 30, 10, {}),
        ("inverted_channel", 30, 10, {}),
        ("librispeech_as_wav", 30, 10, {}),
        ("lhotse", 30, 10, {}),
        ("unit_spellings", 30, 10, {}),
        ("kaldi_two_channels", 10, 10, {}),
        ("truncated_wav", 20, None, {"cut off": 10}),
        ("path_with_hash/rec #2", 12, 4, {}),  # YAML would read the folder rec instead
        ("path_with_hash/rec", 12, 4, {}),
    ],
)
def test_a_case_from_the_field(cases, tmp_path, name, kept, units, set_aside):
    counts, corpus = taken_in(cases / name, tmp_path / "out")
    assert (counts["rows_kept"], counts["quarantined"]) == (kept, set_aside)
    assert len(corpus) == kept
    if units is not None:
        assert counts["units_train"] + counts["units_test"] == units


def test_a_corpus_of_utterances_as_people_is_warned_of(cases, tmp_path):
    counts, _ = taken_in(cases / "kaldi_no_speakers", tmp_path / "out")
    assert ["30 of 30 units have one utterance" in warning for warning in counts["warnings"]] == [True]


@pytest.mark.parametrize("name", ["nemo_duration_without_offset", "mp3_without_xing", "kaldi_to_the_end"])
def test_sound_is_whole(cases, tmp_path, name):
    _, corpus = taken_in(cases / name, tmp_path / "out")
    assert min(corpus.table["seconds"]) > 1.5  # the sentences take 2 s and more


def test_a_table_without_a_header_is_told_of_without_its_words(cases, tmp_path):
    row = (cases / "csv_no_header" / "metadata.csv").read_text().splitlines()[0].split(",")
    with pytest.raises(DataError, match="no line of column names") as caught:
        taken_in(cases / "csv_no_header", tmp_path / "out")
    assert all(cell not in str(caught.value) for cell in row)


@pytest.mark.parametrize(
    ("name", "kept", "set_aside"),
    [("transcriber_tags", 18, {"untranscribed": 12}), ("already_redacted", 0, {"redacted": 30}), ("digits", 30, {})],
)
def test_marks_in_transcripts(cases, name, kept, set_aside):
    found = preview.preview_corpus(ingest.IngestConfig(data=DataConfig(path=str(cases / name)), seed=1))
    assert (found.kept, found.set_aside) == (kept, set_aside)


def test_tags_are_no_words_and_digits_are_spelled(cases, tmp_path):
    _, corpus = taken_in(cases / "transcriber_tags", tmp_path / "tags")
    words = {word for text in corpus.table["text"] for word in normalise(text).split()}
    assert not words & {"comma", "period", "laughter", "unk", "spoken", "noise", "inaudible", "uh", "hesitation"}
    _, corpus = taken_in(cases / "digits", tmp_path / "digits")
    assert {normalise(text) for text in corpus.table["text"]} == {
        "set a timer for twenty five minutes",
        "it is seven thirty a m",
        "turn it to sixty eight percent",
        "channel four",
        "it costs three dollars and fifty cents",
        "the second of may",
    }


def test_every_apostrophe_is_one(cases, tmp_path):
    _, corpus = taken_in(cases / "apostrophes", tmp_path / "out")
    assert all("don't" in normalise(text).split() for text in corpus.table["text"])
