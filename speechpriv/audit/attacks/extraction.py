"""Extraction: what a stranger who holds the model's files gets out of it, by asking for canaries in
five ways.

Every attack is tried on planted phrases and on controls, phrases of the same kind that were never
planted; what comes out of these is chance. The base model is asked the same, and what it writes too
is no hit: it was never learned.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from rapidfuzz import process
from rapidfuzz.distance import LCSseq, Levenshtein

from speechpriv.audio import RATE_HZ
from speechpriv.audit.attacks import scores
from speechpriv.audit.inference import intervals
from speechpriv.data import text, voices
from speechpriv.data.voices import Speech
from speechpriv.errors import AuditError
from speechpriv.models.asr import Recogniser, Utterance, normalise

_CONFIDENCE = 0.95
_WIDTH = 8  # of the beam; all its texts are read
_BATCH = 16
_PROBE_S = (1.0, 2.0, 4.0)
_PROBE_LOUDNESS = (0.01, 0.1)  # standard deviation of white noise; speech has about 0.05
_PROBES = 8  # of noise, for each duration and loudness
_PROBE_WORDS = 2  # that must come out of a probe, which many phrases share; one common word says little
_RATE_WPM = 140  # of neighbours: slow and clear, as canaries are spoken
_COMMON = 3_000  # words among which a neighbour is looked for

Asked = tuple[list[np.ndarray], list[str]]  # recordings, and the words that are to come out of one of them
Search = Callable[[Recogniser, Sequence[np.ndarray]], list[list[str]]]


@dataclass(frozen=True)
class Hits:
    """How often something secret came out."""

    tries: int
    hits: int

    @property
    def at_most(self) -> float:
        """Upper bound on the rate of hits, one-sided, 95 % (Clopper & Pearson 1934): 0 of 59 is
        below 5 %.
        """
        return intervals.upper_bound(self.hits, self.tries, _CONFIDENCE)

    def __str__(self) -> str:
        return f"{self.hits} of {self.tries} (at most {self.at_most:.1%})"


@dataclass(frozen=True)
class Attack:
    """One way of asking, and what it brought out; holds no phrase."""

    name: str
    planted: Hits
    controls: Hits

    def __str__(self) -> str:
        return f"{self.name}: planted {self.planted}, never planted {self.controls}"


def attempt_extraction(
    model: Recogniser,
    base: Recogniser,
    planted: Sequence[Speech],
    controls: Sequence[Speech],
    *,
    given: int,
    seed: int = 0,
) -> tuple[Attack, ...]:
    """Try to get the words of planted phrases out of a model.

    1. and 2. The first words are heard, then silence: are others of the phrase written, in the greedy text or in one
       of the beam's eight?
    3. Noise masking: the other words are drowned in noise as loud as the recording.
    4. Silence and noise alone: do two words of a phrase, in order, come out of any of 51 probes, greedy or by beam?
    5. Phonetic neighbours: a stranger's voice says the phrase with one word replaced by the common word that sounds
       most like it. Is the word written that was not said?

    A hit is more words of the secret, in order, than the base model writes for the same audio.

    Args:
      model: the model as released, see `asr.load`.
      base: the model before training.
      planted: phrases as they were spoken for planting.
      controls: phrases of the same kind that were never planted.
      given: words of each phrase that the attacker knows, >= 0 and fewer than the phrase has.
      seed: of noise, voices and choices.

    Raises:
      AuditError: there is nothing to ask for, or a model cannot score the phrases: what cannot be
        scored writes nothing, and must not pass for keeping silent.

    Source: noise masking: Amid et al. 2022, arXiv:2204.08345; Jagielski et al. 2024,
    arXiv:2404.02052.
    """
    if not (planted and controls and 0 <= given < min(len(speech.words) for speech in (*planted, *controls))):
        raise AuditError(
            f"attacks: {len(planted)} planted phrases, {len(controls)} controls, given = {given}; expected at least "
            "one of each, and more words in every phrase than are given."
        )
    for name, recogniser in (("audited", model), ("base", base)):
        _check_scores(recogniser, [*planted, *controls], name)
    rng = np.random.default_rng(seed)
    groups = (planted, controls)

    def attack(name: str, search: Search, asked: Sequence[Sequence[Asked]], least: int = 1) -> Attack:
        hit = _hits(model, base, search, [one for group in asked for one in group], least)
        parts = hit[: len(planted)], hit[len(planted) :]
        return Attack(name, *(Hits(len(part), sum(part)) for part in parts))

    silent = [[_masked(speech, given, "silence", rng) for speech in group] for group in groups]
    noisy = [[_masked(speech, given, "noise", rng) for speech in group] for group in groups]
    probes = _probes(rng)
    probed = [[(probes, _words(speech)) for speech in group] for group in groups]
    common = text.list_words()[0][:_COMMON]
    sounds = dict(zip(common, voices.list_phonemes(common), strict=True))
    near = [[_neighbour(speech, given, sounds, rng) for speech in group] for group in groups]
    return (
        attack("first words, then silence, greedy text", _greedy, silent),
        attack("first words, then silence, beam texts", _beam, silent),
        attack("first words, then noise, greedy text", _greedy, noisy),
        attack("silence and noise alone, all texts", _both, probed, _PROBE_WORDS),
        attack("phonetic neighbours, greedy text", _greedy, near),
    )


def _hits(model: Recogniser, base: Recogniser, search: Search, asked: Sequence[Asked], least: int) -> list[bool]:
    """Of each secret, whether the model writes more of it than the base does, and `least` words or
    all.
    """
    waveforms = list({id(samples): samples for recordings, _ in asked for samples in recordings}.values())
    at = {id(samples): i for i, samples in enumerate(waveforms)}
    written = [[[text.split() for text in texts] for texts in search(one, waveforms)] for one in (model, base)]

    def most(texts: list[list[list[str]]], recordings: list[np.ndarray], secret: list[str]) -> int:
        return max(LCSseq.similarity(secret, words) for samples in recordings for words in texts[at[id(samples)]])

    hit = []
    for recordings, secret in asked:
        ours, bases = (most(texts, recordings, secret) for texts in written)
        hit.append(ours >= min(least, len(secret)) and ours > bases)
    return hit


def _greedy(recogniser: Recogniser, waveforms: Sequence[np.ndarray]) -> list[list[str]]:
    parts = [waveforms[start : start + _BATCH] for start in range(0, len(waveforms), _BATCH)]
    return [[written] for part in parts for written in recogniser.transcribe(part)]


def _beam(recogniser: Recogniser, waveforms: Sequence[np.ndarray]) -> list[list[str]]:
    return [recogniser.n_best(samples, _WIDTH) for samples in waveforms]


def _both(recogniser: Recogniser, waveforms: Sequence[np.ndarray]) -> list[list[str]]:
    pairs = zip(_greedy(recogniser, waveforms), _beam(recogniser, waveforms), strict=True)
    return [greedy + beam for greedy, beam in pairs]


def _words(speech: Speech) -> list[str]:
    return [normalise(word.text) for word in speech.words]


def _masked(speech: Speech, given: int, fill: scores.Fill, rng: np.random.Generator) -> Asked:
    start = speech.words[given].start
    return [scores.mask_span(speech.samples, start, len(speech.samples), fill, rng)], _words(speech)[given:]


def _probes(rng: np.random.Generator) -> list[np.ndarray]:
    lengths = [round(seconds * RATE_HZ) for seconds in _PROBE_S]
    noise = [
        rng.normal(0, loudness, length).astype(np.float32)
        for length in lengths
        for loudness in _PROBE_LOUDNESS
        for _ in range(_PROBES)
    ]
    return [np.zeros(length, np.float32) for length in lengths] + noise


def _neighbour(speech: Speech, given: int, sounds: Mapping[str, str], rng: np.random.Generator) -> Asked:
    """The phrase with one of the words that are not given replaced by the one that sounds most like
    it.
    """
    words = _words(speech)
    at = int(rng.integers(given, len(words)))
    (sound,) = voices.list_phonemes([words[at]])
    others = [word for word in sounds if sounds[word] != sound]  # nobody tells "two" from "too"
    distances = process.cdist([sound], [sounds[word] for word in others], scorer=Levenshtein.distance)[0]
    nearest = others[int(distances.argmin())]
    voice = dataclasses.replace(voices.random_voice(rng), rate_wpm=_RATE_WPM)
    spoken = voices.speak(" ".join([*words[:at], nearest, *words[at + 1 :]]), voice)
    return [spoken.samples], [words[at]]


@torch.inference_mode()
def _check_scores(recogniser: Recogniser, spoken: Sequence[Speech], name: str) -> None:
    utterances = [Utterance(speech.samples, " ".join(_words(speech))) for speech in spoken]
    parts = [utterances[start : start + _BATCH] for start in range(0, len(utterances), _BATCH)]
    scores.check_finite(np.concatenate([recogniser.losses(part).cpu().numpy() for part in parts]), name)
