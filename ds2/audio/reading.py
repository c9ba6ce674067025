"""Reading audio files of any kind, or pieces of them, as mono float32 samples."""

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soxr

from ds2.audio import decoding
from ds2.audio.channels import Levels, mix
from ds2.audio.piece import SLACK_S, WHOLE, AudioError, Piece, PieceError

# Of a folder, files called like this are audio; files named one by one may be called anything.
_SUFFIXES = {
    ".aac", ".ac3", ".aif", ".aiff", ".amr", ".ape", ".au", ".avi", ".caf", ".flac", ".flv", ".m4a", ".m4v", ".mka",
    ".mkv", ".mov", ".mp2", ".mp3", ".mp4", ".mpeg", ".mpg", ".oga", ".ogg", ".opus", ".ts", ".w64", ".wav", ".webm",
    ".wma", ".wmv",
}  # fmt: skip
# Full scale is 1. Floating-point files may exceed it a little, 100 is 40 dB.
_LOUDEST = 100.0
_INTEGERS = (1 << 15, 1 << 23, 1 << 31)


@dataclass(frozen=True, slots=True)
class Info:
    """What a look at a recording, or at a piece of it, has found."""

    rate: int  # in Hz, as recorded
    samples: int  # of the piece, at this rate
    channels: int  # of the file
    # The loudest channel where the mean of all is next to silence: it is read instead.
    instead: int | None = None
    # Of the whole file, as Extent has it.
    digest: bytes = b""

    @property
    def duration(self) -> float:
        """In seconds."""
        return self.samples / self.rate


def below(folder: Path) -> list[Path]:
    """The audio files below a folder, sorted; hidden files, and all in hidden folders, are left out.

    Links to folders are followed, after everything else; each real folder is read once.
    """
    found, seen, tops = [], set(), [os.fspath(folder)]
    for top in tops:
        for place, folders, names in os.walk(top):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            if (real := os.path.realpath(place)) in seen:
                folders.clear()
                continue
            seen.add(real)
            tops += [link for name in folders if os.path.islink(link := os.path.join(place, name))]
            found += [
                Path(place, name)
                for name in names
                if os.path.splitext(name)[1].lower() in _SUFFIXES and not name.startswith(".")
            ]
    return sorted(found)


def read(path: Path | str, piece: Piece = WHOLE) -> tuple[np.ndarray, int]:
    """Decodes a file or a piece of it: float32 [n] in -1..1, one channel, and the sample rate in Hz.

    Of several channels the mean is taken, or the loudest where they cancel each other (channels.Levels).

    Raises:
        AudioError: the file is missing, unreadable or empty, the piece is not within it, or samples are not finite or
            out of all range.
    """
    found = list(_frames(path, piece))
    channel = None
    if found[0][0].shape[1] > 1:
        levels = Levels()
        for block, _ in found:
            levels.add(block)
        channel = levels.instead()
    mixed = [mix(block, channel) for block, _ in found]
    return np.ascontiguousarray(mixed[0] if len(mixed) == 1 else np.concatenate(mixed)), found[0][1]


def load(path: Path | str, sample_rate: int, piece: Piece = WHOLE) -> np.ndarray:
    """Samples, float32 [n], of a file or a piece, resampled to `sample_rate` (band-limited, soxr HQ); raises as `read`.

    A piece is cut out first: nothing of what is around it is heard in it.
    """
    samples, rate = read(path, piece)
    if rate != sample_rate:
        with decoding.one_sentence:
            samples = soxr.resample(samples, rate, sample_rate, quality="HQ")
    return samples


def stream(path: Path | str, sample_rate: int, piece: Piece = WHOLE) -> Iterator[np.ndarray]:
    """Yields a file or a piece in blocks, float32 [n], for what is too long to be held; joined, they are `load`'s.

    Raises:
        AudioError: as `read`, and when the file is cut off; perhaps not before some blocks.
    """
    channel = resampler = None
    for number, (frames, rate) in enumerate(_frames(path, piece)):
        if number == 0 and frames.shape[1] > 1:
            channel = instead(path, piece)
        block = mix(frames, channel)
        with decoding.one_sentence:
            if rate != sample_rate:
                resampler = resampler or soxr.ResampleStream(rate, sample_rate, 1, dtype="float32", quality="HQ")
                block = resampler.resample_chunk(np.ascontiguousarray(block))
        yield block
    if resampler is not None:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def instead(path: Path | str, piece: Piece = WHOLE) -> int | None:
    """The channel that is read of several that cancel each other; None: their mean. Raises as `read`."""
    return _known(path, piece).instead


