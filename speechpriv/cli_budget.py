"""What has been spent on a corpus: the command `budget`, see cli.py."""

from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table


def budget(
    corpus: Annotated[Path, typer.Argument(help="Recordings' folder or hub id, a run directory, or a ledger file.")],
    *,
    backup: Annotated[Path | None, typer.Option(metavar="FILE", help="Copy the ledger to a new file.")] = None,
    bundle: Annotated[Path | None, typer.Option(help="See that the ledger still holds what this bundle names.")] = None,
) -> None:
    """Return what has been spent on a corpus, by run, and what is left of its budget.

    Copies of a corpus share its ledger; a moved or filtered one is known by its recordings, other
    recordings of the same people by their names. Of a ledger that was replaced by an older copy,
    bundles know: --bundle asks one.
    """
    from speechpriv.train import spending

    path = spending.find_ledger(corpus)
    found = spending.read_ledger(path)
    if bundle:
        print(f"row {spending.row_of(path, bundle)} is the newest that {bundle} was trained under")
    if backup:
        spending.back_up_ledger(path, backup)
    print(f"{path.name}: every private run on these recordings")
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("run", overflow="fold")
    for name in ("per", "drawn"):
        table.add_column(name, no_wrap=True)
    for name in ("steps", "epsilon", "so far", "delta"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for one in found.runs:
        run = one.run
        so_far = "-" if one.so_far is None else f"{one.so_far:.3f}"
        steps = f"{run.recorded_steps}/{run.planned_steps}"
        table.add_row(
            run.run_id, run.unit, run.sampled, steps, f"{one.epsilon:.3f}", so_far, f"{run.delta:g}", run.state
        )
    Console().print(table)
    if found.composed is None:
        print("The runs protect different units: their guarantees do not add up, and no one epsilon holds for all.")
    else:
        print(
            f"all together: epsilon {found.composed:.3f} at delta {found.delta:g}; a run counts in full once it opens"
        )
    if found.limit is None:
        print("no budget is set: privacy.budget_epsilon sets one for this run and all later ones")
    elif found.room is not None:
        left = max(0.0, found.limit.epsilon - (found.composed or 0.0))
        print(
            f"budget: epsilon {found.limit.epsilon:g} at delta {found.limit.delta:g}; left {left:.3f}, enough for one "
            f"more run with an epsilon of {found.room:.3f} by itself"
        )
