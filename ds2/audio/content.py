"""Hashes of what is heard in a recording: equal for links, copies and other formats of the same samples."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ds2.audio import decoding, reading
from ds2.audio.channels import mix

# Samples: a quarter of a second at 16 kHz, one block of a FLAC file.
_HEAD = 4096


def head(path: Path, rate: int) -> bytes | None:
    """Of the first samples of a file of this rate, in Hz: a cheap sign that two may be the same; None: it is gone."""
    try:
        with decoding.sound_file(path) as file:
            return _hash([mix(file.read(_HEAD, dtype="float32", always_2d=True), None)], _HEAD)
    except Exception:  # there is another decoder for it, or none
        return _of(path, rate, _HEAD)


def whole(path: Path, rate: int) -> bytes | None:
    """Of all samples of a file of this rate, in Hz; None: it is gone."""
    return _of(path, rate, None)


def _of(path: Path, rate: int, count: int | None) -> bytes | None:
    try:
        return _hash(reading.stream(path, rate), count)
    except reading.AudioError:
        return None


def _hash(blocks: Iterable[np.ndarray], count: int | None) -> bytes:
    """Of the first `count` of the samples in the blocks, or of all."""
    found, seen = hashlib.blake2b(digest_size=16), 0
    for block in blocks:
        found.update(np.ascontiguousarray(block[: None if count is None else count - seen]))
        seen += len(block)
        if count is not None and seen >= count:
            break
    return found.digest()
