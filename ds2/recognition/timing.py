"""When the tokens of an alignment were said: a CTC network emits each at a spike, which has no end of its own."""

import itertools

import numpy as np

from ds2.data.frames import FRAME_SHIFT_S
from ds2.mel import FRAME_LENGTH_S
from ds2.recognition.calibration import Calibration

_DB = 10.0 / np.log(10.0)
# Silence is what is this many dB below the loud frames (95th percentile), for so many frames in a row.
_BELOW_LOUD = 25.0
_FEWEST = 4
# A frame's middle.
_MIDDLE_S = FRAME_LENGTH_S / 2


def loudness(features: np.ndarray) -> np.ndarray:
    """In dB, float32 [frames], of features as `features.extract` makes them, not normalised."""
    return _DB * np.logaddexp.reduce(features, axis=1)


def estimate(
    spans: np.ndarray, steps: int, step_seconds: float, calibration: Calibration | None, loud: np.ndarray | None
) -> np.ndarray:
    """Start and end of each token in seconds, float64 [tokens, 2], in order and without overlap.

    A token starts at its spike, moved by the calibration's offset. It ends where the next one starts, or before that at
    a silence: of the pauses between two spikes the longest ends the first token and starts the second.

    Args:
        spans: of an alignment, int64 [tokens, 2].
        steps: of the network's output.
        step_seconds: of a step.
        calibration: of the network; None: a spike counts as the start.
        loud: as `loudness` has it, of the same recording; None: no silence is known.
    """
    duration = steps * step_seconds
    calibration = calibration or Calibration()
    spikes = spans[:, 0] * step_seconds
    times = np.stack([spikes + calibration.start, np.append(spikes[1:] + calibration.start, duration)], axis=1)
    if loud is not None and len(spans):
        _heed(times, spikes, _silences(loud), duration)
    return np.clip(times, 0.0, duration)


def _silences(loud: np.ndarray) -> np.ndarray:
    """Starts and ends of the silences, in seconds, float64 [n, 2]."""
    quiet = loud < np.percentile(loud, 95) - _BELOW_LOUD
    changes = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]]).astype(np.int8))).reshape(-1, 2)
    changes = changes[changes[:, 1] - changes[:, 0] >= _FEWEST]
    return changes * FRAME_SHIFT_S + _MIDDLE_S


def _heed(times: np.ndarray, spikes: np.ndarray, silences: np.ndarray, duration: float) -> None:
    """Moves starts and ends to the longest silence between two spikes."""
    bounds = np.concatenate([[0.0], spikes, [duration]])
    for index, (left, right) in enumerate(itertools.pairwise(bounds.tolist())):
        within = silences[(silences[:, 1] > left) & (silences[:, 0] < right)]
        if not len(within):
            continue
        start, end = within[np.argmax(within[:, 1] - within[:, 0])].tolist()
        if index > 0:
            times[index - 1, 1] = start
        if index < len(spikes):
            times[index, 0] = end
