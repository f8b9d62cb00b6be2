"""The command line: thin; each command gathers its inputs, calls one function and prints what it returns."""

import json
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from speechpriv import cli_budget, cli_canary, packaged, store
from speechpriv import config as configs
from speechpriv.errors import ConfigError, SpeechprivError
from speechpriv.progress import console

# What needs torch is imported inside the commands, so that help and checks answer at once.

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
app.add_typer(cli_canary.app, name="canary")
app.command()(cli_budget.budget)

Name = Annotated[
    str, typer.Argument(metavar="CONFIG", help="A YAML file, or the name of one that `speechpriv ls` lists.")
]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="For example privacy.epsilon=4.")]
Runs = Annotated[Path, typer.Option(help="Where run directories are kept.")]
Recipe = Annotated[str | None, typer.Option(help="Your own copy of a recipe, instead of the one the config names.")]
RunDir = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory, as `speechpriv run` prints it.")]
Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="An exported bundle: RUN/release/bundle.")]

_EPSILONS = "0.5,1,2,4,8,16,inf"
_ERROR = 3  # an exit code; verdicts have 0 to 2


@app.callback()
def root() -> None:
    """Train a speech recogniser on people's recordings so that the people stay private, and prove it.

    Start with [bold]speechpriv run assistant[/bold]: synthetic people, nothing to download. Then look at your own
    recordings: [bold]speechpriv cp commands.yaml mine.yaml[/bold], then
    [bold]speechpriv validate mine.yaml data.path=PATH[/bold] and
    [bold]speechpriv run mine.yaml data.path=PATH[/bold]. The same command again skips what is done and takes up
    what was killed.
    """


@app.command()
def run(name: Name, overrides: Overrides = None, runs: Runs = Path("runs"), recipe: Recipe = None) -> None:
    """Run a whole recipe; the run directory is printed last."""
    print(_run(name, overrides, runs, recipe))


@app.command()
def prepare(name: Name, overrides: Overrides = None, runs: Runs = Path("runs"), recipe: Recipe = None) -> None:
    """Run the first stages only: take in, scrub, disguise."""
    print(_run(name, overrides, runs, recipe, until="prepare"))


@app.command()
def train(name: Name, overrides: Overrides = None, runs: Runs = Path("runs"), recipe: Recipe = None) -> None:
    """Run up to the private training and its non-private baseline."""
    print(_run(name, overrides, runs, recipe, until="train"))


@app.command()
def export(name: Name, overrides: Overrides = None, runs: Runs = Path("runs"), recipe: Recipe = None) -> None:
    """Run up to the exported bundle; the gate refuses a model without a PASS."""
    print(_run(name, overrides, runs, recipe, until="export"))


@app.command()
def curve(
    name: Name,
    overrides: Overrides = None,
    runs: Runs = Path("runs"),
    recipe: Recipe = None,
    *,
    epsilons: Annotated[str, typer.Option(help="With commas between; inf is training without privacy.")] = _EPSILONS,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings at each epsilon.")] = 3,
    figures: Annotated[
        str | None, typer.Option(help="public or private: whose people these are; synthetic ones need no word.")
    ] = None,
) -> None:
    """Draw accuracy against epsilon, as picture and CSV: prepared once, trained at each epsilon, nothing audited.

    Such a curve looks at the people many times, which no ledger counts and no claim covers. So it is drawn of
    synthetic people, or of people whose recordings are public ([bold]--figures public[/bold]). Of others it stays in
    the run's private/ ([bold]--figures private[/bold]), and what is chosen by it is chosen by looking at them.

    The same command again goes on where it was killed; more seeds or epsilons are added to what is there.
    """
    path = packaged.find_file(name)
    config = configs.load(path, overrides or ())
    wanted = _wanted(epsilons)
    if not isinstance(config, configs.PipelineConfig):
        raise ConfigError(f"{path}: recipe {config.recipe!r} trains on nobody: there is no epsilon to draw.")
    if figures not in (("public", "private", None) if config.data.synthetic else ("public", "private")):
        raise ConfigError(
            f"curve: --figures is {figures}; expected public or private, as people are not synthetic. No claim "
            "covers the figures: say `private` and they are written to private/, `public` only if the recordings are."
        )
    of_recipe = packaged.find_file(recipe) if recipe else packaged.find_packaged(f"{config.recipe}.py")
    with _held(path, config, runs) as run_dir:
        out_dir = run_dir / ("private" if figures == "private" else "release")
        found = packaged.load_functions(of_recipe, "main", "learn")
        packaged.load_recipe(packaged.find_packaged("curve.py"))(config, run_dir, found, wanted, seeds, out_dir)
    print(out_dir / "curve.svg")


