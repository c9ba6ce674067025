"""The true length of Matroska and WebM files: EBML (RFC 8794) and RFC 9559."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from ds2.containers.extent import NOTHING_STATED, SLACK_S, AudioError, CutOffError, Extent, Source, cut_off, joined

_EBML, _SEGMENT, _CLUSTER, _INFO, _TRACKS = 0x1A45DFA3, 0x18538067, 0x1F43B675, 0x1549A966, 0x1654AE6B
_SCALE, _DURATION = 0x2AD7B1, 0x4489
_TRACK, _NUMBER, _KIND, _DELAY = 0xAE, 0xD7, 0x83, 0x56AA
_TIME, _SIMPLE, _GROUP, _BLOCK = 0xE7, 0xA3, 0xA0, 0xA1
# What may lie in a segment and in a cluster; what else is there is damage.
_IN_SEGMENT = {_INFO, _TRACKS, _CLUSTER, 0x114D9B74, 0x1C53BB6B, 0x1043A770, 0x1941A469, 0x1254C367, 0xEC, 0xBF}
_IN_CLUSTER = {_TIME, _SIMPLE, _GROUP, 0xA7, 0xAB, 0xEC, 0xBF, 0x5854, 0xAF}
# The last packet begins before the end that is stated: the longest has 120 ms (Opus), a frame of FLAC 0.6 s at 8 kHz.
_LONGEST_PACKET = 0.6


@dataclass(slots=True)
class _Found:
    scale: int = 1_000_000  # nanoseconds of a tick
    ticks: float = 0.0
    delay: float = 0.0  # seconds
    tracks: set[int] = field(default_factory=set)
    sound: int | None = None
    first: float | None = None  # seconds, of the first packet of sound
    last: float = 0.0


def extent(source: Source) -> Extent:
    """Follows element after element; a segment or cluster of unknown size, as browsers record, ends with the file.

    Raises:
        AudioError: an element is not whole, another file follows, or the last packet contradicts the duration.
    """
    found, position, segments = _Found(), 0, 0
    last = source.without_tags(0)
    while position < last:
        name, start, end, known = _element(source, position, last)
        if name == _EBML and position:
            raise joined(position)
        if name == _SEGMENT:
            segments += 1
            try:
                _segment(source, start, end, found)
            except CutOffError:
                if known:  # a segment without a size ends wherever the recording was stopped
                    raise
        elif name not in (_EBML, 0xEC, 0xBF):
            raise AudioError(f"it continues after its end: {source.size - position} bytes follow its last element")
        position = end
    if not segments or not found.tracks:
        raise cut_off("there is nothing but a header")
    if found.sound is None:
        raise AudioError("it has no audio track")
    if not found.ticks or found.first is None:
        return NOTHING_STATED
    seconds = found.ticks * found.scale / 1e9
    if found.last > seconds + SLACK_S:
        raise AudioError(f"it states {seconds:.2f} s, but its last packet begins at {found.last:.2f} s")
    if len(found.tracks) == 1 and found.last < seconds - _LONGEST_PACKET - found.delay:
        raise cut_off(f"it states {seconds:.2f} s, but its last packet begins at {found.last:.2f} s")
    # A film may be longer than its sound, which the packets then tell.
    end = seconds if len(found.tracks) == 1 else found.last
    return Extent(None, end - found.first - 2 * found.delay, seconds)


def _segment(source: Source, start: int, end: int, found: _Found) -> None:
    position = start
    while position < end:
        name, begin, stop, known = _element(source, position, end)
        if name == _EBML:
            raise joined(position)
        if name not in _IN_SEGMENT:
            raise AudioError(f"it is damaged at byte {position}: an element that does not belong there")
        if name == _INFO:
            for inner, at, behind in _elements(source, begin, stop):
                if inner == _SCALE:
                    found.scale = source.number(at, behind - at)
                if inner == _DURATION:
                    number = source.at(at, behind - at)
                    found.ticks = struct.unpack(">f" if len(number) == 4 else ">d", number.rjust(4, b"\0"))[0]
        if name == _TRACKS:
            for inner, at, behind in _elements(source, begin, stop):
                if inner == _TRACK:
                    _track(source, at, behind, found)
        if name == _CLUSTER:
            stop = _cluster(source, begin, stop, known, found)
        position = stop


def _track(source: Source, start: int, end: int, found: _Found) -> None:
    values = {
        name: source.number(at, behind - at) for name, at, behind in _elements(source, start, end) if behind - at <= 8
    }
    number = values.get(_NUMBER, 0)
    found.tracks.add(number)
    if values.get(_KIND) == 2 and found.sound is None:
        found.sound, found.delay = number, values.get(_DELAY, 0) / 1e9


def _cluster(source: Source, position: int, end: int, known: bool, found: _Found) -> int:
    """Where it ends: if its size is not known, with an element that belongs to the segment."""
    time = 0
    while position < end:
        name, begin, stop, _ = _element(source, position, end)
        if name not in _IN_CLUSTER:
            if (not known and name in _IN_SEGMENT) or name == _EBML:
                return position
            raise AudioError(f"it is damaged at byte {position}: an element that does not belong there")
        if name == _TIME:
            time = source.number(begin, stop - begin)
        if name == _SIMPLE:
            _packet(source, begin, time, found)
        if name == _GROUP:
            for inner, at, _ in _elements(source, begin, stop):
                if inner == _BLOCK:
                    _packet(source, at, time, found)
        position = stop
    return position


def _packet(source: Source, position: int, time: int, found: _Found) -> None:
    head = source.at(position, 12)
    width = 9 - (head[0].bit_length() if head else 0)
    number = int.from_bytes(head[:width], "big") & ((1 << 7 * width) - 1)
    if number not in found.tracks:
        raise AudioError(f"it is damaged at byte {position}: a packet of a track that there is not")
    if number == found.sound:
        seconds = (time + int.from_bytes(head[width : width + 2], "big", signed=True)) * found.scale / 1e9
        found.first = seconds if found.first is None else found.first
        found.last = max(found.last, seconds)


def _elements(source: Source, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    while position < end:
        name, start, stop, _ = _element(source, position, end)
        yield name, start, stop
        position = stop


def _element(source: Source, position: int, end: int) -> tuple[int, int, int, bool]:
    """Name, beginning and end of the content, and whether its size is known."""
    head = source.at(position, 12)
    if not head:
        raise cut_off("an element is not whole")
    length = 9 - head[0].bit_length()
    width = 9 - (head[length].bit_length() if length < len(head) else 0)
    if length > 4 or width > 8:
        raise AudioError(f"it is damaged at byte {position}: no element begins there")
    name = int.from_bytes(head[:length], "big")
    size = int.from_bytes(head[length : length + width], "big") & ((1 << 7 * width) - 1)
    start = position + length + width
    if size == (1 << 7 * width) - 1:
        return name, start, end, False
    if start + size > end:
        raise cut_off(f"an element of {size} bytes at {position} is not whole")
    return name, start, start + size, True
