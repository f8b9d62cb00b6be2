import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from speechpriv import audio
from speechpriv import corpus as corpora
from speechpriv.audit.attacks import scores
from speechpriv.corpus import Corpus
from speechpriv.errors import AuditError, ModelError
from speechpriv.models import asr
from speechpriv.models.asr import Utterance

PHRASES = ["turn on the lights", "stop the music", "open the door", "set a timer", "good night"]


@pytest.fixture(scope="module")
def phrases(corpus_dir):
    return corpora.read(corpus_dir)


@pytest.fixture(scope="module")
def recordings(phrases):
    return [phrases[i].samples() for i in range(4)]


@pytest.fixture(scope="module")
def seq2seq_dir(tmp_path_factory, small):
    torch.manual_seed(0)
    return small["save"]("speech2text", tmp_path_factory.mktemp("seq2seq"))


@pytest.fixture
def broken_dir(recogniser, tmp_path):
    with torch.no_grad():
        recogniser.head.bias.fill_(torch.nan)
    recogniser.save(tmp_path / "broken")
    return tmp_path / "broken"


@pytest.fixture
def changed_dir(recogniser, tmp_path):
    """The base with another output layer."""
    with torch.no_grad():
        recogniser.head.bias.add_(torch.linspace(-1, 1, len(recogniser.head.bias)))
    recogniser.save(tmp_path / "changed")
    return tmp_path / "changed"


def naive_losses(recogniser, recordings, candidates):
    """One full pass for every pair."""
    with torch.inference_mode():
        return np.array(
            [
                [float(recogniser.losses([Utterance(samples, phrase)])[0]) for phrase in phrases]
                for samples, phrases in zip(recordings, candidates, strict=True)
            ]
        )


def naive_distance(a, b):
    """Levenshtein's table."""
    table = np.zeros((len(a) + 1, len(b) + 1), int)
    table[:, 0], table[0] = np.arange(len(a) + 1), np.arange(len(b) + 1)
    for i, x in enumerate(a, 1):
        for j, y in enumerate(b, 1):
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (x != y))
    return table[-1, -1]


def test_candidates_are_scored_as_pair_by_pair(tiny_en, recordings):
    lists = [PHRASES] * len(recordings)
    found = scores.compute_candidate_losses(tiny_en, recordings, lists, "base")
    np.testing.assert_allclose(found, naive_losses(tiny_en, recordings, lists), rtol=1e-5)


def test_each_recording_may_have_its_own_candidates(tiny_en, recordings):
    lists = [PHRASES[i:] + PHRASES[:i] for i in range(len(recordings))]
    found = scores.compute_candidate_losses(tiny_en, recordings, lists, "base")
    same = scores.compute_candidate_losses(tiny_en, recordings, [PHRASES] * len(recordings), "base")
    np.testing.assert_allclose(found, [np.roll(row, -i) for i, row in enumerate(same)], rtol=1e-12)


def test_the_audio_is_encoded_once_a_recording(recogniser, recordings):
    passes = []
    recogniser.model.encoder.register_forward_hook(lambda *_: passes.append(1))
    scores.compute_candidate_losses(recogniser, recordings, [PHRASES * 20] * len(recordings), "base")
    assert len(passes) == len(recordings)


@pytest.mark.parametrize("measure", ["loss", "character_error_rate"])
def test_scores_are_above_the_base(base, changed_dir, phrases, recordings, measure):
    models = {"same": str(base), "changed": str(changed_dir)}
    told = []
    own = scores.score_phrases(models, str(base), phrases, measure=measure, on_model=told.append)
    assert told == ["same", "changed"]
    many = scores.score_candidates(models, str(base), recordings, [PHRASES] * len(recordings), measure=measure)
    assert own["same"].shape == (len(phrases),)
    assert many["same"].shape == (len(recordings), len(PHRASES))
    for found in (own, many):
        assert not found["same"].any()
        assert found["changed"].any()
    measured = scores.compute_losses if measure == "loss" else scores.compute_error_rates
    here, before = (measured(asr.load(str(d)), phrases, "") for d in (changed_dir, base))
    np.testing.assert_allclose(own["changed"], here - before)


def test_losses_are_for_sequence_to_sequence_too(seq2seq_dir, phrases, recordings):
    loaded = asr.load(str(seq2seq_dir))
    lists = [PHRASES] * len(recordings)
    found = scores.compute_candidate_losses(loaded, recordings, lists, "base")
    np.testing.assert_allclose(found, naive_losses(loaded, recordings, lists), rtol=1e-5)
    assert np.isfinite(scores.compute_losses(loaded, phrases, "base")).all()
    assert (scores.compute_error_rates(loaded, phrases, "base") >= 0).all()


