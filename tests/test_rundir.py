"""The runner that recipes call, and how a run begins."""

import pytest

from speechpriv import config, packaged, store
from speechpriv.config import PerformanceConfig
from speechpriv.errors import ModelError
from speechpriv.rundir import Run, RunDir
from speechpriv.sections import Section


class Nothing(Section):
    """Settings of a stage that has none."""


@store.stage(version=1)
def copied(settings, inputs, out_dir, *, key, device="none", on_row=store.ignore_progress):
    (out_dir / "copy").write_bytes(inputs["before"].read_bytes() + key + device.encode())
    on_row(1)
    return {"rows": 1}


@pytest.fixture
def run(tmp_path):
    return Run(RunDir.at(tmp_path), PerformanceConfig(device="cpu"))


def test_a_stage_gets_its_key_its_device_and_what_other_stages_left(run, tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    first = run.stage("first", copied, Nothing(), {"before": tmp_path / "file"}, key="a")
    second = run.stage("second", copied, Nothing(), {"before": first / "copy"}, key="b", total=1)
    assert second.directory == tmp_path / "private" / "second"
    keys = [(tmp_path / "private" / "keys" / name).read_bytes() for name in "ab"]
    assert (second / "copy").read_bytes() == b"x" + keys[0] + b"cpu" + keys[1] + b"cpu"
    again = run.stage("second", copied, Nothing(), {"before": first / "copy"}, key="b")
    assert again.up_to_date


def test_keys_that_are_destroyed_are_gone(run):
    made = run.folder.key("noise")
    run.folder.destroy("noise", "never made")
    assert not (run.folder.keys / "noise").exists()
    assert run.folder.key("noise") != made


def test_a_base_that_cannot_learn_is_refused_before_anything_is_written(tmp_path):
    settings = config.load(packaged.find_packaged("assistant.yaml"), [f"train.base={tmp_path / 'nothing'}"])
    with pytest.raises(ModelError, match="its config cannot be read"):
        packaged.load_recipe(packaged.find_packaged("assistant.py"))(settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()
