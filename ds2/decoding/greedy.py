"""Best-path decoding."""

from collections.abc import Iterator

import numpy as np

from ds2.data.vocabulary import BLANK_ID, Vocabulary


def best_path(logits: np.ndarray, steps: np.ndarray) -> Iterator[np.ndarray]:
    """The most likely token of every step, repeats collapsed, then blanks removed (Graves et al. 2006, section 3.2).

    Args:
        logits: float [B, T, tokens]; log-probabilities give the same.
        steps: int [B], real output steps.

    Yields:
        label ids of each utterance, int64 [n].
    """
    for best, count in zip(logits.argmax(axis=2), steps, strict=True):
        path = best[:count]
        changed = np.ones(len(path), bool)
        changed[1:] = path[1:] != path[:-1]
        yield path[changed & (path != BLANK_ID)]


def decode(logits: np.ndarray, steps: np.ndarray, vocabulary: Vocabulary) -> list[str]:
    """The texts of `best_path`."""
    return [vocabulary.decode(ids) for ids in best_path(logits, steps)]
