"""The beginning of a KenLM binary, and the hash of words by which it knows them."""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ds2.errors import UserError

_MAGIC = b"mmap lm http://kheafield.com/code format version "
_INCOMPLETE = b"mmap lm http://kheafield.com/code incomplete"
_VERSION = b"5\n"
# The version is padded to eight bytes; then come numbers that show the byte order and the size of the writer's types.
_SANITY = (_MAGIC + _VERSION).ljust(56, b"\0") + struct.pack("<3f3IQ", 0.0, 1.0, -0.5, 1, 2**32 - 1, 0, 1)
_FIXED = struct.Struct("<B3xfIB3xI")
_AGAIN = "make it again with KenLM's build_binary, or name the ARPA file"


@dataclass(frozen=True)
class Header:
    """What a binary says of itself."""

    # 0 hash tables ("probing"), 1 those with rest costs, 2 trie, 3 a quantised one, 4 one with compressed pointers, 5
    # one with both.
    kind: int
    version: int  # of its kind
    multiplier: float  # of hash tables, buckets to entries
    counts: list[int]  # the n-grams of every order, those that KenLM added included
    has_words: bool  # the words stand at the end of the file
    size: int  # bytes of the header


def is_binary(path: Path) -> bool:
    """Whether a file begins like a KenLM binary of any version, finished or not."""
    with open(path, "rb") as file:
        beginning = file.read(len(_MAGIC))
    return beginning == _MAGIC or beginning.startswith(_INCOMPLETE)


def read(data: np.ndarray, path: Path) -> Header:
    """Reads the header of a binary, uint8 [bytes]; UserError: made by another version or machine, or damaged."""
    beginning = data[: len(_SANITY) + _FIXED.size + 8 * 255].tobytes()
    if beginning.startswith(_INCOMPLETE):
        raise UserError(f"{path} is a KenLM binary that was not finished: {_AGAIN}")
    if not beginning.startswith(_SANITY):
        if len(data) < len(_SANITY):
            raise truncated(path, len(data), len(_SANITY))
        if not beginning.startswith(_MAGIC + _VERSION):
            raise other_version(path)
        raise damaged(path, "or made on another kind of machine")
    at = len(_SANITY) + _FIXED.size
    if len(beginning) < at:
        raise truncated(path, len(data), at)
    order, multiplier, kind, has_words, version = _FIXED.unpack_from(beginning, len(_SANITY))
    if len(beginning) < at + 8 * order:
        raise truncated(path, len(data), at + 8 * order)
    if order < 2 or kind > 5 or not 1.0 <= multiplier < 1e6:
        raise UserError(f"{path} is a KenLM binary of a kind that is not known here, or damaged: {_AGAIN}")
    counts = list(struct.unpack_from(f"<{order}Q", beginning, at))
    if max(counts) > 8 * len(data):
        raise damaged(path, "it has fewer bits than n-grams")
    return Header(kind, version, multiplier, counts, bool(has_words), align8(at + 8 * order))


def check_end(data: np.ndarray, end: int, header: Header, path: Path) -> None:
    """Raises UserError when a file does not reach to where its tables end, or its words do not begin there."""
    words = b"<unk>\0" if header.has_words else b""
    if len(data) < end + len(words):
        raise truncated(path, len(data), end + len(words))
    if data[end : end + len(words)].tobytes() != words:
        raise damaged(path, "its words are not where they should be")


def damaged(path: Path, how: str) -> UserError:
    """Says that a file cannot be as it was written."""
    return UserError(f"{path} is a damaged KenLM binary, {how}: {_AGAIN}")


def other_version(path: Path) -> UserError:
    """Says that a file was written by a KenLM of another time."""
    return UserError(f"{path} is a KenLM binary of another version of its format: {_AGAIN}")


def truncated(path: Path, there: int, wanted: int) -> UserError:
    """Says that a file is too short."""
    return UserError(f"{path} is a KenLM binary that was cut off: it has {there} bytes, at least {wanted} are needed")


def align8(offset: int) -> int:
    """The first multiple of 8 that is not less."""
    return -(-offset // 8) * 8


def word_hash(word: str) -> int:
    """MurmurHash64A (Appleby, public domain) of a word's bytes, seed 0."""
    data, multiplier, mask = word.encode(), 0xC6A4A7935BD1E995, 2**64 - 1
    whole = len(data) // 8 * 8
    value = len(data) * multiplier & mask
    for (block,) in struct.iter_unpack("<Q", data[:whole]):
        mixed = block * multiplier & mask
        mixed = (mixed ^ mixed >> 47) * multiplier & mask
        value = (value ^ mixed) * multiplier & mask
    if whole < len(data):
        value = (value ^ int.from_bytes(data[whole:], "little")) * multiplier & mask
    value = (value ^ value >> 47) * multiplier & mask
    return value ^ value >> 47
