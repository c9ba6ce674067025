"""Commands in the background, and how to end them."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

# Until a test gives up on what must come; nothing is measured with it.
PATIENCE = 240


class Running:
    """A command in a process group of its own, as a terminal starts it."""

    def __init__(self, command: tuple[str, ...], folder: Path, environment: dict[str, str], output: Path) -> None:
        self.output = output
        with open(output, "w") as file:
            self.process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=file, stderr=file, start_new_session=True
            )

    def printed(self) -> str:
        """What it has printed until now, on both streams."""
        return self.output.read_text(encoding="utf-8")

    def runs(self) -> bool:
        return self.process.poll() is None

    def leaders(self) -> list[int]:
        """The process that has started all others."""
        return [self.process.pid]

    def wait_for(self, text: str) -> None:
        """Waits until it has printed `text`."""
        until(lambda: text in self.printed() or self.process.poll() is not None, self.printed)
        assert text in self.printed(), self.printed()

    def ctrl_c(self) -> str:
        """What a terminal does: SIGINT to the whole group. Returns what was printed until the end."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.end()

    def end(self) -> str:
        """Waits for the end of a command that must fail, and returns what it printed."""
        assert self.process.wait(PATIENCE) != 0, self.printed()
        return self.printed()


class Queue:
    """The worker of DVC's queue in a repository, and the output of the experiments that start from now on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before = self._logs()

    def _logs(self) -> set[Path]:
        return set((self._folder / ".dvc/tmp/exps/run").glob("*/*.out"))

    def printed(self) -> str:
        """What the stages of new experiments have printed until now."""
        return "".join(path.read_text(encoding="utf-8") for path in sorted(self._logs() - self._before))

    def runs(self) -> bool:
        return bool(self.leaders())

    def leaders(self) -> list[int]:
        """The workers."""
        return processes(self._folder, "exp", "queue-worker")


def until(happened: Callable[[], bool], explain: Callable[[], str] = str) -> None:
    """Waits for something that must happen."""
    give_up = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < give_up, explain()
        time.sleep(0.02)


def processes(folder: Path, *words: str) -> list[int]:
    """The processes that work in a folder or below, with these words in a row in their command line."""
    wanted = b"\0" + b"\0".join(word.encode() for word in words)
    found = []
    for entry in Path("/proc").iterdir():
        try:
            inside = entry.name.isdigit() and Path(os.readlink(entry / "cwd")).is_relative_to(folder)
            if inside and wanted in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue  # it has ended, or is another user's
    return found


def epochs_trained(printed: str) -> list[int]:
    """The epochs that a run has trained, by its log."""
    return [int(line.partition("[")[2].partition("/")[0]) for line in printed.splitlines() if " Epoch: [" in line]


def kill(number: int) -> None:
    """kill -9, of a process that may have ended by itself."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(number, signal.SIGKILL)
