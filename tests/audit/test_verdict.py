"""The decision, and the whole verdict (`stage.judge`) on simulated audits."""

import json
import math
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv.audit import record, stage, verdict
from speechpriv.audit.canaries.canary import Canary
from speechpriv.audit.inference import onerun
from speechpriv.audit.inference.power import Detectable
from speechpriv.audit.inference.statistics import Leakage
from speechpriv.claim import Claim
from speechpriv.config import AuditConfig, CanaryConfig
from speechpriv.errors import AuditError

AUDITS = 400
ALPHA = record.Past().share(AuditConfig().alpha)  # of a first audit
LEVEL = ALPHA / verdict.TESTS
REFERENCES = [Canary(f"reference {i}", 0, planted=False) for i in range(CanaryConfig().references)]
CLAIM = Claim(
    event="{}", epsilon=8.0, delta=1e-5, mu_gdp=1.6, max_tpr_at_1_percent_fpr=0.25, unit="patient", cap_per_unit=8,
    sampling_rate=0.4, noise_multiplier=2.0, clip_norm=1.0, normalisation=64.0, steps=300, units=160,
    composed_epsilon=8.0,
)  # fmt: skip
QUIET = Leakage(
    p_value=0.6, p_mann_whitney=0.3, p_simes=0.4, p_counts=0.5, auc=0.52, auc_low=0.42, auc_high=0.62, named=0.0,
    named_high=0.1, median_exposure_bits=1.0, max_exposure_bits=4.0,
)  # fmt: skip
LOUD = replace(QUIET, p_value=1e-6, p_mann_whitney=5e-7, p_simes=2e-3, p_counts=1e-5, auc=0.9, named=0.8)
LEAST = Detectable(auc=0.71, memorised=4, memorised_far=2)
PROVED = verdict.Proved(guesses=30, correct=16, epsilon=0.3, mu=0.1)

probabilities = st.floats(0, 1)


def decide(**changed):
    """A model without leakage and controls as they should be; what is given replaces it."""
    usual = {
        "model": QUIET, "positive": LOUD, "negative": QUIET, "reverse": QUIET, "planted": 30,
        "proved": PROVED, "detectable": LEAST, "claim": CLAIM, "alpha": ALPHA,
    }  # fmt: skip
    return verdict.decide(**{**usual, **changed})


def drawn(rng, candidates=60):
    """A registry with as many references as usual, and which of it is planted."""
    coins = rng.integers(2, size=candidates).astype(bool)
    registry = [Canary(f"candidate {i}", (1, 2, 4, 8, 16)[i % 5], planted=bool(c)) for i, c in enumerate(coins)]
    return registry + REFERENCES, np.concatenate([coins, np.zeros(len(REFERENCES), bool)])


def noise(rng, count):
    """Scores of phrases that the model does not know, of one of several shapes: normal, heavy tails, many ties."""
    shape = rng.integers(3)
    values = rng.standard_t(3, size=count) if shape == 1 else rng.normal(size=count)
    return np.round(values) if shape == 2 else values


def memorised(rng, planted, share=1.0, gain=40.0):
    """Scores where so many of the planted phrases are far better known."""
    scores = noise(rng, len(planted))
    where = np.flatnonzero(planted)
    scores[rng.choice(where, size=round(share * len(where)), replace=False)] -= gain
    return scores


def words(rng, scores_of, *, claim=CLAIM, audits=AUDITS):
    """How often each word is said in so many audits."""
    found = Counter()
    for _ in range(audits):
        registry, planted = drawn(rng)
        baseline = memorised(rng, planted)
        found[stage.judge(registry, scores_of(planted), baseline, claim, AuditConfig())["verdict"]] += 1
    return found


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_pass():
    found = decide()
    assert found.word == "PASS"
    assert found.reasons == (
        "no planted phrase is known better than the claim allows (p = 0.4)",
        "no more of them stand out than may (p = 0.5)",
        "nor are all of them together (AUC 0.52, p = 0.3; at one false alarm in 100, 0% are told, 25% allowed)",
        "the least that would have been seen: an AUC of 0.71 or 4 phrases just beyond the references or 2 far beyond",
    )
    assert decide(detectable=Detectable(None, None, None)).reasons[-1].endswith("seen: nothing")
    assert decide(claim=None).reasons[:3] == (
        "no planted phrase is known better than chance allows (p = 0.4)",
        "no more of them stand out than may (p = 0.5)",
        "nor are all of them together (AUC 0.52, p = 0.3)",
    )


