"""Where libraries keep what they keep between runs, for a user whose home cannot be written."""

import os
import stat
import tempfile
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path


def home_is_usable() -> bool:
    """Whether there is a home in which this process may make folders."""
    home = os.path.expanduser("~")  # stays "~" for a user whom nothing gives a home
    return os.path.isabs(home) and _writable(Path(home))


def _writable(folder: Path) -> bool:
    """Whether this process may make something in a folder, which is made if need be."""
    folder = _nearest(folder)
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK, effective_ids=True)


def _nearest(path: Path) -> Path:
    """The path, or what is there of it."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def stand_in() -> Path | None:
    """This user's own folder below the system's temporary one, made if need be; None where none can be trusted.

    What libraries keep they run later, so nobody else may write there.
    """
    try:
        folder = Path(tempfile.gettempdir(), f"ds2-{os.getuid()}")
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & 0o077
    return folder if own and _writable(folder) else None


def prepare(environment: MutableMapping[str, str] = os.environ) -> None:
    """Names matplotlib a folder, if the user has not, where it would find none and say so at every start.

    A home like /dev/null, below which nothing can be, is replaced: paddle could not be imported.
    """
    if home_is_usable() or not (folder := stand_in()):
        return
    environment.setdefault("MPLCONFIGDIR", str(folder / "matplotlib"))
    if not _nearest(Path(environment.get("HOME", "/"))).is_dir():
        environment["HOME"] = str(folder)


@contextmanager
def usable_home() -> Iterator[None]:
    """Within it HOME can be written, for libraries that make folders there when they are imported.

    Where no place can be written HOME stays as it is.
    """
    before = os.environ.get("HOME")
    folder = None if home_is_usable() else stand_in()
    if folder:
        os.environ["HOME"] = str(folder)
    try:
        yield
    finally:
        if folder and before is None:
            del os.environ["HOME"]
        elif folder:
            os.environ["HOME"] = before
