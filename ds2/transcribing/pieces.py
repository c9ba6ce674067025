"""Recordings as a network reads them: short ones whole, long ones in pieces cut at silence."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from loguru import logger

from ds2.audio import reading
from ds2.audio.piece import Piece
from ds2.transcribing import cutting, speech


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a recording that goes through the network as one utterance."""

    start: float  # seconds, in the recording
    end: float
    samples: np.ndarray  # float32 [n]


@dataclass(frozen=True, slots=True)
class Cut:
    """A recording's parts, which are read as they are asked for."""

    parts: Iterator[Part]
    duration: float  # seconds, of all of it
    whole: bool  # whether there is one part, all of it


def cut(name: str, path: Path, piece: Piece, rate: int, limit: float, usual: float) -> Cut:
    """Of a recording, or a piece of one.

    Args:
        name: to call it by in the log.
        path: the file.
        piece: what to read of it.
        rate: of the samples, in Hz.
        limit: in seconds, at least cutting.LEAST_SECONDS; what is longer is cut.
        usual: as `cutting.plan` has it.

    Raises:
        AudioError: it cannot be read; perhaps not before some parts.
    """
    blocks, count = [], 0
    for block in reading.stream(path, rate, piece):
        blocks.append(block)
        count += len(block)
        if count > limit * rate:
            break
    else:
        return Cut(iter([Part(0.0, count / rate, np.concatenate(blocks))]), count / rate, True)
    del blocks
    heard = speech.listen(reading.stream(path, speech.SAMPLE_RATE, piece))
    plan = cutting.plan(heard.speech, heard.power, limit, usual)
    logger.info(f"{name}: {heard.duration:.0f} s, cut into {len(plan)} segments")
    # Decoded again rather than kept: an hour is 230 MB.
    samples = _parts(reading.stream(path, rate, piece), plan, rate)
    return Cut((Part(*ends, one) for ends, one in zip(plan, samples, strict=True)), heard.duration, False)


def _parts(blocks: Iterator[np.ndarray], plan: list[tuple[float, float]], rate: int) -> Iterator[np.ndarray]:
    """The samples of each piece of a plan, of which no more is held than a piece and a block."""
    block, at = np.zeros(0, np.float32), 0  # the block starts at sample `at`
    for start, end in plan:
        first, last = round(start * rate), round(end * rate)
        parts = []
        while at + len(block) < last:
            parts.append(block[max(0, first - at) :])
            at += len(block)
            block = next(blocks, None)
            if block is None:
                block = np.zeros(0, np.float32)
                break
        parts.append(block[max(0, first - at) : max(0, last - at)])
        yield np.concatenate(parts)
