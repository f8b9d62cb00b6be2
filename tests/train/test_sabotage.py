"""Sabotage: a line of the step changed must turn a check red.

Record and replay on neighbouring data with frozen noise (arXiv:2602.17454): whatever the cohort, the noised sums of
two corpora that differ by one unit may differ by the clip norm at most; and the noise must be there, fresh and whole.
"""

import copy
import dataclasses
import inspect
import math
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from speechpriv import audio
from speechpriv import corpus as corpora
from speechpriv.config import PrivacyConfig, TrainConfig
from speechpriv.models import asr, trainable
from speechpriv.models.asr import Utterance
from speechpriv.train import clipping, finetune, sampling
from speechpriv.train.recordings import Recordings

KEY = bytes(range(32))
SIGMA, CLIP_NORM, COHORT, STEPS = 0.5, 0.5, 6, 4


def mutated(function, old, new):
    """`function` with one piece of its source replaced."""
    source = textwrap.dedent(inspect.getsource(function))
    assert old in source, "the source has moved on: adapt the mutant"
    names = dict(vars(inspect.getmodule(function)))
    exec(source.replace(old, new), names)
    return names[function.__name__]


def norm(tensors):
    return math.sqrt(sum(float((tensor.double() ** 2).sum()) for tensor in tensors.values()))


def difference(a, b):
    return norm({name: a[name].double() - b[name].double() for name in a})


@pytest.fixture
def plan(base, corpus_dir):
    corpus = corpora.read(corpus_dir)
    privacy = PrivacyConfig(
        units=9, epsilon=8, delta=1e-2, cohort=COHORT, steps=STEPS, clip_norm=CLIP_NORM, cap_per_unit=2
    )
    train = TrainConfig(base=str(base), trainable="all", learning_rate=1e-2)
    recordings = Recordings(corpus, asr.load(str(base)), hear=None)
    config = finetune.FinetuneConfig(privacy=privacy, train=train)
    return finetune._Plan(config, SIGMA, KEY, recordings.units(), recordings)


def without(plan, gone):
    """The neighbouring corpus: everyone else's draws stay as they are."""
    kept = {name: [] if unit in gone else rows for unit, (name, rows) in enumerate(plan.units.items())}
    return dataclasses.replace(plan, units=kept)


def start(plan, recogniser):
    """A training of a copy of `recogniser`, at its first step."""
    again = dataclasses.replace(recogniser, model=copy.deepcopy(recogniser.model))
    return finetune._Training(again, plan, Path("absent"), "run")


def noised_sum(plan, recogniser):
    """What the first step gives the optimizer, times the expected cohort, by parameter."""
    training = start(plan, recogniser)
    training.step(0)
    return {name: parameter.grad.double() * COHORT for name, parameter in training.parameters.items()}


def largest_difference(plan, recogniser):
    """Over some neighbours that lack one unit, in clip norms."""
    everyone = noised_sum(plan, recogniser)
    fewer = (noised_sum(without(plan, {unit}), recogniser) for unit in (0, 1))
    return max(difference(everyone, other) for other in fewer) / CLIP_NORM


def test_a_unit_moves_the_noised_sum_by_the_clip_norm_or_not_at_all(plan, recogniser):
    cohort = sampling.draw_cohort(KEY, 0, len(plan.units), plan.config.privacy.sampling_rate)
    assert 0 < len(cohort) < len(plan.units)
    everyone = noised_sum(plan, recogniser)
    for unit in (cohort[0], cohort[-1], *list(set(range(len(plan.units))) - set(cohort))[:1]):
        expected = CLIP_NORM if unit in cohort else 0
        assert difference(everyone, noised_sum(without(plan, {unit}), recogniser)) == pytest.approx(
            expected, rel=1e-3, abs=0
        )


SUM_MUTANTS = {
    "no clipping": (clipping, "clipped_sum", "alpha=factors[unit]", "alpha=1.0"),
    "clipped to 3/2 C": (finetune._Training, "step", "members(step), privacy", "members(step), 1.5 * privacy"),
    "mean over the batch": (finetune._Training, "step", "/ privacy.cohort", "/ max(1, len(norms))"),
    "noise by cohort size": (
        finetune._Training,
        "step",
        "clip_norm=privacy.clip_norm",
        "clip_norm=privacy.clip_norm * len(norms)",
    ),
    "a unit is drawn beside others": (
        finetune._Plan,
        "_chosen",
        "self.key, unit,",
        "self.key, str(sum(map(len, self.units.values()))),",
    ),
}