@pytest.mark.parametrize(
    ("changed", "word", "reason"),
    [
        ({"model": replace(QUIET, p_simes=0.002)}, "FAIL", "single .* than the claim allows .p = 0.002"),
        ({"model": replace(QUIET, p_mann_whitney=1e-3)}, "FAIL", "together .* the claim allows .AUC 0.52, p = 0.001"),
        ({"model": replace(QUIET, p_simes=0.002), "claim": None}, "FAIL", "single .* than chance allows .p = 0.002"),
        ({"model": replace(QUIET, p_mann_whitney=1e-3), "claim": None}, "FAIL", "together .* than chance allows"),
        (
            {"model": replace(QUIET, p_counts=0.002)},
            "FAIL",
            "more planted phrases stand out .* claim allows .p = 0.002",
        ),
        ({"proved": replace(PROVED, epsilon=8.01)}, "FAIL", "proves epsilon >= 8.01, above the claim 8.00"),
        ({"proved": replace(PROVED, epsilon=math.nan)}, "FAIL", "above the claim"),
        ({"proved": replace(PROVED, mu=1.61)}, "FAIL", "proves mu >= 1.61, above the claim 1.60"),
        ({"proved": replace(PROVED, mu=math.nan)}, "FAIL", "above the claim"),
        ({"failures": ["a phrase was decoded"]}, "FAIL", "a phrase was decoded"),
        ({"doubts": ["canaries were lost"]}, "INCONCLUSIVE", "canaries were lost"),
        ({"positive": QUIET}, "INCONCLUSIVE", "baseline was not caught"),
        ({"negative": LOUD}, "INCONCLUSIVE", "never planted look known"),
        ({"reverse": LOUD}, "INCONCLUSIVE", "references look known"),
        ({"planted": 9}, "INCONCLUSIVE", "only 9 canaries were planted, of 10"),
    ],
)
def test_one_thing_wrong(changed, word, reason):
    found = decide(**changed)
    assert found.word == word
    assert len(found.reasons) == 1
    assert re.search(reason, found.reasons[0])


def test_every_reason_is_given():
    found = decide(model=LOUD, proved=replace(PROVED, epsilon=9.0, mu=2.0), failures=["and this"])
    assert len(found.reasons) == 6
    assert len(decide(positive=QUIET, negative=LOUD, reverse=LOUD, planted=1, doubts=["and this"]).reasons) == 5


def test_doubts_do_not_hide_a_failure():
    assert decide(model=LOUD, doubts=["canaries were lost"]).word == "FAIL"


def test_without_a_claim_the_bounds_are_compared_with_nothing():
    assert decide(claim=None, proved=replace(PROVED, epsilon=60.0, mu=9.0)).word == "PASS"


@settings(deadline=None)
@given(*[probabilities] * 6, st.integers(0, 40), st.floats(0, 20), st.floats(0, 4))
def test_fail_dominates_and_pass_needs_everything(
    simes, trace, counts, positive, negative, reverse, planted, epsilon, mu
):
    word = decide(
        model=replace(QUIET, p_simes=simes, p_mann_whitney=trace, p_counts=counts),
        positive=replace(QUIET, p_simes=positive),
        negative=replace(QUIET, p_value=negative), reverse=replace(QUIET, p_value=reverse),
        planted=planted, proved=replace(PROVED, epsilon=epsilon, mu=mu),
    ).word  # fmt: skip
    assert (word == "FAIL") == (min(simes, trace, counts) < LEVEL or epsilon > 8 or mu > 1.6)
    if word == "PASS":
        assert positive < LEVEL
        assert min(negative, reverse) >= 0.001
        assert planted >= 10


@pytest.mark.parametrize("share", [1.0, 0.9, 0.5])
def test_a_model_that_gives_away_what_it_may_fails_at_most_as_often_as_alpha(rng, share):
    found = words(rng, lambda planted: rng.normal(size=len(planted)) - share * CLAIM.mu_gdp * planted)
    assert found["FAIL"] <= scipy.stats.binom.ppf(0.999, AUDITS, ALPHA)
    assert found["PASS"] > 0.9 * AUDITS


def test_a_model_that_learned_nothing_fails_at_most_as_often_as_alpha(rng):
    found = words(rng, lambda planted: noise(rng, len(planted)))
    assert found["FAIL"] <= scipy.stats.binom.ppf(0.999, AUDITS, ALPHA)
    assert found["PASS"] > 0.9 * AUDITS


