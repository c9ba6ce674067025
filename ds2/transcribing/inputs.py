"""What the arguments of the command stand for: files, pipes, folders, lists."""

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic_core import from_json

from ds2.audio import reading
from ds2.audio.piece import WHOLE, Piece, take

# The endings of lists of recordings.
_LISTS = (".txt", ".jsonl")


@dataclass(frozen=True, slots=True)
class Input:
    """A recording to transcribe: its name as the user knows it, and why it cannot be read, if that is known already."""

    name: str
    file: Path
    error: str | None = None
    piece: Piece = WHOLE
    piped: bool = False  # and kept in a temporary file


def expand(arguments: Iterable[str], channel: int | None = None) -> Iterator[Input]:
    """The recordings that the arguments name, in their order, found as they are asked for.

    A folder stands for all audio files below it, sorted; a file called *.txt for the paths in it, "-" for the paths on
    the standard input: one a line, what follows a tab does not count, so that an annotation is such a list too. So is
    one called *.jsonl, whose lines may name pieces and channels. Paths are relative to the working directory; those of
    a list that are not there, to the list's folder. What comes through a pipe is kept in a temporary file until the
    next recording is asked for.

    Args:
        arguments: what was named.
        channel: to be read, from 0, where a list does not name one; None: the mean of all.
    """
    for found in _expand(arguments):
        named = found.piece.channel is not None or channel is None
        yield found if named else replace(found, piece=replace(found.piece, channel=channel))


def _expand(arguments: Iterable[str]) -> Iterator[Input]:
    for argument in arguments:
        path = Path(argument)
        if argument == "-":
            yield from (Input(name, Path(name)) for name in _names(sys.stdin.buffer))
        elif os.path.isdir(argument):
            names = [str(file) for file in reading.below(path)]  # a Path would keep its text when it is asked for it
            yield from (Input(name, Path(name)) for name in names)
            if not names:
                yield Input(str(path), path, "the folder has no audio files")
        elif path.suffix.lower() in _LISTS:
            yield from _listed(path)
        elif _is_pipe(argument):
            yield from _piped(argument)
        else:
            yield Input(argument, path)


def total(arguments: Sequence[str]) -> int | None:
    """How many recordings the arguments name; None where only reading the standard input or a pipe would show it."""
    if any(argument == "-" or _is_pipe(argument) for argument in arguments):
        return None
    return sum(1 for _ in expand(arguments))


def is_one(arguments: Sequence[str]) -> bool:
    """Whether the arguments can name no more than one recording."""
    one = arguments[0]
    return len(arguments) == 1 and one != "-" and not os.path.isdir(one) and Path(one).suffix.lower() not in _LISTS


def _is_pipe(argument: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(argument).st_mode)
    except (OSError, ValueError):
        return False


def _piped(argument: str) -> Iterator[Input]:
    with tempfile.NamedTemporaryFile() as kept:
        try:
            with open(argument, "rb") as pipe:
                shutil.copyfileobj(pipe, kept)
            kept.flush()
        except OSError as error:
            yield Input(argument, Path(argument), f"it cannot be read to its end ({error.strerror})")
            return
        yield Input(argument, Path(kept.name), piped=True)


def _listed(path: Path) -> Iterator[Input]:
    read = _pieces if path.suffix.lower() == ".jsonl" else _paths
    try:
        with open(path, "rb") as file:
            for found in read(path, file):
                beside = path.parent / found.file
                there = os.path.exists(found.file) or not os.path.exists(beside)
                yield found if there or found.error else replace(found, file=beside)
    except OSError as error:
        yield Input(str(path), path, f"the list cannot be read ({error.strerror})")


def _paths(path: Path, lines: Iterable[bytes]) -> Iterator[Input]:
    return (Input(name, Path(name)) for name in _names(lines))


def _pieces(path: Path, lines: Iterable[bytes]) -> Iterator[Input]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            values = from_json(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)
            name = values.get("audio_filepath") if isinstance(values, dict) else None
            if not isinstance(name, str) or not name:
                raise ValueError("it is no JSON object with the path of an audio file as audio_filepath")
            yield Input(name, Path(name), None, take(values).placed())
        except ValueError as error:
            yield Input(f"{path} line {number}", path, str(error))


def _names(lines: Iterable[bytes]) -> Iterator[str]:
    for number, line in enumerate(lines):
        name = os.fsdecode(line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line).split("\t")[0].strip()
        if name:
            yield name
