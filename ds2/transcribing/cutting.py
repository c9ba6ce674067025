"""Where a long recording is cut: at silence, into pieces as long as utterances."""

import itertools
from collections.abc import Iterator

import numpy as np

from ds2.transcribing.speech import FRAMES_A_SECOND

# Kept before and after speech. Pauses under twice that cut nothing.
_MARGIN = round(0.4 * FRAMES_A_SECOND)
# Speech is where half of this is speech: clicks are not.
_WINDOW = round(0.2 * FRAMES_A_SECOND)
# Pieces with longer pauses between them are not joined.
_LONGEST_PAUSE = round(1.5 * FRAMES_A_SECOND)
# Where no pause is, no piece shorter than this is cut off.
_SHORTEST = FRAMES_A_SECOND
# The least limit that this leaves a choice to.
LEAST_SECONDS = 2.0


def plan(speech: np.ndarray, power: np.ndarray, limit: float) -> list[tuple[float, float]]:
    """The pieces of a recording, in order, that hold all its speech; none longer than the limit, none overlapping.

    Neighbours are joined while they stay within the limit, so that the network, which reads in both directions, sees
    what stands around; speech without a pause is cut at the quietest place in the second half of the limit.

    Args:
        speech: bool [frames], a frame of 10 ms each.
        power: float [frames].
        limit: in seconds, at least LEAST_SECONDS.

    Returns:
        starts and ends in seconds.
    """
    most = int(limit * FRAMES_A_SECOND)
    quiet = np.convolve(power, np.ones(_WINDOW) / _WINDOW, "same") if len(power) else power
    pieces = [piece for span in _spans(speech) for piece in _divide(*span, quiet, most)]
    return [(start / FRAMES_A_SECOND, end / FRAMES_A_SECOND) for start, end in _join(pieces, most)]


def _spans(speech: np.ndarray) -> list[tuple[int, int]]:
    """Stretches of speech with their margins, not touching each other."""
    sums = np.concatenate([[0], np.cumsum(np.pad(speech.astype(np.int64), _WINDOW // 2))])
    dense = (sums[_WINDOW:] - sums[:-_WINDOW])[: len(speech)] * 2 >= _WINDOW
    changes = np.flatnonzero(np.diff(np.concatenate([[False], dense, [False]]).astype(np.int8)))
    spans: list[tuple[int, int]] = []
    for start, end in changes.reshape(-1, 2).tolist():
        start, end = max(0, start - _MARGIN), min(len(speech), end + _MARGIN)
        if spans and start <= spans[-1][1]:
            start = spans.pop()[0]
        spans.append((start, end))
    return spans


def _divide(start: int, end: int, quiet: np.ndarray, most: int) -> Iterator[tuple[int, int]]:
    while end - start > most:
        first, last = start + most // 2, min(start + most, end - _SHORTEST)
        cut = first + int(np.argmin(quiet[first : last + 1]))
        yield start, cut
        start = cut
    yield start, end


def _join(pieces: list[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    joined = pieces[:1]
    for start, end in itertools.islice(pieces, 1, None):
        if end - joined[-1][0] <= most and start - joined[-1][1] <= _LONGEST_PAUSE:
            start = joined.pop()[0]
        joined.append((start, end))
    return joined
