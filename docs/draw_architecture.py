"""Draw who imports whom into docs/architecture.md: python docs/draw_architecture.py

A Mermaid graph of the rooms (the folders of the package; its single modules are the ground floor), with how many
files of a room import from another. A test sees that the picture in the page is what the code says.
"""

import ast
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- drawn by docs/draw_architecture.py -->", "<!-- end of what is drawn -->"
GROUND, COMPOSERS = "ground floor", "command line and recipes"
_COMPOSING = {"cli", "cli_budget", "cli_canary", "steps"}


def find_room(parts: tuple[str, ...]) -> str:
    """Return the room of a module, given its dotted name without `speechpriv`."""
    if parts[0] in _COMPOSING:
        return COMPOSERS
    if (ROOT / "speechpriv" / parts[0]).is_dir():
        room = "/".join(parts[:2]) if (ROOT / "speechpriv" / Path(*parts[:2])).is_dir() else parts[0]
        return room if room != "assets" else GROUND
    return GROUND


def count_imports() -> Counter[tuple[str, str]]:
    """Count, for each pair of rooms, the files of the first that import from the second."""
    found: Counter[tuple[str, str]] = Counter()
    for path in [*(ROOT / "speechpriv").rglob("*.py"), *(ROOT / "recipes").glob("*.py")]:
        inside = path.relative_to(ROOT).with_suffix("").parts
        own = find_room(inside[1:]) if inside[0] == "speechpriv" else COMPOSERS
        rooms = {find_room(tuple(name.split(".")[1:])) for name in list_imports(path)}
        found.update({(own, room) for room in rooms if room != own})
    return found


def draw() -> str:
    """Return the picture as Mermaid; what nearly everything rests on, the ground floor, has no arrows."""
    edges = {pair: n for pair, n in count_imports().items() if GROUND not in pair}
    rooms = sorted({room for pair in edges for room in pair})
    names = {room: f"r{index}" for index, room in enumerate(rooms)}
    modules = sorted(p.stem for p in (ROOT / "speechpriv").glob("*.py") if find_room((p.stem,)) == GROUND)
    modules.remove("__init__")
    lines = ["```mermaid", "graph TD", *(f'  {names[room]}["{room}"]' for room in rooms)]
    lines += [f"  {names[a]} -->|{n}| {names[b]}" for (a, b), n in sorted(edges.items())]
    lines += [f'  ground["ground floor, which all rest on: {", ".join(modules)}"]', "```"]
    return "\n".join(lines)


def list_imports(path: Path) -> set[str]:
    """List the dotted names of what a file imports from the package; tests/contracts asks too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("speechpriv"):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names if alias.name.startswith("speechpriv")}
    return names


def main() -> None:
    """Write the picture between the page's two marks."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    if not after:
        sys.exit(f"{PAGE}: expected the marks {BEGIN} and {END}")
    PAGE.write_text(f"{before}{BEGIN}\n{draw()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
