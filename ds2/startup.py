"""What is decided when a process starts: how Python reads names and text, and where the loader looks for libraries."""

import os
import sys

from ds2 import cuda

_STARTED_ANEW = "DS2_STARTED_ANEW"


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