def test_the_simulation_would_notice_a_test_that_fails_too_often(rng):
    """Negative control: "any exposure of 8 bits or more" is no test at level alpha."""
    fails = 0
    for _ in range(100):
        registry, planted = drawn(rng)
        judged = stage.judge(registry, noise(rng, len(planted)), memorised(rng, planted), None, AuditConfig())
        fails += judged["private"]["max_exposure_bits"] >= -math.log2(ALPHA)
    assert fails > scipy.stats.binom.ppf(0.999, 100, ALPHA)


@pytest.mark.parametrize(("share", "claim"), [(0.1, None), (0.3, None), (1.0, None), (1.0, CLAIM)])
def test_phrases_that_were_memorised_make_it_fail(rng, share, claim):
    found = words(rng, lambda planted: memorised(rng, planted, share), claim=claim, audits=60)
    assert found["FAIL"] >= 0.9 * 60


def just_below(rng, planted, share):
    """Some planted phrases beyond all references, but by no more than the lowest is beyond the next ones."""
    scores = rng.normal(size=len(planted))
    where = np.flatnonzero(planted)
    scores[rng.choice(where, size=round(share * len(where)), replace=False)] = scores.min() - 0.1
    return scores


def test_a_few_phrases_just_below_all_references_refute_a_small_claim_only(rng):
    """2,000 references put such a phrase at p = 1/2,001, and mu = 1.6 allows that for one in 22."""
    small = CLAIM.model_copy(update={"mu_gdp": 0.2})
    scores_of = lambda planted: just_below(rng, planted, 0.2)  # noqa: E731
    assert words(rng, scores_of, claim=small, audits=30)["FAIL"] >= 27
    assert words(rng, scores_of, claim=CLAIM, audits=30)["PASS"] >= 20


def test_a_few_phrases_far_below_all_references_refute_a_large_claim_too(rng):
    def scores_of(planted):
        few = planted & (np.cumsum(planted) <= 6)
        return rng.normal(size=len(planted)) - 40 * few

    assert words(rng, scores_of, audits=30)["FAIL"] >= 27


def test_a_little_on_all_planted_phrases_is_a_fail_without_a_claim(rng):
    """Diffuse leakage, which no single exposure shows."""
    found = words(rng, lambda planted: rng.normal(size=len(planted)) - planted, claim=None, audits=60)
    assert found["FAIL"] >= 0.9 * 60


def test_a_little_on_all_planted_phrases_is_what_a_claim_allows(rng):
    """mu = 1 where mu = 1.6 is claimed; what the mechanism gives away is no defect of it."""
    found = words(rng, lambda planted: rng.normal(size=len(planted)) - planted, audits=60)
    assert found["PASS"] >= 0.9 * 60


def test_more_on_all_planted_phrases_than_the_claim_allows_is_a_fail(rng):
    """mu = 2.5 where mu = 1.6 is claimed."""
    found = words(rng, lambda planted: rng.normal(size=len(planted)) - 2.5 * planted, audits=60)
    assert found["FAIL"] >= 0.9 * 60


def test_phrases_known_worse_are_no_leak(rng):
    found = words(rng, lambda planted: noise(rng, len(planted)) + 8 * planted, audits=20)
    assert found["PASS"] >= 18


def test_more_epsilon_than_claimed_is_a_fail(rng):
    """A claim that thirty right guesses can refute."""
    small = CLAIM.model_copy(update={"epsilon": 0.5})
    registry, planted = drawn(rng)
    scores = memorised(rng, planted)
    judged = stage.judge(registry, scores, scores, small, AuditConfig())
    assert judged["private"]["epsilon_lower_bound"] > 1
    assert judged["private"]["mu_lower_bound"] > 0.5
    assert any("above the claim 0.50" in reason for reason in judged["reasons"])
    assert not any(
        "above the claim" in r for r in stage.judge(registry, scores, scores, CLAIM, AuditConfig())["reasons"]
    )


def test_no_pass_without_a_baseline_that_is_caught(rng):
    registry, planted = drawn(rng)
    scores = noise(rng, len(planted))
    judged = stage.judge(registry, scores, scores, CLAIM, AuditConfig())
    assert (judged["verdict"], judged["baseline"]["verdict"]) == ("INCONCLUSIVE", "INCONCLUSIVE")
    assert "baseline was not caught" in judged["reasons"][0]


