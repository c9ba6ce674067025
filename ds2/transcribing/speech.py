"""Where in a recording somebody speaks, as the network in yeaudio says (FSMN, Zhang et al. 2018, arXiv 1803.05030)."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ds2.errors import UserError

# What the network was trained with.
SAMPLE_RATE = 16000
_FRAME, _FRAME_LENGTH = 160, 400
FRAMES_A_SECOND = SAMPLE_RATE // _FRAME

# A stretch is scored with this much before it: the network looks back 4 layers of 19 frames, the features 2.
_BEFORE = 100
# The features of a frame hold the two after it.
_AFTER = 2
_WINDOW = 60 * FRAMES_A_SECOND
# Of the output for silence; yeaudio: speech where 1 - p >= p + speech_noise_thres (0.6).
_MOST_SILENCE = 0.2


@dataclass(frozen=True, slots=True)
class Heard:
    """A recording in frames of 10 ms, those that its end cuts short left out."""

    speech: np.ndarray  # bool [frames]
    power: np.ndarray  # the mean square, float32 [frames]
    duration: float  # seconds


def listen(blocks: Iterable[np.ndarray]) -> Heard:
    """Finds speech and loudness in a recording of any length, holding a minute of it at a time.

    The blocks are float32 [n] in -1..1 each, at SAMPLE_RATE; their level does not matter. yeaudio's VadModel is not
    called as a whole: it needs 30 bytes a sample more, and fails with NumPy 2.4.

    Raises:
        UserError: onnxruntime is not installed.
    """
    speech, power, count = [np.zeros(0, bool)], [np.zeros(0, np.float32)], 0

    def score(samples: np.ndarray, first: int, end: int) -> None:
        speech.append(_silence(samples)[first:end] <= _MOST_SILENCE)
        power.append(np.square(samples[first * _FRAME : end * _FRAME]).reshape(-1, _FRAME).mean(axis=1))

    parts, length, first = [], 0, 0  # of a window; its frames before `first` are scored already
    for block in blocks:
        parts.append(block)
        count += len(block)
        length += len(block)
        if length >= _WINDOW * _FRAME:
            samples = np.concatenate(parts)
            end = _count(length) - _AFTER
            score(samples, first, end)
            parts, first = [samples[(end - _BEFORE) * _FRAME :].copy()], _BEFORE
            length = len(parts[0])
    if _count(length) > first:
        score(np.concatenate(parts), first, _count(length))
    return Heard(np.concatenate(speech), np.concatenate(power), count / SAMPLE_RATE)


def _count(samples: int) -> int:
    return max(0, 1 + (samples - _FRAME_LENGTH) // _FRAME)


def _silence(samples: np.ndarray) -> np.ndarray:
    """The network's output for silence, float32 [frames]."""
    network = _network()
    features, _ = network.extract_feat([samples])
    scores, _ = network.infer([features, *network.prepare_cache([])])
    return scores[0, :, 0]


@functools.cache
def _network() -> Any:
    try:
        import onnxruntime  # noqa: F401  without it yeaudio logs a traceback and fails later
    except ImportError:
        raise UserError("recordings this long are cut at silence, which needs the package onnxruntime") from None
    from yeaudio.vad_model import VadModel

    return VadModel(intra_op_num_threads=1)
