"""The log, the same for all stages and commands: on the terminal and, of a training, in a file."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
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
    try:
        yield
    except Exception as error:  # the terminal gets it when the command ends
        logger.log(FILE_ONLY, f"error: {error}")
        raise
    finally:
        logger.remove(sink)
        _files.remove(path)


def _add(path: Path) -> int:
    return logger.add(_appender(path), format=_FORMAT, level=FILE_ONLY)


def _appender(path: Path) -> Callable[[str], None]:
    told = False

    def append(message: str) -> None:
        nonlocal told
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "ab", buffering=0) as file:  # its name may have been taken away since the last line
                file.write(message.encode(errors="backslashreplace"))
        except OSError as error:
            if not told:  # not by the logger, which is busy with this very message
                time = f"{message.record['time']:%Y-%m-%d %H:%M:%S}"
                _write(f"{time} WARNING {path} cannot be written ({error.strerror}): it will lack lines of the log\n")
            told = True

    return append


def _write(message: str) -> None:
    """Writes a line, above a progress bar if there is one."""
    tqdm.write(message, file=sys.stderr, end="")
    sys.stderr.flush()
