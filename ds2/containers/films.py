"""The true length of ASF (WMA), AVI, FLV, AMR and WavPack files, as far as each container tells."""

import struct

from ds2.containers.extent import (
    NOTHING_STATED,
    AudioError,
    Extent,
    Source,
    cut_off,
    exactly,
    joined,
    refuse_what_follows,
    refuse_what_is_missing,
)

ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_BROADCAST = 1
_ASF_PACKET_S = 0.032  # the decoder leaves the first 512 samples of 16 kHz out
# Padding that programs put behind the last element.
_SLACK_BYTES = 64
# Bytes of a frame of AMR by its mode; of what stands for no frame too.
_AMR = {
    b"#!AMR\n": (13, 14, 16, 18, 20, 21, 27, 32, 6, 0, 0, 0, 0, 0, 0, 1),
    b"#!AMR-WB\n": (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 0, 0, 0, 0, 1, 1),
}
_WAVPACK_RATES = (6000, 8000, 9600, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000, 192000)


def asf(source: Source) -> Extent:
    """Its header states the bytes of the file, unless it was recorded from a broadcast."""
    position = 30
    for _ in range(min(1000, source.number(24, 4, "little"))):
        name, size = source.at(position, 16), source.number(position + 16, 8, "little")
        if size < 24:
            raise AudioError(f"it is damaged at byte {position}: an object of {size} bytes")
        if name == _ASF_PROPERTIES:
            length = source.number(position + 40, 8, "little")
            played, preroll = source.number(position + 64, 8, "little"), source.number(position + 80, 8, "little")
            if source.number(position + 88, 4, "little") & _ASF_BROADCAST or not length:
                return NOTHING_STATED
            refuse_what_is_missing(source, length)
            refuse_what_follows(source, length, _SLACK_BYTES, ASF)
            seconds = played / 1e7 - preroll / 1e3
            return Extent(None, max(0.0, seconds - _ASF_PACKET_S), seconds)
        position += size
    raise cut_off("its header does not say how long it is")


def avi(source: Source) -> Extent:
    """RIFF chunks; the header of the sound track states a length. Longer files have more RIFFs, called AVIX."""
    position, seconds, unfinished, last = 0, None, False, source.without_tags(0)
    while position + 12 <= last:
        head = source.at(position, 12)
        size = int.from_bytes(head[4:8], "little")
        if head[:4] != b"RIFF":
            raise AudioError(f"it continues after its end: {source.size - position} bytes follow its last chunk")
        if head[8:12] == b"AVI " and position:
            raise joined(position)
        unfinished = size in (0, 0xFFFFFFFF)
        end = source.size if unfinished else position + 8 + size
        if end > source.size + 1:
            raise cut_off(f"its header promises {end} bytes, but it has {source.size}")
        if not position:
            seconds = _avi_list(source, 12, end)
        position = end + end % 2
    return exactly(seconds) if seconds and not unfinished else NOTHING_STATED


def _avi_list(source: Source, position: int, end: int) -> float | None:
    """Seconds of the first track of sound that the lists from here to `end` state."""
    while position + 8 <= end:
        head = source.at(position, 12)
        size = int.from_bytes(head[4:8], "little")
        nested = head[:4] == b"LIST" and head[8:12] in (b"hdrl", b"strl")
        if nested and (seconds := _avi_list(source, position + 12, position + 8 + size)) is not None:
            return seconds
        if head[:4] == b"strh" and head[8:12] == b"auds":
            scale, rate, _, length = struct.unpack("<IIII", source.at(position + 28, 16).ljust(16, b"\0"))
            return scale * length / rate if rate else None
        position += 8 + size + size % 2
    return None


def flv(source: Source) -> Extent:
    """Tags to the end; the first is a script that may state the duration and the bytes of the file."""
    position, seconds, end = source.number(5, 4) + 4, 0.0, source.without_tags(0)
    while position < end:
        head = source.at(position, 11)
        if head[:3] == b"FLV":
            raise joined(position)
        if len(head) < 11:
            raise cut_off("a tag is not whole")
        if head[0] & 0x1F not in (8, 9, 18):
            raise AudioError(f"it is damaged at byte {position}: no tag begins there")
        size = int.from_bytes(head[1:4], "big")
        # The size of the last tag may end with zeros.
        if position + 11 + size + 4 > max(end, source.size):
            raise cut_off("a tag is not whole")
        if head[0] == 18 and not seconds:
            script = source.at(position + 11, size)
            seconds = _flv_number(script, b"duration")
            if 0 < (length := _flv_number(script, b"filesize")) < 1 << 62:
                refuse_what_is_missing(source, int(length))
                refuse_what_follows(source, int(length), 0, b"FLV")
        if source.number(position + 11 + size, 4) not in (size + 11, 0):
            raise AudioError(f"it is damaged at byte {position}: two sizes of a tag differ")
        position += 11 + size + 4
    return exactly(seconds) if seconds > 0 else NOTHING_STATED


def _flv_number(script: bytes, name: bytes) -> float:
    at = script.find(name + b"\0")
    number = script[at + len(name) + 1 : at + len(name) + 9] if at >= 0 else b""
    return struct.unpack(">d", number)[0] if len(number) == 8 else 0.0


def amr(source: Source) -> Extent:
    """Frames of 20 ms; no length is stated."""
    magic = next(magic for magic in _AMR if source.head.startswith(magic))
    position, count, end = len(magic), 0, source.size
    sizes, buffer, base = _AMR[magic], b"", 0
    while position < end:
        if position >= base + len(buffer):
            base, buffer = position, source.at(position, 1 << 20)
        head = buffer[position - base]
        if head & 0x83 or not sizes[head >> 3 & 15]:
            if source.at(position, len(magic)) == magic:
                raise joined(position)
            raise AudioError(f"it is damaged at byte {position}: no frame begins there")
        position += sizes[head >> 3 & 15]
        count += position <= end
    return exactly(count * 0.02)


def wavpack(source: Source) -> Extent:
    """Blocks, of which each states the samples of the whole file."""
    position, done, total, rate = 0, 0, None, 0
    end = source.without_tags(0)
    while position + 32 <= end:
        mark, size, _, _, _, samples, index, count, flags, _ = struct.unpack("<4sIHBBIIIII", source.at(position, 32))
        if mark != b"wvpk" or size < 24:
            raise AudioError(f"it is damaged at byte {position}: no block begins there")
        if position + 8 + size > source.size:
            raise cut_off("a block is not whole")
        if total is not None and index == 0 and count and flags & 0x800 and done:
            raise joined(position)
        total = samples if total is None else total
        rate = _WAVPACK_RATES[flags >> 23 & 15] if flags >> 23 & 15 < 15 else 0
        done = max(done, index + count)
        position += 8 + size
    if position < end:
        raise cut_off("a block is not whole")
    if total in (None, 0xFFFFFFFF) or not rate:
        return NOTHING_STATED
    return exactly(total / rate)