def test_error_rates_are_edits_per_letter(tiny_en, phrases, tmp_path):
    """In noise, or none is heard wrong."""
    rng = np.random.default_rng(0)
    noisy = (
        replace(row, flac=audio.encode_flac(row.samples() + 0.03 * rng.standard_normal(len(row.samples()), np.float32)))
        for row in phrases.rows()
    )
    said = corpora.write(noisy, tmp_path / "noisy", lineage="synthetic")
    recordings = [row.samples() for row in said.rows()]
    written = tiny_en.transcribe(recordings)
    truth = [[naive_distance(text, phrase) / len(phrase) for phrase in PHRASES] for text in written]
    np.testing.assert_allclose(
        scores.compute_candidate_error_rates(tiny_en, recordings, [PHRASES] * len(recordings), "base"), truth
    )
    own = [naive_distance(text, row.text) / len(row.text) for text, row in zip(written, said.rows(), strict=True)]
    np.testing.assert_allclose(scores.compute_error_rates(tiny_en, said, "base"), own)
    assert len(set(own)) > 3


def test_a_model_that_heard_the_phrase_knows_it_better(tiny_en, recordings, phrases):
    """The recording's own phrase wins among the candidates, and not once it is masked."""
    own = [PHRASES.index(phrases[i].text) for i in range(len(recordings))]
    lists = [PHRASES] * len(recordings)
    assert scores.compute_candidate_losses(tiny_en, recordings, lists, "").argmin(1).tolist() == own
    rng = np.random.default_rng(0)
    for fill in ("silence", "noise"):
        hidden = [scores.mask_span(samples, 0, len(samples), fill, rng) for samples in recordings]
        assert scores.compute_candidate_losses(tiny_en, hidden, lists, "").argmin(1).tolist() != own


@pytest.mark.parametrize("measured", [scores.compute_candidate_losses, scores.compute_candidate_error_rates])
def test_a_model_that_cannot_score_is_no_pass(broken_dir, base, phrases, recordings, measured):
    broken, lists = copy.deepcopy(asr.load(str(base))), [PHRASES] * len(recordings)
    with torch.no_grad():
        broken.head.bias.fill_(torch.nan)
    with pytest.raises(AuditError, match=r"the audited model: .* no finite loss"):
        measured(broken, recordings, lists, "audited")
    with pytest.raises(AuditError, match="the audited model: 36 of 36"):
        scores.compute_error_rates(broken, phrases, "audited")
    for models, before in (({"audited": str(broken_dir)}, str(base)), ({"audited": str(base)}, str(broken_dir))):
        with pytest.raises(ModelError, match="not finite"):
            scores.score_phrases(models, before, phrases)
        with pytest.raises(ModelError, match="not finite"):
            scores.score_candidates(models, before, recordings, lists)


def test_a_candidate_that_does_not_fit_its_audio(tiny_en, recordings):
    long = [*PHRASES[1:], " ".join(PHRASES * 9)]
    with pytest.raises(AuditError, match=r"4 of 20 .* do not fit their audio") as refused:
        scores.compute_candidate_losses(tiny_en, recordings, [long] * len(recordings), "base")
    assert "lights" not in str(refused.value)


@pytest.mark.parametrize(
    "lists", [[], [PHRASES], [PHRASES] * 5, [PHRASES, PHRASES, PHRASES, PHRASES[1:]], [[], [], [], []]]
)
def test_lists_that_do_not_match(tiny_en, recordings, lists):
    with pytest.raises(AuditError, match="4 recordings"):
        scores.compute_candidate_losses(tiny_en, recordings, lists, "base")


def test_a_phrase_without_letters_has_no_error_rate(tiny_en, recordings):
    with pytest.raises(AuditError, match="1 of 2 phrases have no letters"):
        scores.compute_candidate_error_rates(tiny_en, recordings, [["stop", "!"]] * len(recordings), "base")


def test_masked_leaves_the_rest_alone():
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.1, 16_000).astype(np.float32)
    before = samples.copy()
    for fill in ("silence", "noise"):
        found = scores.mask_span(samples, 4_000, 12_000, fill, rng)
        assert np.array_equal(samples, before)
        assert found.dtype == np.float32
        assert np.array_equal(np.delete(found, slice(4_000, 12_000)), np.delete(samples, slice(4_000, 12_000)))
        loud = float(np.std(found[4_000:12_000]))
        assert loud == 0 if fill == "silence" else loud == pytest.approx(0.1, rel=0.05)
        assert abs(np.corrcoef(found[4_000:12_000] + 1e-9 * rng.normal(size=8_000), samples[4_000:12_000])[0, 1]) < 0.05
    for start, end in ((-1, 5), (5, 4), (0, 16_001)):
        with pytest.raises(AuditError, match="expected a span"):
            scores.mask_span(samples, start, end, "silence", rng)


def test_an_empty_corpus_is_never_scored_in_silence(tiny_en, phrases):
    empty = Corpus(phrases.table.select([]), "synthetic")
    with pytest.raises(AuditError, match="no phrase"):
        scores.compute_losses(tiny_en, empty, "base")
