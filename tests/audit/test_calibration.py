"""The whole verdict on simulated audits of 200 planted canaries: how often honest models fail, and leaky ones."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.special
import scipy.stats

from speechpriv.audit import record, stage
from speechpriv.audit.canaries.canary import Canary
from speechpriv.claim import Claim
from speechpriv.config import AuditConfig

REGISTRY = [Canary(f"candidate {i}", 1, planted=False) for i in range(400)]
REGISTRY += [Canary(f"reference {i}", 0, planted=False) for i in range(2000)]
CLAIM = Claim(
    event="{}", epsilon=8.6, delta=1e-5, mu_gdp=1.7, max_tpr_at_1_percent_fpr=0.27, unit="patient", cap_per_unit=8,
    sampling_rate=0.4, noise_multiplier=2.0, clip_norm=1.0, normalisation=64.0, steps=300, units=160,
    composed_epsilon=8.6,
)  # fmt: skip
ALPHA = record.Past().share(AuditConfig().alpha)
SHAPES = {
    "normal": lambda z: z,
    "t3": lambda z: scipy.stats.t.ppf(scipy.special.ndtr(z), 3),
    "cauchy": lambda z: scipy.stats.cauchy.ppf(scipy.special.ndtr(z)),
    "rounded": np.round,
}


def fails(audits, *, mu=0.0, claim=None, shape="normal", memorised=0, gain=40.0, seed=1):
    """Of so many audits, how many fail a model that gives away mu of each canary and all of some."""
    rng, found = np.random.default_rng(seed), 0
    for _ in range(audits):
        coins = rng.permutation(400) < 200
        registry = [replace(c, planted=bool(coin)) for c, coin in zip(REGISTRY, coins, strict=False)] + REGISTRY[400:]
        planted = np.concatenate([coins, np.zeros(2000, bool)])
        scores = SHAPES[shape](rng.normal(size=2400) - mu * planted)
        scores[rng.choice(np.flatnonzero(planted), memorised, replace=False)] = -gain
        baseline = rng.normal(size=2400) - 20 * planted
        found += stage.judge(registry, scores, baseline, claim, AuditConfig())["verdict"] == "FAIL"
    return found


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("mu", "claim"), [(0.0, None), (1.7, CLAIM)], ids=["no claim", "claim"])
def test_an_honest_model_fails_at_most_once_in_twenty(mu, claim, shape):
    """It gives away nothing without a claim, and exactly what the claim allows with one."""
    found = fails(400, mu=mu, claim=claim, shape=shape)
    assert found <= 0.05 * 400
    assert found <= scipy.stats.binom.ppf(0.999, 400, ALPHA)


@pytest.mark.slow
@pytest.mark.parametrize("claim", [None, CLAIM], ids=["no claim", "claim"])
@pytest.mark.parametrize("others_give", [0.0, 0.8])
def test_ten_of_two_hundred_memorised_fail_nine_times_in_ten(claim, others_give):
    assert fails(400, mu=others_give, claim=claim, memorised=10) >= 0.9 * 400


@pytest.mark.parametrize("claim", [None, CLAIM], ids=["no claim", "claim"])
def test_ten_memorised_fail_and_none_do_not(claim):
    """The two above in short."""
    assert fails(30, claim=claim, memorised=10) >= 27
    assert fails(30, mu=1.7 if claim else 0.0, claim=claim) <= 3


def test_ten_just_beyond_the_references_fail_only_without_a_claim():
    """The limit of counting: 2,000 references cannot tell ten such phrases from what mu = 1.7 allows."""
    assert fails(30, memorised=10, gain=4.5) >= 27
    assert fails(30, memorised=10, gain=4.5, claim=CLAIM) <= 3


def test_memory_beyond_the_claim_is_seen_in_all_together():
    assert fails(30, mu=2.5, claim=CLAIM) >= 27
