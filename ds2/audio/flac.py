"""The length of a FLAC file, with proof that its end is there, without decoding: RFC 9639."""

import functools
import os
import re
from pathlib import Path

import numpy as np

_MARKER = b"fLaC"
_HEADER = 42  # the marker, a block's header (4 bytes) and STREAMINFO (34 bytes)
_POLYNOMIAL = 0x8005  # of a frame's CRC-16
_ROW = 256


def length(path: Path) -> tuple[int, int, int] | None:
    """Sample rate, samples and channels of an ordinary file whose last frame is whole (its checksum is right).

    None says nothing against the file: it may be no FLAC, of varying block size, streamed, tagged at its end, cut
    off or damaged. A decoder has to look.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb", buffering=0) as file:
        header = file.read(_HEADER)
        if len(header) < _HEADER or not header.startswith(_MARKER) or header[4] & 0x7F != 0:
            return None
        smallest, block = int.from_bytes(header[8:10], "big"), int.from_bytes(header[10:12], "big")
        longest_frame = int.from_bytes(header[15:18], "big")
        packed = int.from_bytes(header[18:26], "big")  # rate (20 bits), channels (3), bits (5), samples (36)
        rate, channels, samples = packed >> 44, (packed >> 41 & 7) + 1, packed & 0xF_FFFF_FFFF
        if not (smallest == block > 0 and longest_frame and rate and samples):
            return None
        size = os.fstat(file.fileno()).st_size
        end = os.pread(file.fileno(), longest_frame, max(0, size - longest_frame))
    # With blocks of one size a frame's header has two bytes of marks, two of its format, then its number.
    number = re.escape(_coded((samples - 1) // block))
    for found in re.finditer(rb"\xff\xf8.." + number, end, re.DOTALL):
        if _crc16(end[found.start() :]) == 0:  # over a frame and its own checksum
            return rate, samples, channels
    return None


def _coded(number: int) -> bytes:
    """A frame's number as UTF-8 has it, up to 36 bits."""
    if number < 0x80:
        return bytes([number])
    tail = []
    room = 0x3F  # what the first byte can hold
    while number > room:
        tail.append(0x80 | number & 0x3F)
        number >>= 6
        room >>= 1
    return bytes([0xFF & ~(2 * room + 1) | number, *reversed(tail)])


def _crc16(data: bytes) -> int:
    """Rows of bytes all at once, then row after row."""
    table, first, second = _tables()
    rows = -(-len(data) // _ROW)
    # Zeros in front change nothing.
    padded = np.frombuffer(data.rjust(rows * _ROW, b"\0"), np.uint8).reshape(rows, _ROW)
    places = padded + np.arange(0, _ROW * 256, 256)
    crc = 0
    for row in np.bitwise_xor.reduce(table[places], axis=1).tolist():
        crc = first[crc >> 8] ^ second[crc & 0xFF] ^ row
    return crc


@functools.cache
def _tables() -> tuple[np.ndarray, list[int], list[int]]:
    """What a byte adds to its row's checksum, by its place and value; a checksum's two bytes, a row later."""
    after = np.arange(256, dtype=np.uint32) << 8
    for _ in range(8):
        after = after << 1 ^ np.where(after & 0x8000, 0x10000 | _POLYNOMIAL, 0)
    columns = [after]
    while len(columns) < _ROW:
        columns.append((columns[-1] & 0xFF) << 8 ^ after[columns[-1] >> 8])
    table = np.stack(columns[::-1]).astype(np.uint16)
    return table.reshape(-1), table[0].tolist(), table[1].tolist()
