"""What the arguments of the command stand for: files, folders, lists."""

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ds2.audio import reading


@dataclass(frozen=True, slots=True)
class Input:
    """A recording to transcribe: its name as the user knows it, and why it cannot be read, if that is known already."""

    name: str
    file: Path
    error: str | None = None


def expand(arguments: Iterable[str]) -> Iterator[Input]:
    """The recordings that the arguments name, in their order, found as they are asked for.

    A folder stands for all audio files below it, sorted; a file called *.txt for the paths in it, "-" for the paths on
    the standard input: one a line, what follows a tab does not count, so that an annotation is such a list too. Paths
    are relative to the working directory; those of a list that are not there, to the list's folder.
    """
    for argument in arguments:
        path = Path(argument)
        if argument == "-":
            yield from (Input(name, Path(name)) for name in _names(sys.stdin.buffer))
        elif os.path.isdir(argument):
            found = [Input(str(file), file) for file in reading.below(path)]
            yield from found or [Input(str(path), path, "the folder has no audio files")]
        elif path.suffix.lower() == ".txt":
            yield from _listed(path)
        else:
            yield Input(argument, path)


def _listed(path: Path) -> Iterator[Input]:
    try:
        with open(path, "rb") as file:
            for name in _names(file):
                beside = path.parent / name
                yield Input(name, beside if not os.path.exists(name) and os.path.exists(beside) else Path(name))
    except OSError as error:
        yield Input(str(path), path, f"the list cannot be read ({error.strerror})")


def _names(lines: Iterable[bytes]) -> Iterator[str]:
    for number, line in enumerate(lines):
        name = os.fsdecode(line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line).split("\t")[0].strip()
        if name:
            yield name
