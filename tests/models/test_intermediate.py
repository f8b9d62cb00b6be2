import numpy as np
import pytest
import torch

from speechpriv.models import intermediate, new

SYMBOLS = {"": 0, "a": 1, "t": 2}
FRAME = 640


@pytest.fixture(scope="module")
def recogniser():
    torch.manual_seed(0)
    pieces = new.train_tokenizer(["at a tea"] * 50, 40)
    return new.make_recogniser(pieces, hidden=16, layers=2, channels=4, subsampling=4)


def test_each_frame_is_told_the_phoneme_in_its_middle(recogniser):
    said = (("a", 1_200), ("unheard of", 2_700), ("t", 3_000), ("", 5_000))
    # Ten frames of 640 samples; the middle of frame t is at sample 640 t + 80.
    found = intermediate.label_frames(said, 6_400, FRAME, SYMBOLS)
    assert found.tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 0, 0]
    assert recogniser.samples_per_frame == FRAME
    assert len(found) == recogniser.log_probs([np.zeros(6_400, np.float32)])[1].item()
    late = (("a", 0), ("unheard of", 640), ("t", 1_280))
    assert intermediate.label_frames(late, 6_400, FRAME, SYMBOLS).tolist() == [1, intermediate.UNTOLD, *[2] * 8]


def test_nothing_said_is_a_pause():
    assert intermediate.label_frames((), 6_400, FRAME, SYMBOLS).tolist() == [0] * 10


def test_the_middle_layer_and_what_is_below_learns_to_tell_phonemes(recogniser):
    torch.manual_seed(0)
    head = intermediate.PhonemeHead(recogniser.model.encoder, len(SYMBOLS))
    features, mask = recogniser.features([np.random.default_rng(0).standard_normal(6_400).astype(np.float32)])
    recogniser.log_probs_of(features, mask)
    targets = torch.tensor([[1, 1, 1, intermediate.UNTOLD, 2, 2, 2, 0, 0, 0]])
    head.loss(targets).backward()
    below, above = recogniser.model.encoder.layers
    assert below.feed_forward1.linear1.weight.grad.abs().sum() > 0
    assert above.feed_forward1.linear1.weight.grad is None
    with torch.no_grad():
        logits = head.linear(head.hidden)[0]
        told = [frame for frame in range(10) if frame != 3]
        expected = torch.nn.functional.cross_entropy(logits[told], targets[0, told])
    assert head.loss(targets).item() == pytest.approx(expected.item(), rel=1e-5)
