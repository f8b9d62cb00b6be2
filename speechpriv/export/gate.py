"""The gate: what must hold before a model may leave, and the search for what must not leave with
it.
"""

import base64
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechpriv.claim import Claim
from speechpriv.corpus import Corpus
from speechpriv.errors import GateError
from speechpriv.export import card, screening_card

Phrases = Mapping[str, Iterable[str]]  # by kind
Literals = Mapping[str, Iterable[str | bytes]]

_WORD = re.compile(rb"[a-z0-9']+")
_PHRASE_WORDS = 4
_PHRASE_LETTERS = 12  # fewer turn up by chance in a file of random bytes: four single letters, in every other model
# Words and letters, at least, of the kinds that may be short; a first name alone is a word in every
# vocabulary.
_SHORT = {"name": (2, 8), "term": (1, 6)}
# Where any one word may stand: vocabularies, which come with the base model, and the report, which
# explains itself.
_ANY_WORD = re.compile(r"(.*/)?((tokens|vocab|merges|tokenizer\w*|added_tokens)\.\w+|report\.\w+)")
# What nobody means to release, whatever it says; blocks are in lower case.
_PATTERNS = {
    "absolute path": re.compile(
        rb"(?<![\w.:/-])(?:/(?:home|users|root|tmp|var|mnt|media|srv|opt)/|[a-z]:\\+users\\+)[\w.-]{2}"
    ),
    "private key": re.compile(rb"-----begin [a-z ]*private key-----"),
}
_BLOCK_BYTES = 2**22
_OVERLAP_BYTES = 2**14


@dataclass(frozen=True)
class Decision:
    """Whether a model may leave.

    Attributes:
      allowed: nothing stands against it, or all that does was overridden.
      reasons: what stands against it; one sentence each.
      override: the typed reason for which it leaves in spite of `reasons`; None if it was not
        needed.
    """

    allowed: bool
    reasons: tuple[str, ...]
    override: str | None


def decide_release(
    *,
    claim: Claim | None,
    verdict: Mapping[str, Any] | None,
    weights: Mapping[str, str],
    planned_epsilon: float,
    budget_epsilon: float | None,
    parity: float,
    min_parity: float,
    leaks: Sequence[str],
    override_reason: str | None,
) -> Decision:
    """Weigh the evidence.

    Args:
      claim: what is guaranteed; None for a model that was trained without privacy.
      verdict: what the audit released of its verdict; None if there was no audit.
      weights: digests of the safetensors that are to leave, by file; the verdict has those of the
        files that were scored.
      planned_epsilon: what this training was to stay within.
      budget_epsilon: what all releases from the same recordings are to stay within together; None:
        as this one.
      parity: share of utterances with the same words from the exported file as from torch, in [0,
        1].
      min_parity: the least that is accepted.
      leaks: from `scan_files`; they cannot be overridden.
      override_reason: lets a model leave for any other reason.
    """
    reasons = []
    found = verdict["verdict"] if verdict else "missing"
    if found != "PASS":
        reasons.append(f"The audit's verdict is {found}; expected PASS.")
    elif verdict and "FAIL" in verdict.get("earlier_verdicts", ()):
        reasons.append("An earlier audit of the same canaries said FAIL; a PASS after it may be luck.")
    if verdict and verdict.get("weights", {}).get("private") != weights:
        reasons.append(
            "The audit's verdict is about other weights than those that are to leave: they were "
            "changed after they were scored, or never were. Put the audited ones back, or audit these."
        )
    if claim is None:
        reasons.append("There is no privacy claim: the model was trained without differential privacy.")
    else:
        reasons += _over_budget(claim, planned_epsilon, budget_epsilon)
        if verdict and verdict.get("claimed_epsilon") != claim.epsilon:
            reasons.append("The audit's verdict is about another claim than this model's.")
    if not parity >= min_parity:
        reasons.append(
            f"The exported file gives other words than torch for {1 - parity:.1%} of the test utterances; "
            f"expected at most {1 - min_parity:.1%}."
        )
    overridden = bool(reasons) and override_reason is not None
    reasons += [f"Leak: {leak}. This cannot be overridden." for leak in leaks]
    return Decision(
        allowed=not leaks and (not reasons or overridden),
        reasons=tuple(reasons),
        override=override_reason if overridden else None,
    )


def _over_budget(claim: Claim, planned_epsilon: float, budget_epsilon: float | None) -> list[str]:
    reasons = []
    if not claim.epsilon <= planned_epsilon:
        reasons.append(f"The claim's epsilon is {claim.epsilon:.4g}; expected at most {planned_epsilon:.4g}.")
    allowed, stated = (planned_epsilon, "privacy.epsilon") if budget_epsilon is None else (budget_epsilon, "the budget")
    if not claim.composed_epsilon <= allowed:
        reasons.append(
            f"All releases from these recordings together have epsilon {claim.composed_epsilon:.4g}; "
            f"expected at most {allowed:.4g}, {stated}. privacy.budget_epsilon allows more, if stated before training."
        )
    return reasons