@app.command("ls")
def list_packaged() -> None:
    """List the configs and recipes that come with speechpriv."""
    table = Table(box=None, show_header=False)
    for path in packaged.list_packaged():
        table.add_row(f"{path.parent.name}/{path.name}", packaged.read_headline(path))
    Console().print(table)


@app.command("cp")
def copy(name: str, destination: Path) -> None:
    """Copy a packaged config or recipe to where you can change it."""
    print(packaged.copy_file(name, destination))


@app.command()
def validate(name: Name, overrides: Overrides = None, *, schema: bool = False) -> None:
    """Check a config without running it, and print it with every default filled in (--schema: every setting).

    Of recordings, the first thousand rows are read as a run would: their layout, people and hours, and what would be
    set aside and why, go to the error stream.
    """
    config = configs.load(packaged.find_file(name), overrides or ())
    print(json.dumps(type(config).model_json_schema() if schema else config.model_dump(mode="json"), indent=2))
    if isinstance(config, configs.PipelineConfig) and not config.data.synthetic and not schema:
        from speechpriv.data import ingest, preview

        seen = preview.preview_corpus(ingest.IngestConfig(data=config.data, seed=config.seed))
        for line in seen.lines():
            console.print(line, markup=False, highlight=False, soft_wrap=True)


@app.command()
def audit(
    run_dir: RunDir,
    artefact: Annotated[Path | None, typer.Option(help="Audit this bundle instead of the run's model.")] = None,
) -> None:
    """Print the audit's verdict as JSON; exit code 0 PASS, 1 FAIL, 2 INCONCLUSIVE, 3 for an error."""
    from speechpriv.audit import stage, verdict

    private = run_dir / "private"
    config = _config_of(run_dir)
    settings = stage.AuditStageConfig(audit=config.audit, base=config.train.base)
    inputs = {name: private / name for name in ("plant", "survival", "baseline")}
    inputs |= {"people": private / "scrub", "model": artefact or private / "train"}
    if config.privacy.phrases:
        inputs["phrases"] = private / "phrases"
    for path in inputs.values():
        store.require_stage(path)
    done = stage.run(settings, inputs, private / ("audit-artefact" if artefact else "audit"))
    stage.check_weights(done.directory, inputs["model"])  # an older verdict may be about others
    found = json.loads((done.directory / "verdict.json").read_text())
    print(json.dumps(found, indent=2))
    raise typer.Exit(verdict.EXIT_CODES[found["verdict"]])


@app.command()
def scrub(
    run_dir: RunDir,
    review: Annotated[int, typer.Option(help="So many changed rows, and some others, with their words.")] = 0,
) -> None:
    """Return what the scrubber did in a run, in numbers; with --review, rows at random to judge it by.

    --review prints what people said: to this terminal only, and only there.
    """
    from rich.text import Text

    from speechpriv.scrub import review as sheets

    private = run_dir / "private"
    counts = store.require_stage(private / "scrub")["counts"]
    for name, value in counts.items():
        print(f"{name}: {', '.join(f'{kind} {n}' for kind, n in value.items()) if isinstance(value, dict) else value}")
    for row in sheets.sample_rows(private, review) if review else ():
        said = Text()
        for index, word in enumerate(row.words):
            covered = any(first <= index < end for first, end, _, _ in row.found)
            said.append(word, style="bold red" if covered else "").append(" ")
        sure = "" if row.confidence is None else f", least sure place {row.confidence:.0%}"
        Console().print(f"\n[bold]{row.id}[/bold] {row.outcome}{sure}")
        Console().print(Text("  said    "), said, end="\n")
        Console().print(Text(f"  kept    {row.after or '-'}"))
        for first, end, kind, rule in row.found:
            print(f"  found   {kind} at words {first + 1} to {end} ({rule})")


