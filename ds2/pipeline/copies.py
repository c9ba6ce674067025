"""What dvc exp run --temp and --queue copy into the folder of their experiment as ASCII, and fail if it is not."""

import os
import re
from pathlib import Path

from ds2.pipeline import leftovers, once

# Where dvc cache dir writes; the last is that of dvc cache dir --global.
_CONFIGS = (Path(".dvc/config.local"), Path(".dvc/config"), Path("~/.config/dvc/config"))
# A cache elsewhere, under a path of ASCII characters.
_ELSEWHERE = re.compile(r"^\s*dir = [/~][ -~]*$", re.MULTILINE)


def warn_of_characters() -> None:
    """Logs, once a repository, why dvc exp run --temp and --queue will fail in it and what helps."""
    here = str(Path.cwd())
    if os.environ.get("DVC_ROOT") != here:
        return
    if not here.isascii() and not any(_ELSEWHERE.search(leftovers.read(path.expanduser())) for path in _CONFIGS):
        once.warn(
            "cache",
            here,
            "dvc exp run --temp and --queue fail in this folder, since DVC writes the path of its cache as ASCII; to "
            "use them, once nothing runs: mv .dvc/cache /ascii/path && dvc cache dir --local /ascii/path",
        )
    git = leftovers.git_folder()
    if git is not None and not leftovers.read(git / "config").isascii():
        once.warn(
            "git",
            here,
            "dvc exp run --temp and --queue fail in this repository, since DVC copies .git/config as ASCII; to use "
            "them, move what is not ASCII in it, such as your name, to the global one (git config --global)",
        )
