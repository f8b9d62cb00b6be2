"""What the documents cite exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")], key=str)
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


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_linked_files_exist(document):
    for link in re.findall(r"\]\((?!http)([^)#]+)", document.read_text(encoding="utf-8")):
        assert (document.parent / link).exists(), f"{document.name} links {link}"


def test_the_documents_cite_many_tests():
    """So that a change of notation does not silence the check."""
    cited = re.findall(r"`(?:[\w/]+\.py: )?test_\w+`", (ROOT / "docs" / "pitfalls.md").read_text(encoding="utf-8"))
    assert len(cited) > 50
