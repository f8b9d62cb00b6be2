"""Whether a base model can learn what it is to be taught, proved before anything is spent on it.

A checkpoint whose tokenizer and output layer do not belong together trains to the end all the same,
spends epsilon, and cannot spell; one with indices beyond its outputs crashes torch's CTC.
"""

from collections.abc import Iterable
from typing import Any

import torch

from speechpriv.audio import RATE_HZ
from speechpriv.errors import ModelError
from speechpriv.models.classify import Classifier
from speechpriv.models.ctc import CtcRecogniser
from speechpriv.models.seq2seq import Seq2SeqRecogniser
from speechpriv.models.spelling import LETTERS, normalise

# Every letter, and the apostrophe; words of one letter too.
PANGRAM = "a quick brown fox didn't jump over the lazy dog I've seen"
LEAST_SPELLED = 0.98  # of the letters of what is learned from


def check_base(recogniser: CtcRecogniser | Seq2SeqRecogniser | Classifier, name: str) -> None:
    """Prove that a recogniser is whole and that its parts belong together.

    Args:
      recogniser: as it was loaded.
      name: what it was loaded from, for messages.

    Raises:
      ModelError: names the part that is wrong, what was expected and what to do.
    """
    rate_hz = getattr(recogniser.front_end, "sampling_rate", RATE_HZ)
    if rate_hz != RATE_HZ:
        raise ModelError(
            f"{name}: its front end expects {rate_hz:,} Hz; expected {RATE_HZ:,} Hz. Take a model that was trained "
            "on 16 kHz speech: resampled telephone speech of 8 kHz lacks half of what it hears."
        )
    _check_finite(recogniser.model, name)
    if isinstance(recogniser, Classifier):
        return
    if isinstance(recogniser, CtcRecogniser):
        _check_blank(recogniser, name)
    _check_outputs(recogniser, name)
    _check_spelling(recogniser, name)


def check_texts(recogniser: CtcRecogniser | Seq2SeqRecogniser, texts: Iterable[str], name: str) -> float:
    """Return the share of the texts' letters that a recogniser can spell.

    Args:
      recogniser: a base that passed `check_base`.
      texts: transcripts that are to be learned from.
      name: what it was loaded from, for messages.

    Raises:
      ModelError: the share is below `LEAST_SPELLED`.
    """
    spelled = {letter: _spells(recogniser, letter) for letter in LETTERS}
    letters = lost = 0
    for text in texts:
        own = normalise(text).replace(" ", "")
        letters += len(own)
        lost += sum(not spelled[letter] for letter in own)
    share = 1 - lost / letters if letters else 1.0
    if not share >= LEAST_SPELLED:
        missing = "".join(letter for letter, known in spelled.items() if not known)
        raise ModelError(
            f"{name}: its tokenizer spells {share:.1%} of the letters of the corpus (it lacks {missing!r}); "
            f"expected at least {LEAST_SPELLED:.0%}. Take a base for the language of the transcripts."
        )
    return share


def _check_finite(model: torch.nn.Module, name: str) -> None:
    wrong = [key for key, value in model.state_dict().items() if _is_broken(value)]
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise ModelError(
            f"{name}: its weights {wrong[0]}{more} are not finite; expected numbers. Download the checkpoint again, "
            "or take one from an earlier step of its training."
        )


def _is_broken(value: torch.Tensor) -> bool:
    return value.is_floating_point() and not bool(torch.isfinite(value).all())


def _check_blank(recogniser: CtcRecogniser, name: str) -> None:
    """See that config and tokenizer agree on the CTC blank, which training and decoding both go by."""
    blank = recogniser.model.config.pad_token_id
    own = recogniser.tokenizer.pad_token_id
    if blank is None or own is None or blank != own:
        raise ModelError(
            f"{name}: pad_token_id is {blank} in config.json and {own} in the tokenizer; expected the index of the "
            "CTC blank in both. Set it in config.json to the tokenizer's, if that is what the model was trained with."
        )


def _check_outputs(recogniser: CtcRecogniser | Seq2SeqRecogniser, name: str) -> None:
    """See that the output layer has a place for every token that a text may become."""
    tokenizer: Any = recogniser.tokenizer
    special = set(tokenizer.all_special_ids)
    indices = {index for index in tokenizer.get_vocab().values() if index not in special}
    largest = max(indices | set(recogniser.encode(PANGRAM)), default=0)
    outputs = int(recogniser.model.config.vocab_size)
    if not largest < outputs:
        raise ModelError(
            f"{name}: its tokenizer gives indices up to {largest}, and its output layer has {outputs} places; "
            "expected more places than the largest index. Take the tokenizer that the model was trained with."
        )


def _check_spelling(recogniser: CtcRecogniser | Seq2SeqRecogniser, name: str) -> None:
    """See that words and the spaces between them come back as they were encoded, by its own
    letters.
    """
    known = "".join(letter for letter in LETTERS if _spells(recogniser, letter))
    if len(known) < len(LETTERS) // 2:
        raise ModelError(
            f"{name}: its tokenizer spells {len(known)} of the {len(LETTERS)} signs a-z and '; expected nearly all. "
            "Take a base for the language of the transcripts."
        )
    words = normalise(PANGRAM).split()
    text = " ".join(kept for word in words if (kept := "".join(c for c in word if c in known)))
    back = recogniser.decode(recogniser.encode(text))
    if back != text:
        lost = "the spaces between words are lost" if back == text.replace(" ", "") else f"it comes back as {back!r}"
        raise ModelError(
            f"{name}: {text!r} is not the same once it is encoded and decoded ({lost}); expected the same. Check the "
            "tokenizer's word_delimiter_token, or take the tokenizer that the model was trained with."
        )


def _spells(recogniser: CtcRecogniser | Seq2SeqRecogniser, letter: str) -> bool:
    word = f"a{letter}a" if letter != "a" else "a"
    return letter in recogniser.decode(recogniser.encode(word))
