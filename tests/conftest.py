"""What many tests share: a random recogniser small enough to train in a second, and a few synthetic people."""

import copy
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from speechpriv import audio, corpus
from speechpriv.data import voices
from speechpriv.models import asr, new

TEXTS = ("turn on the lights", "stop the music", "open the door", "set a timer", "good night")
UNITS, UTTERANCES, TEST_UNITS = 12, 3, 3


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Sums of floats depend on the number of threads, and the tests share their machine."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def same_draws():
    """A test that draws without a seed of its own draws the same each time, alone or in company."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="session")
def own_configuration(tmp_path_factory):
    """The key that signs bundles is made in the user's configuration folder; tests have one of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """Directory of an untrained recogniser with 22 thousand weights and 60 pieces."""
    torch.manual_seed(0)
    directory = tmp_path_factory.mktemp("base")
    new.make_recogniser(new.train_tokenizer(TEXTS, 60), hidden=32, layers=1, channels=8).save(directory)
    return directory


@pytest.fixture(scope="session")
def _loaded(base):
    return asr.load(str(base))


@pytest.fixture
def recogniser(_loaded):
    """The recogniser in `base`, to do with as one likes."""
    return asr.CtcRecogniser(copy.deepcopy(_loaded.model), _loaded.front_end, _loaded.tokenizer)


@pytest.fixture(scope="session")
def tiny_en():
    """The embedded base model, where it is there."""
    if not asr.TINY_EN.is_dir():
        pytest.skip("the embedded base model is not there: run recipes/pretrain.py")
    return asr.load("tiny-en")


@pytest.fixture(scope="session")
def corpus_dir(tmp_path_factory):
    """A corpus of 12 synthetic people who say three short things each; three of them are the test split."""
    rng = np.random.default_rng(0)

    def rows():
        for unit in range(UNITS):
            voice = voices.Voice(variant=f"{'mf'[unit % 2]}{1 + unit % 4}", rate_wpm=130, pitch=30 + 4 * unit)
            for number in range(UTTERANCES):
                text = TEXTS[(unit + number) % len(TEXTS)]
                samples = voices.speak(text, voice).samples
                samples = samples + 1e-3 * rng.standard_normal(len(samples), dtype=np.float32)
                split = "test" if unit < TEST_UNITS else "train"
                seconds = len(samples) / audio.RATE_HZ
                yield corpus.Row(
                    f"row-{unit}-{number}", f"unit-{unit}", split, audio.encode_flac(samples), text, seconds
                )

    directory = tmp_path_factory.mktemp("corpus")
    corpus.write(rows(), directory, lineage="synthetic", order_key=bytes(32))
    return directory


@pytest.fixture
def units(corpus_dir):
    """The utterances of each person in the train split."""
    found = corpus.read(corpus_dir)
    return [
        [asr.Utterance(found[row].samples(), found[row].text) for row in rows] for rows in found.units("train").values()
    ]


_small = runpy.run_path(str(Path(__file__).with_name("small_recognisers.py")))


@pytest.fixture(scope="session")
def small():
    """What tests/small_recognisers.py defines."""
    return _small


@pytest.fixture(scope="session", params=_small["MADE"])
def family_dir(request, tmp_path_factory):
    """Directory of a small random recogniser, of each family in turn."""
    torch.manual_seed(0)
    return _small["save"](request.param, tmp_path_factory.mktemp(request.param))
