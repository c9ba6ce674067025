"""Opening audio files of any kind: their frames, float32 [n, channels], by libsndfile, else by PyAV (FFmpeg)."""

import itertools
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ds2.audio.piece import AudioError

# A streamed FLAC does not know its length: libsndfile reports the greatest number there is.
UNKNOWN = 1 << 62
# Samples that are decoded at a time; utterances fit in one block.
BLOCK = 1 << 20
# Here libsndfile seeks to the sample. MP3 and Opus carry a state from frame to frame and are decoded from the
# beginning, as is what libsndfile cannot seek in, and all that PyAV reads.
_SEEKABLE = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW", "ALAC_", "IMA_ADPCM", "MS_ADPCM", "VORBIS")
# What a broken file can hide from a look at its header and its end only: floating-point samples may be NaN.
_INTEGER_FORMATS = ("PCM_", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM")
# Beyond these it is a mistake or damage, and resampling would take any amount of memory.
_LOWEST_RATE, _HIGHEST_RATE = 1_000, 1_000_000
# What FFmpeg takes anything for: raw samples, of a rate that it makes up, by the end of a name; the sounds of a game
# (ea_cdata) where samples without a header begin with silence.
_HEADERLESS = re.compile(r"[fsu]\d+(be|le)?|alaw|mulaw|vidc|g722|g726(le)?|ea_cdata")
_NO_FILES = (
    (stat.S_ISDIR, "it is a folder"),
    (stat.S_ISFIFO, "it is no regular file but a pipe"),
    (stat.S_ISSOCK, "it is no regular file but a socket"),
    (stat.S_ISCHR, "it is no regular file but a device"),
    (stat.S_ISBLK, "it is no regular file but a device"),
)


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turns whatever soundfile, PyAV or soxr raise, which share no base class, into AudioError."""
    try:
        yield
    except (AudioError, MemoryError):
        raise
    except Exception as error:
        raise AudioError(f"it cannot be decoded ({_short(error)})") from None


def regular(path: Path) -> os.stat_result:
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


def sound_file(path: Path) -> soundfile.SoundFile:
    """A file opened by libsndfile, its kind known by its content; raises whatever soundfile raises."""
    # As bytes: soundfile refuses a name that is not UTF-8, as archives made in Windows have. Under a name like a.raw it
    # expects samples without a header, so that the name must be hidden.
    if os.path.splitext(path)[1].lower() == ".raw":
        return soundfile.SoundFile(os.open(path, os.O_RDONLY), closefd=True)
    return soundfile.SoundFile(os.fsencode(path))


def is_integer(file: soundfile.SoundFile) -> bool:
    """Whether the samples are integers, so that none can be NaN, and the header's length can be trusted or checked."""
    return file.subtype.startswith(_INTEGER_FORMATS)


def header(path: Path) -> tuple[int, int]:
    """Sample rate in Hz and number of channels, without decoding; raises AudioError as `blocks`."""
    regular(path)
    with one_sentence():
        try:
            with sound_file(path) as file:
                return sane(file.samplerate), file.channels
        except (AudioError, MemoryError):
            raise
        except Exception:
            with _container(path) as container:
                stream = container.streams.audio[0]
                return sane(stream.codec_context.sample_rate), stream.codec_context.channels


def blocks(path: Path, offset: float = 0.0) -> Iterator[tuple[np.ndarray, int]]:
    """Yields what a file holds behind `offset` seconds, float32 [n, channels] in -1..1, with the sample rate in Hz.

    Raises:
        AudioError: the file is missing, unreadable or cut off; perhaps not before some blocks.
    """
    regular(path)
    count = 0
    with one_sentence():
        try:
            with sound_file(path) as file:
                for block in _sound_file_blocks(file, offset):
                    count += len(block)
                    yield block, file.samplerate
            return
        except (AudioError, MemoryError):
            raise
        except Exception as error:
            if count:
                raise AudioError(f"it cannot be decoded beyond sample {count} ({_short(error)})") from None
            if not os.access(path, os.R_OK):
                raise AudioError("no permission to read it") from None
        yield from _container_blocks(path, offset)


def sane(rate: int) -> int:
    """The sample rate, if it can be one."""
    if not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
        raise AudioError(f"its sample rate is {rate} Hz")
    return rate


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


@contextmanager
def _container(path: Path) -> Iterator[Any]:
    import av  # PyAV takes 0.1 s to load and few files need it

    # With the protocol, or a name such as pipe:0 would be taken for one.
    with av.open(f"file:{path}", metadata_errors="ignore") as container:
        if _HEADERLESS.fullmatch(container.format.name):
            raise AudioError("it has no header that says what it holds")
        if not container.streams.audio:
            raise AudioError("it has no audio track")
        yield container


def _container_blocks(path: Path, offset: float) -> Iterator[tuple[np.ndarray, int]]:
    """As `blocks`, by PyAV as yeaudio does it: 16 bits, up to a damaged place."""
    import av

    at = 0
    with _container(path) as container:
        to_16_bits = av.AudioResampler(format="s16p")
        for frame in itertools.chain(_sound_frames(container, av.error.InvalidDataError), [None]):
            for planes in to_16_bits.resample(frame):
                if planes is None:
                    continue
                block = planes.to_ndarray().T.astype(np.float32) / 32768.0
                skipped = round(offset * sane(planes.sample_rate))
                if at + len(block) > skipped:
                    yield block[max(0, skipped - at) :], planes.sample_rate
                at += len(block)


def _sound_frames(container: Any, damage: type[Exception]) -> Iterator[Any]:
    with suppress(damage):
        for frame in container.decode(audio=0):
            frame.pts = None  # gaps in the time stamps are not filled
            yield frame


def _short(error: Exception) -> str:
    # PyAV's errors have a strerror too; their text has a number of ten digits and the path besides.
    text = getattr(error, "strerror", None) or str(error)
    text = text.split(": ")[-1] if isinstance(error, soundfile.LibsndfileError) else text
    return " ".join(text.split())[:120].rstrip(".") or type(error).__name__
