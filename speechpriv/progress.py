"""Progress of long work for people at a terminal; silent where nobody watches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from speechpriv.store import Summary

# Everything but results goes to the error stream, so that standard output can be piped.
console = Console(stderr=True)


@contextmanager
def bar(name: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """A progress bar that yields `update(done)` or `update(done, total)`."""
    columns = (
        TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(name, total=total)

        def update(done: int, new_total: int | None = None) -> None:
            progress.update(task, completed=done, total=total if new_total is None else new_total)

        yield update


def show(name: str, summary: Summary) -> None:
    """One line for a finished stage: its name and public counts."""
    counts = ", ".join(f"{key} {_text(value)}" for key, value in summary.counts.items() if value not in ({}, None))
    state = "[dim]up to date[/dim]" if summary.up_to_date else "[green]done[/green]"
    console.print(f"{name:<12} {state}  {counts}", highlight=False, soft_wrap=True)


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return "(" + ", ".join(f"{key} {_text(inner)}" for key, inner in value.items()) + ")"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
