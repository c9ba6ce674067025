"""The compiler of what has to be fast, numba."""

import os
from collections.abc import Callable
from typing import Any

# With colours for its errors numba leaves a reset of colours on the terminal at the end of every program.
os.environ.setdefault("NUMBA_DISABLE_ERROR_MESSAGE_HIGHLIGHTING", "1")
import numba

from ds2 import places

_HOME = places.home_is_usable()
if not numba.config.CACHE_DIR and not _HOME and (_folder := places.stand_in()):
    numba.config.CACHE_DIR = str(_folder / "numba")  # without a home numba makes a folder called ~
_KEPT = _HOME or bool(numba.config.CACHE_DIR)


def compiled(function: Callable, **options: Any) -> Callable:
    """Compiles a function when it is called first, with numba's options, and keeps the result for later runs.

    Beside the code or in the user's home, as numba does, else in the user's temporary folder. Where neither can be
    written every run compiles anew, which takes some ten seconds.
    """
    return numba.njit(nogil=True, cache=_KEPT, **options)(function)
