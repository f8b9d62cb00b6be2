import json
import sys
from itertools import islice

import numpy as np
import pytest

from speechpriv import audio
from speechpriv.audit.canaries import canary, phrases
from speechpriv.audit.canaries.phrases import Phrase
from speechpriv.config import CanaryConfig
from speechpriv.data import text
from speechpriv.errors import AuditError, DataError
from speechpriv.models import new
from speechpriv.sections import DataConfig

KEY = b"k" * 32
TONE = np.sin(np.arange(16_000) / 16_000 * 2 * np.pi * 440).astype(np.float32) / 2
# A synthetic synthesiser: as many tenths of a second of a tone as there are letters.
SAYS = """
import sys, numpy, soundfile
soundfile.write(sys.argv[2], numpy.sin(numpy.arange(1600 * len(sys.argv[1])) / 6) / 2, 16000)
"""


@pytest.fixture(scope="module")
def coarse():
    """80 ms a frame and 256 pieces, as tiny-en."""
    return new.make_recogniser(new.train_tokenizer(text.list_words()[0][:3000], 256), hidden=32, layers=1, channels=8)


def first(count, **settings):
    registry, spoken = canary.make(CanaryConfig(**settings), KEY)
    return registry[:count], list(islice(spoken, count))


@pytest.mark.parametrize("kind", ["words", "digits", "name_address"])
@pytest.mark.parametrize("speed", [1.0, 4.0])
def test_every_kind_at_every_speed_fits_a_coarse_model(coarse, kind, speed):
    registry, rows = first(40, kinds=(kind,), speeds=(speed,))
    assert {(c.kind, c.speed) for c in registry} == {(kind, speed)}
    assert all(coarse.fits(len(row.samples()), row.text) for row in rows)
    assert len({row.text for row in rows}) == 40


def test_what_each_kind_says():
    said = {kind: [row.text.split() for row in first(20, kinds=(kind,))[1]] for kind in ("words", "digits")}
    assert {len(words) for words in said["words"]} == {6}
    assert all(len(words) == 10 and set(words) <= set(text.ONES) for words in said["digits"])
    for row in first(20, kinds=("name_address",))[1]:
        words = row.text.split()
        assert set(words[:2]) <= set(text.list_names())
        assert words[-2] == "street"


def test_kinds_and_speeds_are_mixed():
    registry, rows = first(60, kinds=("words", "digits"), speeds=(1.0, 2.0))
    assert {(c.kind, c.speed) for c in registry} == {(k, s) for k in ("words", "digits") for s in (1.0, 2.0)}
    are_digits = [set(row.text.split()) <= set(text.ONES) for row in rows]
    assert are_digits == [c.kind == "digits" for c in registry]


def test_faster_keeps_the_pitch_and_leaves_silence():
    phrase = phrases.speed_up(Phrase("x" * 10, TONE), 4)
    assert len(phrase.samples) == pytest.approx(0.7 * audio.RATE_HZ, abs=1)  # 70 ms a letter
    heard = phrase.samples[: len(TONE) // 4]
    assert not phrase.samples[len(TONE) // 4 + 1000 :].any()
    spectrum = np.abs(np.fft.rfft(heard))
    assert np.argmax(spectrum) * audio.RATE_HZ / len(heard) == pytest.approx(440, abs=5)


def test_natural_speed_changes_nothing():
    assert np.array_equal(phrases.speed_up(Phrase("tone", TONE), 1).samples, TONE)


@pytest.fixture
def speaker(tmp_path):
    """A command of the caller's own."""
    path = tmp_path / "says.py"
    path.write_text(SAYS)
    return sys.executable, str(path), "{text}", "{out}"


def test_a_command_speaks(speaker):
    _, rows = first(2, command=speaker)
    assert [row.seconds for row in rows] == [pytest.approx(len(row.text) / 10) for row in rows]


def test_a_command_is_no_shell(speaker, tmp_path):
    config = CanaryConfig(command=speaker)
    words = f"hello; touch {tmp_path}/made $(touch {tmp_path}/made)"
    assert len(phrases.speak(words, config, np.random.default_rng(0))) == 1600 * len(words)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import sys; sys.exit(sys.argv[1])", "exit code 1"),
        ("pass", "left no audio"),
        ("import sys, pathlib; pathlib.Path(sys.argv[2]).write_text(sys.argv[1])", "left no audio"),
        ("import time; time.sleep(60)", "more than 1 s"),
    ],
)
def test_a_command_that_does_not_speak(code, problem):
    config = CanaryConfig(command=(sys.executable, "-c", code, "{text}", "{out}"), command_limit_s=1)
    with pytest.raises(AuditError, match=problem) as error:
        phrases.speak("secret words", config, np.random.default_rng(0))
    assert "secret" not in str(error.value)


def test_no_such_command():
    config = CanaryConfig(command=("no-such-program", "{text}", "{out}"))
    with pytest.raises(AuditError, match="could not be started"):
        phrases.speak("secret words", config, np.random.default_rng(0))


@pytest.fixture
def recordings(tmp_path):
    """Thirty recordings under column names of their own; two cannot be used, two say what another one says."""
    with (tmp_path / "metadata.jsonl").open("w") as metadata:
        for i in range(30):
            samples = TONE * (i + 1) / 31 if i != 3 else TONE[:10]
            (tmp_path / f"{i}.flac").write_bytes(audio.encode_flac(samples))
            said = {4: "", 5: "Phrase SIX", 7: "phrase six"}.get(i, f"phrase {text.spoken_number(i)}")
            metadata.write(json.dumps({"clip": f"{i}.flac", "text": said, "user": "me"}) + "\n")
    return DataConfig(path=str(tmp_path), audio_column="clip")


def test_the_callers_recordings(recordings):
    said = list(phrases.draw_spoken(["recording"] * 20, CanaryConfig(recordings=recordings), np.random.default_rng(0)))
    texts = [phrase.text.lower() for phrase in said]
    assert len(set(texts)) == 20
    assert set(texts) <= {f"phrase {text.spoken_number(i)}" for i in range(30)}
    peaks = {phrase.text: np.abs(phrase.samples).max() for phrase in said if phrase.text != "Phrase SIX"}
    for i in range(30):
        if (name := f"phrase {text.spoken_number(i)}") in peaks and i != 6:
            assert peaks[name] == pytest.approx((i + 1) / 62, abs=1e-3)


def test_recordings_are_drawn_alike(recordings):
    """Which of them are drawn, and in which place, knows nothing of their order in the folder."""
    config, counts = CanaryConfig(recordings=recordings), np.zeros(2)
    for seed in range(40):
        said = list(phrases.draw_spoken(["recording"] * 13, config, np.random.default_rng(seed)))
        numbers = [phrase.text.lower() for phrase in said]
        counts += [f"phrase {text.spoken_number(i)}" in numbers for i in (0, 29)]
    assert (np.abs(counts / 40 - 0.5) < 0.25).all()  # 26 can be drawn: half of the time


def test_too_few_recordings(recordings):
    with pytest.raises(AuditError, match="26 usable recordings with words of their own; expected at least 1040"):
        next(phrases.draw_spoken(["recording"] * 1040, CanaryConfig(recordings=recordings), np.random.default_rng(0)))


def test_recordings_that_are_not_there(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        canary.list_inputs(CanaryConfig(recordings=DataConfig(path=str(tmp_path / "nowhere"))))
