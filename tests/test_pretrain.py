"""The recipe that pre-trains a base."""

import pytest

from speechpriv import config, packaged

PRETRAIN = packaged.load_functions(packaged.find_packaged("pretrain.py"), "learning_rate")


def test_the_rate_rises_stays_and_falls_to_nothing():
    settings = config.PretrainConfig(steps=1000, warmup=100, peak_learning_rate=1e-3)
    rates = [PRETRAIN["learning_rate"](step, settings) for step in range(1000)]
    assert rates[0] == pytest.approx(1e-5)
    assert rates[100:800] == pytest.approx([1e-3] * 700)
    assert rates[900] == pytest.approx(5e-4)
    assert 0 < rates[999] < 1e-5
