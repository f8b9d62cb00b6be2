"""`speechpriv canary`: the audit for a corpus and a model of any other training code."""

import json
from pathlib import Path
from typing import Annotated

import typer

from speechpriv import config as configs
from speechpriv.progress import console

app = typer.Typer(no_args_is_help=True, help="Canaries for a corpus that is trained elsewhere.")

Canaries = Annotated[Path, typer.Argument(metavar="CANARIES", help="What `canary make` wrote.")]


@app.command("make")
def make(
    directory: Annotated[Path, typer.Argument(help="Gets planted/ (to train on) and registry files (keep private).")],
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="Settings of the section `canary`, for example 'kinds=[words, digits]'."
        ),
    ] = None,
    candidates: Annotated[int, typer.Option(help="Phrases; a coin each decides which are planted.")] = 60,
    references: Annotated[int, typer.Option(help="Phrases of the same kind that stay out.")] = 2000,
) -> None:
    """Make canary phrases, throw the coins, and write those to plant as folder + metadata.jsonl.

    The commitment that is shown binds you to this drawing: publish it before you train, and `canary
    score` can be held to it.
    """
    from speechpriv.audit import external

    drawn = [f"candidates={candidates}", f"references={references}", *(settings or ())]
    planted = external.make_canaries(directory, configs.load_canary(drawn))
    console.print(f"commitment: {external.read_commitment(directory)}", highlight=False, soft_wrap=True)
    print(planted)


@app.command("insert")
def insert(
    directory: Canaries,
    corpus: Annotated[Path, typer.Argument(help="A folder with metadata.jsonl; it is not changed.")],
    destination: Annotated[Path, typer.Argument(help="Gets the corpus with the canaries in it.")],
) -> None:
    """Copy a corpus with the planted canaries in it."""
    from speechpriv.audit import external

    print(f"{external.insert_canaries(directory, corpus, destination)} canary recordings inserted into {destination}")


@app.command("score")
def score(
    directory: Canaries,
    model: Annotated[str, typer.Argument(help="The model trained on the corpus with the canaries.")],
    baseline: Annotated[
        str, typer.Option(help="A non-private model trained on the same corpus: the positive control.")
    ],
    base: Annotated[str, typer.Option(help="The model before training.")] = "tiny-en",
    corpus: Annotated[
        str | None, typer.Option(help="What was trained on, after all filters: see that the canaries are in it.")
    ] = None,
    commitment: Annotated[str | None, typer.Option(help="What `canary make` showed: see that it still holds.")] = None,
) -> None:
    """Score canaries on a model trained elsewhere; print the verdict; exit code as `speechpriv
    audit`.

    Models of any family, or exported bundles; one with a claim.json is held to its claim.
    """
    from speechpriv.audit import external, verdict

    found = external.score_model(
        directory, model, baseline, base, configs.AuditConfig(), corpus=corpus, published=commitment
    )
    print(json.dumps(found, indent=2))
    raise typer.Exit(verdict.EXIT_CODES[found["verdict"]])
