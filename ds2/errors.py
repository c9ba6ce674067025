"""Mistakes that a user can mend, and how a command ends on one."""

import errno
import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

# Full: the disk, the quota, or what a file may grow to.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# Rights, a disk that is read only, a file where a folder should be or a folder where a file should be.
_IN_THE_WAY = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)


class UserError(Exception):
    """Something the user can mend. The message is one sentence: where, what is wrong, what would be right."""


def ends_with_a_sentence(main: Callable[..., None]) -> Callable[..., None]:
    """Makes a command end on a UserError, a full disk or a place it cannot use with one line, without a traceback.

    Exit code 1. Ctrl-C: exit code 130.
    """

    @functools.wraps(main)
    def command(*arguments: Any, **named: Any) -> None:
        try:
            main(*arguments, **named)
        except UserError as error:
            _end_on(str(error))
        except OSError as error:
            if error.errno in _NO_ROOM:
                _end_on(
                    f"{error.filename or 'a file'} cannot be written ({error.strerror}): make room and run it again"
                )
            if error.errno == errno.ENOENT and "temporary directory" in str(error):  # tempfile's own words
                _end_on(f"{error.strerror}: set TMPDIR to a folder that can be written")
            if error.errno == errno.ENAMETOOLONG:
                _end_on(f"{str(error.filename)[:50]}... is too long for the path of a file or folder")
            if error.errno in _IN_THE_WAY and error.filename:
                _end_on(f"{error.filename} cannot be used ({error.strerror}): move what is there, or change its rights")
            raise
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)

    return command


def harmless(text: object) -> str:
    """What a file tells, to be shown in a sentence: of no great length, without line breaks and control characters."""
    return "".join(filter(str.isprintable, str(text)))[:200]


@contextmanager
def enough_memory(sentence: str) -> Iterator[None]:
    """Maps paddle's and Python's errors for a lack of memory, the GPU's or the machine's, to a UserError.

    Args:
        sentence: there is not enough memory for what, and what to lower.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "ResourceExhausted" not in str(error):
            raise
        raise UserError(sentence) from None


def _end_on(sentence: str) -> NoReturn:
    sys.stdout.flush()
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(1)
