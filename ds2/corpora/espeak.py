"""Speech from libespeak-ng (GPL-3, installed by the extra `demo`), called through ctypes."""

import ctypes
import functools

import numpy as np

from ds2.errors import UserError

_SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: samples go to the callback, espeak_Synth returns when all have
_UTF8 = 1
_POSITION_CHARACTER = 1
_RATE, _PITCH, _RANGE = 1, 3, 4  # espeak_PARAMETER

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Synthesizer:
    """The library, which is one for the whole process: use `synthesizer()`. Speaks at `sample_rate`, in Hz."""

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError:
            raise UserError(
                "the demo corpus needs the package espeakng-loader: install the project with its extra demo, or use "
                "your own recordings with corpora: [] in params.yaml"
            ) from None
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self.sample_rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, 0)
        if self.sample_rate <= 0:
            raise UserError(f"libespeak-ng does not start with its data in {data.decode()}: reinstall espeakng-loader")
        self._parts: list[np.ndarray] = []
        self._callback = _Callback(self._take)  # held: ctypes does not
        self._library.espeak_SetSynthCallback(self._callback)

    def _take(self, samples, count: int, events) -> int:
        if samples and count > 0:
            self._parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def speak(self, text: str, voice: str, rate: int, pitch: int, pitch_range: int) -> np.ndarray:
        """Speaks a text: float32 [n] in -1..1 at `sample_rate`.

        `voice` is language and variant, such as "cmn+f3"; `rate` is in words a minute, 80 to 450 (175 is usual);
        `pitch` and `pitch_range` go from 0 to 100 (50 is the variant's own). The first thing spoken by a process is
        always the same; later ones depend on the earlier.
        """
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise UserError(f"libespeak-ng has no voice {voice}")
        for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        self._parts.clear()
        encoded = text.encode("utf-8")
        self._library.espeak_Synth(encoded, len(encoded) + 1, 0, _POSITION_CHARACTER, 0, _UTF8, None, None)
        return np.concatenate([np.zeros(0, np.int16), *self._parts]).astype(np.float32) / np.float32(32768)


@functools.cache
def synthesizer() -> Synthesizer:
    """The process's synthesizer."""
    return Synthesizer()
