"""What a dvc exp run that was killed leaves behind in git: a detached HEAD, on which the next commit has no branch."""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

from ds2.pipeline import once, orphan

# An entry of a reflog: old and new commit, committer, time, what was done.
_ENTRY = re.compile(r"(\w+) (\w+) .*> (\d+) [-+]\d+\t(.*)")
_DETACHED = re.compile(r"checkout: moving from (\S+) to (?:[0-9a-f]{40}|[0-9a-f]{64})")
# The dvc exp run of this workspace, while it runs; DVC has no other name for its file.
_RUNNING = Path(".dvc/tmp/exps/run/workspace/workspace.json")
# Seconds that the clock may have been set forward while an experiment runs.
_CLOCK = 5
# Entries of a reflog that are looked at: it may have tens of thousands.
_LATEST = 1000


@dataclass(frozen=True)
class _Entry:
    old: str
    new: str
    time: int
    done: str


def warn_of_detached_head() -> None:
    """Logs, once for all stages of a dvc, how git gets back to the branch from which a killed dvc exp run took it.

    Says nothing of a detached HEAD that the user chose, or that an experiment needs which still runs.
    """
    if commands := _mending():
        run = orphan.dvc() or psutil.Process().parent()
        once.warn(
            "detached",
            f"{run.pid} {run.create_time()}",
            "a dvc exp run that was killed has left git on no branch (detached HEAD), where commits get lost: when "
            f"this run has ended, run {', then '.join(commands)}",
        )


def _mending() -> list[str]:
    """The commands that mend what a killed experiment has left, if one has."""
    git = git_folder()
    if git is None or read(git / "HEAD").startswith("ref:"):
        return []
    common = git / (read(git / "commondir").strip() or ".")  # of all worktrees
    entries = _entries(git / "logs/HEAD")
    at = next((i for i in reversed(range(len(entries))) if entries[i].done.startswith("checkout: ")), 0)
    detached = _DETACHED.fullmatch(entries[at].done) if at else None
    if detached is None or entries[at].old != entries[at].new or _runs(entries[at], common):
        return []
    branch = detached[1]
    stash = _entries(common / "logs/refs/stash")
    # DVC detaches HEAD twice: right after it has put changes aside, and right after it has brought them back.
    put_aside = any(one.done.startswith(f"WIP on {branch}: ") and _soon(one, entries[at], 1) for one in stash)
    restored = entries[at - 1].done == f"dvc: Restore HEAD to '{branch}'" and _soon(entries[at - 1], entries[at], 30)
    if not put_aside and not restored:
        return []
    back = [f"git checkout {branch}"]
    if entries[-1].new != entries[at].new:  # there are commits on no branch
        ahead = subprocess.run(["git", "merge-base", "--is-ancestor", branch, "HEAD"], capture_output=True)
        back = [f"git checkout -B {branch}"] if ahead.returncode == 0 else [*back, f"git merge {entries[-1].new[:10]}"]
    return [*back, "git stash pop"] if put_aside else back


def _soon(first: _Entry, second: _Entry, seconds: int) -> bool:
    return 0 <= second.time - first.time <= seconds


def _runs(detached: _Entry, common: Path) -> bool:
    """Whether the experiment that has detached HEAD still runs in this workspace, and no later one."""
    merge = common / "refs/exps/exec/EXEC_MERGE"  # written by each, right before it detaches HEAD
    try:
        process = psutil.Process(json.loads(read(_RUNNING))["pid"])
        itself = process.create_time() < _RUNNING.stat().st_mtime + _CLOCK  # numbers are used again
        return itself and (not merge.exists() or merge.stat().st_mtime < detached.time + 1)
    except (OSError, ValueError, psutil.Error):
        return False


def git_folder() -> Path | None:
    """Git's folder for this workspace, which may be a worktree of its own or lie within a repository."""
    place = next((one / ".git" for one in (Path.cwd(), *Path.cwd().parents) if (one / ".git").exists()), None)
    if place is None or place.is_dir():
        return place
    return place.parent / read(place).removeprefix("gitdir:").strip()


def _entries(reflog: Path) -> list[_Entry]:
    """The latest entries of a reflog, the newest last."""
    found = [match for line in read(reflog).splitlines()[-_LATEST:] if (match := _ENTRY.fullmatch(line))]
    return [_Entry(old, new, int(time), done) for old, new, time, done in (match.groups() for match in found)]


def read(path: Path) -> str:
    """What is in a file; nothing where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
