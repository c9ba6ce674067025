"""When the tokens of an alignment were said: a CTC network emits each at a spike, which has no end of its own."""

import numpy as np

from ds2.data.frames import FRAME_SHIFT_S
from ds2.mel import FRAME_LENGTH_S
from ds2.recognition.calibration import Calibration

_DB = 10.0 / np.log(10.0)
# Silence: at least _FEWEST consecutive frames below the 95th percentile of loudness less _BELOW_LOUD dB.
_BELOW_LOUD = 35.0
_FEWEST = 4
# A pause ends so early and so late, in seconds, around the expected start: networks are early where silence is before.
_REACH_S = (-0.2, 0.3)
# No token is longer: what is behind it is noise or music without a silence.
_LONGEST_S = 1.0
_SHORTEST_S = 0.05
_LEAST_S = 0.005  # what a pause before a token leaves of it
# A frame's middle.
_MIDDLE_S = FRAME_LENGTH_S / 2


def loudness(features: np.ndarray) -> np.ndarray:
    """In dB, float32 [frames], of features as `features.extract` makes them, not normalised."""
    return _DB * np.logaddexp.reduce(features, axis=1)


def estimate(
    spans: np.ndarray, steps: int, step_seconds: float, calibration: Calibration | None, loud: np.ndarray | None
) -> np.ndarray:
    """Start and end of each token in seconds, float64 [tokens, 2], in order and without overlap.

    A token is expected to start at its spike, moved by the calibration's offset, and to end where the next one starts.
    A silence that ends near an expected start is the pause before it: it ends the token before and starts this one.
    Behind the last token the longest silence counts. No token is shorter than a step, as no two spikes are nearer.

    Args:
        spans: of an alignment, int64 [tokens, 2].
        steps: of the network's output.
        step_seconds: of a step.
        calibration: of the network; None: a spike counts as the start.
        loud: as `loudness` has it, of the same recording; None: no silence is known.
    """
    duration = steps * step_seconds
    if loud is not None and len(loud):  # the last step may reach beyond the recording
        duration = min(duration, (len(loud) - 1) * FRAME_SHIFT_S + FRAME_LENGTH_S)
    expected = spans[:, 0] * step_seconds + (calibration.offset if calibration else 0.0)
    places = np.arange(len(spans))  # at the edges an offset leaves each token a step
    expected = np.clip(expected, places * step_seconds, duration - (len(spans) - places) * step_seconds)
    ends = np.minimum(np.append(expected[1:], duration), expected + _LONGEST_S)
    times = np.stack([expected, ends], axis=1)
    if loud is not None and len(loud) and len(spans):
        silences = _silences(loud)
        for index, at in enumerate(expected.tolist()):
            earliest = times[index - 1, 0] + _SHORTEST_S if index else 0.0  # the token before is said before the pause
            late = silences[:, 1] - at
            near = (silences[:, 0] >= earliest) & (late >= _REACH_S[0]) & (late <= _REACH_S[1])
            near = silences[near & (silences[:, 1] <= times[index, 1] - _LEAST_S)]
            if len(near):
                start, end = near[np.argmax(near[:, 1] - near[:, 0] - np.abs(near[:, 1] - at))]
                times[index, 0] = end
                if index > 0:
                    times[index - 1, 1] = start
        after = silences[silences[:, 0] >= times[-1, 0] + _SHORTEST_S]
        if len(after):
            times[-1, 1] = after[np.argmax(after[:, 1] - after[:, 0]), 0]
    return np.maximum.accumulate(np.clip(times, 0.0, duration).ravel()).reshape(-1, 2)


def _silences(loud: np.ndarray) -> np.ndarray:
    """Starts and ends of the silences, in seconds, float64 [n, 2]."""
    quiet = loud < np.percentile(loud, 95) - _BELOW_LOUD
    changes = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]]).astype(np.int8))).reshape(-1, 2)
    return changes[changes[:, 1] - changes[:, 0] >= _FEWEST] * FRAME_SHIFT_S + _MIDDLE_S
