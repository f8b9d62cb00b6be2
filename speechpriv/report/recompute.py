"""How to compute each figure of the report again: a command each, as it can be typed."""

import json
import shlex

from speechpriv.claim import Claim
from speechpriv.report.facts import Facts


def list_commands(facts: Facts) -> list[tuple[str, str]]:
    """List what each command computes, and the command; only those for which the run has what they
    need.
    """
    run, config = shlex.quote(f"runs/{facts.name}"), shlex.quote(facts.name.rpartition("-")[0] or facts.name)
    again = f"speechpriv run {config}"
    found = [("The whole run, with the same overrides if it had any; what is done is skipped", again)]
    if facts.counts("scrub"):
        found.append(("Personal data removed, and recordings dropped", f"speechpriv scrub {run}"))
    if facts.claim:
        found.append(("Epsilon, from the parameters alone", f'python -c "{_epsilon(facts.claim)}"'))
        found.append(("The ledger, and what is left of a budget", f"speechpriv budget {run}"))
    if facts.figures:
        found.append(("Word error rates, with the same overrides", f"rm -r {run}/private/evaluate && {again}"))
    if facts.voices:
        found.append(("Attackers on the voices, with the same overrides", f"rm -r {run}/private/attackers && {again}"))
    if facts.verdict:
        found.append(
            (
                "Verdict, exposures, p-values, bounds and members told apart",
                f"rm -r {run}/private/audit && speechpriv audit {run}",
            )
        )
    if facts.bundle:
        bundle = f"{run}/release/bundle"
        found += [
            ("The same audit, on the shipped files", f"speechpriv audit {run} --artefact {bundle}"),
            ("Digests of the shipped files, against their signature", f"speechpriv verify {bundle}"),
            ("What the shipped model hears", f"speechpriv transcribe {bundle} FILE.flac"),
            ("Size, speed and parity of each format, with the same overrides", f"rm -r {bundle} && {again}"),
        ]
    return [*found, ("This page", f"speechpriv report {run}")]


def _epsilon(claim: Claim) -> str:
    """Code that computes epsilon from what the claim says, and needs nothing else of the run."""
    numbers = f"{claim.sampling_rate!r}, {claim.noise_multiplier!r}, {claim.steps}"
    records = f", records={claim.cap_per_unit}" if claim.sampling == "utterances" else ""
    events = [f"build_event({numbers}{records})"]
    if claim.phrases is not None:
        phrases = json.loads(claim.phrases)
        events.append(f"build_event(1.0, {phrases['noise_multiplier']!r}, 1, slip={phrases['slip']!r})")
    code = f"print(epsilon_of([{', '.join(events)}], {claim.delta!r}))"
    return f"from speechpriv.train.accounting import epsilon_of, build_event; {code}"
