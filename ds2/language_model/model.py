"""An estimated model: what it holds and what it says of a text."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ds2.language_model import counts, smoothing, text
from ds2.language_model.text import BEGIN_ID


@dataclass(frozen=True)
class Model:
    """An n-gram model."""

    words: Sequence[str]  # by id, beginning with <unk>, <s> and </s>
    unit: str  # "char" or "word", what a word is
    levels: Sequence[smoothing.Level]  # one for each order, single words first

    def log_probabilities(self, sentences: Iterable[str]) -> np.ndarray:
        """Scores normalised sentences word by word, </s> included, as KenLM does.

        Returns float64 [n], log10 of each word's probability after those before it in its sentence.
        """
        ids = text.look_up(sentences, self.unit, self.words)
        tokens = counts.with_beginnings(ids, len(self.levels))
        ends = np.flatnonzero(tokens != BEGIN_ID)
        positions = tokens.astype(np.int64)  # of the n-gram that ends at each token; -1: not in the model
        scores = self.levels[0].probabilities[tokens[ends]]
        for n, level in enumerate(self.levels[1:], start=2):
            before = positions[ends - 1]
            backoffs = np.where(before >= 0, self.levels[n - 2].backoffs[before], 0)
            wanted = counts.keys(positions[ends], tokens[ends - n + 1], len(self.words))
            known = counts.keys(level.grams.suffixes, level.grams.firsts, len(self.words))
            places = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
            found = (known[places] == wanted) & level.kept[places]
            scores = np.where(found, level.probabilities[places], scores + backoffs)
            positions = np.full(len(tokens), -1)
            positions[ends[found]] = places[found]
        return scores

    def numbers(self, sentences: Iterable[str]) -> dict[str, float]:
        """The model's size, and its perplexity on normalised dev data, </s> and unknown words included."""
        # Without dev data there is no perplexity.
        size = {"lm_words": len(self.words), "lm_ngrams": sum(int(level.kept.sum()) for level in self.levels)}
        logs = self.log_probabilities(sentences)
        return size | ({"lm_dev_perplexity": round(float(10 ** -logs.mean()), 3)} if len(logs) else {})


def estimate(sentences: Iterable[str], unit: str, order: int, prune: Sequence[int]) -> Model:
    """Estimates an interpolated modified Kneser-Ney model of normalised sentences, up to an order of at least 2.

    n-grams of order i + 1 that occur prune[i] times or less are left out; the last number holds for all further orders,
    none means 0. Not falling, the first 0.

    Raises:
        UserError: there is no text, or a reserved word is in it.
    """
    words, ids = text.number(sentences, unit)
    thresholds = [*prune, *[prune[-1] if prune else 0] * (order - len(prune))]
    return Model(words, unit, smoothing.smooth(counts.count(ids, len(words), order), thresholds))
