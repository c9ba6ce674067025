"""Whether git and DVC will work in this folder; it needs no package, so that make asks before it installs any."""

import os
import re
import subprocess
from pathlib import Path

from ds2.errors import UserError, ends_with_a_sentence

# What dvc config core.no_scm true writes, for those who want no git.
_NO_SCM = re.compile(r"^\s*no_scm *= *(true|1|yes|on)\s*$", re.IGNORECASE | re.MULTILINE)
_CONFIGS = (Path(".dvc/config"), Path(".dvc/config.local"))


@ends_with_a_sentence
def main() -> None:
    """Raises what `check` does."""
    check()


def check() -> None:
    """Raises UserError where DVC cannot run here: what is wrong with the folder, and the command that mends it."""
    here = Path.cwd()
    if not os.access(here, os.W_OK | os.X_OK, effective_ids=True):
        raise UserError(f"{here} cannot be written by this user: copy the project to a folder of your own, or own it")
    if os.pathsep in str(here):
        raise UserError(f"{here} has a {os.pathsep} in its path, which PATH cannot hold: give the folder another name")
    if not _CONFIGS[0].exists():
        raise UserError(f"{here} has no {_CONFIGS[0]}: run in the repository's root, or copy hidden files too")
    if any(_NO_SCM.search(path.read_text(encoding="utf-8", errors="replace")) for path in _CONFIGS if path.exists()):
        return
    try:
        command = ["git", "rev-parse", "--git-dir"]
        asked = subprocess.run(command, capture_output=True, env=os.environ | {"LC_ALL": "C"}, check=False)
    except FileNotFoundError:
        raise UserError("git is not installed, and DVC needs it: apt-get install git, or the like") from None
    said = os.fsdecode(asked.stderr).strip()
    if "dubious ownership" in said:
        raise UserError(
            f"git refuses {here}, since it belongs to another user: make it yours with chown -R, or, if you trust what "
            f"is in it, run git config --global --add safe.directory '{here}'"
        )
    if "not a git repository" in said:
        raise UserError(
            f"{here} is no git repository, as after a download as ZIP, and DVC needs one: run git init, then git add "
            "-A and git commit -m start, with which experiments can be compared"
        )
    if asked.returncode != 0:
        raise UserError(f"git fails in {here}: {said.splitlines()[0] if said else f'exit code {asked.returncode}'}")
