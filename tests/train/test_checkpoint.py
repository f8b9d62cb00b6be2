import os
import pickle

import pytest
import torch

from speechpriv.errors import StageError
from speechpriv.train import checkpoint

STATE = {"weights": {"a": torch.arange(6.0).reshape(2, 3)}, "done": 7, "history": [{"step": 6, "median_norm": None}]}


def test_what_is_saved_is_loaded(tmp_path):
    checkpoint.save(tmp_path / "c.pt", STATE)
    found = checkpoint.load(tmp_path / "c.pt")
    assert torch.equal(found.pop("weights")["a"], STATE["weights"]["a"])
    assert found == {"done": 7, "history": [{"step": 6, "median_norm": None}]}


def test_no_checkpoint_is_none(tmp_path):
    assert checkpoint.load(tmp_path / "c.pt") is None


@pytest.mark.parametrize("moment", ["save", "fsync", "replace"])
def test_a_kill_while_saving_leaves_the_old_one(tmp_path, monkeypatch, moment):
    path = tmp_path / "c.pt"
    checkpoint.save(path, STATE | {"done": 1})
    original = {"save": torch.save, "fsync": os.fsync, "replace": type(path).replace}[moment]

    def killed(*arguments):
        if moment == "save":  # half of the bytes get out
            arguments[1].write(b"half")
        if moment == "fsync":
            original(*arguments)
        raise KeyboardInterrupt

    owner = {"save": torch, "fsync": os, "replace": type(path)}[moment]
    with monkeypatch.context() as patch:
        patch.setattr(owner, moment, killed)
        with pytest.raises(KeyboardInterrupt):
            checkpoint.save(path, STATE | {"done": 2})
    assert checkpoint.load(path)["done"] == 1
    checkpoint.save(path, STATE | {"done": 3})
    assert checkpoint.load(path)["done"] == 3


@pytest.mark.parametrize("content", [b"", b"half", pickle.dumps({"done": 1})])
def test_a_damaged_file_is_an_error(tmp_path, content):
    (tmp_path / "c.pt").write_bytes(content)
    with pytest.raises(StageError, match=r"c\.pt: damaged"):
        checkpoint.load(tmp_path / "c.pt")


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_file_never_runs_code(tmp_path):
    torch.save({"done": Malicious(tmp_path / "broken in")}, tmp_path / "c.pt")
    with pytest.raises(StageError):
        checkpoint.load(tmp_path / "c.pt")
    assert not (tmp_path / "broken in").exists()
    torch.load(tmp_path / "c.pt", weights_only=False)
    assert (tmp_path / "broken in").exists()  # the attack works where nothing stops it
