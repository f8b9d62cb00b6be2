import importlib.util
from pathlib import Path

import numpy as np
import pytest

from speechpriv import audio, corpus
from speechpriv.claim import Claim
from speechpriv.export import onnx

_spec = importlib.util.spec_from_file_location("tones", Path(__file__).with_name("tones.py"))
_tones = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_tones)


@pytest.fixture(scope="session")
def tones():
    """The language of tones (tones.py)."""
    return _tones


@pytest.fixture(scope="session")
def recogniser(tones):
    """A recogniser that knows the language of tones; some seconds of training."""
    return tones.trained()


@pytest.fixture(scope="session")
def exported(recogniser, tmp_path_factory):
    """model.onnx and tokens.txt of `recogniser`."""
    directory = tmp_path_factory.mktemp("exported")
    onnx.export_recogniser(recogniser, directory)
    return directory


@pytest.fixture(scope="session")
def claim():
    """A claim of epsilon 7.5, 9 together with another release."""
    return Claim(
        event='{"noise_multiplier": 1.0, "sampling_rate": 0.05, "count": 100}',
        epsilon=7.5,
        delta=1e-5,
        mu_gdp=1.5,
        max_tpr_at_1_percent_fpr=0.2,
        unit="speaker",
        cap_per_unit=8,
        sampling_rate=0.05,
        noise_multiplier=1.0,
        clip_norm=1.0,
        normalisation=10.0,
        steps=100,
        units=200,
        other_releases=({"run_id": "earlier", "epsilon": 2.0},),
        groups=({"size": 2, "epsilon": 17.501, "delta": 1e-5},),
        composed_epsilon=9.0,
    )


@pytest.fixture(scope="session")
def recordings(tones, tmp_path_factory):
    """A corpus in the language of tones; every training transcript has four words."""
    rng = np.random.default_rng(8)

    def row(index: int) -> corpus.Row:
        split = "train" if index % 2 else "test"
        text = " ".join(rng.choice(tones.WORDS, 4)) if split == "train" else tones.sentence(rng)
        samples = tones.say(text, rng)
        return corpus.Row(
            f"row{index}", f"unit{index % 5}", split, audio.encode_flac(samples), text, len(samples) / 16_000
        )

    return corpus.write((row(index) for index in range(40)), tmp_path_factory.mktemp("corpus") / "c", lineage="tones")