def check_release(
    directory: Path,
    recordings: Corpus,
    *,
    phrases: Phrases | None = None,
    literals: Literals | None = None,
    public: str = "",
) -> None:
    """Search everything that leaves a run, bundle and report, as `find_leaks` does.

    Args:
      directory: what leaves.
      recordings: none of their transcripts may be in it.
      phrases: other sentences that may not be in it, by kind.
      literals: keys and paths that may not be in it, by kind.
      public: text that may be in it, such as the words of synthetic people that the report plays.

    Raises:
      GateError: with each file and the kind of secret in it; never the secret.
    """
    found = find_leaks(directory, recordings, phrases=phrases, literals=literals, public=public)
    if found:
        lines = "\n".join(f"  - {leak}" for leak in found)
        raise GateError(f"{directory}: private data in files that would be released:\n{lines}\nDo not publish it.")


def find_leaks(
    directory: Path,
    recordings: Corpus,
    *,
    phrases: Phrases | None = None,
    literals: Literals | None = None,
    public: str = "",
) -> list[str]:
    """Run `scan_files` for all transcripts, the home directory and the place where `directory`
    lies, and for what is given.
    """
    texts = (row["text"] for row in recordings.table.select_columns("text"))
    here = {str(Path.home()), str(directory.resolve().parent)} - {"/"}
    return scan_files(
        directory,
        phrases={"transcript": texts, **(phrases or {})},
        literals={"place": here, **(literals or {})},
        public=f"{card.FIXED_TEXT} {screening_card.FIXED_TEXT} {public}",
    )


def scan_files(
    directory: Path,
    *,
    phrases: Phrases,
    literals: Literals,
    public: str = "",
) -> list[str]:
    """Search every file, and its name, for secrets, whatever their case; for absolute paths and
    private keys always.

    Time grows with the size of the files, not with that times the number of phrases.

    Args:
      directory: searched with all below it.
      phrases: what people said, by kind, for example {"transcript": [...]}; found whatever the
        punctuation and white space between the words. Those with fewer than four words or twelve
        letters are left out, of the kind `name` with fewer than two words or eight letters, of the
        kind `term` with fewer than six letters: they are common phrases, or would be found by
        chance. A term of one word may be in a vocabulary, and in the report.
      literals: keys and paths, by kind, few. Text is found as it is; bytes are found raw, in hex
        and in base 64.
      public: fixed text that may be in the files; a phrase that it holds was not learned from
        anybody.

    Returns:
      `FILE: KIND` for each file and kind found, sorted; never the secret.
    """
    index = _index(phrases, _words(public.encode()))
    needles = [(kind, form) for kind, group in literals.items() for secret in group for form in _forms(secret)]
    found = set()
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        searched = {first: group for first, group in index.items() if first[1:]} if _ANY_WORD.fullmatch(name) else index
        for block in _blocks(name, path):
            found |= {f"{name}: {kind}" for kind in _kinds_in(_words(block), searched)}
            found |= {f"{name}: {kind}" for kind, needle in needles if needle in block}
            found |= {f"{name}: {kind}" for kind, pattern in _PATTERNS.items() if pattern.search(block)}
    return sorted(found)


_Index = dict[tuple[bytes, ...], list[tuple[str, list[bytes]]]]


def _index(phrases: Phrases, public: list[bytes]) -> _Index:
    """Phrases by their first two words, or their only one, without those in `public`."""
    index: _Index = {}
    for kind, group in phrases.items():
        least = _SHORT.get(kind, (_PHRASE_WORDS, _PHRASE_LETTERS))
        for text in set(group):
            words = _words(text.encode())
            if len(words) >= least[0] and sum(map(len, words)) >= least[1]:
                index.setdefault(tuple(words[:2]), []).append((kind, words))
    for start, first in _beginnings(public, index):
        index[first] = [(kind, words) for kind, words in index[first] if public[start : start + len(words)] != words]
    return index


def _kinds_in(words: list[bytes], index: _Index) -> Iterator[str]:
    for start, first in _beginnings(words, index):
        for kind, phrase in index[first]:
            if words[start : start + len(phrase)] == phrase:
                yield kind


def _beginnings(words: list[bytes], index: _Index) -> Iterator[tuple[int, tuple[bytes, ...]]]:
    """Where the first words of a phrase are, as `index` has them."""
    yield from ((start, pair) for start, pair in enumerate(itertools.pairwise(words)) if pair in index)
    if alone := {first for first, *rest in index if not rest}:
        yield from ((start, (word,)) for start, word in enumerate(words) if word in alone)


def _blocks(name: str, path: Path) -> Iterator[bytes]:
    """The name and the content in lower case, in blocks that overlap by more than any secret is
    long.
    """
    yield name.lower().encode()
    if path.is_file():
        overlap = b""
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                block = overlap + block.lower()
                yield block
                overlap = block[-_OVERLAP_BYTES:]


def _words(content: bytes) -> list[bytes]:
    return _WORD.findall(content.lower())


def _forms(secret: str | bytes) -> list[bytes]:
    """What to search for one literal, in lower case as the blocks are."""
    if isinstance(secret, str):
        return [secret.lower().encode()]
    return [form.lower() for form in (secret, secret.hex().encode(), base64.b64encode(secret))]