@app.command()
def report(
    run_dirs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="One run; several with --compare.")],
    *,
    compare: Annotated[bool, typer.Option("--compare", help="One page with several runs side by side.")] = False,
    to: Annotated[Path, typer.Option(help="Where --compare writes.")] = Path("comparison.html"),
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Write the report again (HTML, Markdown, JSON); print where the edition is that may be shown.

    The edition with all figures, and recordings to listen to, are beside it in private/.
    """
    from speechpriv.report import page

    if compare != (len(run_dirs) > 1):
        raise ConfigError("report: got several runs; expected one, or --compare with at least two. Name them so.")
    for run_dir in run_dirs:
        _config_of(run_dir)
    path = page.write_comparison(run_dirs, to) if compare else page.write_report(run_dirs[0])
    print(path)
    if show:
        typer.launch(path.resolve().as_uri())


@app.command("runs")
def list_runs(runs: Runs = Path("runs")) -> None:
    """List the runs that are kept, newest first: verdict, claim, accuracy, what has been done."""
    from speechpriv.report import facts, words

    found = sorted(runs.glob("*/private/config.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("run", "verdict", "epsilon", "word accuracy", "done so far"):
        table.add_column(name, overflow="fold")
    for path in found:
        one = facts.read_facts(path.parents[1])
        accuracy = one.figures.get("private", {}).get("word_accuracy")
        table.add_row(
            one.name, words.format_value(one.verdict.get("verdict", "-")),
            words.format_number(one.claim.epsilon) if one.claim else "-",
            "-" if accuracy is None else words.format_percent(accuracy),
            "shipped" if one.bundle else ["-", *one.stages][-1],
        )  # fmt: skip
    Console().print(table if found else f"No runs in {runs}. `speechpriv run CONFIG` makes one.")


Int8 = Annotated[bool, typer.Option("--int8", help="Use model.int8.onnx: smaller and faster.")]


@app.command()
def transcribe(
    bundle: Bundle,
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE...")] = None,
    *,
    mic: Annotated[float | None, typer.Option(min=0.1, max=120, help="Seconds to hear the microphone for.")] = None,
    int8: Int8 = False,
) -> None:
    """Transcribe audio files with an exported model; one line each: file, tab, text."""
    from speechpriv import audio
    from speechpriv.export import microphone, runtime

    if not files and mic is None:
        raise ConfigError("Nothing to transcribe: expected audio files, or --mic SECONDS.")
    transcriber = runtime.Transcriber(bundle, "model.int8.onnx" if int8 else "model.onnx")
    failed = False
    for file in files or ():
        try:
            print(f"{file}\t{transcriber.transcribe([audio.read(file)])[0]}", flush=True)
        except SpeechprivError as error:
            console.print(f"{file}: {error}", style="red", markup=False, soft_wrap=True)
            failed = True
    if mic is not None:
        record = microphone.open_microphone()
        console.print(f"speak now, for {mic:g} s", highlight=False)
        print(f"microphone\t{transcriber.transcribe([record(mic)])[0]}", flush=True)
    raise typer.Exit(_ERROR if failed else 0)


@app.command()
def serve(
    bundle: Bundle,
    uri: Annotated[str, typer.Option(help="Where to listen.")] = "tcp://127.0.0.1:10300",
    *,
    zeroconf: Annotated[str | None, typer.Option(metavar="NAME", help="Be found on the network, by this name.")] = None,
    int8: Int8 = False,
) -> None:
    """Serve an exported model over the Wyoming protocol, for Home Assistant; nothing that is said is logged."""
    from speechpriv.export import wyoming

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    wyoming.serve(bundle, uri, weights="model.int8.onnx" if int8 else "model.onnx", announce=zeroconf)


@app.command()
def verify(
    bundle: Bundle,
    public_key: Annotated[Path | None, typer.Option(help="The publisher's key (PEM); else this machine's own.")] = None,
) -> None:
    """Compare a bundle with its signature; exit code 0 as signed, 1 with each file that is not, 3 for an error.

    Get the key, or its fingerprint, from the publisher by another way than the bundle: whoever can replace the bundle
    can replace a key that lies beside it.
    """
    from speechpriv.export import signature

    key = public_key or signature.own_public_key()
    found = signature.find_changes(bundle, key)
    for problem in found:
        print(problem)
    if found:
        raise typer.Exit(1)
    print(f"as signed by {signature.fingerprint_key(key)}")


def main() -> None:
    """Run the command line: an error is a message and exit code 3, not a traceback."""
    # Read when torch is first imported. By default a thread that waits for another spins, and on a busy machine takes
    # the core that the other one needs: everything took up to 30 times as long
    # (docs/experiments/speed.md#two-threads-beside-other-work).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except SpeechprivError as error:
        told = "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])
        console.print(told, style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(_ERROR)
    except Exception as error:  # noqa: BLE001  nobody knows what the words of such an error quote
        notes = getattr(error, "__notes__", ()) or (_put_aside(error, None),)
        told = "\n".join([f"{type(error).__name__}: a fault of speechpriv's own.", *notes])
        console.print(told, style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(_ERROR)


def _put_aside(error: Exception, folder: Path | None) -> str:
    """Write what may quote people's words, names and files where its owner alone reads it, and say where."""
    number, name = tempfile.mkstemp(prefix="error-", suffix=".log", dir=folder)  # mode 0600
    with open(number, "w", encoding="utf-8", errors="backslashreplace") as file:  # noqa: PTH123  a descriptor
        file.writelines(traceback.format_exception(error))
    return f"Its message may quote people's words: read it in {name}, and show it to nobody who may not hear them."


