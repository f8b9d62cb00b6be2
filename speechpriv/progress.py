"""Progress of long work: a live bar at a terminal, plain lines elsewhere, curves for TensorBoard if
asked for.

Bars and lines show only what may be shown: of what a training sees, epsilon, which is public, and
never its curves.
"""

import importlib.util
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from speechpriv.errors import ConfigError
from speechpriv.store import Summary

# Everything but results goes to the error stream, so that standard output can be piped.
console = Console(stderr=True)
_LINE_EVERY_S = 30.0  # where nobody watches a bar

Update = Callable[..., None]  # (done), (done, total) or (done, total, what was seen)


@contextmanager
def show_bar(name: str, total: int | None = None, *, curves: Path | None = None) -> Iterator[Update]:
    """Show how far a stage is: its name, steps, epsilon so far, time taken and time left.

    Args:
      name: of the stage.
      total: steps; None where it is not known, or not yet.
      curves: a private directory for TensorBoard, see `curves_in`; gets every number that the stage
        tells.
    """
    with ExitStack() as stack:
        tell = stack.enter_context(_live(name, total) if console.is_terminal else _lines(name, total))
        write = stack.enter_context(_tensorboard(curves / name)) if curves else None

        def update(done: int, new_total: int | None = None, seen: Mapping[str, Any] | None = None) -> None:
            tell(done, new_total or total, (seen or {}).get("epsilon"))
            if write:
                write(done, seen or {})

        yield update


@contextmanager
def _live(name: str, total: int | None) -> Iterator[Callable[[int, int | None, float | None], None]]:
    columns = (
        TextColumn("{task.description:<12}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(name, total=total, note="")

        def tell(done: int, of: int | None, epsilon: float | None) -> None:
            progress.update(task, completed=done, total=of, note=_note(done, of, epsilon))

        yield tell


@contextmanager
def _lines(name: str, total: int | None) -> Iterator[Callable[[int, int | None, float | None], None]]:
    """A line every half minute: a log of an hour is two pages."""
    console.print(f"{name:<12} begun" + (f", {total:,} steps" if total else ""), highlight=False)
    last = time.monotonic()
    first: tuple[float, int] | None = None  # when, and what was done then: a training may be taken up in its middle

    def tell(done: int, of: int | None, epsilon: float | None) -> None:
        nonlocal last, first
        now = time.monotonic()
        since, before = first = first or (now, done)
        if now - last < _LINE_EVERY_S:
            return
        last = now
        left = f", {format_clock((now - since) * (of - done) / (done - before))} left" if of and done > before else ""
        console.print(f"{name:<12} {_note(done, of, epsilon)}{left}", highlight=False)

    yield tell


def _note(done: int, total: int | None, epsilon: float | None) -> str:
    place = f"{done:,} of {total:,}" if total else f"{done:,}"
    return place if epsilon is None else f"{place}, epsilon so far {epsilon:.2f} at most"


def format_clock(seconds: float) -> str:
    """Format a time in minutes and whole seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def curves_in(directory: Path, *, kind: Literal["none", "tensorboard"]) -> Path | None:
    """Return where training curves go for TensorBoard, if they are wanted; the reader is told what
    they are.

    Raises:
      ConfigError: TensorBoard is not installed.
    """
    if kind == "none":
        return None
    if importlib.util.find_spec("tensorboard") is None:
        raise ConfigError("performance.curves: TensorBoard is not installed. pip install 'speechpriv[tensorboard]'")
    console.print(
        f"curves: tensorboard --logdir {directory}\n"
        "Curves of a training on people's recordings are private, and no epsilon covers them: show them only to "
        "those who may hear the recordings.", highlight=False, soft_wrap=True,
    )  # fmt: skip
    return directory


@contextmanager
def _tensorboard(directory: Path) -> Iterator[Callable[[int, Mapping[str, Any]], None]]:
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra, and slow to import

    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with SummaryWriter(str(directory)) as writer:

        def write(step: int, seen: Mapping[str, Any]) -> None:
            for name, value in seen.items():
                if name != "step" and value is not None:
                    writer.add_scalar(name, value, step)

        yield write


def show_summary(name: str, summary: Summary) -> Summary:
    """Print a line for a finished stage, its name and counts, and a line for each warning; give
    back what it got.
    """
    counts = ", ".join(
        f"{key} {_text(value)}"
        for key, value in summary.counts.items()
        if value not in ({}, [], None) and key != "warnings"
    )
    state = "[dim]up to date[/dim]" if summary.up_to_date else "[green]done[/green]"
    console.print(f"{name:<12} {state}  {counts}", highlight=False, soft_wrap=True)
    for warning in summary.counts.get("warnings", ()):
        console.print(f"{name:<12} [bold yellow]warning[/bold yellow]  {warning}", highlight=False, soft_wrap=True)
    return summary


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return "(" + ", ".join(f"{key} {_text(inner)}" for key, inner in value.items()) + ")"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