def test_no_pass_with_few_planted(rng):
    registry, planted = drawn(rng)
    few = [replace(c, planted=c.planted and i < 12) for i, c in enumerate(registry)]
    planted = np.array([c.planted for c in few])
    assert 0 < planted.sum() < verdict.MIN_PLANTED
    judged = stage.judge(few, noise(rng, len(few)), memorised(rng, planted), CLAIM, AuditConfig())
    assert judged["verdict"] == "INCONCLUSIVE"
    assert f"only {planted.sum()} canaries" in judged["reasons"][0]


@pytest.mark.parametrize(("group", "reason"), [("kept out", "never planted"), ("references", "references look known")])
def test_no_pass_where_phrases_that_stayed_out_look_known(rng, group, reason):
    registry, planted = drawn(rng)
    reference = np.array([c.repeats == 0 for c in registry])
    known = reference if group == "references" else ~reference & ~planted
    judged = stage.judge(registry, noise(rng, len(known)) - 4 * known, memorised(rng, planted), CLAIM, AuditConfig())
    assert judged["verdict"] == "INCONCLUSIVE"
    assert any(reason in found for found in judged["reasons"])


def test_a_leak_is_not_masked_by_controls_that_failed(rng):
    registry, planted = drawn(rng)
    candidate = np.array([c.repeats > 0 for c in registry])
    scores = noise(rng, len(planted)) - 8 * candidate  # what was kept out looks known too
    judged = stage.judge(registry, scores, noise(rng, len(planted)), CLAIM, AuditConfig())
    assert judged["verdict"] == "FAIL"


def test_equal_scores_pass_only_if_the_baseline_is_caught(rng):
    registry, planted = drawn(rng)
    same = np.zeros(len(planted))
    judged = stage.judge(registry, same, memorised(rng, planted), CLAIM, AuditConfig())
    assert judged["verdict"] == "PASS"
    assert (judged["private"]["p_value"], judged["private"]["auc"]) == (1, 0.5)
    assert judged["private"]["max_exposure_bits"] == 0
    assert judged["negative_control"]["p_value"] == judged["negative_control"]["p_reverse"] == 1
    assert stage.judge(registry, same, same, CLAIM, AuditConfig())["verdict"] == "INCONCLUSIVE"


def test_what_the_verdict_says(rng):
    registry, planted = drawn(rng)
    judged = stage.judge(registry, noise(rng, len(planted)), memorised(rng, planted), CLAIM, AuditConfig())
    assert json.loads(json.dumps(judged, allow_nan=False)) == judged
    assert (judged["unit"], judged["adjacency"], judged["claimed_epsilon"], judged["delta"]) == (
        "patient", CLAIM.adjacency, 8.0, 1e-5,
    )  # fmt: skip
    assert judged["canaries"] == {
        "candidates": 60, "planted": int(planted.sum()), "references": len(REFERENCES), "repeats": [1, 2, 4, 8, 16],
    }  # fmt: skip
    assert {"p_value", "auc_high", "named_high", "epsilon_lower_bound", "mu_lower_bound"} <= set(judged["private"])
    assert judged["baseline"]["verdict"] == "FAIL"
    proved = onerun.epsilon_lower_bound(canaries=60, guesses=30, correct=30, delta=1e-5, confidence=1 - LEVEL)
    assert proved - 1e-4 < judged["baseline"]["epsilon_lower_bound"] <= proved  # rounded down
    assert "candidate" not in json.dumps(judged).replace('"candidates"', "")  # no canary's id


def test_without_a_claim_nothing_is_claimed(rng):
    registry, planted = drawn(rng)
    judged = stage.judge(registry, noise(rng, len(planted)), memorised(rng, planted), None, AuditConfig())
    assert judged["verdict"] == "PASS"
    assert [judged[name] for name in ("unit", "adjacency", "claimed_epsilon", "delta")] == [None, None, None, 0]


@pytest.mark.parametrize(
    ("adjacency", "fits"),
    [
        ("add/remove one unit with all its utterances", True),
        ("add or remove one unit with all its utterances", True),
        ("replace one unit by another", False),
        ("add/remove two units", False),
    ],
)
def test_unlike_adjacencies_are_not_compared(rng, adjacency, fits):
    registry, planted = drawn(rng)
    claim = CLAIM.model_copy(update={"adjacency": adjacency})
    arguments = (registry, noise(rng, len(planted)), memorised(rng, planted), claim, AuditConfig())
    if fits:
        assert stage.judge(*arguments)["adjacency"] == adjacency
    else:
        with pytest.raises(AuditError, match="adjacency"):
            stage.judge(*arguments)


