"""Counts of n-grams.

An n-gram is named by its suffix (all of it but the first word), as a position among the n-grams one shorter, and by its
first word. These two numbers fit 64 bits for any order and any vocabulary, and sorted by them the n-grams of one suffix
are neighbours. Every sentence begins with as many <s> as the longest n-gram has room for, so each word ends one n-gram
of each order; those with more than one <s> stand for shorter ones that begin with it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ds2.language_model.text import BEGIN_ID, END_ID

CHUNK = 1 << 22


@dataclass(frozen=True)
class Grams:
    """All n-grams of one order, by rising `keys`."""

    # int32 [n], the position of all but the first word among the n-grams one shorter (0 for single words).
    suffixes: np.ndarray
    firsts: np.ndarray  # int32 [n], the id of the first word
    contexts: np.ndarray  # int32 [n], the position of all but the last word, likewise; without meaning where `padded`
    counts: np.ndarray  # int64 [n], how often each occurs; 0 for <s> alone
    padded: np.ndarray  # bool [n], true for those that begin with more than one <s>

    def __len__(self) -> int:
        return len(self.firsts)


def with_beginnings(ids: np.ndarray, order: int) -> np.ndarray:
    """The ids with order - 1 times <s> before each sentence, int32."""
    first_words = np.concatenate([[0], np.flatnonzero(ids == END_ID)[:-1] + 1])
    return np.insert(ids, np.repeat(first_words, order - 1), BEGIN_ID)


def keys(suffixes: np.ndarray, firsts: np.ndarray, size: int) -> np.ndarray:
    """What n-grams are sorted by, int64: the position of the suffix, then the first word, of `size` words."""
    return suffixes.astype(np.int64) << size.bit_length() | firsts


def count(ids: np.ndarray, size: int, order: int) -> list[Grams]:
    """Counts the n-grams of orders 1 to `order`.

    Memory grows with the distinct n-grams: to order 4, ten million characters of a language take 0.7 GB, and 1.4 GB
    where nearly all n-grams differ.

    Args:
        ids: int32 [n], sentences, each ended by </s>.
        size: number of words, reserved ones included: all of them are 1-grams, in the order of their ids.
        order: at least 2.
    """
    tokens = with_beginnings(ids, order)
    # The position of the n-gram that each word ends, among those of the order at hand.
    ranks = tokens
    counts = np.bincount(tokens, minlength=size)
    counts[BEGIN_ID] = 0
    nothing = np.zeros(size, np.int32)
    found = [Grams(nothing, np.arange(size, dtype=np.int32), nothing, counts, np.zeros(size, bool))]
    for n in range(2, order + 1):
        distinct, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
        for ends in _chunks(tokens):
            more = np.unique(keys(ranks[ends], tokens[ends - n + 1], size), return_counts=True)
            distinct, counts = _merge(distinct, counts, *more)
        contexts = np.zeros(len(distinct), np.int32)
        longer = np.zeros(len(tokens), np.int32)
        for ends in _chunks(tokens):
            some, inverse = np.unique(keys(ranks[ends], tokens[ends - n + 1], size), return_inverse=True)
            positions = np.searchsorted(distinct, some)[inverse]
            contexts[positions] = ranks[ends - 1]
            longer[ends] = positions
        suffixes = (distinct >> size.bit_length()).astype(np.int32)
        firsts = (distinct & ((1 << size.bit_length()) - 1)).astype(np.int32)
        found.append(Grams(suffixes, firsts, contexts, counts, found[-1].firsts[suffixes] == BEGIN_ID))
        ranks = longer
    return found


def _chunks(tokens: np.ndarray) -> Iterator[np.ndarray]:
    """The positions of words other than <s>, some millions at a time."""
    for start in range(0, len(tokens), CHUNK):
        yield start + np.flatnonzero(tokens[start : start + CHUNK] != BEGIN_ID)


def _merge(
    keys: np.ndarray, counts: np.ndarray, more_keys: np.ndarray, more_counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Adds sorted distinct keys and their counts to others."""
    if not len(keys):
        return more_keys, more_counts
    both = np.concatenate([keys, more_keys])
    order = np.argsort(both, kind="stable")  # merges what is sorted in parts
    both = both[order]
    starts = np.flatnonzero(np.concatenate([[True], both[1:] != both[:-1]]))
    return both[starts], np.add.reduceat(np.concatenate([counts, more_counts])[order], starts)
