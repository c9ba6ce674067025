"""Puts a file in the place of another while a stage runs: at the first file that the stage opens to write.

Every Python that has this folder on its PYTHONPATH reads it. MEDDLE is the stage's module, the file to replace,
relative to the working directory, and the file with the new content, with colons between them.
"""

import os
import shutil
import sys

WRITTEN = tuple(f"/{name}" for name in (".ds2/", "dataset/", "models", "results/"))


def _arm(target: str, source: str) -> None:
    armed = [True]

    def watch(event: str, arguments: tuple) -> None:
        if not armed or event != "open" or not isinstance(arguments[0], (str, os.PathLike)):
            return
        path = os.path.abspath(arguments[0])
        if arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and any(part in path for part in WRITTEN):
            armed.clear()
            shutil.copyfile(source, target)

    sys.addaudithook(watch)


if "MEDDLE" in os.environ:
    module, replaced, content = os.environ["MEDDLE"].split(":")
    if sys.orig_argv[1:3] == ["-m", module]:
        _arm(replaced, content)