def test_the_noised_sums_of_neighbours_differ_by_at_most_the_clip_norm(plan, recogniser):
    assert largest_difference(plan, recogniser) <= 1 + 1e-3


@pytest.mark.parametrize("name", SUM_MUTANTS)
def test_a_mutant_moves_neighbours_further_apart(plan, recogniser, monkeypatch, name):
    owner, attribute, old, new = SUM_MUTANTS[name]
    monkeypatch.setattr(owner, attribute, mutated(getattr(owner, attribute), old, new))
    assert largest_difference(plan, recogniser) > 1 + 1e-2


NOISE_MUTANTS = {
    "noise x 2/3": ("=self.plan.sigma", "=self.plan.sigma * 2 / 3"),
    "noise x 3/2": ("=self.plan.sigma", "=self.plan.sigma * 3 / 2"),
    "noise without C": ("clip_norm=privacy.clip_norm", "clip_norm=1.0"),
    "no noise": ("noised[name]", "total[name].float()"),
    "the same noise in every step": ("self.plan.key, step, clip", "self.plan.key, 0, clip"),
    "divided by int(N q)": (
        "/ privacy.cohort",
        "/ max(1, int(len(self.plan.units) * privacy.sampling_rate))",
    ),
    "an empty cohort is skipped": ("noised = noise", "if not norms: return\n    noised = noise"),
}


def noise_is_right(plan, recogniser):
    """Whether steps without anybody add fresh noise of the right size to every parameter."""
    training = start(dataclasses.replace(plan, units={}), recogniser)
    steps = []
    for step in range(2):
        training.step(step)
        if any(parameter.grad is None for parameter in training.parameters.values()):
            return False
        steps.append(torch.cat([parameter.grad.flatten() * COHORT for parameter in training.parameters.values()]))
    # 22,557 values: standard errors of 0.5 % and 0.007.
    right_size = all(abs(float(drawn.std()) / (SIGMA * CLIP_NORM) - 1) < 0.03 for drawn in steps)
    return right_size and abs(float(torch.corrcoef(torch.stack(steps))[0, 1])) < 0.04


def test_steps_without_anybody_add_fresh_noise(plan, recogniser):
    assert noise_is_right(plan, recogniser)


@pytest.mark.parametrize("name", NOISE_MUTANTS)
def test_a_mutant_of_the_noise_is_seen(plan, recogniser, monkeypatch, name):
    monkeypatch.setattr(finetune._Training, "step", mutated(finetune._Training.step, *NOISE_MUTANTS[name]))
    assert not noise_is_right(plan, recogniser)


def cohorts_are_poisson(plan):
    """Whether each unit comes and goes by itself, and as often as the accounting takes for granted."""
    rate, steps = plan.config.privacy.sampling_rate, 400
    names = list(plan.units)
    seen = np.zeros((steps, len(names)))
    for step in range(steps):
        for member in plan.members(step):
            seen[step, names.index(member[0])] = 1
    sizes, deviation = seen.sum(axis=1), math.sqrt(len(names) * rate * (1 - rate))
    # Four standard errors of a mean, and of a standard deviation.
    right_mean = abs(sizes.mean() - len(names) * rate) < 4 * deviation / math.sqrt(steps)
    return right_mean and abs(sizes.std() / deviation - 1) < 4 / math.sqrt(2 * steps)


COHORT_MUTANTS = {
    "shuffled instead of drawn": (
        "sampling.draw_cohort(self.key, step, len(units), privacy.sampling_rate)",
        "np.random.default_rng(step).permutation(len(units))[: privacy.cohort]",
    ),
    "everybody": ("privacy.sampling_rate)", "1.0)"),
    "half of the rate": ("privacy.sampling_rate)", "privacy.sampling_rate / 2)"),
}


@pytest.fixture
def named(plan, monkeypatch):
    """A plan whose members are their names only, which takes no time."""
    monkeypatch.setattr(finetune._Plan, "_chosen", lambda _, unit, __: [unit])
    monkeypatch.setattr(plan.recordings, "read", lambda row: row)
    return plan


def test_cohorts_are_poisson(named):
    assert cohorts_are_poisson(named)


@pytest.mark.parametrize("name", COHORT_MUTANTS)
def test_a_mutant_of_the_sampling_is_seen(named, monkeypatch, name):
    monkeypatch.setattr(finetune._Plan, "members", mutated(finetune._Plan.members, *COHORT_MUTANTS[name]))
    assert not cohorts_are_poisson(named)


