"""Detection of personal data: speed and recall on the labelled sentences, beside Presidio.

OMP_NUM_THREADS=1 python benchmarks/scrub.py [PYTHON]

PYTHON is an interpreter with Presidio, which wants other versions of what is used here (python -m venv there,
pip install presidio-analyzer). It runs with its own recognisers and no language model, as here. Without one, only this
package is measured. Both are timed on the same sentences in the same run, on one core.
"""

import collections
import json
import re
import runpy
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from speechpriv.scrub.detect import find

ROOT = Path(__file__).parents[1]
ROUNDS = 3
Ranges = list[tuple[int, int]]

PRESIDIO = """
import json, logging, sys, time
logging.disable(logging.WARNING)
from presidio_analyzer import AnalyzerEngine
from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine
class NoLanguageModel(NlpEngine):
    def load(self): pass
    def is_loaded(self): return True
    def process_text(self, text, language):
        return NlpArtifacts(entities=[], tokens=[], tokens_indices=[], lemmas=text.lower().split(), nlp_engine=self,
                            language=language, scores=[])
    def process_batch(self, texts, language, **more):
        for text in texts: yield text, self.process_text(text, language)
    def is_stopword(self, word, language): return False
    def is_punct(self, word, language): return False
    def get_supported_entities(self): return []
    def get_supported_languages(self): return ["en"]
engine = AnalyzerEngine(nlp_engine=NoLanguageModel(), supported_languages=["en"])
texts = json.load(sys.stdin)
found = [[(r.start, r.end) for r in engine.analyze(text, language="en")] for text in texts]
times = []
for _ in range(%d):
    start = time.process_time()
    for text in texts: engine.analyze(text, language="en")
    times.append(time.process_time() - start)
json.dump({"found": found, "seconds": min(times)}, sys.stdout)
"""


def ours(texts: list[str]) -> tuple[list[Ranges], float]:
    """Ranges found in each text, and the least CPU time of a few rounds over all of them in seconds."""
    found = [[(finding.start, finding.end) for finding in find(text)] for text in texts]
    times = []
    for _ in range(ROUNDS):
        start_s = time.process_time()
        for text in texts:
            find(text)
        times.append(time.process_time() - start_s)
    return found, min(times)


def presidios(python: str, texts: list[str]) -> tuple[list[Ranges], float]:
    """The same from Presidio in its own interpreter."""
    done = subprocess.run(
        [python, "-c", PRESIDIO % ROUNDS], input=json.dumps(texts), capture_output=True, text=True, check=True
    )
    answer = json.loads(done.stdout)
    return [[(start, end) for start, end in ranges] for ranges in answer["found"]], answer["seconds"]


def touched(text: str, ranges: Any) -> set[int]:
    """Indices of the words that a range touches."""
    words = [match.span() for match in re.finditer(r"\S+", text)]
    return {i for i, (a, b) in enumerate(words) if any(start < b and a < end for start, end, *_ in ranges)}


def recall(sentences: list[Any], found: list[Ranges]) -> tuple[dict[tuple[str, str], float], float]:
    """Share of labels whose words are all covered, by kind and form; share of commands' words that are covered."""
    hits: dict[tuple[str, str], list[bool]] = collections.defaultdict(list)
    wrong = words = 0
    for sentence, ranges in zip(sentences, found, strict=True):
        covered = touched(sentence.text, ranges)
        for label in sentence.spans:
            hits[label[2], sentence.form].append(touched(sentence.text, [label]) <= covered)
        if not sentence.spans:
            wrong += len(covered)
            words += len(sentence.text.split())
    return {key: sum(all_) / len(all_) for key, all_ in hits.items()}, wrong / words


def main() -> None:
    """Speed, false positives, and a line a kind."""
    labelled = runpy.run_path(str(ROOT / "tests" / "scrub" / "labelled.py"))
    sentences = labelled["read"]("test")
    texts = [sentence.text for sentence in sentences]
    found, seconds = ours(texts)
    rates, wrong = recall(sentences, found)
    print(f"{len(texts):,} sentences   speechpriv {len(texts) / seconds:,.0f} utterances/s a core")
    commands = [sentence.text for sentence in sentences if not sentence.spans]
    print(f"of these {len(commands):,} commands   {len(commands) / ours(commands)[1]:,.0f} utterances/s a core")
    print(f"false positives: {wrong:.2%} of the words of commands")
    theirs: dict[tuple[str, str], float] = {}
    if len(sys.argv) > 1:
        their_found, their_seconds = presidios(sys.argv[1], texts)
        theirs, their_wrong = recall(sentences, their_found)
        print(f"Presidio {len(texts) / their_seconds:,.0f} utterances/s a core: ratio {their_seconds / seconds:.0f}")
        print(f"Presidio's false positives: {their_wrong:.2%}")
    print("recall            spoken  Presidio   written  Presidio")
    for kind in sorted({kind for kind, _ in rates}):
        cells = [
            f"{rates[kind, form]:7.3f} {theirs.get((kind, form), float('nan')):9.3f}" for form in ("spoken", "written")
        ]
        print(f"{kind:16} {'  '.join(cells)}")


if __name__ == "__main__":
    main()
