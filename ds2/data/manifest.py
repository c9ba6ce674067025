"""Manifests: one JSON object a line, read lazily so that millions of lines cost little memory."""

import codecs
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import from_json

from ds2.errors import UserError
from ds2.files import as_json, replacing

_KEYS = (
    ("audio_filepath", (str,), "the path of an audio file"),
    ("duration", (int, float), "a number of seconds"),
    ("text", (str,), "the transcript"),
)


@dataclass(frozen=True, slots=True)
class Utterance:
    """A line of a manifest: where the audio lies, its duration in seconds, the normalised text."""

    audio_filepath: str
    duration: float
    text: str
    speaker: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As it stands in a manifest; other programs' keys are kept."""
        known = {"audio_filepath": self.audio_filepath, "duration": self.duration, "text": self.text}
        return known | ({"speaker": self.speaker} if self.speaker is not None else {}) | self.extra


def write(path: Path, utterances: Iterable[Utterance]) -> None:
    """Writes a manifest, taking the place of one that is there when it is complete."""
    with replacing(path) as file:
        for utterance in utterances:
            file.write(as_json(utterance.as_json()))


class Manifest:
    """A manifest as a sequence of utterances, with `durations`, float64 [n], in seconds.

    Lines of NeMo and of PaddlePaddle-DeepSpeech load as they are.
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
    return Utterance(audio, float(duration), text, None if speaker is None else str(speaker), values)


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
    return values