@pytest.mark.parametrize(
    ("planted", "kept_out", "references"), [(0, 30, 1000), (30, 0, 1000), (30, 30, 999), (30, 30, 0), (0, 0, 0)]
)
def test_too_few_canaries_or_references(planted, kept_out, references):
    registry = [Canary(f"candidate {i}", 1, planted=i < planted) for i in range(planted + kept_out)]
    registry += REFERENCES[:references]
    scores = np.arange(float(len(registry)))
    with pytest.raises(AuditError, match="expected at least 1, 1 and 1000"):
        stage.judge(registry, scores, scores, CLAIM, AuditConfig())


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(
    "change", [lambda s: s[:-1], lambda s: s[:, None], lambda s: s[:0]], ids=["short", "2-d", "none"]
)
def test_scores_of_another_registry(rng, which, change):
    registry, planted = drawn(rng)
    scores = [noise(rng, len(planted)), memorised(rng, planted)]
    scores[which] = change(scores[which])
    with pytest.raises(AuditError, match=f"{('private', 'baseline')[which]} model: shape"):
        stage.judge(registry, *scores, CLAIM, AuditConfig())


@st.composite
def broken_audits(draw):
    """A registry that could be judged by, and scores of which a planted canary's, and maybe others, are not finite."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    coins = [True, False, *draw(st.lists(st.booleans(), max_size=40))]
    registry = [Canary(f"candidate {i}", 1 + i % 3, planted=coin) for i, coin in enumerate(coins)] + REFERENCES
    scores = [noise(rng, len(registry)), memorised(rng, np.array([c.planted for c in registry]))]
    hit = draw(st.sampled_from([i for i, c in enumerate(registry) if c.planted]))
    others = draw(st.sets(st.integers(0, len(registry) - 1)))
    which = draw(st.integers(0, 1))
    scores[which][[hit, *others]] = draw(st.sampled_from([math.nan, math.inf, -math.inf]))
    return registry, scores, ("private", "baseline")[which]


@settings(deadline=None)
@given(broken_audits(), st.sampled_from([CLAIM, None]))
def test_a_score_that_is_not_a_number_never_passes(audit, claim):
    registry, scores, broken = audit
    with pytest.raises(AuditError, match=f"{broken} model: shape .* not finite"):
        stage.judge(registry, *scores, claim, AuditConfig())


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.05, 0.2, 1.0]), st.booleans())
def test_the_word_follows_from_the_figures(seed, share, baseline_learned):
    rng = np.random.default_rng(seed)
    registry, planted = drawn(rng)
    baseline = memorised(rng, planted) if baseline_learned else noise(rng, len(planted))
    judged = stage.judge(registry, memorised(rng, planted, share), baseline, CLAIM, AuditConfig())
    if min(judged["private"][name] for name in ("p_simes", "p_mann_whitney", "p_counts")) < LEVEL:
        assert judged["verdict"] == "FAIL"
    elif judged["verdict"] == "PASS":
        assert judged["baseline"]["verdict"] == "FAIL"


def test_canaries_of_several_units_are_not_held_to_the_claim(rng):
    """Known by heart, they are shown as the stress test that they are; the claim is about one unit."""
    registry, planted = drawn(rng)
    stressed = [
        replace(c, placed="spread") if c.repeats > 1 and i % 2 else c for i, c in enumerate(registry)
    ]  # half of what is planted more than once
    stress = np.array([c.planted and not c.adds_one_unit for c in stressed])
    scores = noise(rng, len(planted)) - 40 * stress
    found = stage.judge(stressed, scores, memorised(rng, planted), CLAIM, AuditConfig())
    assert found["verdict"] == "PASS"
    assert found["canaries"]["planted"] == planted.sum() - stress.sum()
    assert found["stress"]["private"]["auc"] > 0.99
    assert stage.judge(registry, scores, memorised(rng, planted), CLAIM, AuditConfig())["verdict"] == "FAIL"
    assert (
        stage.judge(registry, noise(rng, len(planted)), memorised(rng, planted), CLAIM, AuditConfig())["stress"] == {}
    )
