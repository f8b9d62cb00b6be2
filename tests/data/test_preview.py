import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from speechpriv.data import ingest, preview
from speechpriv.errors import DataError
from speechpriv.sections import DataConfig


@pytest.fixture
def folder(tmp_path):
    """Twenty recordings of ten people, one of them silent, and a row without a file."""
    rows = [{"file_name": "gone.wav", "text": "a secret", "user": "p0"}]
    for i in range(20):
        sound = 0.0 if i == 3 else 0.1 * np.random.default_rng(i).standard_normal(8_000)
        soundfile.write(tmp_path / f"{i}.wav", np.zeros(8_000) + sound, 16_000)
        rows.append({"file_name": f"{i}.wav", "text": "marisol said go", "user": f"Marisol{i % 10}"})
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def seen(folder, most_rows=1000, **settings):
    config = ingest.IngestConfig(data=DataConfig(path=str(folder), **settings), seed=1)
    return preview.preview_corpus(config, most_rows)


def test_a_preview_counts_what_ingest_would(folder):
    found = seen(folder)
    assert (found.layout, found.rows, found.kept, found.units) == ("folder", 21, 19, 10)
    assert found.set_aside == {"no such file": 1, "silent": 1}
    assert found.hours == pytest.approx(19 * 0.5 / 3600)
    assert found.is_whole
    assert found.lines()[0].startswith("layout folder; 21 rows: 19 kept, 10 people")


def test_a_preview_stops_after_so_many_rows(folder):
    found = seen(folder, 5)
    assert (found.rows, found.is_whole) == (5, False)
    assert found.lines()[0].startswith("layout folder; first 5 rows")
    assert seen(folder, 21).is_whole


def test_a_preview_names_nobody(folder):
    assert "marisol" not in "".join(seen(folder).lines()).lower()


def test_validate_shows_it_and_writes_nothing(folder, tmp_path_factory):
    here = tmp_path_factory.mktemp("here")
    command = [
        sys.executable,
        "-c",
        "from speechpriv import cli; cli.main()",
        "validate",
        "commands",
        f"data.path={folder}",
    ]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["data"]["path"] == str(folder)
    assert "21 rows: 19 kept, 10 people" in done.stderr
    assert "set aside: 1 silent" in done.stderr
    assert list(here.iterdir()) == []


def test_what_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no such file or directory"):
        seen(tmp_path / "nowhere")
