"""Manifests: one JSON object a line, read lazily so that millions of lines cost little memory."""

import codecs
import copy
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import from_json

from ds2.audio.piece import Piece, take
from ds2.errors import UserError
from ds2.files import as_json, replacing

_KEYS = (
    ("audio_filepath", (str,), "the path of an audio file"),
    ("duration", (int, float), "a number of seconds"),
    ("text", (str,), "the transcript"),
)
_PIECE = frozenset(("offset", "channel", "start_time", "end_time"))


@dataclass(frozen=True, slots=True)
class Utterance:
    """A line of a manifest: where the audio lies, its duration in seconds, the normalised text."""

    audio_filepath: str
    duration: float
    text: str
    speaker: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    offset: float | None = None  # in seconds, of a piece of the recording; None: the whole of it
    channel: int | None = None  # from 0; None: the mean of all

    @property
    def piece(self) -> Piece:
        """What is to be read of the file."""
        return Piece(self.offset, self.duration, self.channel)

    @property
    def name(self) -> str:
        """The path, and where in the recording if it is a piece."""
        return named(self.audio_filepath, self.offset, self.channel)

    def as_json(self) -> dict[str, Any]:
        """As it stands in a manifest; other programs' keys are kept."""
        known = {"audio_filepath": self.audio_filepath, "duration": self.duration, "text": self.text}
        optional = {"speaker": self.speaker, "offset": self.offset, "channel": self.channel}
        return known | {key: value for key, value in optional.items() if value is not None} | self.extra


def named(path: str, offset: float | None, channel: int | None) -> str:
    """How to call an utterance of a file, so that two of the same file differ."""
    return Piece(offset, None, channel).of(path)


def write(path: Path, utterances: Iterable[Utterance]) -> None:
    """Writes a manifest, taking the place of one that is there when it is complete."""
    with replacing(path) as file:
        for utterance in utterances:
            file.write(as_json(utterance.as_json()))


class Manifest:
    """A manifest as a sequence of utterances, with `durations`, float64 [n], in seconds.

    Lines of NeMo (`offset`) and of PaddlePaddle-DeepSpeech (`start_time`, `end_time`) mean here what they mean there.
    """

    def __init__(self, path: Path) -> None:
        """Finds and checks all lines; raises UserError when the file does not exist, or a line is not a manifest's."""
        self.path = path
        # Sixteen bytes an utterance, whatever stands in its line.
        starts, durations = array("q"), array("d")
        try:
            with open(path, "rb") as file:
                position = 0
                for number, line in enumerate(file, start=1):
                    if line.strip():
                        durations.append(_values(line, path, number)["duration"])
                        starts.append(position)
                    position += len(line)
        except FileNotFoundError:
            raise UserError(f"{path} does not exist: run dvc repro manifest") from None
        self._starts = np.array(starts, np.int64)
        self.durations = np.array(durations, np.float64)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> Utterance:
        return next(self.pick([index]))

    def __iter__(self) -> Iterator[Utterance]:
        return self.pick(range(len(self)))

    def sample(self, most: int) -> "Manifest":
        """At most `most` of its utterances, evenly spread, in the manifest's order."""
        found = copy.copy(self)
        kept = np.unique(np.linspace(0, len(self) - 1, min(most, len(self))).round().astype(np.int64))
        found._starts, found.durations = self._starts[kept], self.durations[kept]
        return found

    def pick(self, indices: Iterable[int]) -> Iterator[Utterance]:
        """The utterances of these positions, in this order."""
        with open(self.path, "rb") as file:
            for index in indices:
                file.seek(self._starts[index])
                yield _parse(file.readline(), self.path, index + 1)


def _parse(line: bytes, path: Path, number: int) -> Utterance:
    values = _values(line, path, number)
    audio, duration, text = (values.pop(key) for key, *_ in _KEYS)
    speaker = values.pop("speaker", None)
    speaker = None if speaker is None else str(speaker)
    offset, channel = values.pop("offset", None), values.pop("channel", None)
    return Utterance(audio, float(duration), text, speaker, values, offset, channel)


def _values(line: bytes, path: Path, number: int) -> dict[str, Any]:
    """The object in a line, with the keys that there must be."""
    try:
        values = from_json(line.removeprefix(codecs.BOM_UTF8) if number == 1 else line)  # four times as fast as json
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise UserError(f"{path} line {number}: not a JSON object")
    for key, kinds, expected in _KEYS:
        value = values.get(key)
        if type(value) not in kinds or value != value:
            raise UserError(f"{path} line {number}: {key} is {value!r}, but should be {expected}")
    if not _PIECE.isdisjoint(values):
        try:
            piece = take(values)
        except ValueError as error:
            raise UserError(f"{path} line {number}: {error}") from None
        values |= {"offset": piece.offset, "duration": piece.duration, "channel": piece.channel}
    return values
