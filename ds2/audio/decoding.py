"""Opening audio files of any kind: their frames, float32 [n, channels], by libsndfile, else by PyAV (FFmpeg)."""

import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from ds2.audio import ffmpeg
from ds2.audio.ffmpeg import one_sentence, sane, short
from ds2.containers import kinds
from ds2.containers.extent import NOTHING_STATED, AudioError, Extent

# A streamed FLAC does not know its length: libsndfile reports the greatest number there is.
UNKNOWN = 1 << 62
# Samples that are decoded at a time; utterances fit in one block.
BLOCK = 1 << 20
# Here libsndfile seeks to the sample. MP3 and Opus carry a state from frame to frame, a place in OGG is searched for by
# time stamps that may be damaged: these are decoded from the beginning, as is all that PyAV reads.
_SEEKABLE = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW", "ALAC_", "IMA_ADPCM", "MS_ADPCM")
# What a broken file can hide from a look at its header and its end only: floating-point samples may be NaN.
_INTEGER_FORMATS = ("PCM_", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM")
_NO_FILES = (
    (stat.S_ISDIR, "it is a folder"),
    (stat.S_ISFIFO, "it is no regular file but a pipe"),
    (stat.S_ISSOCK, "it is no regular file but a socket"),
    (stat.S_ISCHR, "it is no regular file but a device"),
    (stat.S_ISBLK, "it is no regular file but a device"),
)


def regular(path: Path | str) -> os.stat_result:
    """What the system says of a file that holds something; it is not opened, which could wait for ever at a pipe.

    Raises:
        AudioError: it is missing, no regular file, or empty.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # a name may be too long, or hold a zero byte
        raise AudioError("there is no such file") from None
    if not stat.S_ISREG(found.st_mode):
        raise AudioError(
            next((sentence for is_so, sentence in _NO_FILES if is_so(found.st_mode)), "it is no regular file")
        )
    if found.st_size == 0:
        raise AudioError("the file is empty (0 bytes)")
    return found


class _Patched(io.FileIO):
    """A file with other bytes in its header."""

    def __init__(self, path: Path | str, patches: dict[int, bytes]) -> None:
        super().__init__(path)
        self._patches = patches

    def readinto(self, buffer) -> int:
        start = self.tell()
        count = super().readinto(buffer)
        for position, patch in self._patches.items():
            for at, byte in enumerate(patch, position - start):
                if 0 <= at < count:
                    buffer[at : at + 1] = bytes([byte])
        return count


def sound_file(path: Path | str, extent: Extent = NOTHING_STATED) -> soundfile.SoundFile:
    """A file opened by libsndfile, its kind known by its content; raises whatever soundfile raises."""
    if extent.patches:
        return soundfile.SoundFile(_Patched(path, extent.patches))
    # As bytes: soundfile refuses a name that is not UTF-8, as archives made in Windows have. Under these
    # names it expects samples without a header, of a rate that nobody states, so that the name must be hidden.
    if os.path.splitext(path)[1].lower() in (".raw", ".vox"):
        return soundfile.SoundFile(os.open(path, os.O_RDONLY), closefd=True)
    return soundfile.SoundFile(os.fsencode(path))


def is_integer(file: soundfile.SoundFile) -> bool:
    """Whether the samples are integers, so that none can be NaN, and the header's length can be trusted or checked."""
    return file.subtype.startswith(_INTEGER_FORMATS)


def header(path: Path | str) -> tuple[int, int]:
    """Sample rate in Hz and number of channels, without decoding; raises AudioError as `blocks`."""
    extent = look(path)
    if extent.proven is not None:
        return sane(extent.proven[0]), extent.proven[2]
    with one_sentence:
        try:
            with sound_file(path, extent) as file:
                return sane(file.samplerate), file.channels
        except (AudioError, MemoryError):
            raise
        except Exception:
            with ffmpeg.container(path) as container:
                stream = container.streams.audio[0]
                return sane(stream.codec_context.sample_rate), stream.codec_context.channels


def look(path: Path | str) -> Extent:
    """What a file's container states of its length.

    Raises:
        AudioError: it is missing, unreadable, cut off, damaged, or continues after its end.
    """
    regular(path)
    with one_sentence:
        try:
            return kinds.look(path) or ffmpeg.extent(path)
        except PermissionError:
            raise AudioError("no permission to read it") from None


def blocks(path: Path | str, offset: float = 0.0) -> Iterator[tuple[np.ndarray, int]]:
    """Yields what a file holds behind `offset` seconds, float32 [n, channels] in -1..1, with the sample rate in Hz.

    Raises:
        AudioError: the file is missing, unreadable, cut off or continues after its end; perhaps not before some blocks.
    """
    extent = look(path)
    count, rate = 0, 0
    with one_sentence:
        for block, rate in _decoded(path, offset, extent):
            left = len(block) if extent.samples is None else extent.samples - round(offset * rate) - count
            if left > 0:
                count += len(block[:left])
                yield block[:left], rate
        if count:
            extent.check(round(offset * rate) + count, rate)


def known(path: Path | str, seconds: float) -> tuple[np.ndarray, int] | None:
    """A file that the stage manifest has measured and that still has this length: as `blocks`, in one block.

    A FLAC file with just as many samples as were accepted is read without looking at what follows them. None: it takes
    `blocks` to tell.

    Raises:
        AudioError: the file is missing, no regular file, or empty.
    """
    regular(path)
    try:
        with sound_file(path) as file:
            if file.format == "FLAC" and file.frames == round(seconds * file.samplerate) <= BLOCK:
                block = file.read(dtype="float32", always_2d=True)
                return (block, sane(file.samplerate)) if len(block) == file.frames else None
    except MemoryError:
        raise
    except Exception:  # `blocks` says what is wrong
        pass
    return None


def _decoded(path: Path | str, offset: float, extent: Extent) -> Iterator[tuple[np.ndarray, int]]:
    count = 0
    try:
        with sound_file(path, extent) as file:
            for block in _sound_file_blocks(file, offset):
                count += len(block)
                yield block, file.samplerate
        return
    except (AudioError, MemoryError):
        raise
    except Exception as error:
        if count:
            raise AudioError(f"it cannot be decoded beyond sample {count} ({short(error)})") from None
    yield from ffmpeg.blocks(path, offset, extent.least is not None)


def _sound_file_blocks(file: soundfile.SoundFile, offset: float) -> Iterator[np.ndarray]:
    at, skipped = 0, round(offset * sane(file.samplerate))
    if skipped and file.subtype.startswith(_SEEKABLE) and file.seekable() and file.frames < UNKNOWN:
        at = file.seek(min(skipped, file.frames))
    size = max(1, BLOCK // file.channels)
    while at < file.frames and len(block := file.read(size, dtype="float32", always_2d=True)):
        if at + len(block) > skipped:
            yield block[max(0, skipped - at) :]
        at += len(block)
    if is_integer(file) and at < file.frames < UNKNOWN:
        raise AudioError(f"it is cut off: its header promises {file.frames} samples")
