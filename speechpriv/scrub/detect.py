"""Personal data in a transcript, spoken ("double seven oh", "at gmail dot com") or written, in any
case.

A rule reads the words of the utterance and yields word ranges; `find` runs the rules of a profile
and joins what overlaps. Evidence is a carrier phrase before or after ("my account number is"), a
checksum, or a shape that commands do not have (seven digits said one by one). With such evidence, a
rule that doubts where the data ends covers a word too many, not one too few.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from speechpriv.errors import ConfigError
from speechpriv.scrub.profiles import RULES, Profile
from speechpriv.scrub.terms import NOTHING, Custom
from speechpriv.scrub.utterance import read_utterance


@dataclass(frozen=True, slots=True)
class Finding:
    """Personal data at text[start:end], always whole words; `rule` names what fired, for the
    private evidence.
    """

    start: int
    end: int
    kind: str
    rule: str


def find(text: str, profile: Profile = "default", custom: Custom = NOTHING) -> list[Finding]:
    """Find personal data in a transcript.

    Args:
      text: any string; spoken forms, written forms, mixed case or none.
      profile: which rules are run: "default"; "hipaa", the 18 identifiers of Safe Harbor; "strict",
        more than that.
      custom: the user's own terms, words to keep, patterns and model; see `terms.find_custom`.

    Returns:
      Sorted, non-overlapping findings over whole words (edge punctuation left out). Time is linear
      in the text.

    Raises:
      ConfigError: the profile is unknown.
    """
    if profile not in RULES:
        raise ConfigError(f"scrub.profile: got {profile!r}: expected one of {', '.join(RULES)}.")
    u = read_utterance(text)
    if not u.words:
        return []
    found = [(rank, rule.find(u)) for rank, rule in enumerate(RULES[profile], start=1) if rule.is_worth_it(u)]
    hits = [(first, last, rank, kind, name) for rank, hits in found for first, last, kind, name in hits]
    if custom is not NOTHING:
        hits = custom.applied(u, hits)
    if not hits:
        return []
    findings: list[Finding] = []
    for start, end, _, kind, name in _merged(sorted(hits)):
        first, last = u.bounds[start][0], u.bounds[end - 1][1]
        opens = text[first - 1 : first] == "(" and ")" in text[first:last]  # the parenthesis of (415) 555-2671
        findings.append(Finding(first - opens, last, kind, name))
    return findings


def word_indices(text: str, findings: Sequence[Finding]) -> list[tuple[int, int, str]]:
    """Return the words of `text.split()` that each finding covers, as (start, end, kind) with `end`
    exclusive.

    The same indices are cut from the audio, so a word that is touched anywhere counts as covered.
    """
    words = [match.span() for match in re.finditer(r"\S+", text)]
    starts, ends = [start for start, _ in words], [end for _, end in words]
    return [(bisect_right(ends, f.start), bisect_left(starts, f.end), f.kind) for f in findings]


def mask(text: str, findings: Sequence[Finding]) -> str:
    """Return `text` with each finding (sorted, not overlapping) replaced by [KIND] and all else
    byte for byte.
    """
    pieces, at = [], 0
    for finding in findings:
        pieces += [text[at : finding.start], f"[{finding.kind}]"]
        at = finding.end
    return "".join([*pieces, text[at:]])


def _merged(hits: list[tuple[int, int, int, str, str]]) -> list[tuple[int, int, int, str, str]]:
    """Hits that share words become one, under the kind of the rule that ranks first."""
    merged: list[tuple[int, int, int, str, str]] = []
    for hit in hits:
        if merged and hit[0] < merged[-1][1]:
            last = merged[-1]
            merged[-1] = (last[0], max(last[1], hit[1]), *min(last[2:], hit[2:]))
        else:
            merged.append(hit)
    return merged
