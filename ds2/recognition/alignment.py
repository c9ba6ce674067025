"""Which steps of a network's output belong to which token of a text, and how likely the text is."""

import math

import numpy as np

from ds2.data import frames
from ds2.data.vocabulary import BLANK_ID
from ds2.errors import UserError

# Stands for ln 0: a step that has to have a token the network rules out is a bad one, not an impossible one.
_FLOOR = -1e9
_NONE = -np.inf
# In front of the scores of the first states, which are reached from none.
_PAD = 2
# How many scores a block of steps has at least; blocks of long texts are as long as the root of all steps.
_SCORES = 1 << 18


class TooLongError(UserError):
    """A text needs more steps than there are."""


def align(log_probabilities: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The steps of each token in the likeliest of all CTC alignments of a text, int64 [tokens, 2]: first, last + 1.

    Steps between two tokens are blanks; two equal tokens in a row have at least one between them (Graves et al. 2006,
    "Connectionist temporal classification"). Memory grows with tokens times the square root of steps: scores are kept
    at checkpoints, about as many as that root, and the path between two checkpoints is recomputed.

    Args:
        log_probabilities: float [steps, tokens of the vocabulary], or of the columns that `ids` asks for; blank first.
        ids: int [tokens], the text.

    Raises:
        TooLongError: it does not fit.
    """
    needed = frames.steps_needed(ids.tolist())
    if needed > len(log_probabilities):
        raise TooLongError(
            f"its {len(ids)} characters need at least {needed} output steps of the network, and the recording has "
            f"{len(log_probabilities)}"
        )
    spans = np.zeros((len(ids), 2), np.int64)
    if len(ids):
        path = _best_path(_Lattice(log_probabilities, ids, np.maximum, _FLOOR))
        steps = np.flatnonzero(path % 2)
        tokens = path[steps] // 2
        # Of several steps of a token the one that is written last stays.
        spans[tokens[::-1], 0] = steps[::-1]
        spans[tokens, 1] = steps + 1
    return spans


def log_likelihood(log_probabilities: np.ndarray, ids: np.ndarray) -> float:
    """Ln P of a text: the sum over all its CTC alignments, as the loss of a training has it; arguments of `align`."""
    lattice = _Lattice(log_probabilities, ids, np.logaddexp, _NONE)
    scores = lattice.start()
    for first in lattice.blocks:
        scores = lattice.run(first, scores)[-1]
    return min(0.0, float(np.logaddexp.reduce(scores[_PAD:][-2:])))


class _Lattice:
    """The states of a text's CTC alignments, step by step: even states are blanks, odd ones tokens.

    Scores are float64 [_PAD + states]; the first _PAD belong to no state and are ln 0.

    Attributes:
        states: their number.
        blocks: the first step of each block of steps.
    """

    def __init__(self, log_probabilities: np.ndarray, ids: np.ndarray, merge: np.ufunc, floor: float) -> None:
        """
        Args:
            log_probabilities: as in `align`.
            ids: as in `align`.
            merge: makes one score of those of two paths to the same state.
            floor: stands for all log-probabilities below it.
        """
        self.states = 2 * len(ids) + 1
        steps = len(log_probabilities)
        self.blocks = range(0, steps, max(math.isqrt(steps) + 1, _SCORES // self.states))
        self._logs = log_probabilities
        self._merge, self._floor = merge, floor
        self._columns = np.full(self.states, BLANK_ID)
        self._columns[1::2] = ids
        # Added to the score of the state two before: the blank between two tokens may be left out if they differ.
        self._skip = np.full(self.states, _NONE)
        self._skip[3::2][ids[1:] != ids[:-1]] = 0.0

    def start(self) -> np.ndarray:
        """Scores before the first step: as if a blank had been."""
        scores = np.full(_PAD + self.states, _NONE)
        scores[_PAD] = 0.0
        return scores

    def run(self, start: int, scores: np.ndarray) -> np.ndarray:
        """The scores before a block, which are given, and after each of its steps: [steps + 1, _PAD + states]."""
        logs = self._logs[start : start + self.blocks.step]
        # Other states cannot be reached within the block, or the end cannot be reached from them.
        last = min(self.states, 2 * (start + len(logs)))
        first = min(last, max(0, self.states - 2 * (len(self._logs) - start)))
        found = np.full((len(logs) + 1, _PAD + self.states), _NONE)
        found[0] = scores
        logs = np.maximum(logs.take(self._columns[first:last], axis=1), np.float32(self._floor))
        skip = self._skip[first:last]
        best, skipping = np.empty(last - first), np.empty(last - first)
        merge = self._merge
        for before, after, row in zip(found, found[1:, _PAD + first : _PAD + last], logs, strict=False):
            merge(before[_PAD + first : _PAD + last], before[_PAD - 1 + first : _PAD - 1 + last], out=best)
            np.add(before[first:last], skip, out=skipping)
            merge(best, skipping, out=best)
            np.add(best, row, out=after)
        return found

    def origins(self, scores: np.ndarray) -> np.ndarray:
        """How many states back the best path to each state comes from, uint8 [steps, states], of what `run` returns."""
        stay, follow, skip = scores[:-1, 2:], scores[:-1, 1:-1], scores[:-1, :-2] + self._skip
        return np.where(skip > np.maximum(stay, follow), np.uint8(2), (follow > stay).view(np.uint8))


def _best_path(lattice: _Lattice) -> np.ndarray:
    """The state at every step of the likeliest alignment, int64 [steps]."""
    kept = [lattice.start()]
    for start in lattice.blocks[:-1]:
        kept.append(lattice.run(start, kept[-1])[-1].copy())
    state, path = -1, []
    for start, before in zip(reversed(lattice.blocks), reversed(kept), strict=True):
        scores = lattice.run(start, before)
        if state < 0:
            state = lattice.states - (1 if scores[-1, -1] >= scores[-1, -2] else 2)
        for origins in reversed(lattice.origins(scores)):
            path.append(state)
            state -= origins.item(state)
    return np.array(path[::-1])
