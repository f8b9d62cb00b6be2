"""The report: one self-contained HTML file that a privacy officer, an engineer and a manager can all read."""

from importlib import resources
from pathlib import Path

import jinja2

from speechpriv.report import facts as run_facts
from speechpriv.report import view
from speechpriv.report.facts import Facts


def write(run_dir: Path) -> Path:
    """Write `<run_dir>/release/report.html` from whatever stages have run.

    Returns:
      The path of the file.

    Raises:
      StageError: there is no such directory, or a file in it is damaged.
    """
    page = render(run_facts.read(run_dir))
    path = run_dir / "release" / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(".report.html.new")
    temporary.write_text(page, encoding="utf-8")
    temporary.replace(path)
    return path


def render(facts: Facts) -> str:
    """The page as HTML: it runs no script, fetches nothing and names no path of this machine."""
    template = resources.files("speechpriv.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template).render(view.of(facts))
