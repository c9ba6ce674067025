"""Which steps of a network's output belong to which token of a text, and how likely the text is."""

import math

import numpy as np

from ds2.compiled import compiled
from ds2.data import frames
from ds2.data.vocabulary import BLANK_ID
from ds2.errors import UserError

# Stands for ln 0: a step that has to have a token the network rules out is a bad one, not an impossible one.
_FLOOR = -1e9
_NONE = -np.inf


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
        _viterbi(log_probabilities, ids.astype(np.int64), spans, math.isqrt(len(log_probabilities)) + 1)
    return spans


def log_likelihood(log_probabilities: np.ndarray, ids: np.ndarray) -> float:
    """Ln P of a text: the sum over all its CTC alignments, as the loss of a training has it; arguments of `align`."""
    return min(0.0, _forward(log_probabilities, ids.astype(np.int64)))


@compiled
def _bounds(step, steps, states):
    """The states that can be reached at a step, and from which the end can be."""
    return max(0, states - 2 * (steps - step)), min(states, 2 * (step + 1))


@compiled
def _forward(logs, ids):
    steps, states = len(logs), 2 * len(ids) + 1
    scores, following = np.full(states, _NONE), np.full(states, _NONE)
    scores[0] = 0.0  # before the first step: as if a blank had been
    for step in range(steps):
        first, last = _bounds(step, steps, states)
        following[:] = _NONE
        for state in range(first, last):
            score = scores[state]
            if state > 0:
                score = np.logaddexp(score, scores[state - 1])
            if state % 2 == 1 and state > 1 and ids[state // 2] != ids[state // 2 - 1]:
                score = np.logaddexp(score, scores[state - 2])
            following[state] = score + logs[step, ids[state // 2] if state % 2 == 1 else BLANK_ID]
        scores, following = following, scores
    return scores[0] if states == 1 else np.logaddexp(scores[states - 1], scores[states - 2])


@compiled
def _step(logs, ids, before, after, pointers, first, last):
    """One step for the states from `first` to before `last`: even ones are blanks, odd ones tokens."""
    for state in range(first, last):
        score, pointer = before[state], 0
        if state > 0 and before[state - 1] > score:
            score, pointer = before[state - 1], 1
        if state % 2 == 1 and state > 1 and ids[state // 2] != ids[state // 2 - 1] and before[state - 2] > score:
            score, pointer = before[state - 2], 2
        after[state] = score + max(logs[ids[state // 2] if state % 2 == 1 else BLANK_ID], _FLOOR)
        pointers[state] = pointer


@compiled
def _viterbi(logs, ids, spans, block):
    """Fills `spans`; the scores before every `block` steps are kept."""
    steps, states = len(logs), 2 * len(ids) + 1
    kept = np.empty((-(-steps // block), states))
    pointers = np.empty((block, states), np.uint8)
    scores, following = np.full(states, _NONE), np.full(states, _NONE)
    scores[0] = 0.0  # before the first step: as if a blank had been
    for step in range(steps):
        if step % block == 0:
            kept[step // block] = scores
        first, last = _bounds(step, steps, states)
        following[:] = _NONE
        _step(logs[step], ids, scores, following, pointers[0], first, last)
        scores, following = following, scores
    state = states - 1 if scores[states - 1] >= scores[states - 2] else states - 2
    for index in range(len(kept) - 1, -1, -1):
        start, end = index * block, min(steps, (index + 1) * block)
        scores[:] = kept[index]
        for step in range(start, end):
            first, last = _bounds(step, steps, states)
            following[:] = _NONE
            _step(logs[step], ids, scores, following, pointers[step - start], first, last)
            scores, following = following, scores
        for step in range(end - 1, start - 1, -1):
            if state % 2 == 1:
                token = state // 2
                spans[token, 0] = step
                if spans[token, 1] == 0:
                    spans[token, 1] = step + 1
            state -= pointers[step - start, state]
