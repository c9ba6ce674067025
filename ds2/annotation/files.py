"""The user's annotation files: which there are, and their lines."""

import codecs
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from ds2 import layout
from ds2.audio.piece import WHOLE, Piece, take
from ds2.errors import UserError

# Of an annotation: lines of path, tab, transcript, or JSON objects.
_JSON_LINES = ".jsonl"
_SUFFIXES = (".txt", _JSON_LINES)
# What spreadsheets and other programs put behind a file's name where a tab should be.
_SEPARATED = re.compile(r"[^\t]+\.[A-Za-z]\w{1,3}[\"']?\s*([,;，；|])")


@dataclass(frozen=True, slots=True)
class Source:
    """An annotation file and the part of the data that its name stands for ("train" may still be divided)."""

    path: Path
    split: str
    fixed: bool = False  # of a built-in corpus that has dev or test data of its own


@dataclass(frozen=True, slots=True)
class Line:
    """A well-formed line."""

    source: Source
    number: int
    audio: str
    transcript: str
    speaker: str | None
    piece: Piece = WHOLE
    extra: dict[str, Any] = field(default_factory=dict)  # other keys of a JSON object


@dataclass(frozen=True, slots=True)
class Rejection:
    """A line that is not used, and why. `number` counts from 1."""

    source: Source
    number: int
    reason: str
    detail: str
    audio: str | None = None

    def as_json(self) -> dict[str, str | int | None]:
        """As it stands in dataset/rejected.jsonl."""
        return {
            "file": self.source.path.as_posix(),
            "line": self.number,
            "reason": self.reason,
            "detail": self.detail,
            "audio_filepath": self.audio,
        }


def sources(folder: Path, corpora: Collection[str], reserved: Collection[str]) -> list[Source]:
    """The annotation files that count, test data first, then dev, then the rest, each by name.

    An empty file does not count beside others: where the only test file is empty, test data is held out. Nor do files
    with the `reserved` name of a built-in corpus that is not in use, so not in `corpora`.

    Raises:
        UserError: there is no such file.
    """
    found = []
    for path in sorted(folder.glob("*")):
        if path.suffix not in _SUFFIXES or not path.is_file() or _is_reserved(path, corpora, reserved):
            continue
        kind = path.name.split(".")[-2]
        found.append(Source(path, kind if kind in ("test", "dev") else "train"))
    if not found:
        others = left_out(folder, corpora, reserved)
        raise UserError(
            f"{folder} holds no annotation{f' ({others[0]})' if others else ''}: put a file there, for example my.txt "
            "with lines of audio path, tab and transcript, or name a built-in corpus in params.yaml (corpora: [demo])"
        )
    found = [source for source in found if source.path.stat().st_size > 0]
    fixed = {_name(source.path) for source in found if source.split != "train"}.intersection(reserved)
    found = [replace(source, fixed=_name(source.path) in fixed) for source in found]
    # An utterance that stands in two files counts once: better in the test set than in the training set too.
    return sorted(found, key=lambda source: ("test", "dev", "train").index(source.split))


def left_out(folder: Path, corpora: Collection[str], reserved: Collection[str]) -> list[str]:
    """What lies in the folder and is not read, though somebody may expect it, each with the reason."""
    # What a built-in corpus leaves behind NAME when it is no longer in use.
    built = ([".train", ".txt"], [".dev", ".txt"], [".test", ".txt"])
    found = []
    for path in sorted(folder.glob("[!.]*")):
        if path.is_dir():
            found.append(f"{path} is not read: a folder")
        elif not path.is_file():
            found.append(f"{path} is not read: no regular file")
        elif path.suffix not in _SUFFIXES and path.name != layout.SPLITS_FILE.name:
            found.append(f"{path} is not read: its name does not end in .txt or .jsonl")
        elif _is_reserved(path, corpora, reserved) and path.suffixes not in built:
            found.append(f"{path} is not read: its name is that of a built-in corpus, rename it")
    return found


def _is_reserved(path: Path, corpora: Collection[str], reserved: Collection[str]) -> bool:
    return _name(path) in set(reserved).difference(corpora)


def _name(path: Path) -> str:
    return path.name.split(".")[0]


def read(source: Source) -> Iterator[Line | Rejection]:
    """All lines of a file, each either well-formed or with the reason why it is not."""
    for number, raw in raw_lines(source.path):
        yield _parse(source, number, raw)


def raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their numbers, from 1; without byte order mark and line ends, LF or CRLF."""
    # Not universal newlines in text mode: a transcript may hold U+2028 and the like, and bytes may be anything.
    lines = path.read_bytes().removeprefix(codecs.BOM_UTF8).split(b"\n")
    if lines[-1] in (b"", b"\r"):
        lines.pop()
    for number, raw in enumerate(lines, start=1):
        yield number, raw.removesuffix(b"\r")


def _parse(source: Source, number: int, raw: bytes) -> Line | Rejection:
    def reject(reason: str, detail: str) -> Rejection:
        return Rejection(source, number, reason, detail)

    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        hint = _other_encoding(raw)
        return reject("not_utf8", f"byte {error.start + 1} of the line is not UTF-8{hint}: save the file as UTF-8")
    if not text.strip():
        return reject("blank_line", "the line is blank")
    if "\0" in text:
        return reject("malformed_line", "the line holds zero bytes: is the file UTF-16? Save it as UTF-8")
    if "\r" in text:
        return reject("malformed_line", "the line holds carriage returns: save the file with ordinary line ends")
    return (_parse_json if source.path.suffix == _JSON_LINES else _parse_fields)(source, number, text)


def _parse_fields(source: Source, number: int, text: str) -> Line | Rejection:
    def reject(reason: str, detail: str) -> Rejection:
        return Rejection(source, number, reason, detail)

    fields = text.split("\t")
    if len(fields) == 1:
        if text.startswith("{"):
            return reject("no_tab", "the line is JSON: call the file *.jsonl")
        if found := _SEPARATED.match(text):
            return reject(
                "no_tab",
                f"there is a {found[1]!r} where the tab between audio path and transcript should be: "
                "python -m ds2 convert csv makes an annotation of a spreadsheet",
            )
        if " " in text.strip() or "\u3000" in text:
            return reject("no_tab", "there are spaces where the tab between audio path and transcript should be")
        return reject("no_tab", "there is no tab: a line is audio path, tab, transcript")
    if len(fields) > 3:
        return reject("malformed_line", f"there are {len(fields) - 1} tabs: a line is path, transcript[, speaker]")
    audio, transcript = fields[0].strip(), fields[1].strip()
    speaker = fields[2].strip() if len(fields) == 3 else ""
    if not audio:
        return reject("malformed_line", "there is nothing before the tab: a line is audio path, tab, transcript")
    return Line(source, number, audio, transcript, speaker or None)


def _parse_json(source: Source, number: int, text: str) -> Line | Rejection:
    audio = None

    def reject(reason: str, detail: str) -> Rejection:
        return Rejection(source, number, reason, detail, audio)

    try:
        values = from_json(text)
    except ValueError as error:
        if "\t" in text and not text.lstrip().startswith("{"):
            return reject("bad_json", "the line is no JSON object; with tabs between its fields, call the file *.txt")
        return reject("bad_json", f"the line is no JSON object ({error})")
    if not isinstance(values, dict):
        return reject("bad_json", "the line is no JSON object, which begins with { and ends with }")
    if missing := [key for key in ("audio_filepath", "text") if values.get(key) is None]:
        return reject("missing_key", f"{' and '.join(missing)} missing: a line has audio_filepath and text")
    path, transcript, speaker = (values.pop(key, None) for key in ("audio_filepath", "text", "speaker"))
    if not isinstance(path, str) or not path.strip():
        return reject("bad_value", f"audio_filepath is {path!r}, but should be the path of an audio file")
    audio = path
    if not isinstance(transcript, str):
        return reject("bad_value", f"text is {transcript!r}, but should be the transcript")
    if type(speaker) not in (str, int, type(None)) or (speaker and not str(speaker).isprintable()):
        return reject("bad_value", f"speaker is {speaker!r}, but should be a name")
    try:
        piece = take(values).placed()
    except ValueError as error:
        return reject("bad_value", str(error))
    name = "" if speaker is None else str(speaker).strip()
    return Line(source, number, audio, transcript.strip(), name or None, piece, values)


def _other_encoding(raw: bytes) -> str:
    if b"\0" in raw:
        return " (it looks like UTF-16)"
    try:
        raw.decode("gb18030")
    except UnicodeDecodeError:
        return ""
    return " (it may be GB18030)"
