"""Best-path decoding."""

import numpy as np

from ds2.data.vocabulary import BLANK_ID
from ds2.decoding.decoder import Hypothesis


class Greedy:
    """The decoder ctc_greedy: the most likely token of every step, repeats collapsed, then blanks removed.

    Graves et al. 2006, "Connectionist temporal classification", section 3.2.
    """

    def prune(self, log_probabilities: np.ndarray) -> tuple[np.ndarray, float]:
        """The best path and its ln P."""
        path = log_probabilities.argmax(axis=1)
        return path, float(log_probabilities.max(axis=1).sum())

    def decode(self, kept: tuple[np.ndarray, float]) -> Hypothesis:
        """The ids of the best path, int64 [n]."""
        path, score = kept
        changed = np.ones(len(path), bool)
        changed[1:] = path[1:] != path[:-1]
        return Hypothesis(path[changed & (path != BLANK_ID)], score)
