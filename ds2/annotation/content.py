"""Marks of what is heard in a recording: the same for links, copies and other formats of the same samples."""

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ds2.audio import decoding, reading
from ds2.audio.channels import mix

# Samples: a quarter of a second at 16 kHz, one block of a FLAC file.
_HEAD = 4096
# Bytes of the header of a plain WAV file.
_HEADER = 44


class Mark(NamedTuple):
    """What a look at a file has found. Of two files of one kind, with the same rate and length, the values tell."""

    kind: bytes  # empty: nothing can be told
    value: bytes


_DECODED = b"decoded"
_UNTOLD = Mark(b"", b"")
# Looks at a file with this rate, in Hz; None: it is gone.
Look = Callable[[Path | str, int], Mark | None]


def checksum(digest: bytes) -> Mark:
    """What reading.Info has of a FLAC file: the form of its samples, and their checksum."""
    return Mark(digest[:8], digest[8:])


def sign(path: Path | str, rate: int) -> Mark | None:
    """A mark of 5 us: some bytes from the middle of a plain WAV file's samples."""
    try:
        with open(path, "rb", buffering=0) as file:
            header = file.read(_HEADER)
            if header.startswith(b"RIFF") and header[36:40] == b"data":
                middle = _HEADER + int.from_bytes(header[40:], "little") // 2
                return Mark(header[8:], os.pread(file.fileno(), 256, middle))
            return _UNTOLD
    except OSError:
        return None


def head(path: Path | str, rate: int) -> Mark | None:
    """A mark of 0.1 ms: the first samples."""
    try:
        with decoding.sound_file(path) as file:
            return _mark([mix(file.read(_HEAD, dtype="float32", always_2d=True), None)], _HEAD)
    except Exception:  # there is another decoder for it, or none
        return _decoded(path, rate, _HEAD)


def whole(path: Path | str, rate: int) -> Mark | None:
    """A mark of all samples."""
    return _decoded(path, rate, None)


def _decoded(path: Path | str, rate: int, count: int | None) -> Mark | None:
    try:
        return _mark(reading.stream(path, rate), count)
    except reading.AudioError:
        return None


def _mark(blocks: Iterable[np.ndarray], count: int | None) -> Mark:
    """Of the first `count` of the samples in the blocks, or of all."""
    found, seen = hashlib.blake2b(digest_size=16), 0
    for block in blocks:
        found.update(np.ascontiguousarray(block[: None if count is None else count - seen]))
        seen += len(block)
        if count is not None and seen >= count:
            break
    return Mark(_DECODED, found.digest())
