"""The true length of MP3 and MP2 files, frame by frame: ISO 11172-3, 13818-3; the headers of Xing, LAME and VBRI."""

from dataclasses import dataclass

from ds2.containers.extent import SLACK_S, AudioError, Extent, Source, cut_off, exactly, joined

_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_BITRATES = {
    (3, 3): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (3, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (3, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
# Of a recording from a running broadcast the first frame is cut: no frame is longer.
_LONGEST_FRAME = 2881
# Where in LAME's part of the header, counted from "Xing", delay and padding stand, and the checksum of all before it.
_DELAYS, _CHECKSUM = 141, 154
# No encoder adds more samples.
_MOST_BEFORE, _MOST_BEHIND = 1200, 2304
# The marks of Xing's header; they begin within so many bytes of the frame, whatever its number of channels.
_XING, _HEAD = (b"Xing", b"Info"), 64
_ENCODERS = (b"LAME", b"Lavf", b"Lavc")
# The bytes at a frame's beginning that FFmpeg's checksum covers. Those from the checksum on are still zero then.
_FFMPEGS = 190
# What decoders differ by where no delay is stated: they may begin a frame later, and end one earlier.
_UNKNOWN_FRAMES = 3


@dataclass(frozen=True, slots=True)
class _Frame:
    size: int
    samples: int
    rate: int
    version: int  # 3: MPEG 1, 2: MPEG 2, 0: MPEG 2.5
    layer: int  # 1, 2, 3


def begins(source: Source, position: int) -> bool:
    """Whether two frames stand there, one behind the other."""
    frame = _frame(source.at(position, 4))
    return frame is not None and _frame(source.at(position + frame.size, 4)) is not None


def extent(source: Source, start: int) -> Extent:
    """Follows frame after frame from `start` on, and compares their number with the one that a header states.

    Raises:
        AudioError: there are more or fewer, or something else lies between them.
    """
    end = source.without_tags(start)
    start = _first(source, start, end)
    first = _frame(source.at(start, 4))
    stated, delay = _header(source.at(start, first.size), first, start)
    position = start + (first.size if stated is not None else 0)
    count, buffer, base = 0, b"", 0
    while position < end:
        if position + 4096 > base + len(buffer):
            base, buffer = position, source.at(position, 1 << 20)
        head = buffer[position - base : position - base + 4]
        frame = _frame(head)
        if frame is None:
            if head[:3] == b"ID3" and (behind := source.behind_id3(position)) > position:
                position = behind
                continue
            if end - position < 4 or not any(source.at(position, min(end - position, 1 << 20))):
                break
            raise AudioError(f"it is damaged at byte {position}: no frame begins there")
        if (frame.rate, frame.layer) != (first.rate, first.layer):
            raise AudioError(
                f"from byte {position} on it has another sample rate or format: recordings that were joined"
            )
        if count and _header(buffer[position - base : position - base + frame.size], frame, position)[0] is not None:
            raise joined(position)
        if position + frame.size > end:
            break
        count += 1
        position += frame.size
    seconds = first.samples / first.rate
    if stated is None:
        return Extent(None, max(0.0, (count - _UNKNOWN_FRAMES) * seconds), (count + 1) * seconds)
    if abs(count - stated) * seconds > max(SLACK_S, 1.01 * seconds):
        raise (cut_off if count < stated else AudioError)(f"its header states {stated} frames, but it has {count}")
    if delay is None:
        return Extent(None, max(0.0, (stated - _UNKNOWN_FRAMES) * seconds), (stated + 1) * seconds)
    return exactly(max(0.0, stated * seconds - delay / first.rate))


def _first(source: Source, start: int, end: int) -> int:
    """Where the first frame is: there may be zeros before it, or the rest of a frame."""
    if _frame(source.at(start, 4)) is not None:
        return start
    data = source.at(start, min(end - start, 1 << 16))
    start += len(data) - len(data.lstrip(b"\0"))
    for position in range(start, min(start + _LONGEST_FRAME, end)):
        if begins(source, position):
            skipped = source.at(start, position - start)
            if any(mark in skipped for mark in (*_XING, b"VBRI", *_ENCODERS)):
                raise _damaged(start)
            return position
    raise AudioError("it cannot be decoded (no frame of MPEG audio begins in it)")


def _frame(head: bytes) -> _Frame | None:
    """What the four bytes at the beginning of a frame say; None: it is none."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer, bitrate, rate = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3), head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or bitrate in (0, 15) or rate == 3:
        return None
    hertz = _RATES[version][rate]
    row = (3, 4 - layer) if version == 3 else (2, 3 if layer == 1 else 2)
    bits = _BITRATES[row][bitrate - 1] * 1000
    padding = head[2] >> 1 & 1
    if layer == 1:
        return _Frame((12 * bits // hertz + padding) * 4, 384, hertz, version, layer)
    samples = 576 if layer == 3 and version != 3 else 1152
    return _Frame(samples // 8 * bits // hertz + padding, samples, hertz, version, layer)


def _header(frame: bytes, kind: _Frame, position: int) -> tuple[int | None, int | None]:
    """The number of frames that this one states, and the samples before and behind the recording, if it does."""
    if kind.layer != 3 or len(frame) < 40:
        return None, None
    if frame[36:40] == b"VBRI":
        return int.from_bytes(frame[50:54], "big"), None
    mono = frame[3] >> 6 == 3
    at = 4 + ((17 if mono else 32) if kind.version == 3 else (9 if mono else 17)) + (0 if frame[1] & 1 else 2)
    marked = frame[at : at + 4] in _XING
    # By a changed number of channels it would be looked for in another place.
    misplaced = any(mark in frame[:_HEAD] for mark in _XING) or frame[at + 120 : at + 124] in _ENCODERS
    lame = frame[at + 120 : at + _CHECKSUM + 2]
    # The version of an encoder, or silence that it left there; nothing, where only Xing's own part was written.
    if misplaced if not marked else any(lame) and (not lame[:4].isalnum() or not frame[at + 7] & 1):
        raise _damaged(position)
    if not marked or not frame[at + 7] & 1:
        return None, None
    count = int.from_bytes(frame[at + 8 : at + 12], "big")
    if len(lame) < _CHECKSUM + 2 - 120 or not any(lame):
        return count, None
    checksum = int.from_bytes(frame[at + _CHECKSUM : at + _CHECKSUM + 2], "big")
    delays = int.from_bytes(frame[at + _DELAYS : at + _DELAYS + 3], "big")
    before, behind = delays >> 12, delays & 0xFFF
    counted = frame[: at + _CHECKSUM]
    known = [_crc16(counted)] if lame.startswith(b"LAME") else [_crc16(counted), _crc16(counted.ljust(_FFMPEGS, b"\0"))]
    by_known = lame[:4] in _ENCODERS
    if (by_known and checksum and checksum not in known) or before > _MOST_BEFORE or behind > _MOST_BEHIND:
        raise _damaged(position)
    return count, before + behind if by_known and checksum else None


def _damaged(position: int) -> AudioError:
    return AudioError(f"it is damaged at byte {position}: the header that states its length")


def _crc16(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc
