"""KenLM's `trie` formats: n-grams sorted by their last word, then the one before... with all numbers packed to bits."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ds2.compiled import compiled
from ds2.decoding import automaton
from ds2.decoding.kenlm import header, scoring
from ds2.decoding.kenlm.header import Header
from ds2.decoding.kenlm.memory import SIGN, as_float, load32, load64, load_bits

# Bits of a probability (without its sign) and of a back-off weight that are not quantised.
_PROBABILITY, _BACKOFF = 31, 32
# Bytes of a 1-gram: two weights, then where its 2-grams begin.
UNIGRAM = 16
_QUANTISED, _COMPRESSED = (3, 5), (4, 5)


class Trie(NamedTuple):
    """A file of one of these formats; see automaton for `ids`, `start` and `end`. Arrays are int64 [order - 1]."""

    data: np.ndarray  # uint8 [bytes], the file
    unigrams: int  # where the 1-grams begin, in bytes
    entries: np.ndarray  # for 2-grams and on: where their entries begin, in bits
    entry_bits: np.ndarray  # the bits of an entry: word, weights, begin of the n-grams that are one longer
    pointer_bits: np.ndarray  # those of this begin; 0: none, of the longest n-grams
    # Where the table of the further bits of begins stands, in bytes: the i-th number, uint64, is the first entry whose
    # further bits are i.
    high: np.ndarray
    highs: np.ndarray  # its numbers; 0: begins have no further bits
    word_bits: int  # bits of a word
    words: int  # how many words there are
    probability_bits: int  # those of a probability
    backoff_bits: int  # those of a back-off weight
    # Where the values that quantised probabilities stand for begin, in bytes; those of back-off weights come next. -1:
    # nothing is quantised.
    bins: np.ndarray
    order: int  # words of the longest n-grams
    ids: np.ndarray
    start: np.ndarray
    end: int


def build(data: np.ndarray, found: Header, path: Path, words: list[str]) -> Trie:
    """A model in a mapped file, uint8 [bytes], of kinds 2 to 5; `words` are named by `ids`, <s> and </s> at their end.

    Raises:
        UserError: the file is cut off, damaged or of another version.
    """
    counts, order = found.counts, len(found.counts)
    vocabulary = found.size + 8
    at = vocabulary + 8 * counts[0]
    levels = order - 1
    probability_bits, backoff_bits, bins = _PROBABILITY, _BACKOFF, [-1] * levels
    if found.kind in _QUANTISED:
        _, probability_bits, backoff_bits = _setting(data, at, 3, 2, 25, path)
        bins = [at + 8 + 4 * level * (2**probability_bits + 2**backoff_bits) for level in range(levels)]
        at = bins[-1] + 4 * 2**probability_bits
    unigrams = at
    at += (counts[0] + 2) * UNIGRAM
    chopped = _setting(data, at, 2, 0, 255, path)[1] if found.kind in _COMPRESSED and order > 2 else 0
    entries, entry_bits, pointer_bits, high, highs = (np.zeros(levels, np.int64) for _ in range(5))
    word_bits = counts[0].bit_length()
    for level, count in enumerate(counts[1:]):
        entry_bits[level] = word_bits + probability_bits
        if level < levels - 1:
            longer = counts[level + 2]
            pointer_bits[level] = longer.bit_length()
            if found.kind in _COMPRESSED:
                # Of the table, eight bytes of settings and then the numbers, begin at a multiple of eight.
                chop = _chop(count + 1, longer, chopped)
                pointer_bits[level] -= chop
                high[level], highs[level] = header.align8(at) + 8, (longer >> int(pointer_bits[level])) + 1
                at += 8 * (1 + int(highs[level])) + 7
            entry_bits[level] += backoff_bits + pointer_bits[level]
        entries[level] = 8 * at
        # One entry more says where the last one's n-grams end; eight bytes more let readers take eight at once.
        at += ((1 + count) * int(entry_bits[level]) + 7) // 8 + 8
    header.check_end(data, at, found, path)
    ids = _look_up(data, vocabulary, counts[0], path, words)
    begin, end = int(ids[-2]), int(ids[-1])
    start = scoring.start(order, begin, load32(data, unigrams + begin * UNIGRAM + 4))
    return Trie(
        data, unigrams, entries, entry_bits, pointer_bits, high, highs, word_bits, counts[0], probability_bits,
        backoff_bits, np.array(bins, np.int64), order, ids, start, end,
    )  # fmt: skip


def _setting(data: np.ndarray, at: int, count: int, version: int, most: int, path: Path) -> list[int]:
    """The bytes that tell how something is packed: a version, then numbers of bits, none above `most`."""
    if len(data) < at + count:
        raise header.truncated(path, len(data), at + count)
    values = data[at : at + count].tolist()
    if values[0] != version or max(values[1:]) > most:
        raise header.other_version(path)
    return values


def _chop(entries: int, longest: int, most: int) -> int:
    """How many bits of the begins KenLM moved into a table (Raj and Whittaker 2003): what makes the file smallest."""
    bits = longest.bit_length()
    return min(range(min(bits, most) + 1), key=lambda chop: (longest >> (bits - chop)) * 64 - entries * chop)


def _look_up(data: np.ndarray, at: int, most: int, path: Path, words: list[str]) -> np.ndarray:
    """The words, int32: one more than the place of their hash; 0, the unknown word, where there is none."""
    count = int(load64(data, at - 8))
    if not 0 < count < most:
        raise header.damaged(path, "its numbers of words differ")
    known = data[at : at + 8 * count].view("<u8")
    hashes = np.array([header.word_hash(word) for word in words], np.uint64)
    places = np.minimum(np.searchsorted(known, hashes), count - 1)
    return np.where(known[places] == hashes, places + 1, 0).astype(np.int32)


@compiled
def _find(model: Trie, level: int, begin: int, end: int, word: int) -> int:
    """The entry of a word among those from `begin` to `end`, which are sorted, or -1 (interpolation search)."""
    base, size, bits = model.entries[level], model.entry_bits[level], model.word_bits
    low, high = np.int64(0), np.int64(model.words)
    while begin < end:
        middle = begin + (word - low) * (end - begin) // (high - low + 1)
        there = load_bits(model.data, base + middle * size, bits)
        if there == word:
            return middle
        if there < word:
            begin, low = middle + 1, there
        else:
            end, high = middle, there
    return -1


@compiled
def _further(data: np.ndarray, table: int, count: int, entry: int) -> int:
    """The further bits of an entry's begin: the last of the table's numbers that is not greater."""
    low, high = 0, count
    while high - low > 1:
        middle = (low + high) // 2
        if np.int64(load64(data, table + 8 * middle)) <= entry:
            low = middle
        else:
            high = middle
    return low


@compiled
def _begin(model: Trie, level: int, entry: int) -> int:
    """Where the n-grams that are one longer than an entry begin."""
    bits = model.pointer_bits[level]
    end_of_entry = model.entries[level] + (entry + 1) * model.entry_bits[level]
    begin = load_bits(model.data, end_of_entry - bits, bits)
    if model.highs[level]:
        begin |= _further(model.data, model.high[level], model.highs[level], entry) << bits
    return begin


@compiled
def _first(model: Trie, word: int) -> tuple[np.float32, np.uint32, bool, tuple[int, int]]:
    at = model.unigrams + np.int64(word) * UNIGRAM
    begin, end = np.int64(load64(model.data, at + 8)), np.int64(load64(model.data, at + 8 + UNIGRAM))
    return as_float(load32(model.data, at)), load32(model.data, at + 4), begin < end, (begin, end)


@compiled
def _longer(
    model: Trie, n: int, node: tuple[int, int], word: int
) -> tuple[np.float32, np.uint32, bool, tuple[int, int]]:
    data, level = model.data, n - 1
    entry = _find(model, level, node[0], node[1], np.int64(word))
    if entry < 0:
        return scoring.ABSENT, SIGN, False, node
    at = model.entries[level] + entry * model.entry_bits[level] + model.word_bits
    longest = n + 1 == model.order
    backoff = SIGN
    if model.bins[level] < 0:
        log10 = scoring.never_positive(load_bits(data, at, _PROBABILITY))
        if not longest:
            backoff = np.uint32(load_bits(data, at + _PROBABILITY, _BACKOFF))
    else:
        # Here the back-off weight stands first.
        if not longest:
            values = model.bins[level] + (np.int64(4) << model.probability_bits)
            backoff = load32(data, values + 4 * load_bits(data, at, model.backoff_bits))
            at += model.backoff_bits
        log10 = as_float(load32(data, model.bins[level] + 4 * load_bits(data, at, model.probability_bits)))
    if longest:
        return log10, backoff, False, node
    begin, end = _begin(model, level, entry), _begin(model, level, entry + 1)
    return log10, backoff, begin < end, (begin, end)


automaton.register(Trie, scoring.advance_with(_first, _longer))
