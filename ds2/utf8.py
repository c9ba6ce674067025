"""UTF-8 for the names of files, for all text and every process started, whatever the user's locale is."""

import os
import sys


def ensure() -> None:
    """Starts this process anew in Python's UTF-8 mode where the locale has made it read names otherwise.

    To be called before any work. Python decides once, when it starts, how it reads the names of files; the transcripts
    that name them are UTF-8. Processes that this one starts inherit the mode.
    """
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    # Names may be no valid UTF-8: they are printed as they are. PYTHONIOENCODING may have said otherwise.
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        if stream is not None:
            stream.reconfigure(encoding="utf-8", errors=errors)
