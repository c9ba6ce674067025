"""Interpolated modified Kneser-Ney smoothing.

Chen & Goodman, An Empirical Study of Smoothing Techniques for Language Modeling (1998), section 3, with the pruning and
the treatment of <s> and <unk> of Heafield et al., Scalable Modified Kneser-Ney Language Model Estimation (2013): what
KenLM's lmplz computes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ds2.language_model.counts import Grams
from ds2.language_model.text import BEGIN_ID

# For n-grams of adjusted count 1, 2, and 3 or more, where the text is too small or too regular to say
# (lmplz --discount_fallback).
FALLBACK = (0.5, 1.0, 1.5)
# A discount of 0 would leave nothing for words that never follow: log10 of their weight is not a number.
_LEAST = 1e-6


@dataclass(frozen=True)
class Level:
    """The smoothed n-grams of one order."""

    grams: Grams
    kept: np.ndarray  # bool [n], those that are part of the model
    probabilities: np.ndarray  # float64 [n], log10 of the last word's probability after the others; where `kept`
    backoffs: np.ndarray  # float64 [n], log10 of the factor for words that never follow; where `kept`
    discounts: tuple[float, float, float]  # those of adjusted counts 1, 2, and 3 or more


def discounts(adjusted: np.ndarray) -> tuple[float, float, float]:
    """Discounts of an order with these adjusted counts, int [n]: Chen & Goodman's equation 26, else `FALLBACK`."""
    _, n1, n2, n3, n4 = (int(count) for count in np.bincount(np.minimum(adjusted, 5), minlength=5)[:5])
    if not (n1 and n2 and n3):
        return FALLBACK
    y = n1 / (n1 + 2 * n2)
    found = 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3
    return found if all(_LEAST <= discount <= i for i, discount in enumerate(found, start=1)) else FALLBACK


def smooth(counted: Sequence[Grams], prune: Sequence[int]) -> list[Level]:
    """Estimates a model from the counts of each order, single words first; at least two orders.

    n-grams that occur as often as `prune` has it for their order, or less, are left out; not falling, 0 for single
    words. For every context the probabilities of all words but <s> add up to 1.
    """
    levels: list[Level] = []
    words = counted[0]
    lower = np.array([1 / (len(words) - 1)])  # <unk> and </s> among them, without <s>
    for n, grams in enumerate(counted):
        adjusted = grams.counts
        if n + 1 < len(counted):
            # Before <s> there is nothing: its n-grams keep their counts, others get the number of words before them.
            before = np.bincount(counted[n + 1].suffixes, minlength=len(grams))
            adjusted = np.where(grams.firsts == BEGIN_ID, grams.counts, before)
        adjusted = np.where(grams.padded, 0, adjusted)
        kept = ~grams.padded & (grams.counts > prune[n]) if n else np.ones(len(grams), bool)
        amounts = discounts(adjusted)
        discounted = np.array([0, *amounts])[np.minimum(adjusted, 3)]

        contexts = len(counted[n - 1]) if n else 1
        total = np.bincount(grams.contexts, adjusted, minlength=contexts)
        freed = np.bincount(grams.contexts, np.where(kept, discounted, adjusted), minlength=contexts)
        weights = np.divide(freed, total, out=np.ones(contexts), where=total > 0)
        if n:
            levels[-1].backoffs[:] = np.log10(weights)
        # Padded ones have no context of their own, and total may be 0 for what they point at.
        probabilities = (adjusted - discounted) / np.maximum(total, 1)[grams.contexts]
        probabilities += weights[grams.contexts] * lower[grams.suffixes]
        if not n:
            probabilities[BEGIN_ID] = 1  # never asked for; KenLM takes log10 1 for "always there"
        lower = probabilities
        logarithms = np.log10(probabilities, out=np.zeros(len(grams)), where=kept)
        levels.append(Level(grams, kept, np.minimum(logarithms, 0), np.zeros(len(grams)), amounts))
    return levels
