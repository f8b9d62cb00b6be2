"""What NIST SP 800-226 asks of whoever claims differential privacy, answered for one claim.

Source: NIST SP 800-226 (2025), Guidelines for Evaluating Differential Privacy Guarantees.
"""

import json

from speechpriv.claim import Claim

# What holds for every claim that speechpriv makes.
TIMING = (
    "Nothing is interactive, so nobody can time a query; how long training takes, and what else the training machine "
    "gives away, is out of scope."
)
FLOATING_POINT = (
    "Clipped gradients are summed, rounded to a public grid, and noise rounded to the same grid is added exactly; the "
    "rounding is paid for with more noise."
)
RANDOMNESS = (
    "AES-256 and ChaCha20 under a 32-byte key from the operating system, which is deleted when training ends; no "
    "generator state is in any file."
)
TUNING = (
    "Settings chosen after a look at results, and accuracy on held-out people, are exact figures that no epsilon "
    "covers."
)
ACCESS = (
    "Recordings, keys and the non-private comparison model stay in a folder that its owner alone can read. Nothing is "
    "encrypted at rest."
)
POST_PROCESSING = (
    "Everything after the noise: the optimizer, the average over the last steps, merging of adapters, export, 8-bit "
    "weights; of published phrases, a language model, hotwords, and sentences that synthetic voices say."
)
AUDIT = (
    "Planted phrases are scored against the claim, and a model trained without privacy must be caught by the same "
    "tests. An audit finds bugs; it proves nothing."
)
BIAS = "Noise costs rare voices and rare words more; nobody measured how much."


def list_answers(claim: Claim) -> dict[str, str]:
    """List each point and its answer, in the order in which they are read."""
    what = "units" if claim.sampling == "units" else "utterances"
    others = (
        "; ".join(f"run {other.run_id}: epsilon {other.epsilon:.4g}" for other in claim.other_releases)
        + f". All together: epsilon {claim.composed_epsilon:.4g} at the same delta"
        if claim.other_releases
        else "none that the ledger holds"
    )
    cap = (
        f"{claim.cap_per_unit} utterances a step, one clipped gradient for all of them"
        if claim.sampling == "units"
        else f"{claim.cap_per_unit} utterances in the whole run, each clipped alone and counted"
    )
    return {
        "Variant": f"(epsilon, delta)-differential privacy; Gaussian differential privacy with mu {claim.mu_gdp:.4g}",
        "Parameters": f"epsilon {claim.epsilon:.4g}, delta {claim.delta:.3g}{_advised(claim)}",
        "What it means": claim.sentence(),
        "Neighbouring data": claim.adjacency,
        "Unit": f"one {claim.unit}",
        "Several units that are added or removed together": claim.of_groups(),
        "Bound on a unit's contribution": f"{cap}; L2 norm at most {claim.clip_norm:.4g}{_bound_of_phrases(claim)}",
        "Mechanism": (
            f"Gaussian noise of {claim.noise_multiplier:.4g} clip norms on a sum over {what} drawn independently with "
            f"probability {claim.sampling_rate:.4g}, divided by the constant {claim.normalisation:.4g}, "
            f"{claim.steps:,} times{_phrases(claim)}; claim.json holds it as it was priced"
        ),
        "Trust": claim.trust_model,
        "Other releases from the same data": others,
        "Tuning and public figures": TUNING,
        "Randomness": RANDOMNESS,
        "Floating point": FLOATING_POINT,
        "Timing and other side channels": TIMING,
        "Access to the data": ACCESS,
        "After the noise": POST_PROCESSING,
        "Validation": AUDIT,
        "Bias": BIAS,
    }


def _bound_of_phrases(claim: Claim) -> str:
    return "; and once, weights of word n-grams with an L2 norm of at most 1" if claim.phrases else ""


def _phrases(claim: Claim) -> str:
    """What was published of what many say, and learned first."""
    if claim.phrases is None:
        return ""
    event = json.loads(claim.phrases)
    return (
        f"; before that, once, Gaussian noise of {event['noise_multiplier']:.4g} on the weights of word n-grams summed "
        "over all units, published above a threshold that hides what one unit alone says but for a probability of "
        f"{event['slip']:.3g}; epsilon is of both together"
    )


def _advised(claim: Claim) -> str:
    """Whether delta is as small as is advised: at most 1/n^2."""
    if claim.units is None:
        return "; the number of units is not public, so it cannot be said whether delta is at most 1/units^2"
    advised = claim.units**-2.0
    said = "within" if claim.delta <= advised else "above"
    return f"; delta is {said} the advised 1/units^2 = {advised:.3g} for about {claim.units:,} units"
