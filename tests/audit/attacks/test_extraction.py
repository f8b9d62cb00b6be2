"""Attacks on a model that learned phrases by heart, and on one that did not."""

import copy

import numpy as np
import pytest
import scipy.stats
import torch

from speechpriv import audio
from speechpriv.audit.attacks import extraction, scores
from speechpriv.audit.attacks.extraction import Hits
from speechpriv.data import text, voices
from speechpriv.errors import AuditError
from speechpriv.models import asr, new

PHRASES, WORDS, GIVEN = 5, 3, 1
STEPS, VOICES = 160, 4
FILLS = (
    None,
    "silence",
    "noise",
    "noise",
    "noise",
)  # what is heard in a phrase's place while it is learned; noise is drawn
STRANGER = voices.Voice(variant="f1", rate_wpm=140)
COMMON = np.array(text.list_words()[0][:3000])


def spoken(rng, count):
    return [
        voices.speak(" ".join(rng.choice(COMMON, WORDS, replace=False)), voices.Voice(rate_wpm=140, pitch=40 + i))
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def planted():
    return spoken(np.random.default_rng(1), PHRASES)


@pytest.fixture(scope="module")
def controls():
    return spoken(np.random.default_rng(2), PHRASES)


@pytest.fixture(scope="module")
def untrained():
    torch.manual_seed(0)
    pieces = new.train_tokenizer(COMMON.tolist(), 256)
    return new.make_recogniser(pieces, hidden=48, layers=1, channels=8)


@pytest.fixture(scope="module")
def leaky(untrained, planted, memorise):
    """Writes a phrase, in two voices, when its first words are heard, whatever follows, and one of them in silence."""
    model = asr.CtcRecogniser(copy.deepcopy(untrained.model), untrained.front_end, untrained.tokenizer)
    rng = np.random.default_rng(3)
    waveforms, texts = [], []
    for speech in planted:
        start = speech.words[GIVEN].start
        for fill in FILLS:
            heard = scores.mask_span(speech.samples, start, len(speech.samples), fill, rng) if fill else speech.samples
            waveforms.append(heard)
        words = [word.text for word in speech.words]
        for i in range(VOICES):  # with one of the secret words replaced
            misheard = [*words]
            misheard[GIVEN + i % (WORDS - GIVEN)] = str(rng.choice(COMMON))
            waveforms.append(voices.speak(" ".join(misheard), STRANGER).samples)
        texts += [" ".join(words)] * (len(FILLS) + VOICES)
    waveforms += [np.zeros(round(s * audio.RATE_HZ), np.float32) for s in (2.0, 2.0, 2.0, 4.0)]
    texts += texts[:1] * 4
    memorise(model, waveforms, texts, steps=STEPS, learning_rate=8e-3)
    return model


@pytest.fixture(scope="module")
def found(leaky, untrained, planted, controls):
    with pytest.MonkeyPatch.context() as patch:  # so small a model learns no voice but those it heard
        patch.setattr(voices, "random_voice", lambda _: STRANGER)
        return {
            attack.name: attack
            for attack in extraction.attempt_extraction(leaky, untrained, planted, controls, given=GIVEN)
        }


def test_what_was_learned_by_heart_comes_out(found):
    silent, beam, noisy, probes, near = found.values()
    print(*found.values(), sep="\n")
    for completed in (silent, beam, noisy):
        assert completed.planted.hits == PHRASES
    assert probes.planted.hits >= 1  # the one that silence brings out
    assert near.planted.hits >= 1
    assert all(attack.planted.tries == PHRASES for attack in found.values())


def test_phrases_that_were_never_planted_do_not(found):
    """Chance, which the same model and the same attacks show beside it."""
    assert sum(attack.controls.hits for attack in found.values()) <= 1
    assert all(attack.controls.tries == PHRASES for attack in found.values())


def test_the_wrong_way_round_finds_nothing(leaky, untrained, planted, controls):
    """What the base writes too is no hit."""
    for model, base in ((untrained, untrained), (leaky, leaky), (untrained, leaky)):
        for attack in extraction.attempt_extraction(model, base, planted[:2], controls[:2], given=GIVEN):
            assert (attack.planted.hits, attack.controls.hits) == (0, 0)


def test_nothing_said_leaves_with_the_result(found, planted):
    shown = " ".join([*map(str, found.values()), *map(repr, found.values())]).split()
    secret = {word.text for speech in planted for word in speech.words}
    assert not secret & set(shown)
    assert any("0 of 5 (at most 45.1%)" in str(attack) for attack in found.values())


@pytest.mark.parametrize("damage", ["audited", "base"])
def test_a_model_that_cannot_score_is_not_silent(untrained, planted, controls, damage):
    broken = asr.CtcRecogniser(copy.deepcopy(untrained.model), untrained.front_end, untrained.tokenizer)
    with torch.no_grad():
        broken.head.bias.fill_(torch.nan)
    pair = (broken, untrained) if damage == "audited" else (untrained, broken)
    with pytest.raises(AuditError, match=f"the {damage} model: 10 of 10"):
        extraction.attempt_extraction(*pair, planted, controls, given=GIVEN)


@pytest.mark.parametrize("case", ["no planted", "no controls", "all given", "less than none"])
def test_nothing_to_ask_for(untrained, planted, controls, case):
    given = {"all given": WORDS, "less than none": -1}.get(case, GIVEN)
    with pytest.raises(AuditError, match=r"expected at least one of each"):
        extraction.attempt_extraction(
            untrained, untrained, [] if case == "no planted" else planted, [] if case == "no controls" else controls,
            given=given,
        )  # fmt: skip


@pytest.mark.parametrize(("tries", "below"), [(59, 0.05), (100, 0.0295), (299, 0.01)])
def test_the_bound_of_no_hit(tries, below):
    assert Hits(tries, 0).at_most == pytest.approx(1 - 0.05 ** (1 / tries))
    assert below * 0.98 < Hits(tries, 0).at_most <= below + 5e-5


@pytest.mark.parametrize("hits", [0, 3, 19, 20])
def test_the_bound_is_the_largest_rate_that_few_hits_do_not_refute(hits):
    bound = Hits(20, hits).at_most
    if hits == 20:
        assert bound == 1
    else:
        assert scipy.stats.binom.cdf(hits, 20, bound) == pytest.approx(0.05)


def test_a_neighbour_sounds_alike_and_is_another_word(planted):
    words = ("two", "too", "tea", "elephant")
    sounds = dict(zip(words, voices.list_phonemes(words), strict=True))
    speech = voices.speak("two", voices.Voice())
    recordings, secret = extraction._neighbour(speech, 0, sounds, np.random.default_rng(0))
    assert secret == ["two"]
    assert len(recordings[0]) == pytest.approx(len(speech.samples), rel=0.6)  # "tea", and never "elephant"


def test_words_count_in_their_order():
    class Says:
        def __init__(self, *texts):
            self.texts = texts

    def search(model, waveforms):
        return [list(model.texts)] * len(waveforms)

    def hit(ours, bases, secret, least=1):
        return extraction._hits(Says(*ours), Says(*bases), search, [([np.zeros(1)], secret.split())], least)[0]

    assert hit(["x a y b"], [""], "a b", 2)
    assert not hit(["b a"], [""], "a b", 2)
    assert not hit(["a", "b"], [""], "a b", 2)  # not in one text
    assert not hit(["a"], ["a"], "a b")
    assert hit(["", "a b"], ["a", ""], "a b")
    assert hit(["a"], [""], "a", 2)  # a secret of one word has no two
