"""No process of the pipeline writes a compilation cache that others read: two that do at once can leave it damaged,
and then every call of what was compiled dies with a segmentation fault.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted([*(ROOT / "speechpriv").rglob("*.py"), *(ROOT / "recipes").glob("*.py")])
COMPILED = {"numba", "librosa"}  # librosa compiles what it has at its import

# Every place where samples are computed with, by whatever stage.
SOUND = """
import sys, typing, numpy, torch
from speechpriv.anonymize import convert
from speechpriv.audit.canaries import phrases
from speechpriv.audit.voices import voiceprints
from speechpriv import audio
from speechpriv.data import augment, lineage, voices
from speechpriv.models import asr
from speechpriv.scrub import redact
from speechpriv.sections import Method
speech = voices.speak("turn on the lights please", voices.Voice(rate_wpm=110))
samples = speech.samples
for method in typing.get_args(Method):
    for timing in ("kept", "randomised"):
        convert.disguise(samples, 16_000, method, bytes(32), "one", words=speech.words, timing=timing)
phrases.speed_up(phrases.Phrase("turn on", samples), 2.5)
augment.distort(samples, numpy.random.default_rng(0))
lineage.SketchBuilder().update(samples)
for way in redact.WAYS.values():
    way(samples, [(4_000, 8_000)], 16_000)
audio.read(audio.encode_flac(samples))
for name in ("statistics", "network"):
    voiceprints.load_voiceprint(name, "cpu").features(samples)
asr.load("tiny-en").transcribe([samples])
print(*sorted({"numba"} & set(sys.modules)))
"""


@pytest.mark.parametrize("path", FILES, ids=str)
def test_nothing_imports_what_compiles(path):
    tree = ast.parse(path.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name.split(".")[0] for name in names} & COMPILED


def test_no_stage_compiles_anything(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SOUND], check=True, capture_output=True, text=True,
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
    )  # fmt: skip
    assert not done.stdout.strip()
    assert not list(tmp_path.rglob("*"))


def test_that_would_notice():
    code = "import sys, numba\n" + SOUND.splitlines()[-1]
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["numba"]


@pytest.mark.parametrize("rounds", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_eight_processes_at_once_on_an_empty_cache(tmp_path, rounds):
    script = ROOT / "tests" / "anonymize" / "eight_at_once.py"
    subprocess.run([sys.executable, str(script), str(tmp_path), str(rounds)], check=True)
