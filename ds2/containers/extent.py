"""What a container states of its own length, and the file it lies in: what every module on containers stands on."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

# What a stated length may differ from the real one: encoders pad, programs round.
SLACK_S = 0.05
# Tags that programs put behind the audio: ID3v1, its enhanced form, and those with a size in their last bytes.
_ID3V1, _ID3V1_ENHANCED = 128, 227
_TAIL = 1 << 16
_PADDING = 4096  # zeros behind the audio that are no part of it
_PIECE = 1 << 16


class AudioError(Exception):
    """An audio file that cannot be used. The message says why and does not name the file."""


class CutOffError(AudioError):
    """An audio file that ends before its end."""


class Source:
    """An open file, read at positions."""

    def __init__(self, path: Path | str) -> None:
        """Opens it; OSError as `open`."""
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self._file).st_size
        self._beginning = os.pread(self._file, _PIECE, 0)  # of most utterances in FLAC all
        self.head = self._beginning[:64]

    def close(self) -> None:
        """After this nothing can be read."""
        os.close(self._file)

    def at(self, position: int, count: int) -> bytes:
        """That many bytes, fewer at the end of the file."""
        end = min(position + count, self.size)
        if position < 0 or end <= position:
            return b""
        if end <= len(self._beginning):
            return self._beginning[position:end]
        return os.pread(self._file, end - position, position)

    def number(self, position: int, count: int, order: str = "big") -> int:
        """An unsigned integer; AudioError where the file ends within it."""
        found = self.at(position, count)
        if len(found) < count:
            raise cut_off("it ends within its header")
        return int.from_bytes(found, order)

    def search(self, mark: re.Pattern[bytes], length: int, start: int) -> int:
        """Where the first `mark` of `length` bytes from `start` on is, -1 where there is none."""
        while self.size - start >= length:
            piece = self.at(start, _PIECE)
            if found := mark.search(piece):
                return start + found.start()
            start += len(piece) - length + 1
        return -1

    def blocks(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` to `end`."""
        while start < end and (piece := self.at(start, min(_PIECE, end - start))):
            yield piece
            start += len(piece)

    def behind_id3(self, start: int = 0) -> int:
        """Where an ID3v2 tag at `start`, or several in a row, ends."""
        while (head := self.at(start, 10))[:3] == b"ID3" and len(head) == 10 and not max(head[6:]) & 0x80:
            size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
            start += 10 + size + (10 if head[5] & 0x10 else 0)
        return start

    def without_tags(self, start: int) -> int:
        """Where what begins at `start` ends, without tags and zeros behind it."""
        end, before = self.size, None
        while before is None or start < end < before:
            before = end
            tail = self.at(max(start, end - _TAIL), min(_TAIL, end - start))
            if tail[-_ID3V1:][:3] == b"TAG" and len(tail) >= _ID3V1:
                end -= _ID3V1_ENHANCED + _ID3V1 if tail[-_ID3V1 - _ID3V1_ENHANCED :][:4] == b"TAG+" else _ID3V1
            elif tail[-32:][:8] == b"APETAGEX":
                size = int.from_bytes(tail[-20:-16], "little")
                end -= size + (32 if tail[-9] & 0x80 else 0)
            elif tail.endswith(b"LYRICS200") and tail[-15:-9].isdigit():
                end -= int(tail[-15:-9]) + 15
            elif tail[-10:][:3] == b"3DI":
                end -= 20 + (tail[-4] << 21 | tail[-3] << 14 | tail[-2] << 7 | tail[-1])
            elif self.size - end < _PADDING:
                bare = len(tail.rstrip(b"\0"))
                # The last eight bytes of an APE tag are zeros too.
                footer = tail.rfind(b"APETAGEX", 0, bare)
                end -= len(tail) - (footer + 32 if footer >= 0 and bare <= footer + 32 <= len(tail) else bare)
        return max(start, end)


@dataclass(frozen=True, slots=True)
class Extent:
    """How much audio a file holds, as far as its container tells."""

    # Sample rate in Hz, samples and channels, where the bytes alone show that all are there.
    proven: tuple[int, int, int] | None = None
    # In seconds, the least and the most that the decoder may find; None: the container states nothing.
    least: float | None = None
    most: float | None = None
    # The samples, where all are of one width: a decoder may take a tag behind them for more.
    samples: int | None = None
    # What to lay over a header that was never finished, by position, before libsndfile sees it.
    patches: dict[int, bytes] = field(default_factory=dict)
    # The form and the checksum of the decoded samples that a FLAC file has, 8 and 16 bytes; empty: none.
    digest: bytes = b""

    def check(self, samples: int, rate: int) -> None:
        """Compares with what was decoded.

        Raises:
            AudioError: it is more than SLACK_S shorter or longer.
        """
        found = samples / rate if rate else 0.0
        if self.least is not None and found < self.least - SLACK_S:
            raise AudioError(f"it is cut off or damaged: it states {self.least:.2f} s, but {found:.2f} s are there")
        if self.most is not None and found > self.most + SLACK_S:
            raise AudioError(f"it continues after its end: it states {self.most:.2f} s, but {found:.2f} s are there")


NOTHING_STATED = Extent()


def exactly(seconds: float) -> Extent:
    """Of a container that states its length."""
    return Extent(least=seconds, most=seconds)


def plain(rate: int, samples: int, patches: dict[int, bytes] | None = None) -> Extent:
    """Of samples of fixed width, all of them there."""
    return Extent(None, samples / rate, samples / rate, samples, patches or {})


def pcm(rate: int, samples: int, channels: int, patches: dict[int, bytes] | None = None) -> Extent:
    """As `plain`, of integers: none can be NaN, so that nothing has to be decoded."""
    return Extent((rate, samples, channels), samples / rate, samples / rate, samples, patches or {})


def cut_off(why: str) -> CutOffError:
    """The error to raise."""
    return CutOffError(f"it is cut off: {why}")


def joined(position: int) -> AudioError:
    """The error to raise."""
    return AudioError(
        f"a second recording begins at byte {position}, after the end of the first: separate files that were joined"
    )


def refuse_what_is_missing(source: Source, end: int, slack: int = 0) -> None:
    """Raises AudioError where the file ends more than `slack` bytes before the audio that its header states."""
    if source.size < end - slack:
        raise cut_off(f"its header promises {end} bytes, but it has {source.size}")


def refuse_what_follows(source: Source, end: int, slack: int, magic: bytes) -> None:
    """Raises AudioError where more than tags, zeros and `slack` bytes follow the end that the header states."""
    if source.size <= end or source.without_tags(end) <= end + slack:
        return
    if source.at(end, len(magic)) == magic:
        raise joined(end)
    raise AudioError(f"it continues after its end: {source.size - end} bytes follow the audio that its header states")
