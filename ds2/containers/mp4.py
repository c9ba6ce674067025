"""The true length of MP4, M4A, MOV and 3GP files: boxes of ISO 14496-12, whole or in fragments."""

from collections.abc import Iterator
from dataclasses import dataclass

from ds2.containers.extent import NOTHING_STATED, SLACK_S, AudioError, Extent, Source, cut_off, joined

_NESTS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"mvex", b"moof", b"traf"}
# What encoders add at both ends, and hide.
_HIDDEN_S = 0.2
_MOST_TABLE = 1 << 24


@dataclass(frozen=True, slots=True)
class _Box:
    name: bytes
    start: int  # of its content
    end: int


def extent(source: Source) -> Extent:
    """Of the first track of sound: its duration, and what its list of edits leaves of it.

    Raises:
        AudioError: a box is not whole, there is no index, another file follows, or the durations contradict each other.
    """
    top = list(_boxes(source, 0, source.size))
    names = [box.name for box in top]
    for name in (b"moov", b"ftyp"):
        if names.count(name) > 1:
            raise joined([box.start - 8 for box in top if box.name == name][1])
    if b"moov" not in names:
        raise cut_off("its index (the box moov) is missing: the recording was never finished")
    moov = top[names.index(b"moov")]
    scale = 0
    for box in _boxes(source, moov.start, moov.end):
        if box.name == b"mvhd":
            scale = source.number(box.start + (20 if source.at(box.start, 1) == b"\1" else 12), 4)
        if box.name == b"trak" and (found := _track(source, box, scale)) is not None:
            length, shown, rate, number = found
            if length == 0 and b"moof" in names:
                length = _fragments(source, top, moov, number) / rate
                return Extent(None, length, length) if length else NOTHING_STATED
            if shown < length - _HIDDEN_S:
                raise AudioError(f"its list of edits hides {length - shown:.2f} s of {length:.2f} s: export it anew")
            return Extent(None, min(length, shown), length)
    raise AudioError("it has no audio track")


def _boxes(source: Source, position: int, end: int) -> Iterator[_Box]:
    while position + 8 <= end:
        head = source.at(position, 16)
        size, name, start = int.from_bytes(head[:4], "big"), head[4:8], position + 8
        if size == 1:
            size, start = int.from_bytes(head[8:16], "big"), position + 16
        elif size == 0 and end == source.size and any(name):
            size = end - position
        elif size == 0:  # zeros: padding
            return
        if position + size > end == source.size and source.without_tags(position) == position:
            return
        if size < start - position:
            raise AudioError(f"it is damaged at byte {position}: a box of {size} bytes")
        if position + size > end:
            raise cut_off(f"a box of {size} bytes at {position} is not whole")
        yield _Box(name, start, position + size)
        position += size


def _inside(source: Source, box: _Box) -> dict[bytes, _Box]:
    """The first box of each name in it and in those that only hold others."""
    found: dict[bytes, _Box] = {}
    for inner in _boxes(source, box.start, box.end):
        found.setdefault(inner.name, inner)
        if inner.name in _NESTS:
            found = {**_inside(source, inner), **found}
    return found


def _track(source: Source, trak: _Box, scale: int) -> tuple[float, float, int, int] | None:
    """Seconds of a track, seconds that are played of it, its ticks a second and its number; None: no sound."""
    found = _inside(source, trak)
    if b"hdlr" not in found or source.at(found[b"hdlr"].start + 8, 4) != b"soun" or b"mdhd" not in found:
        return None
    start, wide = found[b"mdhd"].start, source.at(found[b"mdhd"].start, 1) == b"\1"
    rate = source.number(start + (20 if wide else 12), 4)
    ticks = source.number(start + (24 if wide else 16), 8 if wide else 4)
    if not rate:
        raise AudioError("its header does not say how long its samples are")
    if ticks == (1 << (64 if wide else 32)) - 1:
        ticks = 0
    number, shown = 0, ticks / rate
    if b"tkhd" in found:
        start, wide = found[b"tkhd"].start, source.at(found[b"tkhd"].start, 1) == b"\1"
        number = source.number(start + (20 if wide else 12), 4)
        tkhd = source.number(start + (28 if wide else 20), 8 if wide else 4)
        if ticks and scale and b"elst" in found:
            shown = _edits(source, found[b"elst"]) / scale
        if ticks and scale and abs(tkhd / scale - shown) > SLACK_S:
            raise AudioError(f"it states two lengths, {tkhd / scale:.2f} s and {shown:.2f} s")
    if b"stts" in found and ticks:
        table = _Table(source, found[b"stts"].start + 8, found[b"stts"].end)
        counted = sum(count * delta for count, delta in table.pairs(source.number(found[b"stts"].start + 4, 4)))
        if abs(counted - ticks) > SLACK_S * rate:
            raise AudioError(f"it states two lengths, {ticks / rate:.2f} s and {counted / rate:.2f} s")
    return ticks / rate, shown, rate, number


def _edits(source: Source, elst: _Box) -> int:
    """Ticks of the film that are played; empty edits count, but say nothing of the audio that is there."""
    wide = source.at(elst.start, 1) == b"\1"
    width = 20 if wide else 12
    total, position = 0, elst.start + 8
    for _ in range(min(source.number(elst.start + 4, 4), (elst.end - position) // width)):
        total += source.number(position, 8 if wide else 4)
        position += width
    return total


@dataclass(frozen=True, slots=True)
class _Table:
    source: Source
    start: int
    end: int

    def pairs(self, count: int) -> Iterator[tuple[int, int]]:
        if count * 8 > self.end - self.start or count * 8 > _MOST_TABLE:
            raise AudioError("it is damaged: a table of its index is longer than its box")
        data = self.source.at(self.start, count * 8)
        for at in range(0, len(data), 8):
            yield int.from_bytes(data[at : at + 4], "big"), int.from_bytes(data[at + 4 : at + 8], "big")


def _fragments(source: Source, top: list[_Box], moov: _Box, number: int) -> int:
    """Ticks of a track in all fragments."""
    usual = 0
    for box in _boxes(source, moov.start, moov.end):
        if box.name == b"mvex":
            for trex in _boxes(source, box.start, box.end):
                if trex.name == b"trex" and source.number(trex.start + 4, 4) == number:
                    usual = source.number(trex.start + 12, 4)
    total = 0
    for moof in top:
        if moof.name == b"moof":
            for traf in _boxes(source, moof.start, moof.end):
                if traf.name == b"traf":
                    total += _fragment(source, traf, number, usual)
    return total


def _fragment(source: Source, traf: _Box, number: int, usual: int) -> int:
    total = 0
    for box in _boxes(source, traf.start, traf.end):
        flags = source.number(box.start + 1, 3)
        if box.name == b"tfhd":
            if source.number(box.start + 4, 4) != number:
                return 0
            if flags & 8:
                usual = source.number(box.start + 8 + (8 if flags & 1 else 0) + (4 if flags & 2 else 0), 4)
        if box.name == b"trun":
            count = source.number(box.start + 4, 4)
            position = box.start + 8 + (4 if flags & 1 else 0) + (4 if flags & 4 else 0)
            width = 4 * (flags >> 8 & 15).bit_count()
            if count * width > box.end - position:
                raise AudioError("it is damaged: a table of its index is longer than its box")
            lengths = (source.number(position + i * width, 4) for i in range(count)) if flags & 0x100 else None
            total += sum(lengths) if lengths else count * usual
    return total
