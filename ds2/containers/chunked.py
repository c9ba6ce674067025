"""The true length of files made of chunks: WAV, RF64, Wave64, AIFF, CAF and 8SVX.

Sources: RIFF (Microsoft, 1991), EBU Tech 3306 (RF64), Apple's AIFF 1.3 and Core Audio Format, Sony's Wave64, EA IFF 85.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from ds2.containers.extent import (
    NOTHING_STATED,
    SLACK_S,
    AudioError,
    Extent,
    Source,
    cut_off,
    exactly,
    joined,
    pcm,
    plain,
)

# Sizes that stand for one not known: all bits set, and what sox, arecord and FFmpeg write when they cannot seek back.
_STREAMED = (range(0x7FFF0000, 0x80001000), range(0xFFFF0000, 1 << 32))
_BIG = {b"FORM", b"RIFX", b"caff"}
_WAVE64 = {
    b"riff": b"\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00",
    b"wave": b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a",
}
# Bytes of a sample, where every sample has as many and none can be NaN: of AIFF-C's compressions (0: as COMM says).
_AIFF_INTEGERS = {b"NONE": 0, b"twos": 0, b"sowt": 0, b"raw ": 1, b"ulaw": 1, b"alaw": 1, b"ULAW": 1, b"ALAW": 1,
                  b"in24": 3, b"in32": 4}  # fmt: skip
_AIFF_FLOATS = {b"fl32": 4, b"FL32": 4, b"fl64": 8, b"FL64": 8}
_IMA4 = (64, 34)  # samples of a packet, and its bytes for each channel
# Formats of WAV whose samples are integers: PCM, A-law, mu-law.
_WAV_INTEGERS = {1, 6, 7}
_WAV_FLOATS = 3
_WAV_EXTENSIBLE = 0xFFFE
# What tags begin with that are no chunks.
_TAGS = {b"TAG", b"APE", b"LYR", b"ID3"}


@dataclass(frozen=True, slots=True)
class _Chunk:
    name: bytes
    start: int  # of its content
    size: int  # as stated
    field: int  # where its size stands


def wav(source: Source) -> Extent:
    """RIFF, RIFX, RF64 and BW64."""
    order = "big" if source.head[:4] == b"RIFX" else "little"
    wide: dict[bytes, int] = {}
    found: dict[bytes, _Chunk] = {}
    for chunk in _chunks(source, 12, order, b"data", wide):
        if chunk.name == b"ds64":
            sizes = struct.unpack("<QQQ", source.at(chunk.start, 24).ljust(24, b"\0"))
            wide[b"data"] = sizes[1]
        found.setdefault(chunk.name, chunk)
    if b"data" not in found:
        raise cut_off("there is no chunk with audio")
    if b"fmt " not in found or found[b"fmt "].size < 16:
        raise AudioError("its header does not say which format its samples have")
    form = source.at(found[b"fmt "].start, min(found[b"fmt "].size, 40))
    tag, channels, rate, _, block, bits = struct.unpack(">HHIIHH" if order == "big" else "<HHIIHH", form[:16])
    tag = int.from_bytes(form[24:26], order) if tag == _WAV_EXTENSIBLE and len(form) >= 26 else tag
    data = found[b"data"]
    size, patches = _size_of_audio(source, data, wide, order, found.keys())
    if not rate or not channels or block != channels * bits // 8 or bits % 8:
        return Extent(patches=patches)
    if tag in _WAV_INTEGERS and bits <= 32:
        return pcm(rate, size // block, channels, patches)
    return plain(rate, size // block, patches) if tag == _WAV_FLOATS else Extent(patches=patches)


def wave64(source: Source) -> Extent:
    """Sony's Wave64: sizes of eight bytes that include the header of 24, chunks on multiples of eight."""
    position, form, data = 40, b"", None
    while position + 24 <= source.size:
        head = source.at(position, 24)
        name, size = head[:4], int.from_bytes(head[16:], "little")
        if head[4:16] == _WAVE64[b"riff"]:
            raise joined(position)
        if head[4:16] != _WAVE64[b"wave"]:
            break
        if name == b"fmt ":
            form = source.at(position + 24, 16)
        if name == b"data":
            data = _Chunk(name, position + 24, size - 24, position + 16)
            if size <= 24 or size >= 1 << 62:  # never finished
                data = _Chunk(name, position + 24, source.size - position - 24, position + 16)
        elif size < 24:
            break
        position += size + -size % 8 if data is None or name != b"data" else data.size + 24 + -data.size % 8
    if data is None or len(form) < 16:
        raise cut_off("there is no chunk with audio")
    end = data.start + data.size
    tag, channels, rate, speed, block, bits = struct.unpack("<HHIIHH", form)
    if end > source.size + speed * SLACK_S:
        raise cut_off(f"its header promises {data.size} bytes of audio, but {source.size - data.start} are there")
    _refuse_rest(source, min(position, source.size), max(end, 0))
    known = tag in _WAV_INTEGERS or tag == _WAV_FLOATS
    if known and rate and channels and block and block == channels * bits // 8:
        return plain(rate, data.size // block)
    return NOTHING_STATED


def aiff(source: Source) -> Extent:
    """AIFF and AIFF-C: samples in COMM, bytes in SSND."""
    found = _first_of_each(source, 12, b"COMM", b"SSND")
    comm, data = found[b"COMM"], found[b"SSND"]
    content = source.at(comm.start, 22).ljust(22, b"\0")
    channels, frames, bits = struct.unpack(">HIH", content[:8])
    rate = round(int.from_bytes(content[10:18], "big") / 2 ** (16446 - (int.from_bytes(content[8:10], "big") & 0x7FFF)))
    kind = content[18:22] if source.head[8:12] == b"AIFC" else b"NONE"
    width = _AIFF_INTEGERS.get(kind, _AIFF_FLOATS.get(kind)) or -(-bits // 8)
    samples, packet = _IMA4 if kind == b"ima4" else (1, width)
    known = kind in _AIFF_INTEGERS or kind in _AIFF_FLOATS or kind == b"ima4"
    if not (rate and channels and packet):
        raise AudioError("its header does not say which format its samples have")
    size, patches = _size_of_audio(source, data, {}, "big", found.keys(), 8)
    if not known:
        return Extent(patches=patches)
    there = (size - 8) // (packet * channels)
    if patches:
        patches = {**patches, comm.start + 2: there.to_bytes(4, "big")}
    elif abs(there - frames) * samples > SLACK_S * rate:
        raise AudioError(f"its header states {frames * samples} samples in one place, {there * samples} in another")
    if kind in _AIFF_INTEGERS:
        return pcm(rate, min(there, frames) if not patches else there, channels, patches)
    return plain(rate, there * samples, patches)


def caf(source: Source) -> Extent:
    """Core Audio Format: packets of one size, or a table of them."""
    found = _first_of_each(source, 8, b"desc", b"data", width=8)
    form = source.at(found[b"desc"].start, 32).ljust(32, b"\0")
    rate, kind, flags, packet, frames, channels, bits = struct.unpack(">d4sIIIII", form)
    if not 1 <= rate < 1 << 31:
        raise AudioError("its header does not say which format its samples have")
    size, patches = _size_of_audio(source, found[b"data"], {}, "big", found.keys(), 4, width=8)
    if packet and frames:
        samples = (size - 4) // packet * frames
        linear = kind == b"lpcm" and frames == 1
        if linear and packet != channels * bits // 8:
            raise AudioError("its header contradicts itself about the format of its samples")
        if linear and not flags & 1 and rate == int(rate):
            return pcm(int(rate), samples, channels, patches)
        return plain(round(rate), samples, patches)
    if b"pakt" in found:
        _, valid, priming, _ = struct.unpack(">qqii", source.at(found[b"pakt"].start, 24).ljust(24, b"\0"))
        return exactly(valid / rate) if priming == 0 else Extent(None, (valid - priming) / rate, valid / rate)
    raise cut_off("there is no table of its packets")


def svx(source: Source) -> Extent:
    """Amiga's 8SVX and 16SV."""
    found = _first_of_each(source, 12, b"VHDR", b"BODY")
    header = source.at(found[b"VHDR"].start, 20).ljust(20, b"\0")
    rate, octaves, compression = struct.unpack(">HBB", header[12:16])
    size, patches = _size_of_audio(source, found[b"BODY"], {}, "big", found.keys())
    if not rate or octaves != 1 or compression:
        raise AudioError("its header does not say which format its samples have")
    samples = size // (2 if source.head[8:12] == b"16SV" else 1)
    return plain(rate, samples, patches)


def _first_of_each(source: Source, position: int, header: bytes, audio: bytes, width: int = 4) -> dict[bytes, _Chunk]:
    """The first chunk of every name; AudioError where that of the header or of the audio is missing."""
    found: dict[bytes, _Chunk] = {}
    for chunk in _chunks(source, position, "big", audio, {}, width):
        found.setdefault(chunk.name, chunk)
    if header not in found or audio not in found:
        raise cut_off("there is no chunk with audio")
    return found


def _chunks(
    source: Source, position: int, order: str, audio: bytes, wide: dict[bytes, int], width: int = 4
) -> Iterator[_Chunk]:
    """All chunks to the end of the file; the one with the audio is the last, where it has no end.

    Raises:
        AudioError: behind the audio there is something else than chunks, padding and tags.
    """
    magic, heard = source.head[:4], False
    while len(head := source.at(position, 4 + width)) == 4 + width:
        name = head[:4]
        if name == magic and heard:
            raise joined(position)
        if heard and name[:3] in _TAGS:
            break
        if not name.isascii() or not name.decode("ascii").isprintable():
            # After a chunk of odd size a byte is left out by some.
            if source.at(position - 1, 1).isalpha() and source.at(position - 1, 4).isalpha():
                position -= 1
                continue
            break
        if heard and name == audio:
            raise joined(position)
        chunk = _Chunk(name, position + 4 + width, int.from_bytes(head[4:], order), position + 4)
        size = wide.get(name, chunk.size) if _streamed(chunk.size, width) else chunk.size
        yield chunk
        if name == audio:
            heard = True
            if _streamed(size, width) or (size <= 8 and not _only_chunks(source, chunk.start + size + size % 2, order)):
                return
        position = chunk.start + size + (size & 1 if width == 4 else 0)
        if heard and name != audio and position > source.size + 8:
            raise AudioError(f"it continues after its end: a chunk of {size} bytes at {chunk.start} is not all there")
    if heard:
        _refuse_rest(source, position, position)


def _refuse_rest(source: Source, position: int, end: int) -> None:
    """What is no chunk may be a tag, or padding."""
    rest = source.without_tags(end) - position
    if rest > 8 and source.behind_id3(position) < source.size:
        raise AudioError(f"it continues after its end: {rest} bytes follow the audio that its header states")


def _only_chunks(source: Source, position: int, order: str) -> bool:
    """Whether chunks lead from here to the end of the file: then there is really no audio."""
    while position + 8 <= source.size:
        head = source.at(position, 8)
        if not head[:4].isalnum():
            return False
        size = int.from_bytes(head[4:], order)
        position += 8 + size + size % 2
    return position <= source.size + 8


def _streamed(size: int, width: int) -> bool:
    return size >= 1 << 62 if width == 8 else any(size in sizes for sizes in _STREAMED)


def _size_of_audio(
    source: Source, data: _Chunk, wide: dict[bytes, int], order: str, names: object, empty: int = 0, width: int = 4
) -> tuple[int, dict[int, bytes]]:
    """The bytes of audio that are there, and what to write over its size where the header was never finished.

    Raises:
        AudioError: the file ends before the audio that is stated.
    """
    there = source.size - data.start
    size = data.size
    patches: dict[int, bytes] = {}
    if _streamed(size, width) and data.name in wide:
        size = wide[data.name]
        if size in (0, (1 << 64) - 1):
            size, patches = there, {28: there.to_bytes(8, "little")}
    elif _streamed(size, width) or (
        size <= empty and there > 8 and not _only_chunks(source, data.start + size + size % 2, order)
    ):
        size = there
    if size != data.size and data.name not in wide and there < 1 << 8 * width:
        patches = {data.field: there.to_bytes(width, order)}
    if there < size:
        raise cut_off(f"its header promises {size} bytes of audio, but {max(0, there)} are there")
    return size, patches