def inspect(path: Path | str, piece: Piece = WHOLE) -> Info:
    """Rate, length and channels of a file or a piece that can be used, found by decoding no more than needed.

    Of integer PCM and FLAC with one channel the header and the end are read, which shows missing files, wrong formats,
    empty and cut-off files; everything else is decoded. A file is looked at once, however many pieces it has.

    Raises:
        AudioError: as `read`, and when the file is cut off anywhere.
    """
    if piece == WHOLE:
        return _look(path)
    whole = _known(path, WHOLE)
    start, stop = piece.span(whole.rate, whole.samples)
    _refuse_missing_channel(piece, whole.channels)
    several = whole.channels > 1 and piece.channel is None
    other = instead(path, piece) if several else None
    return Info(whole.rate, stop - start, whole.channels, other, whole.digest)


def _known(path: Path | str, piece: Piece) -> Info:
    """As `_look` or, of a piece, `_measure`; the last few answers are kept while the file stays as it is."""
    stamp = decoding.regular(path)
    found = _remembered(path, piece, (stamp.st_ino, stamp.st_size, stamp.st_mtime_ns))
    if isinstance(found, str):
        raise AudioError(found)
    return found


@functools.lru_cache(maxsize=16)
def _remembered(path: Path | str, piece: Piece, stamp: tuple[int, ...]) -> Info | str:
    try:
        return _look(path) if piece == WHOLE else _measure(path, piece)
    except AudioError as error:
        return str(error)


def _look(path: Path | str) -> Info:
    """Of a whole file."""
    extent = decoding.look(path)
    proven = extent.proven
    if proven is None or proven[2] > 1:  # of several channels it takes decoding to know which is read
        return replace(_measure(path, WHOLE), digest=extent.digest)
    if proven[1] == 0:
        raise AudioError("it holds no audio")
    return Info(decoding.sane(proven[0]), proven[1], proven[2], None, extent.digest)


def _measure(path: Path | str, piece: Piece) -> Info:
    levels, found = Levels(), 0
    for block, rate in _frames(path, piece):
        levels.add(block)
        found = rate
    return Info(found, levels.frames, levels.channels, levels.instead())


def _frames(path: Path | str, piece: Piece) -> Iterator[tuple[np.ndarray, int]]:
    """The frames of a piece, float32 [n, channels], only its channel where it has one, and the sample rate."""
    count = 0
    known = decoding.known(path, piece.duration) if piece.offset is None and piece.duration is not None else None
    for block, rate in [known] if known else _cut(decoding.blocks(path, piece.offset or 0.0), piece):
        _refuse_missing_channel(piece, block.shape[1])
        chosen = block if piece.channel is None else block[:, piece.channel, None]
        _refuse_out_of_range(chosen)
        count += len(chosen)
        yield chosen, rate
    if count == 0 and piece.offset:
        raise PieceError(f"the piece begins at {piece.offset:g} s, after its end")
    if count == 0:
        raise AudioError("it holds no audio")


def _cut(blocks: Iterator[tuple[np.ndarray, int]], piece: Piece) -> Iterator[tuple[np.ndarray, int]]:
    """The blocks of a piece, of blocks that begin where it does; as Piece.span, where the file's end is known."""
    if piece.duration is None:
        yield from blocks
        return
    left, rest, slack = None, [], 0
    for block, rate in blocks:
        if left is None:
            left, slack = piece.samples(rate), round(SLACK_S * rate)
        if left > 0:
            yield block[:left], rate
        rest.append((block[max(0, left) :], rate))
        left -= len(block)
        if left < (-slack if piece.offset is None else 1):
            return
    if piece.offset is None:
        yield from (part for part in rest if len(part[0]))
    elif left is not None and left > slack:
        raise PieceError(f"the piece of {piece.duration:g} s from {piece.offset:g} s on ends after its end")


def _refuse_missing_channel(piece: Piece, channels: int) -> None:
    if piece.channel is not None and piece.channel >= channels:
        raise PieceError(f"there is no channel {piece.channel}: it has {channels}, counted from 0")


def _refuse_out_of_range(block: np.ndarray) -> None:
    flat = block.reshape(-1)
    with np.errstate(all="ignore"):
        if np.dot(flat, flat) <= _LOUDEST**2:  # of all together: so none is louder, and none is NaN
            return
    peak = float(max(block.max(), -block.min()))  # NaN where a sample is
    if peak <= _LOUDEST:
        return
    if not np.isfinite(peak):
        raise AudioError("it holds samples that are not finite (NaN or infinity)")
    scale = next((scale for scale in _INTEGERS if peak <= scale), None)
    cause = f": they seem to be integers in a floating-point file; divide them by {scale}" if scale else ""
    raise AudioError(f"its samples reach {peak:.6g}, where full scale is 1{cause}")
