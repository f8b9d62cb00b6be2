"""How the code reads, as numbers: verbs first, names of several words, folder sizes, long lines.

    python benchmarks/readability.py [FOLDER ...]

Prints a Markdown table for speechpriv/, or for each folder of another project's package beside it.
"""

import ast
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from speechpriv.scrub.words import word_set

# Imperatives that docstrings and names begin with; a word that is a noun as often is left out.
VERBS = word_set("""
    accept account add adjust advance align allow announce answer append apply approximate ask
    assemble assert assign attach attack audit average balance batch begin bind block bound break
    bring build calibrate call cancel cap catch change check choose classify clean clear clip close
    collect combine commit compare compile complete compose compute concatenate condense configure
    confirm connect consume continue convert convolve copy correct count cover create crop cut
    decide declare decode deduplicate define delete deliver describe destroy detect determine
    disable discard disguise display divide download drain draw drop embed emit enable encode end
    enforce ensure enter enumerate erase estimate evaluate exclude execute exit expand explain
    export express extend extract fail fetch fill filter find finish fit fix flatten flush fold
    follow format forward free freeze gather generate get give go group guard guess handle hash hear
    hide hold identify ignore import include index infer initialise initialize insert inspect
    install invoke iterate join judge keep label launch lay leave let limit list listen load locate
    lock log look lower make mark mask match measure merge mix modify move multiply name normalise
    normalize note obtain offer open order pad parse pass pause penalise perform permute pick place
    plan plant play plot pool post predict prepare prevent price print probe process produce project
    protect prove provide publish pull push put quantise quantize query raise randomise read receive
    recognise recompute record recover redact reduce refuse register release remove rename render
    repeat replace replay report represent request require resample reserve reset reshape resolve
    respond restore restrict resume retrieve return revert rewrite round run sample save say scale
    scan schedule score scrub seal search see select send separate serve set settle shift shorten
    show shuffle sign simulate sketch skip solve sort speak specify spell spend split stack start
    state stop store stream stretch strip subtract sum summarise synthesise synthesize take tally
    tell test threshold tokenise tokenize train transcribe transform translate trim truncate try
    turn unite unpack update upload use validate verify visit vote wait walk warn weigh window wrap
    write yield zero
""")
WIDE = 100


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield public functions and methods; properties and dunders are no actions."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    for node in tree.body:
        inside = node.body if isinstance(node, ast.ClassDef) and node.name[0] != "_" else [node]
        for one in inside:
            plain = isinstance(one, kinds) and not one.name.startswith("_")
            if plain and not any("property" in ast.unparse(d) for d in one.decorator_list):
                yield one


def _share(values: Iterable[bool]) -> str:
    found = list(values)
    return f"{sum(found) / max(1, len(found)):.1%}"


def measure(folder: Path) -> dict[str, str]:
    """Return the figures of one package, each as text."""
    files = [path for path in sorted(folder.rglob("*.py")) if "__pycache__" not in path.parts]
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in files}
    documented = [doc for t in trees.values() for f in functions(t) if (doc := ast.get_docstring(f))]
    verbs = sum(doc.split()[0].strip("`.,:").lower() in VERBS for doc in documented if doc.split())
    names = [n.name for t in trees.values() for n in t.body if isinstance(n, ast.FunctionDef) and n.name[0] != "_"]
    lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    largest, count = Counter(path.parent.relative_to(folder.parent) for path in files).most_common(1)[0]
    return {
        "public docstrings whose first word is a verb": f"{verbs / max(1, len(documented)):.0%} of {len(documented)}",
        "public top-level functions named by one word": f"{_share('_' not in n for n in names)} of {len(names)}",
        "modules in the largest folder": f"{count} ({largest})",
        f"lines over {WIDE} characters": f"{_share(len(line) > WIDE for line in lines)} of {len(lines):,}",
    }


def main() -> None:
    """Print the table."""
    folders = [Path(name) for name in sys.argv[1:]] or [Path(__file__).parents[1] / "speechpriv"]
    found = {folder.name: measure(folder) for folder in folders}
    print(f"| | {' | '.join(found)} |\n|---|{'---|' * len(found)}")
    for row in next(iter(found.values())):
        print(f"| {row} | {' | '.join(figures[row] for figures in found.values())} |")


if __name__ == "__main__":
    main()
