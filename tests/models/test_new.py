import string

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speechpriv.models import asr, new

TEXTS = ("turn on the lights", "don't stop the music") * 5


@pytest.fixture(scope="module")
def pieces():
    return new.train_tokenizer(TEXTS, 50)


def test_the_blank_is_last_and_the_size_as_asked(pieces):
    assert len(pieces) == 51
    assert pieces.pad_token_id == 50
    assert pieces.convert_ids_to_tokens(50) == "<blk>"


def test_common_words_are_few_pieces_and_begin_with_the_boundary(pieces):
    assert pieces.tokenize("the") == ["\N{LOWER ONE EIGHTH BLOCK}the"]


@given(st.lists(st.text(string.ascii_lowercase + "'", min_size=1, max_size=12), min_size=1, max_size=6))
def test_every_text_can_be_spelled_and_read_back(recogniser_of_pieces, words):
    tokens = recogniser_of_pieces.encode(" ".join(words))
    assert recogniser_of_pieces.tokenizer.unk_token_id not in tokens
    assert recogniser_of_pieces.decode(tokens) == asr.normalise(" ".join(words))  # which drops quotation marks


@pytest.fixture(scope="module")
def recogniser_of_pieces(pieces):
    return new.make_recogniser(pieces, hidden=16, layers=1, channels=8)


def test_the_shape_is_as_asked(recogniser_of_pieces):
    config = recogniser_of_pieces.model.config
    assert config.encoder_config.hidden_size == 16
    assert config.encoder_config.num_hidden_layers == 1
    assert config.vocab_size == 51
    assert recogniser_of_pieces.blank == 50
    assert recogniser_of_pieces.samples_per_frame == 8 * 160
    assert not any(module.training for module in recogniser_of_pieces.model.modules())


def test_a_signal_gets_through_the_untrained_model(pieces):
    """With the library's own initialisation it does not: outputs then hardly depend on the input."""
    torch.manual_seed(0)
    ours = new.make_recogniser(pieces, hidden=32, layers=1, channels=8)
    torch.manual_seed(0)
    theirs = asr.CtcRecogniser(type(ours.model)(ours.model.config).eval(), ours.front_end, ours.tokenizer)

    def spread(recogniser):
        noise = torch.randn(2, 16_000, generator=torch.Generator().manual_seed(0)) * torch.tensor([[0.01], [0.1]])
        features, mask = recogniser.features([samples.numpy() for samples in noise])
        with torch.inference_mode():
            hidden = recogniser.model.encoder.subsampling(features, mask)
        return float(hidden.std(dim=1).mean())

    assert spread(ours) > 1e-3
    assert spread(theirs) < 1e-4
