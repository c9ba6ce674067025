"""What a language model says of whole sentences."""

import numpy as np
from numba import njit

from ds2.decoding import automaton


def score(model, tokens) -> float:
    """The log-probability, natural, of a sentence of the vocabulary's ids, with its end."""
    return _score(model, np.asarray(tokens, np.int32))


@njit(nogil=True, cache=True)
def _score(model, tokens):
    total, state, following = 0.0, model.start.copy(), model.start.copy()
    for token in tokens:
        total += automaton.advance(model, state, model.ids[token], following)
        state, following = following, state
    return total + automaton.advance(model, state, model.end, following)
