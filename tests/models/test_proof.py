"""A base is proved before it is trusted: checkpoints as people have them, each with one thing wrong."""

import runpy
import sys
from pathlib import Path

import pytest
import torch

from speechpriv.errors import ModelError
from speechpriv.models import asr, proof

CASES = Path(__file__).parents[3] / "shared" / "cases" / "bases.py"
WRONG = {
    "blank_is_not_pad": "pad_token_id is 0 in config.json and 29 in the tokenizer",
    "head_too_small": "indices up to 29, and its output layer has 20",
    "space_for_delimiter": "output layer has 30",
    "other_alphabet": "spells 0 of the 27",
    "eight_khz": "8,000 Hz",
    "no_pad_id": "pad_token_id is None",
    "not_finite": "lm_head.weight are not finite",
    "no_tokenizer": "its tokenizer cannot be read",
}


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """The folder that the cases' own script writes."""
    if not CASES.is_file():
        pytest.skip("needs ../shared/cases")
    directory = tmp_path_factory.mktemp("bases")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["bases.py", str(directory)])
        runpy.run_path(str(CASES), run_name="__main__")
    return directory


@pytest.mark.parametrize("name", WRONG)
def test_a_base_that_cannot_learn_is_refused_in_words(bases, name):
    with pytest.raises(ModelError, match=WRONG[name]) as refused:
        asr.load(str(bases / name))
    assert "xpected" in str(refused.value)


@pytest.mark.parametrize("name", ["good", "delimiter_is_space"])
def test_a_base_whose_parts_belong_together_spells(bases, name):
    recogniser = asr.load(str(bases / name))
    assert recogniser.decode(recogniser.encode("turn on the lights")) == "turn on the lights"


def test_every_case_is_tried(bases):
    assert {path.name for path in bases.iterdir()} == {*WRONG, "good", "delimiter_is_space"}


def test_the_share_of_letters_is_counted(bases):
    recogniser = asr.load(str(bases / "good"))
    assert proof.check_texts(recogniser, ["turn on the lights", "don't"], "good") == 1.0
    tokenizer = recogniser.tokenizer
    poor = asr.CtcRecogniser(recogniser.model, recogniser.front_end, _Without(tokenizer, "q"))
    with pytest.raises(ModelError, match=r"80\.0%.*it lacks 'q'"):
        proof.check_texts(poor, ["qabcd"], "poor")
    assert proof.check_texts(poor, ["a quick turn of " + "the lights in the kitchen " * 4], "poor") < 1


class _Without:
    """A tokenizer that lacks a letter."""

    def __init__(self, tokenizer, letter):
        self._tokenizer, self._letter = tokenizer, letter

    def __getattr__(self, name):
        return getattr(self._tokenizer, name)

    def __call__(self, text, **options):
        return self._tokenizer(text.replace(self._letter, "%"), **options)


def test_a_base_of_every_family_passes(family_dir):
    recogniser = asr.load(family_dir)
    assert recogniser.decode(recogniser.encode("turn on the lights")) == "turn on the lights"


def test_one_weight_that_is_not_a_number_is_seen(family_dir, tmp_path):
    recogniser = asr.load(family_dir)
    with torch.no_grad():
        next(iter(recogniser.model.parameters())).view(-1)[-1] = float("inf")
    recogniser.save(tmp_path)
    with pytest.raises(ModelError, match="not finite"):
        asr.load(str(tmp_path))
