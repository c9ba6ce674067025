"""The compiler of what has to be fast, numba."""

import os
from collections.abc import Callable
from typing import Any

# With colours for its errors numba leaves a reset of colours on the terminal at the end of every program.
os.environ.setdefault("NUMBA_DISABLE_ERROR_MESSAGE_HIGHLIGHTING", "1")
import numba

from ds2 import places


def compiled(function: Callable, **options: Any) -> Callable:
    """Compiles a function when it is called first, with numba's options, and keeps the result for later runs.

    Beside the code or in the user's home, as numba does, else in the user's temporary folder. Where neither can be
    written every run compiles anew, which takes some ten seconds.
    """
    try:
        return numba.njit(nogil=True, cache=True, **options)(function)
    except RuntimeError:  # numba found no place
        folder = places.stand_in()
    if folder and (chosen := str(folder / "numba")) != numba.config.CACHE_DIR:
        numba.config.CACHE_DIR = chosen
        return compiled(function, **options)
    return numba.njit(nogil=True, **options)(function)
