"""KenLM's `probing` format: a hash table for every order, from the hash of an n-gram's words to its weights."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ds2.compiled import compiled
from ds2.decoding import automaton
from ds2.decoding.kenlm import header, scoring
from ds2.decoding.kenlm.header import Header
from ds2.decoding.kenlm.memory import SIGN, load32, load64

# Bytes: the key of an entry, the rest of one of the vocabulary and of the longest n-grams.
_KEY, _WORD, _LONGEST = 8, 4, 4
# The two multipliers of the hash of n-grams.
_OLD, _NEW = np.uint64(8978948897894561157), np.uint64(17894857484156487943)


class Probing(NamedTuple):
    """A file of this format; see automaton for `ids`, `start` and `end`."""

    data: np.ndarray  # uint8, the file
    unigrams: int  # where the 1-grams begin, in bytes
    weights: int  # bytes of the weights of an n-gram but the longest: probability, back-off and, perhaps, rest cost
    tables: np.ndarray  # int64 [order - 1, 3], for 2-grams and on: where the table begins, its buckets, bytes of each
    order: int  # words of the longest n-grams
    ids: np.ndarray
    start: np.ndarray
    end: int


def build(data: np.ndarray, found: Header, path: Path, words: list[str]) -> Probing:
    """A model in a mapped file, uint8 [bytes], of kind 0 or 1; `words` are named by `ids`, <s> and </s> at their end.

    Raises:
        UserError: the file is cut off.
    """
    order, weights = len(found.counts), 8 if found.kind == 0 else 12
    vocabulary = found.size + 8
    buckets = _buckets(found.counts[0], found.multiplier)
    unigrams = vocabulary + buckets * (_KEY + _WORD)
    at = unigrams + (found.counts[0] + 1) * weights
    tables = []
    for n, count in enumerate(found.counts[1:], start=2):
        tables.append((at, _buckets(count, found.multiplier), _KEY + (weights if n < order else _LONGEST)))
        at += tables[-1][1] * tables[-1][2]
    header.check_end(data, at, found, path)
    hashes = np.array([header.word_hash(word) for word in words], np.uint64)
    ids = _look_up(data, vocabulary, buckets, hashes)
    begin, end = int(ids[-2]), int(ids[-1])
    start = scoring.start(order, begin, load32(data, unigrams + begin * weights + 4))
    return Probing(data, unigrams, weights, np.array(tables, np.int64), order, ids, start, end)


def _buckets(entries: int, multiplier: float) -> int:
    # KenLM multiplies in single precision, which decides the size of large tables.
    return max(entries + 1, int(np.float32(multiplier) * np.float32(entries)))


@compiled
def _find(data: np.ndarray, table: int, buckets: int, size: int, key: np.uint64) -> int:
    """Where the entry of a key begins, or -1 (linear probing; an empty bucket has the key 0)."""
    bucket = np.int64(key % np.uint64(buckets))
    for _ in range(buckets):
        at = table + bucket * size
        there = load64(data, at)
        if there == key:
            return at
        if there == np.uint64(0):
            break
        bucket += 1
        if bucket == buckets:
            bucket = 0
    return -1


@compiled
def _look_up(data: np.ndarray, table: int, buckets: int, hashes: np.ndarray) -> np.ndarray:
    """The words, int32, of hashes; 0, the unknown word, where there is none."""
    words = np.zeros(len(hashes), np.int32)
    for i in range(len(hashes)):
        at = _find(data, table, buckets, _KEY + _WORD, hashes[i])
        if at >= 0:
            words[i] = load32(data, at + _KEY)
    return words


@compiled
def _weights(data: np.ndarray, at: int) -> tuple[np.float32, np.uint32, bool]:
    # A set sign bit of the probability says that no n-gram ends in this one.
    bits = load32(data, at)
    return scoring.never_positive(bits), load32(data, at + 4), (bits & SIGN) == 0


@compiled
def _first(model: Probing, word: int) -> tuple[np.float32, np.uint32, bool, np.uint64]:
    log10, backoff, more = _weights(model.data, model.unigrams + np.int64(word) * model.weights)
    return log10, backoff, more, np.uint64(word)


@compiled
def _longer(model: Probing, n: int, node: np.uint64, word: int) -> tuple[np.float32, np.uint32, bool, np.uint64]:
    key = (node * _OLD) ^ (np.uint64(word + 1) * _NEW)
    table = model.tables[n - 1]
    at = _find(model.data, table[0], table[1], table[2], key)
    if at < 0:
        return scoring.ABSENT, SIGN, False, key
    if n + 1 == model.order:
        return scoring.never_positive(load32(model.data, at + _KEY)), SIGN, False, key
    log10, backoff, more = _weights(model.data, at + _KEY)
    return log10, backoff, more, key


automaton.register(Probing, scoring.advance_with(_first, _longer))
