"""Decoding by PyAV (FFmpeg): m4a, the sound of films, and all that libsndfile does not read."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ds2.containers import mpeg
from ds2.containers.extent import NOTHING_STATED, SLACK_S, AudioError, Extent, Source, exactly, joined

# Beyond these it is a mistake or damage, and resampling would take any amount of memory.
_LOWEST_RATE, _HIGHEST_RATE = 1_000, 1_000_000
# What FFmpeg takes anything for: raw samples, of a rate that it makes up, by the end of a name; the sounds of a game
# (ea_cdata) where samples without a header begin with silence.
_HEADERLESS = re.compile(r"[fsu]\d+(be|le)?|alaw|mulaw|vidc|g722|g726(le)?|ea_cdata")
# Containers that state no length: headers of packets only, or none.
_STATE_NOTHING = {"aac", "ac3", "eac3", "dts", "truehd", "loas", "mpegts", "mpeg", "ircam", "pvf", "epaf", "gsm"}
# Tags that may lie behind the last packet.
_BEHIND = 4096


class _OneSentence:
    """Turns whatever soundfile, PyAV or soxr raise, which share no base class, into AudioError."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, AudioError | MemoryError):
            raise AudioError(f"it cannot be decoded ({short(error)})") from None


one_sentence = _OneSentence()  # every look at a file enters it: contextlib's would take three times as long


def sane(rate: int) -> int:
    """The sample rate, if it can be one."""
    if not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
        raise AudioError(f"its sample rate is {rate} Hz")
    return rate


@contextmanager
def container(path: Path | str) -> Iterator[Any]:
    """A file opened by FFmpeg that has a track of sound; raises AudioError where it has none, else what PyAV raises."""
    import av  # PyAV takes 0.1 s to load and few files need it

    # With the protocol, or a name such as pipe:0 would be taken for one.
    with av.open(f"file:{path}", metadata_errors="ignore") as container:
        if _HEADERLESS.fullmatch(container.format.name):
            raise AudioError("it has no header that says what it holds")
        if not container.streams.audio:
            raise AudioError("it has no audio track")
        yield container


def extent(path: Path | str) -> Extent:
    """Of a container that ds2.containers does not know: the duration that FFmpeg finds, and a second header in it.

    Raises:
        AudioError: it is damaged, or another file follows.
    """
    with container(path) as opened:
        stream, name = opened.streams.audio[0], opened.format.name
        codec = stream.codec_context.name
        seconds = None if stream.duration is None else float(stream.duration * stream.time_base)
    if name in _STATE_NOTHING:
        return NOTHING_STATED
    source = Source(path)
    try:
        if name == "mp3":
            return mpeg.extent(source, source.behind_id3())
        if (second := source.search(re.compile(re.escape(source.head[:8])), 8, 8)) > 0:
            raise joined(second)
    finally:
        source.close()
    # Of plain samples FFmpeg takes the duration from the size of the file.
    if seconds is None or codec.startswith("pcm_"):
        raise AudioError(f"its container ({name}) does not say how long it is: convert it to WAV or FLAC")
    return exactly(seconds)


def blocks(path: Path | str, offset: float, stated: bool) -> Iterator[tuple[np.ndarray, int]]:
    """Yields what a file holds behind `offset` seconds, float32 [n, channels] of 16 bits, with the sample rate in Hz.

    Raises:
        AudioError: more than SLACK_S in its middle cannot be decoded. Of the last packet a part may be missing, and
            where no length is stated, as in a broadcast, the first may need others before them.
    """
    import av

    at = 0
    with container(path) as opened:
        # Interleaved: PyAV reads beyond the end of its list of planes where each of 9 channels and more has one.
        to_16_bits = av.AudioResampler(format="s16")
        for frame in _sound_frames(opened, os.stat(path).st_size, stated):
            for part in to_16_bits.resample(frame):
                if part is None:
                    continue
                block = part.to_ndarray().reshape(part.samples, -1).astype(np.float32) / 32768.0
                skipped = round(offset * sane(part.sample_rate))
                if at + len(block) > skipped:
                    yield block[max(0, skipped - at) :], part.sample_rate
                at += len(block)


def _sound_frames(opened: Any, size: int, stated: bool) -> Iterator[Any]:
    """Frames of sound, without time stamps: gaps in these are not filled; then None, for the end."""
    import av

    packets, heard, usual = opened.demux(opened.streams.audio[0]), stated, 0.0
    missed, failed, end, length = 0, 0, 0, 0
    while True:
        try:
            packet = next(packets, None)
        except av.error.InvalidDataError:
            if end and size - end > 2 * length + _BEHIND:
                raise AudioError(f"it is damaged at byte {end}") from None
            break
        if packet is None:
            break
        if packet.pos is not None and packet.size:
            end, length = packet.pos + packet.size, packet.size
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            missed, failed = missed + heard, failed + heard
            continue
        for frame in frames:
            heard, failed, usual = True, 0, frame.samples / frame.sample_rate
            if missed * usual > SLACK_S:
                raise AudioError(f"it is damaged: {missed * usual:.2f} s in its middle cannot be decoded")
            frame.pts = None
            yield frame
    if failed > 1 or (stated and missed * usual > SLACK_S):
        raise AudioError(f"it is damaged: the last {failed} packets cannot be decoded")
    yield None


def short(error: Exception) -> str:
    """The reason in one line, without the path."""
    # PyAV's errors have a strerror too; their text has a number of ten digits and the path besides.
    text = getattr(error, "strerror", None) or str(error)
    text = text.split(": ")[-1] if isinstance(error, soundfile.LibsndfileError) else text
    return " ".join(text.split())[:120].rstrip(".") or type(error).__name__
