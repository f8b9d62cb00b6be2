"""Voiceprints on synthetic voices."""

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForXVector

from speechpriv.audit.voices import voiceprints
from speechpriv.data import voices
from speechpriv.errors import ModelError

SAID = ("turn on the lamp", "what time is it", "play some music please", "set a timer for ten minutes")
VOICES = [
    voices.Voice(variant=variant, pitch=pitch, rate_wpm=160)
    for variant, pitch in (("m1", 30), ("f1", 60), ("f2", 80), ("m3", 20), ("f4", 45), ("m5", 50))
]


@pytest.fixture(scope="module")
def spoken():
    return [(f"p{i}", voices.speak(text, voice).samples) for i, voice in enumerate(VOICES) for text in SAID]


def own_and_others(vectors, people):
    """Mean likeness of pairs of one person, and of two."""
    likeness, people = vectors @ vectors.T, np.array(people)
    same = people[:, None] == people[None]
    return likeness[same & ~np.eye(len(people), dtype=bool)].mean(), likeness[~same].mean()


@pytest.mark.parametrize("name", ["statistics", "network"])
def test_people_whom_it_learned_are_told_apart(name, spoken, monkeypatch):
    monkeypatch.setattr(voiceprints, "_STEPS", 40)
    way = voiceprints.load_voiceprint(name)
    people, features = [person for person, _ in spoken], [way.features(samples) for _, samples in spoken]
    vectors = way.learn(features, people)(features)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    own, others = own_and_others(vectors, people)
    assert own > others + 0.5
    shuffled = np.random.default_rng(0).permutation(people).tolist()
    own, others = own_and_others(vectors, shuffled)
    assert abs(own - others) < 0.3  # negative control


@pytest.mark.parametrize("name", ["statistics", "network"])
def test_the_same_again_gives_the_same(name, spoken, monkeypatch):
    monkeypatch.setattr(voiceprints, "_STEPS", 3)
    way = voiceprints.load_voiceprint(name)
    people, features = [person for person, _ in spoken], [way.features(samples) for _, samples in spoken]
    state = torch.random.get_rng_state()
    first, second = (way.learn(features, people)(features) for _ in range(2))
    assert np.array_equal(first, second)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("name", ["statistics", "network"])
@pytest.mark.parametrize(
    "samples", [np.zeros(16_000, np.float32), np.full(1, 0.5, np.float32)], ids=["silent", "short"]
)
def test_whatever_is_heard_has_features(name, samples):
    assert np.isfinite(voiceprints.load_voiceprint(name).features(samples)).all()


def test_a_model_for_x_vectors_by_name(tmp_path, spoken):
    config = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, conv_dim=(8, 8),
        conv_kernel=(10, 8), conv_stride=(5, 4), num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
        tdnn_dim=(16, 16), tdnn_kernel=(3, 1), tdnn_dilation=(1, 1), xvector_output_dim=12,
    )  # fmt: skip
    Wav2Vec2ForXVector(config).save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    way = voiceprints.load_voiceprint(str(tmp_path))
    features = [way.features(samples) for _, samples in spoken]
    assert features[0].shape == (12,)
    assert way.learn(features, [person for person, _ in spoken])(features[:2]).shape == (2, 5)


def test_a_model_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ModelError, match=r"no model for x-vectors.*'statistics'"):
        voiceprints.load_voiceprint(str(tmp_path / "nothing"))
