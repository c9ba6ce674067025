"""The true length of Ogg files: RFC 3533 (pages), 7845 (Opus), 5334, and Xiph's mapping of Vorbis."""

import struct
import zlib

from ds2.containers.extent import NOTHING_STATED, AudioError, Extent, Source, cut_off, exactly, joined

_PAGE = struct.Struct("<4sBBqIIIB")
_FIRST, _LAST = 2, 4  # flags of a page
# First bytes of a stream of sound; the most samples that one of its packets can hold.
_OPUS, _VORBIS = b"OpusHead", b"\x01vorbis"
_SOUND = {_OPUS: 5760, _VORBIS: 8192, b"\x7fFLAC": 65535, b"Speex   ": 65535}
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_LARGEST = 27 + 255 + 255 * 255


def extent(source: Source) -> Extent:
    """Follows page after page, with their checksums, numbers and marks of first and last.

    Raises:
        AudioError: a page is damaged or missing, the last one is not there, or another file follows.
    """
    position, end = 0, source.without_tags(0)
    sound: bytes | None = None
    serial, begun, finished, expected = 0, False, False, 0
    head, first, last, packets = b"", None, 0, 0
    buffer, base = b"", 0
    while position < end:
        if position + _LARGEST > base + len(buffer):
            base, buffer = position, source.at(position, 1 << 20)
        at = position - base
        page = buffer[at : at + 27]
        if len(page) < 27 or page[:4] != b"OggS":
            if len(page) < 27 or not finished:
                raise cut_off("a page is not whole") if len(page) < 27 else _damaged(position)
            raise AudioError(f"it continues after its end: {end - position} bytes follow its last page")
        _, _, flags, granule, number, sequence, checksum, count = _PAGE.unpack(page)
        table = buffer[at + 27 : at + 27 + count]
        size = 27 + count + sum(table)
        whole = buffer[at : at + size]
        if len(whole) < size:
            raise cut_off("a page is not whole")
        if _crc(whole[:22] + bytes(4) + whole[26:]) != checksum:
            raise _damaged(position)
        if flags & _FIRST:
            if begun:
                raise joined(position)
            kind = next((kind for kind in _SOUND if whole[27 + count :].startswith(kind)), None)
            if sound is None and kind is not None:
                sound, serial, head = kind, number, whole[27 + count :]
        else:
            begun = True
        if sound is not None and number == serial:
            if finished or sequence != expected:
                raise AudioError(f"it is damaged: page {expected} is missing at byte {position}")
            expected, finished = sequence + 1, bool(flags & _LAST)
            packets += sum(length < 255 for length in table)
            if granule > 0:
                first = (granule, packets) if first is None else first
                last = granule
        position += size
    if sound is None:
        raise AudioError("it has no audio track")
    if not finished:
        raise cut_off("its last page is missing")
    # Of what was recorded from a running broadcast the first page does not begin at 0.
    if first is None or first[0] > first[1] * _SOUND[sound]:
        return NOTHING_STATED
    if sound == _OPUS:
        return exactly(max(0, last - int.from_bytes(head[10:12], "little")) / 48000)
    rate = int.from_bytes(head[12:16], "little") if sound == _VORBIS else 0
    return exactly(last / rate) if rate else NOTHING_STATED


def _damaged(position: int) -> AudioError:
    return AudioError(f"it is damaged at byte {position}: a page is not as it was written")


def _crc(page: bytes) -> int:
    """Ogg's checksum is zlib's with every byte, and the result, the other way round."""
    mirrored = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_REVERSED), "big")
