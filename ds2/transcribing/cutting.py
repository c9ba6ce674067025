"""Where a long recording is cut: at silence, into pieces as long as utterances."""

import itertools
from collections.abc import Iterator

import numpy as np

from ds2.transcribing.speech import FRAMES_A_SECOND

# Kept before and after speech, where the pause leaves room.
_MARGIN = round(0.2 * FRAMES_A_SECOND)
# Speech is where half of this is speech: clicks are not, and pauses shorter than half of it do not count.
_WINDOW = round(0.2 * FRAMES_A_SECOND)
# Pieces with longer pauses between them are not joined.
_LONGEST_PAUSE = round(1.5 * FRAMES_A_SECOND)
# Where no pause is, no piece shorter than this is cut off.
_SHORTEST = FRAMES_A_SECOND
# The least limit that this leaves a choice to.
LEAST_SECONDS = 2.0


def plan(speech: np.ndarray, power: np.ndarray, limit: float, usual: float) -> list[tuple[float, float]]:
    """Starts and ends, in seconds, of the pieces of a recording that hold all its speech, in order.

    None is longer than the limit, none overlap. It is cut at every pause; then neighbours are joined, those with the
    shortest pause between them first, while they stay within the usual length. Speech that exceeds the limit without a
    pause is cut at the quietest place in the second half of the limit.

    Args:
        speech: bool [frames], a frame of 10 ms each.
        power: float [frames].
        limit: in seconds, at least LEAST_SECONDS.
        usual: in seconds: as long as the utterances that the network was trained on. Measured on zh-dsp20 (1.3 s), 60
            utterances in a row: 0.07 of the characters wrong, as alone; joined up to the limit of 20 s 0.87.
    """
    most = int(limit * FRAMES_A_SECOND)
    quiet = np.convolve(power, np.ones(_WINDOW) / _WINDOW, "same")
    runs = [run for start, end in _runs(speech) for run in _divide(start, end, quiet, most)]
    pieces = _join(runs, min(most, round(usual * FRAMES_A_SECOND)))
    return [(start / FRAMES_A_SECOND, end / FRAMES_A_SECOND) for start, end in _widen(pieces, len(speech), most)]


def _runs(speech: np.ndarray) -> list[tuple[int, int]]:
    sums = np.concatenate([[0], np.cumsum(np.pad(speech.astype(np.int64), _WINDOW // 2))])
    dense = (sums[_WINDOW:] - sums[:-_WINDOW])[: len(speech)] * 2 >= _WINDOW
    changes = np.flatnonzero(np.diff(np.concatenate([[False], dense, [False]]).astype(np.int8)))
    return [(start, end) for start, end in changes.reshape(-1, 2).tolist()]


def _divide(start: int, end: int, quiet: np.ndarray, most: int) -> Iterator[tuple[int, int]]:
    while end - start > most:
        first, last = start + most // 2, min(start + most, end - _SHORTEST)
        cut = first + int(np.argmin(quiet[first : last + 1]))
        yield start, cut
        start = cut
    yield start, end


def _join(pieces: list[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    pauses = sorted((after[0] - before[1], i) for i, (before, after) in enumerate(itertools.pairwise(pieces)))
    first, last = list(range(len(pieces))), list(range(len(pieces)))  # of a group; right at the group's two ends
    joined = set()
    for pause, i in pauses:
        left, right = first[i], last[i + 1]
        if pause <= _LONGEST_PAUSE and pieces[right][1] - pieces[left][0] <= most:
            last[left], first[right] = right, left
            joined.add(i)
    return [(start, pieces[last[i]][1]) for i, (start, _) in enumerate(pieces) if i - 1 not in joined]


def _widen(pieces: list[tuple[int, int]], count: int, most: int) -> Iterator[tuple[int, int]]:
    """Adds the margins: at most half of the pause, and no more than the limit leaves room for."""
    ends = [0, *(end for _, end in pieces)]
    starts = [*(start for start, _ in pieces), count]
    for i, (start, end) in enumerate(pieces):
        room = (most - (end - start)) // 2
        before, after = start - ends[i], starts[i + 1] - end
        half_before, half_after = (before if i == 0 else before // 2), (after if i == len(pieces) - 1 else after // 2)
        yield start - min(_MARGIN, half_before, room), end + min(_MARGIN, half_after, room)
