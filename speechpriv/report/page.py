"""The report: one self-contained HTML file that a privacy officer, an engineer and a manager can
all read.

It has two editions: one for everybody, without any figure of training people that no epsilon
covers, and one with all figures, which stays in `private/`. Recordings and curves of training on
them are in a third file, `private/listen.html`.
"""

from collections.abc import Sequence
from pathlib import Path

import jinja2

from speechpriv.report import facts as run_facts
from speechpriv.report import listen, summary, view
from speechpriv.report.facts import Facts

PAGE = "report.html"


def write_report(run_dir: Path) -> Path:
    """Write `report.html` in `<run_dir>/release`, and beside it `report.md` and `report.json`, from
    what has run.

    Also writes the same three with all figures, and `listen.html`, to `private/`; they stay there.

    Returns:
      The path of the page in `release/`.

    Raises:
      StageError: there is no such directory, or a file in it is damaged.
    """
    facts = run_facts.read_facts(run_dir)
    private, release = run_dir / "private", run_dir / "release"
    release.mkdir(parents=True, exist_ok=True)
    _write(run_facts.select_released(facts), release, mode=0o644)
    if private.is_dir():
        _write(facts, private, mode=0o600)
        clip_norm = facts.claim.clip_norm if facts.claim else None
        shown = listen.build_page(private, facts.name, view.name_unit(facts), clip_norm)
        _replace(private / "listen.html", _template("listen.html.j2").render(shown), mode=0o600)
    return release / PAGE


def _write(facts: Facts, directory: Path, mode: int) -> None:
    """One edition: the page, Markdown and JSON."""
    path = directory / PAGE
    _replace(path.with_suffix(".md"), summary.render_markdown(facts), mode)
    _replace(path.with_suffix(".json"), summary.to_json(facts), mode)
    _replace(path, render_page(facts), mode)


def write_comparison(run_dirs: Sequence[Path], path: Path) -> Path:
    """Write one page with the figures of several runs side by side, and the settings in which they
    differ.

    It has all figures, as the edition in `private/`, and only its owner may read it.

    Raises:
      StageError: there is no such directory, or a file in it is damaged.
    """
    runs = [run_facts.read_facts(run_dir) for run_dir in run_dirs]
    shown = {
        "runs": [facts.name for facts in runs],
        "lines": summary.compare_runs(runs),
        "settings": view.find_differing(runs),
    }
    _replace(path, _template("comparison.html.j2").render(shown), mode=0o600)
    return path


def render_page(facts: Facts) -> str:
    """Render the page as HTML, of all facts or of those that may be released.

    It runs no script, fetches nothing and names no path of this machine.
    """
    return _template("page.html.j2").render(view.build_view(facts))


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("speechpriv.report", ""), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template(name)


def _replace(path: Path, content: str, mode: int = 0o644) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.touch(mode)
    temporary.write_text(content, encoding="utf-8")
    temporary.replace(path)