def test_a_unit_gives_at_most_its_cap_of_its_own_utterances(plan, corpus_dir):
    corpus = corpora.read(corpus_dir)
    seen = set()
    for step in range(20):
        for unit, rows in plan.units.items():
            drawn = [plan.recordings.read(row) for row in plan._chosen(unit, step)]
            own = {corpus[row].flac: row for row in rows}
            found = [own[audio.encode_flac(samples)] for samples, _ in drawn]
            assert len(set(found)) == len(found) == 2
            assert all(text == corpus[row].text for (_, text), row in zip(drawn, found, strict=True))
            seen.update(found)
    assert seen == {row for rows in plan.units.values() for row in rows}  # all in turn


def test_the_average_is_over_noised_weights_of_the_last_steps(plan, recogniser):
    training = start(plan, recogniser)
    after = []
    for step in range(STEPS):
        training.step(step)
        after.append({name: parameter.detach().clone() for name, parameter in training.parameters.items()})
    training.finish()
    for name, parameter in training.parameters.items():
        assert torch.allclose(parameter, (after[2][name] + after[3][name]) / 2, atol=1e-7)


CLIPPING_MUTANTS = {
    "no clipping": ("alpha=factors[unit]", "alpha=1.0"),
    "each layer by itself": (
        "total[name].add_(gradients[name][unit], alpha=factors[unit])",
        "total[name].add_(gradients[name][unit], alpha=clip_factor(norms[name], clip_norm).tolist()[unit])",
    ),
    "each utterance by itself": ("parameters, units,", "parameters, ([u] for unit in units for u in unit),"),
    "not finite let through": ("torch.isfinite(whole)", "torch.ones_like(whole)"),
    "an unusable unit ends the loop": (
        "for name, unit in",
        "if len(usable) < len(whole): break\n            for name, unit in",
    ),
}


def neighbours_differ_by_at_most(clipped_sum, recogniser, units):
    """Largest difference that one unit makes, over the clip norm; infinite if a sum is not finite."""
    bad = [Utterance(np.full(16_000, math.nan, np.float32), "stop")]
    everyone = [bad, units[0], units[1]]
    together = clipped_sum(recogniser, everyone, CLIP_NORM)
    found = []
    for gone in range(len(everyone)):
        fewer = clipped_sum(recogniser, everyone[:gone] + everyone[gone + 1 :], CLIP_NORM)
        found.append(difference(together, fewer) / CLIP_NORM)
    return max(found) if all(math.isfinite(value) for value in found) else math.inf


@pytest.mark.parametrize("which", ["all", "lora"])  # by the reference path, and batched
def test_the_clipped_sums_of_neighbours_differ_by_at_most_the_clip_norm(recogniser, units, which):
    trainable.choose_trainable(recogniser, which)
    assert neighbours_differ_by_at_most(clipping.clipped_sum, recogniser, units) <= 1 + 1e-5


@pytest.mark.parametrize("which", ["all", "lora"])
@pytest.mark.parametrize("name", CLIPPING_MUTANTS)
def test_a_mutant_of_the_clipping_breaks_the_bound(recogniser, units, name, which):
    trainable.choose_trainable(recogniser, which)
    mutant = mutated(clipping.clipped_sum, *CLIPPING_MUTANTS[name])
    assert neighbours_differ_by_at_most(mutant, recogniser, units) > 1 + 1e-3


class Echo:
    """A "recogniser" whose gradient for an utterance is the utterance itself."""

    def __init__(self):
        self.model = torch.nn.Linear(4, 4, bias=False).eval()

    def losses(self, utterances):
        return torch.stack([(self.model.weight * torch.from_numpy(signal)).sum() for signal, _ in utterances])


def test_clipping_after_the_sum_breaks_the_bound():
    def clipped_once(recogniser, units, clip_norm):
        total = clipping.clipped_sum(recogniser, units, 1e6)
        return {name: value * min(1.0, clip_norm / norm(total)) for name, value in total.items()}

    # One turns the sum of all around: both sums have norm 1, and their difference has norm 2.
    one, other = [Utterance(np.ones((4, 4), np.float32), "")], [Utterance(np.full((4, 4), -3, np.float32), "")]
    for clipped_sum, least, most in ((clipping.clipped_sum, 0, 1 + 1e-5), (clipped_once, 1 + 1e-3, math.inf)):
        together, alone = (clipped_sum(Echo(), units, 1.0) for units in ([one, other], [one]))
        assert least <= difference(together, alone) <= most
