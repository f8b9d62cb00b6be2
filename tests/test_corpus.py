import hmac
import json
import subprocess
import sys

import datasets
import numpy as np
import pytest

from speechpriv import audio, corpus
from speechpriv.corpus import Row
from speechpriv.errors import DataError

KEY = bytes(range(32))


def row(number, unit=None, split="train"):
    samples = (0.1 * np.random.default_rng(number).standard_normal(1_600 + number)).astype(np.float32)
    unit = f"u{number % 3}" if unit is None else unit
    return Row(f"id{number:03d}", unit, split, audio.encode_flac(samples), f"word {number} é", len(samples) / 16_000)


def rows(count):
    return [row(number, split="test" if number % 3 == 2 else "train") for number in range(count)]


def same(found, expected):
    found, expected = list(found), list(expected)
    assert [(r.id, r.unit, r.split, r.flac, r.text) for r in found] == [
        (r.id, r.unit, r.split, r.flac, r.text) for r in expected
    ]
    np.testing.assert_allclose([r.seconds for r in found], [r.seconds for r in expected], rtol=1e-6)


def test_rows_come_back_as_they_were_written(tmp_path):
    written = corpus.write(rows(7), tmp_path, lineage="abc")
    assert len(written) == 7
    same(written.rows(), rows(7))
    same([written[index] for index in (0, 6)], [rows(7)[0], rows(7)[6]])
    again = corpus.read(tmp_path)
    assert again.lineage == written.lineage == "abc"
    same(again.rows(), rows(7))


def test_samples_are_those_of_the_flac(tmp_path):
    written = corpus.write(rows(2), tmp_path, lineage="abc")
    np.testing.assert_array_equal(written[1].samples(), audio.read(rows(2)[1].flac))


def test_splits_and_units(tmp_path):
    written = corpus.write(rows(7), tmp_path, lineage="abc")
    same(written.rows("test"), [r for r in rows(7) if r.split == "test"])
    same(written.rows("train"), [r for r in rows(7) if r.split == "train"])
    assert written.units("train") == {"u0": [0, 3, 6], "u1": [1, 4]}
    assert list(written.units("train")) == ["u0", "u1"]
    assert written.units("test") == {"u2": [2, 5]}
    same([written[index] for index in written.units("test")["u2"]], written.rows("test"))


def test_a_unit_of_both_splits_is_told_apart_by_row(tmp_path):
    written = corpus.write([row(0, "u"), row(1, "u", "test")], tmp_path, lineage="abc")
    assert (written.units("train"), written.units("test")) == ({"u": [0]}, {"u": [1]})


def test_order_is_that_of_the_key(tmp_path):
    written = corpus.write(rows(40), tmp_path / "a", lineage="abc", order_key=KEY)
    expected = sorted(rows(40), key=lambda r: hmac.digest(KEY, r.id.encode(), "sha256"))
    same(written.rows(), expected)
    assert [r.id for r in expected] != [r.id for r in rows(40)]
    backwards = corpus.write(rows(40)[::-1], tmp_path / "b", lineage="abc", order_key=KEY)
    same(backwards.rows(), expected)  # nothing of the order they came in
    other = corpus.write(rows(40), tmp_path / "c", lineage="abc", order_key=KEY[::-1])
    assert [r.id for r in other.rows()] != [r.id for r in expected]


@pytest.mark.parametrize("key", [None, KEY])
def test_rows_are_taken_one_at_a_time_and_more_than_a_buffer_of_them(tmp_path, key):
    taken = []

    def stream():
        for number in range(600):
            taken.append(number)
            yield row(number)

    written = corpus.write(stream(), tmp_path, lineage="abc", order_key=key)
    assert len(written) == len(taken) == 600
    assert {r.id for r in written.rows()} == {f"id{number:03d}" for number in range(600)}


def test_only_the_table_and_its_lineage_are_left(tmp_path):
    corpus.write(rows(3), tmp_path, lineage="abc", order_key=KEY)
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {"corpus.json", "table/state.json", "table/dataset_info.json"} < names
    assert names - {"corpus.json", "table/state.json", "table/dataset_info.json"} == {"table/data-00000-of-00001.arrow"}
    assert json.loads((tmp_path / "corpus.json").read_text()) == {"lineage": "abc"}
    assert not any(str(tmp_path).encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_it_is_a_plain_hugging_face_table(tmp_path):
    corpus.write(rows(3), tmp_path, lineage="abc")
    table = datasets.load_from_disk(str(tmp_path / "table"))
    assert table.column_names == ["id", "unit", "split", "audio", "text", "seconds"]
    assert table.features["audio"] == datasets.Audio(decode=False)
    assert table[1]["audio"] == {"bytes": rows(3)[1].flac, "path": None}


def test_a_corpus_is_written_from_another_and_the_first_stays(tmp_path):
    first = corpus.write(rows(5), tmp_path / "a", lineage="abc")
    second = corpus.write(first.rows("train"), tmp_path / "b", lineage=first.lineage)
    same(second.rows(), [r for r in rows(5) if r.split == "train"])
    same(corpus.read(tmp_path / "a").rows(), rows(5))


def test_the_same_rows_are_the_same_bytes(tmp_path):
    """Else all that is made from a corpus would be made again."""

    def content(name):
        corpus.write(rows(5), tmp_path / name, lineage="abc", order_key=KEY)
        files = (path for path in (tmp_path / name).rglob("*") if path.is_file())
        return {str(path.relative_to(tmp_path / name)): path.read_bytes() for path in files}

    assert content("one") == content("two")


def test_no_row_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no row is left"):
        corpus.write([], tmp_path / "empty", lineage="abc")


def test_an_error_of_the_stream_is_the_error_that_is_seen(tmp_path):
    def stream():
        yield row(0)
        raise DataError("the source broke off")

    with pytest.raises(DataError, match="the source broke off"):
        corpus.write(stream(), tmp_path, lineage="abc")
    with pytest.raises(DataError, match="not a corpus"):
        corpus.read(tmp_path)


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"lineage": "abc"}'])
def test_what_is_no_corpus_says_so(tmp_path, content):
    if content is not None:
        (tmp_path / "corpus.json").write_text(content)
    with pytest.raises(DataError, match=r"not a corpus.*expected corpus.json and table/"):
        corpus.read(tmp_path)


def test_a_damaged_table_says_so(tmp_path):
    corpus.write(rows(3), tmp_path, lineage="abc")
    (tmp_path / "table" / "data-00000-of-00001.arrow").write_bytes(b"nonsense")
    with pytest.raises(DataError, match="not a corpus"):
        corpus.read(tmp_path)


def test_writing_draws_no_progress_bar(tmp_path):
    """Progress is the command line's business: a library that prints spoils what others print."""
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from test_corpus import rows; from speechpriv import corpus\n"
        "corpus.write(rows(3), Path(sys.argv[1]), lineage='abc')\n"
    )
    here = str(__file__).rpartition("/")[0]
    command = [sys.executable, "-c", script, str(tmp_path), here]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
