"""What the documents cite exists."""

import ast
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")], key=str)
TESTS = {
    (path.name, node.name)
    for path in (ROOT / "tests").rglob("test_*.py")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(node, ast.FunctionDef)
}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_cited_tests_exist(document):
    names = {name for _, name in TESTS}
    for file, name in re.findall(r"`(?:(?:\w+/)*(test_\w+\.py): )?(test_\w+)`", document.read_text(encoding="utf-8")):
        assert (file, name) in TESTS if file else name in names, f"{document.name} cites {file} {name}"


def anchors(document):
    """What headings of a Markdown file can be linked by, as GitHub and MkDocs make it."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_linked_files_and_headings_exist(document):
    for link, _, anchor in re.findall(r"\]\((?!http)([^)#]*)(#([^)]*))?\)", document.read_text(encoding="utf-8")):
        target = document.parent / link if link else document
        assert target.exists(), f"{document.name} links {link}"
        assert not anchor or anchor in anchors(target), f"{document.name} links {link}#{anchor}"


def test_experiments_that_the_code_cites_are_there():
    """In comments and docstrings, by file and heading."""
    cited = [
        (path.name, *found)
        for folder in ("speechpriv", "recipes", "tests", "benchmarks", "configs")
        for path in (ROOT / folder).rglob("*.*")
        if path.suffix in {".py", ".md", ".yaml"}
        for found in re.findall(r"(docs/experiments/\w+\.md)#([\w-]+)", path.read_text(encoding="utf-8"))
    ]
    assert len(cited) > 10
    assert [one for one in cited if one[2] not in anchors(ROOT / one[1])] == []


def test_the_picture_of_the_architecture_is_what_the_code_says():
    script = runpy.run_path(str(ROOT / "docs" / "draw_architecture.py"))
    drawn = script["draw"]()
    assert drawn in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert "audit/inference" in drawn
    assert ("train", "audit") not in script["count_imports"]()


def test_the_readme_is_read_in_minutes():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120


def test_the_documents_cite_many_tests():
    """So that a change of notation does not silence the check."""
    cited = re.findall(r"`(?:[\w/]+\.py: )?test_\w+`", (ROOT / "docs" / "pitfalls.md").read_text(encoding="utf-8"))
    assert len(cited) > 50
