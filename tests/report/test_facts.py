import json

import pytest

from speechpriv.errors import StageError
from speechpriv.report import facts
from speechpriv.report.facts import Facts


def test_reads_back_what_the_stages_wrote(run_dir, synthetic):
    found, whole = facts.read_facts(run_dir), synthetic()
    for name in (
        "name",
        "config",
        "stages",
        "figures",
        "verdict",
        "released_verdict",
        "exposures",
        "bundle",
        "samples",
        "phrases",
        "rehearsal",
        "wer_by_step",
    ):
        assert getattr(found, name) == json.loads(json.dumps(getattr(whole, name))), name
    assert found.sizes_bytes["model.onnx"] == 12_345
    assert found.claim == whole.claim


def test_an_unfinished_stage_has_not_run(run_dir):
    (run_dir / "private" / "scrub" / "manifest.json").unlink()
    found = facts.read_facts(run_dir)
    assert "scrub" not in found.stages
    assert found.counts("scrub") == {}


def test_an_empty_run_is_empty(tmp_path):
    empty: dict = {
        name: [] for name in ("epsilon_by_step", "wer_by_step", "samples", "phrases", "rehearsal", "disguises")
    }
    assert facts.read_facts(tmp_path) == Facts(tmp_path.name, sizes_bytes={}, **empty)


def test_a_missing_or_damaged_run_is_an_error(run_dir):
    with pytest.raises(StageError, match="no such run directory"):
        facts.read_facts(run_dir / "nowhere")
    for damage in ("{", "[]", "\udcff"):
        path = run_dir / "private" / "audit" / "verdict.json"
        path.write_bytes(damage.encode(errors="surrogateescape"))
        with pytest.raises(StageError, match=r"verdict\.json: (not JSON|expected a JSON dict)"):
            facts.read_facts(run_dir)
