"""What is told while a stage runs: at a terminal, in a log, and for TensorBoard."""

import io

import pytest
from rich.console import Console

from speechpriv import progress
from speechpriv.errors import ConfigError

SEEN = {"step": 5, "epsilon": 3.274, "clipped": 12345, "median_norm": None}


@pytest.fixture
def told(monkeypatch):
    """What is printed, at a terminal or not."""

    def at(*, terminal):
        screen = io.StringIO()
        monkeypatch.setattr(progress, "console", Console(file=screen, force_terminal=terminal, width=100))
        return screen

    return at


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def pass_by(seconds):
        now[0] += seconds

    return pass_by


def test_a_terminal_sees_stage_step_and_epsilon(told):
    screen = told(terminal=True)
    with progress.show_bar("train", 60) as update:
        update(6, 60, SEEN)
    shown = screen.getvalue()
    for part in ("train", "6 of 60", "epsilon so far 3.27 at most", "left"):
        assert part in shown
    assert "12345" not in shown  # what only the owner may know


def test_elsewhere_it_is_plain_lines_half_a_minute_apart(told, clock):
    screen = told(terminal=False)
    with progress.show_bar("train", 60) as update:
        for step in range(1, 31):
            clock(4)
            update(step, 60, SEEN)
    lines = screen.getvalue().splitlines()
    assert lines[0] == "train        begun, 60 steps"
    assert len(lines) == 1 + 120 // 32
    assert lines[1] == "train        8 of 60, epsilon so far 3.27 at most, 3 min 28 s left"
    assert "\x1b" not in screen.getvalue()
    assert "12345" not in screen.getvalue()


def test_a_stage_of_unknown_length_is_shown_too(told, clock):
    screen = told(terminal=False)
    with progress.show_bar("ingest") as update:
        clock(31)
        update(1234)
    assert screen.getvalue().splitlines() == ["ingest       begun", "ingest       1,234"]
    told(terminal=True)
    with progress.show_bar("audit"):
        pass


def test_the_total_may_be_told_later(told):
    screen = told(terminal=True)
    with progress.show_bar("baseline") as update:
        update(3, 40)
    assert "3 of 40" in screen.getvalue()


def test_curves_are_only_written_where_they_are_wanted(told, tmp_path):
    told(terminal=False)
    assert progress.curves_in(tmp_path / "tensorboard", kind="none") is None
    with progress.show_bar("train", 2) as update:
        update(1, 2, SEEN)
    assert list(tmp_path.iterdir()) == []


def test_curves_can_be_read_back_and_their_reader_is_warned(told, tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="no TensorBoard here")
    screen = told(terminal=False)
    directory = progress.curves_in(tmp_path / "tensorboard", kind="tensorboard")
    assert "private, and no epsilon covers them" in screen.getvalue()
    with progress.show_bar("train", 2, curves=directory) as update:
        for step in (1, 2):
            update(step, 2, {**SEEN, "epsilon": step})
    found = events.EventAccumulator(str(directory / "train"))
    found.Reload()
    assert set(found.Tags()["scalars"]) == {"epsilon", "clipped"}
    assert [(event.step, event.value) for event in found.Scalars("epsilon")] == [(1, 1.0), (2, 2.0)]
    assert directory.stat().st_mode & 0o077 == 0 or (directory / "train").stat().st_mode & 0o077 == 0


def test_wanting_curves_without_tensorboard_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(progress.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"speechpriv\[tensorboard\]"):
        progress.curves_in(tmp_path, kind="tensorboard")
