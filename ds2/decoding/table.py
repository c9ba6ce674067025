"""A hash table of compiled code: from (state, token) to a place, for automata over tokens."""

import numpy as np

from ds2.compiled import compiled

_EMPTY = -1


def keys_for(entries: int) -> np.ndarray:
    """An empty table, int64 [power of two], that stays less than half full with so many entries."""
    return np.full(1 << max(3, (2 * entries).bit_length()), _EMPTY, np.int64)


@compiled
def place(keys: np.ndarray, key: int) -> int:
    """Where a key stands, or the free place where it belongs (linear probing after Fibonacci hashing)."""
    mask = np.uint64(len(keys) - 1)
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    spot = (mixed ^ (mixed >> np.uint64(32))) & mask
    while keys[spot] != key and keys[spot] != _EMPTY:
        spot = (spot + np.uint64(1)) & mask
    return np.int64(spot)


@compiled
def find(keys: np.ndarray, key: int) -> int:
    """Where a key stands, or -1."""
    spot = place(keys, key)
    return spot if keys[spot] == key else _EMPTY
