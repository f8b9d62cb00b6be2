"""A new, untrained recogniser of the `tiny-en` family, with word pieces learned from synthetic
text.
"""

from collections.abc import Iterable

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import ParakeetCTCConfig, ParakeetFeatureExtractor, ParakeetForCTC, ParakeetTokenizer

from speechpriv.models.ctc import CtcRecogniser
from speechpriv.models.spelling import LETTERS

_UNKNOWN, _BLANK = "<unk>", "<blk>"
_ALPHABET = [*LETTERS, "▁"]


def train_tokenizer(texts: Iterable[str], pieces: int) -> ParakeetTokenizer:
    """Return byte-pair pieces (Sennrich et al. 2016) with U+2581 as word boundary; every text in
    a-z and ' can be spelled.

    Args:
      texts: lower-case text to count pieces in.
      pieces: size of the vocabulary without the blank, which comes last.
    """
    backend = Tokenizer(models.BPE(unk_token=_UNKNOWN))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    backend.decoder = decoders.Metaspace(prepend_scheme="always")
    backend.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=pieces, special_tokens=[_UNKNOWN], initial_alphabet=_ALPHABET, show_progress=False
        ),
    )
    backend.add_special_tokens([_BLANK])
    return ParakeetTokenizer(tokenizer_object=backend, unk_token=_UNKNOWN, pad_token=_BLANK)


def make_recogniser(
    pieces: ParakeetTokenizer, *, hidden: int, layers: int, channels: int, subsampling: int = 8
) -> CtcRecogniser:
    """Return an untrained conformer-CTC (Gulati et al. 2020) on NeMo-style log-mel features of 10
    ms.

    Args:
      pieces: what it spells with.
      hidden: width, a multiple of 4.
      layers: of the encoder.
      channels: of the convolutions that subsample.
      subsampling: features a frame, a power of two.
    """
    config = ParakeetCTCConfig(
        vocab_size=len(pieces),
        pad_token_id=pieces.pad_token_id,
        encoder_config={
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": 4,
            "intermediate_size": 2 * hidden,
            "subsampling_factor": subsampling,
            "subsampling_conv_channels": channels,
            "dropout": 0.0,
            "attention_dropout": 0.0,
            "activation_dropout": 0.0,
            "layerdrop": 0.0,
        },
    )
    model = ParakeetForCTC(config)
    # The library's normal(0, 0.02) shrinks the signal to 5e-7 through five convolutions, and
    # nothing is learned.
    for module in model.modules():
        if isinstance(module, torch.nn.Conv1d | torch.nn.Conv2d | torch.nn.Linear):
            module.reset_parameters()
    return CtcRecogniser(model.eval(), ParakeetFeatureExtractor(), pieces)
