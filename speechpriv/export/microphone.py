"""One microphone, for trying a bundle: needs the extra `mic` (sounddevice, and the system's
PortAudio).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from speechpriv.audio import RATE_HZ
from speechpriv.errors import ConfigError, DataError


def open_microphone() -> Callable[[float], np.ndarray]:
    """Return what records for so many seconds: samples (N,), float32 at 16 kHz, kept in memory
    alone.

    Raises:
      ConfigError: sounddevice or PortAudio is not there.
      DataError: when it is called: there is no microphone, or it cannot record.
    """
    device = _sounddevice()

    def record(seconds: float) -> np.ndarray:
        try:
            recorded = device.rec(
                int(seconds * RATE_HZ), samplerate=RATE_HZ, channels=1, dtype="float32", blocking=True
            )
        except device.PortAudioError as error:
            raise DataError(
                f"The microphone cannot record ({error.args[0] if error.args else 'no reason given'})."
            ) from error
        return np.asarray(recorded)[:, 0]

    return record


def _sounddevice() -> Any:
    try:
        import sounddevice  # noqa: PLC0415  an extra, and it opens PortAudio when it is imported
    except ImportError as error:
        raise ConfigError("A microphone needs sounddevice: pip install 'speechpriv[mic]'.") from error
    except OSError as error:  # what it raises where the system library is missing
        raise ConfigError("sounddevice finds no PortAudio. On Debian: apt-get install libportaudio2.") from error
    return sounddevice
