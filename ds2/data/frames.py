"""The arithmetic of time: samples, frames of features, output steps of the network, labels."""

import itertools
import math
from collections.abc import Sequence

from ds2.mel import FRAME_LENGTH_S

FRAME_SHIFT_S = 0.010


def frame_length(sample_rate: int) -> int:
    """Samples in a frame."""
    return int(sample_rate * FRAME_LENGTH_S)


def frame_shift(sample_rate: int) -> int:
    """Samples from one frame's start to the next one's."""
    return int(sample_rate * FRAME_SHIFT_S)


def count_frames(samples: int, sample_rate: int) -> int:
    """Frames that lie wholly within the samples (Kaldi's --snip-edges=true)."""
    if samples < frame_length(sample_rate):
        return 0
    return 1 + (samples - frame_length(sample_rate)) // frame_shift(sample_rate)


def frames_of_duration(duration: float, sample_rate: int) -> int:
    """The same for a duration in seconds, after resampling to `sample_rate`."""
    return count_frames(math.floor(duration * sample_rate + 0.5), sample_rate)


def count_steps(frames, frames_a_step: int):
    """Output steps of the network for a number of frames; works on ints, arrays and tensors alike."""
    return (frames + frames_a_step - 1) // frames_a_step


def steps_needed(labels: Sequence) -> int:
    """The fewest steps in which CTC can emit the labels: one each, and a blank between two equal ones.

    Graves et al. 2006, "Connectionist temporal classification", section 3.
    """
    return len(labels) + sum(a == b for a, b in itertools.pairwise(labels))
