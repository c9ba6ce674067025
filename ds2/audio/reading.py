"""Reading audio files of any kind as mono float32 samples."""

import itertools
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from ds2.audio import flac
from ds2.audio.piece import AudioError

# Of a folder, files called like this are audio; files named one by one may be called anything.
_SUFFIXES = {
    ".aac", ".ac3", ".aif", ".aiff", ".amr", ".ape", ".au", ".avi", ".caf", ".flac", ".flv", ".m4a", ".m4v", ".mka",
    ".mkv", ".mov", ".mp2", ".mp3", ".mp4", ".mpeg", ".mpg", ".oga", ".ogg", ".opus", ".ts", ".w64", ".wav", ".webm",
    ".wma", ".wmv",
}  # fmt: skip
# A streamed FLAC does not know its length: libsndfile reports the greatest number there is.
_UNKNOWN = 1 << 62
# Frames that `stream` decodes at a time. libsndfile rounds an MP3 differently from the second block on (2e-8):
# utterances fit in one.
_BLOCK = 1 << 20
# What a broken file can hide from a look at its header and its end only: floating-point samples may be NaN.
_INTEGER_FORMATS = ("PCM_", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM")
# The frames at the end that are decoded to see that they are there: more than a FLAC block.
_TAIL = 8192
# Some programs count the header's 8 bytes or a trailing chunk wrongly.
_RIFF_SLACK = 64


@dataclass(frozen=True, slots=True)
class Info:
    """What a look at a recording, or at a piece of it, has found."""

    rate: int  # in Hz, as recorded
    samples: int  # of the piece, at this rate
    channels: int  # of the file
    # The loudest channel where the mean of all is next to silence: it is read instead.
    instead: int | None = None

    @property
    def duration(self) -> float:
        """In seconds."""
        return self.samples / self.rate


def below(folder: Path) -> list[Path]:
    """The audio files below a folder, sorted; hidden files, and all in hidden folders, are left out."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(place, name)
            for name in names
            if os.path.splitext(name)[1].lower() in _SUFFIXES and not name.startswith(".")
        ]
    return sorted(found)


def read(path: Path) -> tuple[np.ndarray, int]:
    """Decodes a whole file: float32 [n] in -1..1, the mean of all channels, and the sample rate in Hz.

    libsndfile reads WAV, FLAC, OGG, MP3 and more; the rest (m4a, video containers) goes through PyAV.

    Raises:
        AudioError: the file is missing, unreadable or empty, or holds samples that are not finite.
    """
    try:
        samples, rate = _decode(path)
        samples = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    except (soundfile.LibsndfileError, OSError) as error:
        _refuse_what_is_no_file(path, error)
        found = list(_container_blocks(path))
        samples = np.concatenate([np.zeros(0, np.float32), *(block for block, _ in found)])
        rate = found[0][1] if found else 0
    if len(samples) == 0:
        raise AudioError("it holds no audio")
    # What is not finite shows in the sum of squares too, which is at hand sooner.
    if not np.isfinite(np.dot(samples, samples)) and not np.isfinite(samples).all():
        raise AudioError("it holds samples that are not finite (NaN or infinity)")
    return np.ascontiguousarray(samples), int(rate)


def _decode(path: Path) -> tuple[np.ndarray, int]:
    # As bytes, here and below: soundfile refuses a name that is not UTF-8, as archives made in Windows have.
    with soundfile.SoundFile(os.fsencode(path)) as file:
        if file.frames < _UNKNOWN:
            return file.read(dtype="float32", always_2d=True), file.samplerate
        blocks = [np.zeros((0, file.channels), np.float32)]
        while len(block := file.read(1 << 16, dtype="float32", always_2d=True)):
            blocks.append(block)
        return np.concatenate(blocks), file.samplerate


def load(path: Path, sample_rate: int) -> np.ndarray:
    """Samples, float32 [n], of a whole file, resampled to `sample_rate` (band-limited, soxr HQ); raises as `read`."""
    samples, rate = read(path)
    if rate != sample_rate:
        samples = soxr.resample(samples, rate, sample_rate, quality="HQ")
    return samples


def stream(path: Path, sample_rate: int) -> Iterator[np.ndarray]:
    """Yields a file in blocks, float32 [n], for recordings too long to be held as a whole; joined, they are `load`'s.

    Raises:
        AudioError: as `read`, and when the file is cut off; perhaps not before some blocks.
    """
    resampler, count = None, 0
    for block, rate in _blocks(path):
        if not np.isfinite(block).all():
            raise AudioError("it holds samples that are not finite (NaN or infinity)")
        count += len(block)
        if rate != sample_rate:
            resampler = resampler or soxr.ResampleStream(rate, sample_rate, 1, dtype="float32", quality="HQ")
            block = resampler.resample_chunk(block)
        yield block
    if count == 0:
        raise AudioError("it holds no audio")
    if resampler is not None:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def _blocks(path: Path) -> Iterator[tuple[np.ndarray, int]]:
    """Mono float32 [n] and the sample rate."""
    count = 0
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            if _cut_off_riff(path):
                raise AudioError("it is cut off: its header promises more samples")
            while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
                count += len(block)
                yield block[:, 0] if block.shape[1] == 1 else block.mean(axis=1), file.samplerate
            if file.subtype.startswith(_INTEGER_FORMATS) and count < file.frames < _UNKNOWN:
                raise AudioError(f"it is cut off: its header promises {file.frames} samples")
    except (soundfile.LibsndfileError, OSError) as error:
        if count:
            raise AudioError(f"it cannot be decoded beyond sample {count} ({_short(error)})") from None
        _refuse_what_is_no_file(path, error)
        yield from _container_blocks(path)


def inspect(path: Path) -> Info:
    """Sample rate, samples and channels of a file that can be used, found by decoding no more than needed.

    Of integer PCM and FLAC the header and the end are read, which shows missing files, wrong formats, empty and
    cut-off files; everything else is decoded.

    Raises:
        AudioError: as `read`.
    """
    try:
        if (known := flac.length(path)) is not None:
            return Info(*known)
        with soundfile.SoundFile(os.fsencode(path)) as file:
            if _cut_off_riff(path):
                raise AudioError("it is cut off: its header promises more samples")
            if file.subtype.startswith(_INTEGER_FORMATS) and file.seekable() and file.frames < _UNKNOWN:
                if file.frames <= 0:
                    raise AudioError("it holds no audio")
                start = max(0, file.frames - _TAIL)
                try:
                    file.seek(start)
                    found = len(file.read(_TAIL, dtype="int16"))
                except soundfile.LibsndfileError:
                    found = 0
                if found < file.frames - start:
                    raise AudioError(f"it is cut off: its header promises {file.frames} samples")
                return Info(file.samplerate, file.frames, file.channels)
    except (soundfile.LibsndfileError, OSError):
        pass  # read() tells what is wrong, or finds a decoder for it
    samples, rate = read(path)
    return Info(rate, len(samples), 1)


def _cut_off_riff(path: Path) -> bool:
    """Libsndfile takes what is there of a cut-off WAV file. Sizes of 0 and near the greatest stand for unknown."""
    with open(path, "rb") as file:
        head = file.read(8)
    size = int.from_bytes(head[4:], "little")
    return head[:4] == b"RIFF" and size < 0x7FFFF000 and size > path.stat().st_size + _RIFF_SLACK


def _container_blocks(path: Path) -> Iterator[tuple[np.ndarray, int]]:
    """As `_blocks`, by PyAV as yeaudio does it: 16 bits, all channels mixed to one, up to a damaged place."""
    import av  # PyAV takes 0.1 s to load and few files need it

    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise AudioError("it has no audio track")
            rate = container.streams.audio[0].sample_rate
            to_mono = av.AudioResampler(format="s16", layout="mono")
            for frame in itertools.chain(_sound_frames(container, av.error.InvalidDataError), [None]):
                for mono in to_mono.resample(frame):
                    yield mono.to_ndarray()[0].astype(np.float32) / 32768.0, rate
    except AudioError:
        raise
    except Exception as error:  # PyAV's errors share no base class with those of what it calls
        raise AudioError(f"it cannot be decoded ({_short(error)})") from None


def _sound_frames(container: Any, damage: type[Exception]) -> Iterator[Any]:
    with suppress(damage):
        for frame in container.decode(audio=0):
            frame.pts = None  # gaps in the time stamps are not filled
            yield frame


def _refuse_what_is_no_file(path: Path, first: Exception) -> None:
    if not os.path.exists(path):
        raise AudioError("there is no such file") from None
    if path.is_dir():
        raise AudioError("it is a folder") from None
    if path.stat().st_size == 0:
        raise AudioError("the file is empty (0 bytes)") from None
    if isinstance(first, PermissionError):
        raise AudioError("no permission to read it") from None


def _short(error: Exception) -> str:
    # PyAV's errors have a strerror too; their text has a number of ten digits and the path besides.
    text = getattr(error, "strerror", None) or str(error)
    text = text.split(": ")[-1] if isinstance(error, soundfile.LibsndfileError) else text
    return " ".join(text.split())[:120].rstrip(".") or type(error).__name__
