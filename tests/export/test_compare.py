import pytest

from speechpriv.errors import DataError
from speechpriv.export import compare


class Answers:
    """Answers with the same words as torch, but for so many utterances with others."""

    def __init__(self, recogniser, wrong: int) -> None:
        self._recogniser, self._wrong = recogniser, wrong

    def transcribe(self, waveforms):
        heard = [self._recogniser.transcribe([samples])[0] for samples in waveforms]
        return ["purple elephant sings"] * self._wrong + heard[self._wrong :]


def test_each_file_is_held_against_torch_and_against_what_was_said(recogniser, recordings):
    files = {"right": Answers(recogniser, 0), "wrong": Answers(recogniser, 5)}
    found = compare.compare_with_torch(recogniser, files, recordings)
    assert (found.compared, found.torch_wer) == (20, 0.0)
    right = found.files["right"]
    assert (right.parity, right.wer, right.wer_increase) == (1.0, 0.0, 0.0)
    assert right.times_real_time > 0
    assert found.files["wrong"].parity == 0.75
    assert found.files["wrong"].wer == found.files["wrong"].wer_increase > 0.2


def test_a_corpus_without_a_test_part_is_an_error(recogniser, recordings, monkeypatch):
    monkeypatch.setattr(type(recordings), "rows", lambda *_: iter(()))
    with pytest.raises(DataError, match="test part"):
        compare.compare_with_torch(recogniser, {}, recordings)
