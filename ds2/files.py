"""Writing files so that a failure leaves what was there before, and keeping other runs away from them."""

import fcntl
import glob
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from loguru import logger

from ds2.errors import UserError

# Where DVC's cache has a file: with linked caches all files of an output are links to such places.
_IN_DVC_CACHE = re.compile(r".*/files/md5/[0-9a-f]{2}/[0-9a-f]{30}")


@contextmanager
def replacing(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Opens a temporary file beside `path` that takes its place, flushed to the disk, when the block succeeds.

    Raises:
        OSError: the disk is full or not writable; it names `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for abandoned in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):  # by a process that was killed
        process = abandoned.name.split(".")[-2]
        if process.isdigit() and not Path(f"/proc/{process}").exists():
            abandoned.unlink(missing_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, mode, **({} if "b" in mode else {"encoding": "utf-8", "newline": "\n"})) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.filename in (None, str(temporary)):  # a failed write knows no name
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yields a new folder beside `folder` that takes its place when the block succeeds; else `folder` stays as it was.

    The files directly in it are flushed to the disk first; who makes a tree of many calls os.sync.
    """
    temporary, old = beside(folder, "tmp"), beside(folder, "old")
    remove_unfinished(folder)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        for file in temporary.iterdir():
            _flush(file)
        _flush(temporary)
        try:
            if folder.exists():
                os.rename(folder, old)
            os.rename(temporary, folder)
        except BaseException:  # a second Ctrl-C too
            if old.exists() and not folder.exists():
                os.rename(old, folder)
            raise
        _flush(folder.parent)
    finally:
        remove_unfinished(folder)


def make_folder(folder: Path) -> None:
    """Makes a folder, and those above it, where it is missing; raises UserError where none can be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:  # as /proc answers; other reasons have a sentence already
        raise UserError(f"{folder} cannot be made ({error.strerror}): name another folder") from None


def remove_unfinished(folder: Path) -> None:
    """Removes what a run that was killed within `replacing_folder` left."""
    for ending in ("tmp", "old"):
        shutil.rmtree(beside(folder, ending), ignore_errors=True)


def beside(folder: Path, ending: str) -> Path:
    """The hidden name of a folder that is not finished (tmp) or about to go (old)."""
    return folder.with_name(f".{folder.name}.{ending}")


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def claimed(path: Path, waiting: str) -> Iterator[IO[bytes]]:
    """Opens a file, to be appended to, for this run alone; file and folder are made where they are missing.

    Unbuffered, so that bytes that did not fit on the disk are not tried once more when it is closed. Where another run
    has claimed it the log says `waiting`.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = open(path, "ab", buffering=0)  # noqa: SIM115 (closed below)
        except FileNotFoundError:  # the folder has just been removed
            continue
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                logger.info(waiting)
                fcntl.flock(file, fcntl.LOCK_EX)
            # The run that was waited for may have renamed or removed it: then the claim is to another file.
            if is_at(path, file):
                yield file
                return


def is_at(path: Path, file: IO[Any]) -> bool:
    """Whether an open file is the one that a path leads to."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def as_json(value: Any, indent: int | None = None) -> str:
    """JSON, in characters that people can read, with a newline at the end; on one line unless there is an indent.

    Raises:
        ValueError: there is NaN or an infinity in it, for which JSON has no word.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON; raises as `as_json`, and leaves the file as it was then."""
    with replacing(path) as file:
        file.write(as_json(value, indent=2))


def why_foreign(path: Path) -> str | None:
    """Why a path is no ordinary file of its folder; None: it is one.

    A link out of the folder counts only where it leads to a file of DVC's cache.
    """
    real = Path(os.path.realpath(path))
    if path.is_symlink() and real.parent != path.parent.resolve() and not _IN_DVC_CACHE.fullmatch(str(real)):
        return "is a link that leaves the folder"
    if not real.exists():
        return "is missing"
    return None if real.is_file() else "is not a file"


def sha256(path: Path) -> str:
    """The hash of a file's content, 64 hexadecimal digits."""
    return digest(path, "sha256")


def digest(path: Path, algorithm: str) -> str:
    """A hash of a file's content by the name of its algorithm, hexadecimal digits."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
