"""A folder of transcripts, a file a recording, that a run continues where a killed one stopped."""

import errno
import hashlib
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ds2 import files
from ds2.data.parts import count
from ds2.errors import UserError
from ds2.transcribing.formats import FORMATS
from ds2.transcribing.inputs import Input
from ds2.transcribing.transcript import Transcript

# Of the folder: what is in it by whom, and a file that is being written.
_OWN = ".ds2"
_RECORD, _UNFINISHED = "record.sqlite", "unfinished"
_TABLE = """
create table if not exists outputs (
    name blob primary key, source blob not null, state text not null, made_by text not null, digest blob not null
) without rowid
"""

# What is wrong with one name and no reason to stop: too long, a file where a folder should be and the other way round.
_OF_ONE_NAME = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)


@dataclass(frozen=True, slots=True)
class _Entry:
    """What the record says of an output."""

    source: bytes  # the recording's absolute path
    state: str  # the recording's size and time of change
    made_by: str  # model and options
    digest: bytes  # of what was written


class OutputFolder:
    """Transcripts below a folder, each under the path of its recording. A context manager for one run at a time.

    The record says which recording, model and options each file is from. It is written first and the file then renamed
    into its place, so after a kill at any moment a file is complete and known, or not there.
    """

    def __init__(self, folder: Path, form: str, made_by: str) -> None:
        """
        Args:
            folder: is made where it is missing.
            form: one of FORMATS.
            made_by: stands for the model and the options: what was written by another is written anew.

        Raises:
            UserError: another run writes into the folder, or its record is damaged.
        """
        self._folder = folder
        self._form = form
        self._made_by = hashlib.sha256(f"{form} {made_by}".encode()).hexdigest()
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}
        self._begun: dict[Path, bytes] = {}  # what is to be written, and of which recordings
        own = folder / _OWN
        files.make_folder(own)
        self._unfinished = own / _UNFINISHED
        self._path = own / _RECORD
        if self._path.is_dir() or self._unfinished.is_dir():
            raise UserError(f"{own} holds a folder where a file should be: remove it, or name another folder")
        self._record = sqlite3.connect(self._path, timeout=0.0, isolation_level=None)
        try:
            # For this run alone, which also spares the shared memory that disks of the network lack.
            for words in ("locking_mode = exclusive", "journal_mode = wal", "synchronous = normal"):
                self._record.execute(f"pragma {words}")
            self._execute(_TABLE)
        except sqlite3.OperationalError:
            self._record.close()
            raise UserError(f"{folder} is being written by another run: wait for it, or name another folder") from None
        except sqlite3.DatabaseError as error:
            self._record.close()
            raise UserError(f"{self._path} is damaged ({error}): remove it, or name another folder") from None

    def __enter__(self) -> "OutputFolder":
        return self

    def __exit__(self, *error: object) -> None:
        self._unfinished.unlink(missing_ok=True)
        self._record.close()

    def name(self, given: Input) -> Path:
        """Where the transcript of a recording lies below the folder: its path, its piece if it is one, the format.

        The recording's own ending stays, so that those of a.wav and a.mp3 differ. Of a path that is absolute or leads
        out of the working directory all folders are made, as cp --parents does.
        """
        path = os.path.normpath(given.name)
        if os.path.isabs(path) or path.split("/")[0] == "..":
            path = os.path.abspath(path).lstrip("/")
        piece = given.piece
        parts = [] if piece.offset is None else [f"from{piece.offset!r}"]
        parts += [] if piece.duration is None else [f"for{piece.duration!r}"]
        parts += [] if piece.channel is None else [f"channel{piece.channel}"]
        return Path(".".join([path, *parts, self._form]))

    def missing(self, inputs: Iterable[Input], skip: Callable[[], None]) -> Iterator[Input]:
        """Those recordings whose transcripts are not there yet; the others are counted, and `skip` is told.

        A file that is not as this class has written it, or was not written by it, stays as it is. A recording whose
        transcript would take the place of another one's has an error.
        """
        for given in inputs:
            if given.error is not None:
                yield given
                continue
            name = self.name(given)
            entry = self._entry(name)
            other = self._begun.get(name) or (entry.source if entry else None)
            if name.parts[0] == _OWN:
                yield replace(given, error=f"{self._folder / _OWN} is for the record of what is done")
            elif other not in (None, _source(given)):
                found = f"{self._folder / name} is the transcript of {os.fsdecode(other)}"
                yield replace(given, error=f"{found}: name another --output for this one")
            elif kind := self._kept(given, name, entry):
                self._counts[kind] += 1
                skip()
                self._first.setdefault(kind, str(self._folder / name))
            else:
                self._begun[name] = _source(given)
                yield given

    def _kept(self, given: Input, name: Path, entry: _Entry | None) -> str | None:
        """Why a recording's file stays as it is: "complete", or "changed" by somebody; None: it is to be written."""
        if name in self._begun:
            return "complete"  # soon
        try:
            content = (self._folder / name).read_bytes()
        except OSError:
            return None
        if entry is None or _digest(content) != entry.digest:
            return "changed" if content.strip(b"\0") else None  # nothing, or zeros: by a power cut
        same = entry.made_by == self._made_by and entry.state == _state(given.file)
        return "complete" if same else None

    def _entry(self, name: Path) -> _Entry | None:
        query = "select source, state, made_by, digest from outputs where name = ?"
        rows = self._execute(query, os.fsencode(name))
        return _Entry(*rows[0]) if rows else None

    def _execute(self, query: str, *values: Any) -> list[tuple]:
        try:
            with closing(self._record.execute(query, values)) as found:
                return found.fetchall()
        except sqlite3.OperationalError as error:
            if "no such column" in str(error):
                raise UserError(f"{self._path} is of another program: remove it, or name another folder") from None
            raise UserError(f"{self._path} cannot be used ({error}): is the disk full or read-only?") from None
        except sqlite3.DatabaseError as error:
            raise UserError(f"{self._path} is damaged ({error}): remove it, or name another folder") from None

    def write(self, found: Transcript) -> Transcript:
        """Writes a transcript, unless it has an error or its name cannot be a file's; returns it with that error."""
        name = self.name(found.given)
        self._begun.pop(name, None)
        if found.error is not None:
            return found
        content = FORMATS[self._form](found).encode("utf-8", "surrogateescape")
        path = self._folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._unfinished.write_bytes(content)
            path.unlink(missing_ok=True)  # the record is never of what stood there before
            row = (os.fsencode(name), _source(found.given), _state(found.given.file), self._made_by, _digest(content))
            self._execute("insert or replace into outputs values (?, ?, ?, ?, ?)", *row)
            os.replace(self._unfinished, path)
        except OSError as error:
            if error.errno not in _OF_ONE_NAME:
                raise
            return replace(found, error=f"its transcript cannot be written to {path} ({error.strerror})")
        return found

    def sentences(self) -> list[str]:
        """What was left alone."""
        say = {
            "complete": "complete already: skipped",
            "changed": "whose place is taken by a file that was changed since, or that another program wrote: left "
            "as it is, remove it to have it made anew",
        }
        return [
            f"{count(self._counts[kind], 'recording')} {sentence} (first: {self._first[kind]})"
            for kind, sentence in say.items()
            if kind in self._counts
        ]


def model_identity(folder: Path) -> str:
    """Stands for a checkpoint or a bundle: its JSON files, which hold the hashes of all others."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.glob("*.json")))).hexdigest()


def _source(given: Input) -> bytes:
    return os.fsencode(os.path.abspath(given.name if given.piped else given.file))


def _state(file: Path) -> str:
    """Of a recording, by which a changed one is known; empty where it is gone."""
    try:
        found = os.stat(file)
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
