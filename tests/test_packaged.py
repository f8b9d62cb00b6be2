"""Configs and recipes that come with the package."""

from pathlib import Path

import pytest

from speechpriv import config, packaged
from speechpriv.errors import ConfigError


def test_every_listed_file_says_what_it_is_for() -> None:
    names = [path.name for path in packaged.list_packaged()]
    assert {"assistant.yaml", "commands.yaml", "tiny-en.yaml", "assistant.py", "pretrain.py"} <= set(names)
    assert all(len(packaged.read_headline(path)) > 20 for path in packaged.list_packaged())


@pytest.mark.parametrize("name", ["assistant", "assistant.yaml", "configs/assistant.yaml"])
def test_a_packaged_config_is_found_by_any_of_its_names(name: str, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert packaged.find_file(name).name == "assistant.yaml"


def test_a_users_file_comes_before_a_packaged_one(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("assistant.yaml").write_text("recipe: assistant\n")
    assert packaged.find_file("assistant.yaml") == Path("assistant.yaml")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"assistant\.yaml"):
        packaged.find_file("assitant")


def test_a_copy_never_replaces_a_file(tmp_path: Path) -> None:
    copied = packaged.copy_file("assistant.yaml", tmp_path)
    assert config.load(copied) == config.load(packaged.find_file("assistant"))
    with pytest.raises(ConfigError, match="exists already"):
        packaged.copy_file("assistant.yaml", tmp_path)


def test_a_users_recipe_needs_a_main(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def main(config, run_dir):\n    return run_dir\n")
    (tmp_path / "empty.py").write_text("x = 1\n")
    assert packaged.load_recipe(tmp_path / "mine.py")(None, "here") == "here"
    with pytest.raises(ConfigError, match="main"):
        packaged.load_recipe(tmp_path / "empty.py")
