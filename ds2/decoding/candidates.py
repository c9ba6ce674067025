"""The tokens that a beam search looks at: few a step, so that whole test sets fit in memory."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Candidates:
    """An utterance's log-probabilities without the unlikely ones."""

    tokens: np.ndarray  # int32 [n], by step, then by falling probability
    scores: np.ndarray  # float32 [n], ln P
    bounds: np.ndarray  # int64 [steps + 1], where each step starts and ends


def prune(log_probabilities: np.ndarray, cutoff_prob: float, cutoff_top_n: int) -> Candidates:
    """Keeps the most likely of the tokens, float [steps, tokens], of every step, at least one.

    At most `cutoff_top_n`, and no more once their probabilities come to `cutoff_prob`; 1: all.
    """
    steps, tokens = log_probabilities.shape
    most = min(cutoff_top_n, tokens)
    kept = np.arange(tokens)[None].repeat(steps, axis=0)
    if most < tokens:
        kept = np.argpartition(-log_probabilities, most - 1, axis=1)[:, :most]
    scores = np.take_along_axis(log_probabilities, kept, axis=1)
    # Equal scores by id, whatever order the partition left them in: the result must not depend on it.
    order = np.lexsort((kept, -scores), axis=1)
    kept, scores = np.take_along_axis(kept, order, axis=1), np.take_along_axis(scores, order, axis=1)
    wanted = np.ones(scores.shape, bool)
    if cutoff_prob < 1.0:
        wanted[:, 1:] = np.cumsum(np.exp(scores, dtype=np.float64), axis=1)[:, :-1] < cutoff_prob
    bounds = np.concatenate([[0], np.cumsum(wanted.sum(axis=1))]).astype(np.int64)
    return Candidates(kept[wanted].astype(np.int32), scores[wanted].astype(np.float32), bounds)
