"""The log, the same for all stages and commands: on the terminal and, of a training, in a file."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from loguru import logger
from tqdm import tqdm

# The level of what a file gets and a terminal is spared.
FILE_ONLY = "DEBUG"
_files: list[Path] = []  # those that get the log now
_FORMAT = "{time:YYYY-MM-DD HH:mm:ss} {level: <7} {message}"


def to_terminal() -> None:
    """Sends the log to the standard error from now on, and nowhere else."""
    logger.remove()
    logger.add(_write, format=_FORMAT, level="INFO")


def files() -> tuple[Path, ...]:
    """The files that get the log now: a worker process may log to them too."""
    return tuple(_files)


def in_worker(files: Iterable[Path]) -> None:
    """Sends the log of a worker process where its parent's goes, given the parent's `files`."""
    to_terminal()
    for path in files:
        _add(path)


@contextmanager
def also_to(path: Path) -> Iterator[None]:
    """Appends the log to a file too, FILE_ONLY included, and the error that the block ends on.

    Where the file cannot be written the terminal says so once, and the run continues.
    """
    sink = _add(path)
    _files.append(path)
    logger.info(f"the whole log is in {path}")
    try:
        yield
    except Exception as error:  # the terminal gets it when the command ends
        logger.log(FILE_ONLY, f"error: {error}")
        raise
    finally:
        logger.remove(sink)
        _files.remove(path)


def _add(path: Path) -> int:
    return logger.add(_File(path), format=_FORMAT, level=FILE_ONLY)


class _File:
    """A file that the logger appends to, unbuffered; where that fails the terminal is told once."""

    def __init__(self, path: Path) -> None:
        self._path, self._file, self._told = path, None, False

    def write(self, message: str) -> None:
        """Called by the logger with a line, which has its record."""
        try:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = open(self._path, "ab", buffering=0)  # noqa: SIM115 (closed by stop)
            self._file.write(message.encode(errors="backslashreplace"))
        except OSError as error:
            if not self._told:  # not by the logger, which is busy with this very line
                time = f"{message.record['time']:%Y-%m-%d %H:%M:%S}"
                _write(f"{time} WARNING {self._path} cannot be written ({error.strerror}): it will lack lines\n")
            self._told = True

    def stop(self) -> None:
        """Called by the logger at the end."""
        if self._file is not None:
            with suppress(OSError):  # of a network's disk that is full
                self._file.close()


def _write(message: str) -> None:
    """Writes a line, above a progress bar if there is one."""
    tqdm.write(message, file=sys.stderr, end="")
    sys.stderr.flush()
