"""The compiler of what has to be fast, numba, and where what it makes of this code is kept."""

import contextlib
import hashlib
import os
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# With colours for its errors numba leaves a reset of colours on the terminal at the end of every program.
os.environ.setdefault("NUMBA_DISABLE_ERROR_MESSAGE_HIGHLIGHTING", "1")
import llvmlite
import numba
import numpy as np
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

from ds2 import files, places

# Whatever compiled functions call, and take numbers from, is in these rooms or in ds2 itself: a test holds it.
ROOMS = ("data", "decoding", "model", "params")
# Of how many states of the code what was compiled stays.
_STATES = 20


def sources() -> list[Path]:
    """The files that decide what functions are compiled to."""
    root = Path(__file__).parent
    found = [*root.glob("*.py"), *(path for room in ROOMS for path in (root / room).rglob("*.py"))]
    return sorted(path for path in found if path.is_file())  # an editor's lock may be a link to nothing


def _state() -> str:
    """A hash of all that decides what functions are compiled to, but for the processor, wherever the code lies."""
    versions = (sys.version, numba.__version__, llvmlite.__version__, np.__version__, numba.config.USING_SVML)
    files_of_it = [(path.relative_to(Path(__file__).parent).as_posix(), files.sha256(path)) for path in sources()]
    return hashlib.sha256(repr((versions, files_of_it)).encode()).hexdigest()


def _places() -> Iterator[str | Path]:
    """The folders that it may be kept in, the best first."""
    if numba.config.CACHE_DIR:
        yield numba.config.CACHE_DIR
    if places.home_is_usable():  # else numba's folder would be in one called ~
        yield AppDirs("numba", appauthor=False).user_cache_dir
    if folder := places.stand_in():
        yield folder / "numba"


def _folder() -> Path | None:
    """The folder of this state of the code, made if need be, and marked as used; None where none can be written."""
    for place in _places():
        folder = Path(place, "ds2", _STATE)
        with contextlib.suppress(OSError):
            if not folder.exists():
                _make_room(folder.parent)
            folder.mkdir(parents=True, exist_ok=True)
            os.utime(folder)  # refused where it is somebody else's
            return folder
    return None


def _make_room(folder: Path) -> None:
    """Removes the states that were used longest ago, so that one more can come."""
    with contextlib.suppress(FileNotFoundError):  # another process does the same
        for state in sorted(folder.glob("*"), key=os.path.getmtime)[: 1 - _STATES]:
            shutil.rmtree(state, ignore_errors=True)


_STATE = _state()
_FOLDER = _folder()


class _Kept(NullCache):
    """What a function was compiled to: a file for each signature and processor, with a hash of its content before it.

    numba's own cache asks for the path and the content of the function's file alone: it misses copies of the code and,
    worse, a change of what the function calls. And two processes at once may leave one signature's code as another's.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name

    @property
    def cache_path(self) -> str:
        return str(self._folder)

    def _path(self, key: tuple) -> Path:
        return self._folder / f"{self._name}-{hashlib.sha256(repr(key).encode()).hexdigest()[:32]}.bin"

    def load_overload(self, sig, target_context):
        target_context.refresh()
        key = sig, target_context.codegen().magic_tuple()
        try:
            content = self._path(key).read_bytes()
        except OSError:
            return None
        if hashlib.sha256(content[32:]).digest() != content[:32]:
            return None
        known, result = pickle.loads(content[32:])
        return CompileResult._rebuild(target_context, *result) if known == key else None

    def save_overload(self, sig, result):
        if result.library.has_dynamic_globals:  # addresses of this process
            return
        key = sig, result.codegen.magic_tuple()
        content = dumps((key, result._reduce()))
        with contextlib.suppress(OSError):  # a full disk, say: the next run compiles anew
            if _state() == _STATE:  # else a module may have been loaded after a change that the name knows nothing of
                with files.replacing(self._path(key), "wb") as file:
                    file.write(hashlib.sha256(content).digest() + content)


def compiled(function: Callable, **options: Any) -> Callable:
    """Compiles a function when it is called first, with numba's options, and keeps the result for later runs.

    It is kept for every copy of the same code: in NUMBA_CACHE_DIR or the user's cache, else in the user's temporary
    folder. Where neither can be written every run compiles anew, which takes some ten seconds. So does one of a
    function within another or outside of ROOMS. Numbers that a function takes from modules stand in their source.
    """
    found = numba.njit(nogil=True, **options)(function)
    inside = function.__module__.startswith(tuple(f"ds2.{room}." for room in ROOMS))
    if _FOLDER and inside and "<locals>" not in function.__qualname__:
        found._cache = _Kept(_FOLDER, f"{function.__module__}.{function.__qualname__}")
    return found
