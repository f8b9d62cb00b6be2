import sys
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from speechpriv import cli
from speechpriv.errors import ConfigError, DataError
from speechpriv.export import microphone


class PortAudioError(Exception):
    pass


@pytest.fixture
def heard(monkeypatch):
    """A sound card that plays what it is told to."""
    samples = []

    def rec(frames, samplerate, channels, dtype, blocking):
        if not samples:
            raise PortAudioError("no default input device")
        assert (samplerate, channels, dtype, blocking) == (16_000, 1, "float32", True)
        return np.resize(samples[0], frames)[:, None]

    monkeypatch.setitem(sys.modules, "sounddevice", SimpleNamespace(rec=rec, PortAudioError=PortAudioError))
    return samples


def test_what_the_microphone_hears_is_transcribed(exported, tones, heard):
    heard.append(tones.say("lamp door", np.random.default_rng(3)))
    seconds = len(heard[0]) / 16_000
    shown = CliRunner().invoke(cli.app, ["transcribe", str(exported), "--mic", str(seconds)])
    assert shown.stdout.splitlines()[-1] == "microphone\tlamp door"
    assert "speak now" in shown.output


def test_no_microphone_is_an_error(heard):
    with pytest.raises(DataError, match="no default input device"):
        microphone.open_microphone()(1.0)


@pytest.mark.parametrize(
    ("error", "said"),
    [(ImportError(), r"speechpriv\[mic\]"), (OSError("PortAudio library not found"), "libportaudio2")],
)
def test_without_the_library_what_to_install_is_said_before_anybody_speaks(monkeypatch, error, said):
    def find_spec(name, *_):
        if name == "sounddevice":
            raise error

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [SimpleNamespace(find_spec=find_spec), *sys.meta_path])
    with pytest.raises(ConfigError, match=said):
        microphone.open_microphone()
