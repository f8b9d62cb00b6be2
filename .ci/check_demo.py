"""Check how `make demo` ended: verdicts, gain over the base, signature, and no recording lost to a crash.

usage: python .ci/check_demo.py RUN
"""

import json
import subprocess
import sys
from pathlib import Path

from speechpriv import store

_LEAST_GAIN = 0.05  # of word accuracy over the base: half of what trainings with other noise had (docs, README)
_CRASHES = ("failed", "too_slow")


def problems(run_dir: Path) -> list[str]:
    """Return what is wrong with a finished demo, in words; empty if nothing is."""
    private, found = run_dir / "private", []
    verdict = json.loads((private / "audit" / "verdict.json").read_text())
    for name, got, expected in (
        ("audit", verdict["verdict"], "PASS"),
        ("audit of the non-private baseline", verdict["baseline"]["verdict"], "FAIL"),
    ):
        if got != expected:
            found.append(f"{name}: got {got}, expected {expected}")
    figures = json.loads((private / "evaluate" / "figures.json").read_text())
    gain = figures["private"]["word_accuracy"] - figures["base"]["word_accuracy"]
    if not gain >= _LEAST_GAIN:
        found.append(f"word accuracy: gained {gain:.3f} over the base, expected at least {_LEAST_GAIN}")
    for manifest in sorted(private.glob(f"*/{store.MANIFEST}")):
        dropped = json.loads(manifest.read_text())["counts"].get("dropped", {})
        if lost := {reason: dropped[reason] for reason in _CRASHES if dropped.get(reason)}:
            found.append(f"{manifest.parent.name}: lost recordings to crashes: {lost}, expected none")
    bundle = run_dir / "release" / "bundle"
    if subprocess.run([Path(sys.executable).parent / "speechpriv", "verify", bundle], check=False).returncode:
        found.append("bundle: its signature does not verify")
    if not (run_dir / "release" / "report.html").is_file():
        found.append("report: not there")
    return found


if __name__ == "__main__":
    wrong = problems(Path(sys.argv[1]))
    print("\n".join(wrong) or "demo: verdicts, gain, signature and report as expected; nothing lost to crashes")
    sys.exit(bool(wrong))
