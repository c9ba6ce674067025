"""What is decided when a process starts: how Python reads names and text, and where the loader looks for libraries."""

import os
import sys
from importlib.util import find_spec

from ds2 import cuda

_STARTED_ANEW = "DS2_STARTED_ANEW"


def refuse_without_packages() -> None:
    """Ends this process with a sentence where its Python is not that of the environment, as make install makes it."""
    if find_spec("loguru") is None:
        sys.exit(
            f"error: {sys.executable} has no packages of ds2: activate the environment "
            "(. .venv/cpu/bin/activate or . .venv/gpu/bin/activate), or make it with make install"
        )


def prepare() -> None:
    """Starts this process anew, once, in Python's UTF-8 mode and with the right CUDA, where it has started otherwise.

    To be called before any work. Python decides once how it reads the names of files, whatever the user's locale is;
    the transcripts that name them are UTF-8. Processes that this one starts inherit both.
    """
    changed = cuda.prepare(os.environ)
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        changed["PYTHONUTF8"] = "1"
    # It stays the same: never twice, whatever a Python behind a script makes of its environment.
    process = str(os.getpid())
    if changed and os.environ.get(_STARTED_ANEW) != process:
        environment = os.environ | changed | {_STARTED_ANEW: process}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
    # Names may be no valid UTF-8: they are printed as they are. PYTHONIOENCODING may have said otherwise.
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        if stream is not None:
            stream.reconfigure(encoding="utf-8", errors=errors)
