"""A line of any format, its check, and the account of what could not be carried over."""

import codecs
import functools
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydantic_core import from_json

from ds2 import layout

_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
_CLOCK = re.compile(r"(?:(?:(\d+):(?=[0-5]?\d:))?(\d+):(?=[0-5]?\d(?:\D|$)))?(\d+(?:[.,]\d+)?)")
_SHOWN = 100  # characters of an example
_PARENTS = 3
_KEYS = 12  # that are named


@dataclass(frozen=True, slots=True)
class Row:
    """An utterance as a source has it: any value may be missing (None), of the wrong type or nonsense. Times in s."""

    file: Path
    line: int
    audio: Any
    text: Any
    speaker: Any = None
    offset: Any = None
    end: Any = None
    duration: Any = None
    channel: Any = None


@dataclass
class Account:
    """What a conversion has to say: how the source was read, lines left out by reason, keys that have no place."""

    notes: list[str] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)
    unused: Counter[str] = field(default_factory=Counter)
    _first: dict[str, str] = field(default_factory=dict)

    def leave(self, reason: str, file: Path, line: int, example: Any) -> None:
        """Counts a line that is left out. The reason is the same for all lines of its kind."""
        self.left[reason] += 1
        if reason not in self._first:
            shown = " ".join(str(example).split())
            shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
            self._first[reason] = f"first: {file} line {line}: {shown}"

    def sentences(self) -> Iterator[str]:
        """The notes, then what was left out: each reason with a count and the first example."""
        yield from self.notes
        for reason, count in self.left.most_common():
            yield f"left out: {reason}: {count} ({self._first[reason]})"
        if self.unused:
            keys = [f"{key} ({count})" for key, count in self.unused.most_common(_KEYS)]
            more = f" and {len(self.unused) - _KEYS} more" if len(self.unused) > _KEYS else ""
            yield f"without a place in an annotation (in so many lines): {', '.join(keys)}{more}"


class Format(Protocol):
    """A module of this room."""

    def find(self, source: Path) -> dict[str, Path]:
        """What the source holds: names for annotations, and the file or folder of each; UserError if nothing."""

    def read(self, path: Path, account: Account) -> Iterator[Row]:
        """The utterances of one of them; what is none goes into the account."""


class _LeftOutError(Exception):
    def __init__(self, reason: str, example: Any) -> None:
        super().__init__(reason)
        self.example = example


def pieces(rows: Iterable[Row], account: Account) -> Iterator[dict[str, Any]]:
    """Lines of the annotation, in the order of its keys; rows that cannot be one go into the account."""
    for row in rows:
        try:
            yield _piece(row)
        except _LeftOutError as why:
            account.leave(str(why), row.file, row.line, why.example)


def _piece(row: Row) -> dict[str, Any]:
    if not isinstance(row.text, str) or not row.text.strip():
        raise _LeftOutError("utterances without a transcript", row.audio)
    audio, (offset, duration) = _audio(row), _times(row)
    speaker = str(row.speaker).strip() if isinstance(row.speaker, (str, int)) else None
    values = {"audio_filepath": audio, "text": " ".join(row.text.split()), "speaker": speaker or None}
    values |= {"offset": offset, "duration": duration, "channel": _channel(row.channel)}
    return {key: value for key, value in values.items() if value is not None}


def _audio(row: Row) -> str:
    if not isinstance(row.audio, str) or not row.audio.strip():
        raise _LeftOutError("lines that do not name one recording", row.audio)
    audio = row.audio.strip()
    if audio.endswith("|") or audio.startswith("|"):
        raise _LeftOutError("utterances whose audio is a shell command, which is never run: save what it prints", audio)
    found = locate(audio, row.file.parent)
    if found is None:
        if re.search(r":\d+$", audio):
            raise _LeftOutError("utterances whose audio is a place in an archive: save them as files", audio)
        raise _LeftOutError("utterances whose audio cannot be found", audio)
    return found


def _times(row: Row) -> tuple[float | None, float | None]:
    try:
        offset, end, duration = seconds(row.offset), seconds(row.end), seconds(row.duration)
    except ValueError:
        times = [value for value in (row.offset, row.end, row.duration) if value is not None]
        raise _LeftOutError("utterances with a time that is none", times) from None
    if end is not None:
        duration = round(end - (offset or 0.0), 9)
    if duration is not None and duration <= 0:
        raise _LeftOutError("pieces that end before they begin", f"from {row.offset} to {row.end or row.duration}")
    return offset, duration


def seconds(value: Any) -> float | None:
    """Seconds of a number, or of text such as 12.5, 12,5 or 1:02:03.450; None for nothing. ValueError for the rest."""
    if value is None or value == "":
        return None
    number = -1.0
    if isinstance(value, str) and (match := _CLOCK.fullmatch(value.strip())):
        hours, minutes, rest = match.groups()
        number = int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(rest.replace(",", "."))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        number = float(value)
    if not 0 <= number < float("inf"):
        raise ValueError(value)
    return round(number, 9)


def _channel(value: Any) -> int | None:
    if value is None or value == "":
        return None
    if (
        isinstance(value, (int, str))
        and not isinstance(value, bool)
        and re.fullmatch(r"[0-9]{1,3}", str(value).strip())
    ):
        return int(value)
    raise _LeftOutError("utterances with a channel that is no number from 0", value)


def locate(path: str, folder: Path) -> str | None:
    """A file as an annotation names it: relative to the repository's root where it lies below it, else absolute.

    A relative path counts from the folder, one of the three above it, or the repository's root: the first where the
    file exists. Addresses (s3://, https://) stay as they are, and nothing is opened. None where there is no such file.
    """
    if _ADDRESS.match(path):
        return path
    root = os.path.abspath(layout.repository_root())
    for base in _bases(os.path.abspath(folder), root):
        found = os.path.normpath(os.path.join(base, os.path.expanduser(path)))
        if os.path.isfile(found):
            return os.path.relpath(found, root) if found.startswith(root + os.sep) else found
    return locate(path.replace("\\", "/"), folder) if "\\" in path else None


@functools.lru_cache(maxsize=64)
def _bases(folder: str, root: str) -> list[str]:
    return [folder, *map(str, Path(folder).parents[:_PARENTS]), root]


def lines(path: Path, account: Account) -> Iterator[tuple[int, bytes]]:
    """The lines of a file that are UTF-8 and not blank, with their numbers; others than UTF-8 go into the account."""
    # Bytes, which are split at ASCII's spaces only, as Kaldi does.
    with open(path, "rb") as file:
        for number, raw in enumerate(file, start=1):
            raw = raw.removeprefix(codecs.BOM_UTF8).strip() if number == 1 else raw.strip()
            try:
                raw.decode("utf-8")
            except UnicodeDecodeError:
                account.leave("lines that are not UTF-8: save the file as UTF-8", path, number, raw)
                continue
            if raw:
                yield number, raw


def objects(path: Path, account: Account, known: Collection[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The JSON object of each line, with its number; what is none, and keys that are not known, into the account."""
    for number, raw in lines(path, account):
        try:
            values = from_json(raw, allow_inf_nan=True)
        except ValueError:
            values = None
        if isinstance(values, dict):
            account.unused.update(values.keys() - known)
            yield number, values
        else:
            account.leave("lines that are no JSON object", path, number, raw.decode("utf-8"))


def name_of(path: Path) -> str:
    """What to call the annotation of a list: its name without ending, or its folder's where that says nothing."""
    plain = path.stem in ("data", "manifest", "metadata")
    return Path(os.path.abspath(path)).parent.name if plain else path.stem
