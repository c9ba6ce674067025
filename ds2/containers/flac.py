"""The length of a FLAC file, with proof that its end is there, without decoding: RFC 9639."""

import functools
import re

import numpy as np

from ds2.containers.extent import NOTHING_STATED, SLACK_S, AudioError, Extent, Source, cut_off, joined

# The marker and the head of the first block of metadata, STREAMINFO, which has 34 bytes.
_BEGINNING = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22", re.DOTALL)
_HEADER = 42
# What no frame is longer than, where the header does not say.
_LONGEST_FRAME = 1 << 17
_POLYNOMIAL = 0x8005  # of a frame's CRC-16
_ROW = 256
_COLUMNS = np.arange(0, _ROW * 256, 256)
_BLOCKS = {
    1: 192,
    **{code: 576 << code - 2 for code in range(2, 6)},
    **{code: 256 << code - 8 for code in range(8, 16)},
}


def extent(source: Source, start: int = 0) -> Extent:
    """Of a file whose marker stands at `start`.

    Raises:
        AudioError: what its header states is not what its last frame says, that frame is damaged or missing, or another
            file was joined to it.
    """
    header = source.head[:_HEADER] if start == 0 else source.at(start, _HEADER)
    if len(header) < _HEADER or header[4] & 0x7F != 0:
        raise cut_off("it ends within its header")
    block = int.from_bytes(header[10:12], "big")
    longest = int.from_bytes(header[15:18], "big") or _LONGEST_FRAME
    packed = int.from_bytes(header[18:26], "big")  # rate (20 bits), channels (3), bits (5), samples (36)
    rate, channels, samples = packed >> 44, (packed >> 41 & 7) + 1, packed & 0xF_FFFF_FFFF
    if not rate:
        raise AudioError("its header does not say at which rate it was recorded")
    if (second := source.search(_BEGINNING, 8, start + 1)) >= 0:
        raise joined(second)
    if not samples:
        return NOTHING_STATED
    end = _last_sample(source.at(max(start, source.size - longest), longest), block)
    if end is None:
        bare = source.without_tags(start)
        found = source.at(max(start, bare - _LONGEST_FRAME), min(bare - start, _LONGEST_FRAME))
        end = _last_sample(found, block)
    if end is None:
        raise cut_off(f"its header promises {samples} samples, but its last frame is not whole")
    if abs(end - samples) > SLACK_S * rate:
        raise AudioError(f"its header promises {samples} samples, but its last frame ends after {end}")
    digest = header[18:_HEADER] if any(header[26:]) else b""
    return Extent((rate, samples, channels), samples / rate, samples / rate, samples, digest=digest)


def _last_sample(end: bytes, block: int) -> int | None:
    """The sample behind the frame that ends these bytes, if its checksum is right.

    With blocks of one size a frame's header has two bytes of marks, two of its format, then its number; else the
    number of its first sample. The checksum of several frames is right too: the last one counts.
    """
    position = len(end) - 1
    while (position := end.rfind(b"\xff", 0, position)) >= 0:
        if end[position + 1] & 0xFE != 0xF8:
            continue
        frame = end[position:]
        first, at = _number(frame, 4)
        if first is None or len(frame) < at + 4 or not frame[2] >> 4:
            continue
        extra = {6: 1, 7: 2}.get(frame[2] >> 4, 0)
        size = int.from_bytes(frame[at : at + extra], "big") + 1 if extra else _BLOCKS[frame[2] >> 4]
        if _crc16(frame) == 0:  # over a frame and its own checksum
            return first + size if frame[1] & 1 else first * block + size
    return None


def _number(frame: bytes, at: int) -> tuple[int | None, int]:
    """A number as UTF-8 has it, up to 36 bits, and where it ends; None: it is none."""
    lead = frame[at] if at < len(frame) else 0xFF
    if lead < 0x80:
        return lead, at + 1
    count = 8 - (lead ^ 0xFF).bit_length()
    tail = frame[at + 1 : at + count]
    if not 2 <= count <= 7 or len(tail) < count - 1 or any(byte & 0xC0 != 0x80 for byte in tail):
        return None, at
    value = lead & (0x7F >> count)
    for byte in tail:
        value = value << 6 | byte & 0x3F
    return value, at + count


def _crc16(data: bytes) -> int:
    """Rows of bytes all at once, then row after row."""
    table, first, second = _tables()
    rows = -(-len(data) // _ROW)
    # Zeros in front change nothing.
    padded = np.frombuffer(data.rjust(rows * _ROW, b"\0"), np.uint8).reshape(rows, _ROW)
    places = padded + _COLUMNS
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
