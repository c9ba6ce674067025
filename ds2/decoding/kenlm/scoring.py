"""KenLM's scores and states (Heafield 2011, "KenLM: Faster and Smaller Language Model Queries").

A query goes from the word alone to ever longer n-grams that end in it; the longest that the file has gives the
probability, and the contexts longer than that add their back-off weights. A state is int32 [2 * order - 1]: the number
of context words, these words from the nearest on, and the bits of their back-off weights (float32, log10): of the
nearest word, of the two nearest... It holds only as many words as some n-gram of the file could go on from: KenLM marks
the others by a back-off weight of -0.0.
"""

import math
from collections.abc import Callable

import numpy as np

from ds2.compiled import compiled
from ds2.decoding.kenlm.memory import SIGN, as_float

_LN10 = math.log(10.0)
# A probability that says that there is no such n-gram: log-probabilities are not positive.
ABSENT = np.float32(1.0)


def advance_with(first: Callable, longer: Callable) -> Callable:
    """`automaton.advance` of a format.

    Both functions return log10 P, float32, the bits of the back-off weight, whether longer n-grams may exist, and a
    node, from which `longer` goes on.

    Args:
        first: compiled, of (model, word), the 1-gram.
        longer: compiled, of (model, n, node, word), the n-gram with `word` put before that of `node`, of n words.
            ABSENT if there is none.
    """

    def advance(model, state, token, following):
        order, context = model.order, state[0]
        log10, backoff, more, node = first(model, token)
        following[1], following[order] = token, np.int32(backoff)
        found, kept = 1, np.int32(backoff != SIGN)
        while more and found <= context:
            value, backoff, more, node = longer(model, found, node, state[found])
            if value > 0:
                break
            log10, found = value, found + 1
            if found < order:
                following[order + found - 1] = np.int32(backoff)
                if backoff != SIGN:
                    kept = found
        following[0] = kept
        for i in range(1, kept):
            following[1 + i] = state[i]
        score = np.float64(log10)
        for i in range(found - 1, context):
            score += as_float(state[order + i])
        return score * _LN10

    return advance


def start(order: int, begin: int, backoff: int) -> np.ndarray:
    """The state after <s>, a word with these bits of a back-off weight."""
    state = np.zeros(2 * order - 1, np.int32)
    state[0], state[1], state[order] = 1, begin, np.uint32(backoff).view(np.int32)
    return state


@compiled
def never_positive(bits: int) -> np.float32:
    """A log-probability, whose sign bit formats leave out or use for something else."""
    return as_float(np.uint32(bits) | SIGN)
