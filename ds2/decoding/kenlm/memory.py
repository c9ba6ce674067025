"""Numbers at any byte or bit of a mapped file (little-endian), for compiled code."""

import numpy as np

from ds2.compiled import compiled

SIGN = np.uint32(0x80000000)


@compiled
def _load(data: np.ndarray, at: int, count: int) -> np.uint64:
    # Unsigned indices have no negative meaning to look after, so that the loads of a known number become one.
    place, value = np.uint64(at), np.uint64(0)
    for i in range(count):
        value |= np.uint64(data[place + np.uint64(i)]) << np.uint64(8 * i)
    return value


@compiled
def load64(data: np.ndarray, at: int) -> np.uint64:
    """The uint64 at a byte of `data`, uint8."""
    return _load(data, at, 8)


@compiled
def load32(data: np.ndarray, at: int) -> np.uint32:
    """The uint32 at a byte of `data`, uint8."""
    return np.uint32(_load(data, at, 4))


@compiled
def load_bits(data: np.ndarray, bit: int, count: int) -> int:
    """The number in `count` bits, at most 57, of `data`, uint8, from bit `bit` on."""
    mask = (np.uint64(1) << np.uint64(count)) - np.uint64(1)
    return np.int64((load64(data, bit >> 3) >> np.uint64(bit & 7)) & mask)


@compiled
def as_float(bits: int) -> np.float32:
    """The float32 that these 32 bits are."""
    return np.uint32(bits).view(np.float32)