def _run(name: str, overrides: list[str] | None, runs: Path, recipe: str | None, until: str | None = None) -> Path:
    """Load a config, hold its run directory and call its recipe; at the end say what became of the rows."""
    from speechpriv.report import losses

    path = packaged.find_file(name)
    config = configs.load(path, overrides or ())
    if until is not None and config.recipe != "assistant":
        raise ConfigError(f"{path}: recipe {config.recipe!r} has no stages to stop after. Use `speechpriv run`.")
    with _held(path, config, runs) as run_dir:
        main_of = packaged.load_recipe(
            packaged.find_file(recipe) if recipe else packaged.find_packaged(f"{config.recipe}.py")
        )
        main_of(config, run_dir, **({"until": until} if until else {}))
    losses.print_table(run_dir)
    return run_dir


@contextmanager
def _held(path: Path, config: configs.Config, runs: Path) -> Iterator[Path]:
    """The run directory of a config, made and held for this process."""
    run_dir = runs / f"{path.stem}-{configs.fingerprint(config)}"
    with store.lock_directory(run_dir / "private"):
        import torch

        torch.set_num_threads(config.performance.threads)
        try:
            yield run_dir
        except SpeechprivError:
            raise
        except Exception as error:
            error.add_note(_put_aside(error, run_dir / "private"))
            raise


def _wanted(epsilons: str) -> list[float]:
    """Epsilons from the command line."""
    try:
        found = sorted({float(one) for one in epsilons.split(",")})
    except ValueError:
        found = []
    if not found or not all(one > 0 for one in found):
        raise ConfigError(f"curve: --epsilons is {epsilons!r}; expected positive numbers or inf, as in {_EPSILONS}.")
    return found


def _config_of(run_dir: Path) -> configs.PipelineConfig:
    """The resolved config that a run was made with."""
    path = run_dir / "private" / "config.json"
    if not path.is_file():
        raise ConfigError(f"{run_dir}: not a run directory (no private/config.json). See `speechpriv run`.")
    return configs.PipelineConfig.model_validate_json(path.read_text())
