"""What the beam search needs of a language model, whichever kind it is: states, and the way from one to the next.

A model is a named tuple that compiled code takes, with at least

    ids: int [tokens], what the model calls each token of the vocabulary: a word of its own, or its unknown word.
    start: int32 [n], the state after <s>; every state of the model has this length.
    end: what it calls </s>.

A kind of model says by `register` how it advances, so compiled code has the right function in it from the beginning.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba.extending import overload

_KINDS: dict[type, Callable] = {}


def register(kind: type[NamedTuple], function: Callable) -> None:
    """Makes `function`, with the arguments of `advance` by name, the `advance` of a kind of model."""
    _KINDS[kind] = function


def advance(model: NamedTuple, state: np.ndarray, token: int, following: np.ndarray) -> float:
    """The natural log-probability of a token, one of the model's `ids` or its `end`, after a state, int32 [n].

    For compiled code only, of a kind that is registered. `following`, int32 [n], which is not the same memory as
    `state`, takes the state that follows.
    """
    raise NotImplementedError


@overload(advance)
def _advance_of(model, state, token, following):
    return _KINDS.get(getattr(model, "instance_class", None))
