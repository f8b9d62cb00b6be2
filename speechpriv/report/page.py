"""The report: one self-contained HTML file that a privacy officer, an engineer and a manager can all read.

What only those may see who may hear the recordings is in a second file, `private/listen.html`.
"""

from collections.abc import Sequence
from pathlib import Path

import jinja2

from speechpriv.report import facts as run_facts
from speechpriv.report import listen, summary, view
from speechpriv.report.facts import Facts


def write(run_dir: Path) -> Path:
    """Write `report.html` in `<run_dir>/release`, and beside it `report.md` and `report.json`, from what has run.

    Also writes `private/listen.html`, which stays there.

    Returns:
      The path of the page.

    Raises:
      StageError: there is no such directory, or a file in it is damaged.
    """
    facts = run_facts.read(run_dir)
    path = run_dir / "release" / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path.with_suffix(".md"), summary.markdown(facts))
    _replace(path.with_suffix(".json"), summary.to_json(facts))
    _replace(path, render(facts))
    heard = run_dir / "private" / "listen.html"
    if heard.parent.is_dir():
        clip_norm = facts.claim.clip_norm if facts.claim else None
        shown = listen.of(heard.parent, facts.name, view.unit(facts), clip_norm)
        _replace(heard, _template("listen.html.j2").render(shown), mode=0o600)
    return path


def compare(run_dirs: Sequence[Path], path: Path) -> Path:
    """Write one page with the figures of several runs side by side, and the settings in which they differ.

    Raises:
      StageError: there is no such directory, or a file in it is damaged.
    """
    runs = [run_facts.read(run_dir) for run_dir in run_dirs]
    shown = {"runs": [facts.name for facts in runs], "lines": summary.compare(runs), "settings": view.differing(runs)}
    _replace(path, _template("comparison.html.j2").render(shown))
    return path


def render(facts: Facts) -> str:
    """The page as HTML: it runs no script, fetches nothing and names no path of this machine."""
    return _template("page.html.j2").render(view.of(facts))


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
