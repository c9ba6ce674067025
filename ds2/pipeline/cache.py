"""What DVC's cache holds."""

import functools
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from ds2.files import digest
from ds2.pipeline import lock


def holds(files: Iterable[Path]) -> bool:
    """Whether the cache has the content of all files; the smallest are looked up first, as each has to be hashed."""
    return all(_has(digest(file, "md5")) for file in sorted(files, key=lambda file: file.stat().st_size))


def holds_output(path: Path) -> bool:
    """Whether dvc.lock records an output that the cache has."""
    recorded = [out for stage in lock.stages().values() for out in stage.get("outs", [])]
    return any(out["path"] == path.as_posix() and _has(out["md5"]) for out in recorded)


def _has(md5: str) -> bool:
    folder = _folder(Path.cwd())
    return folder is not None and (folder / "files/md5" / md5[:2] / md5[2:]).is_file()


@functools.cache
def _folder(within: Path) -> Path | None:
    """That of the DVC repository around a folder; None where there is none."""
    command = [sys.executable, "-m", "dvc", "cache", "dir"]
    asked = subprocess.run(command, cwd=within, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return Path(asked.stdout.strip()) if asked.returncode == 0 else None
