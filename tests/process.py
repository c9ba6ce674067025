"""A stage in a process of its own, as a user starts it: its log while it runs, its end, what it leaves behind."""

import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def free_port() -> int:
    """A port of this machine that nobody uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def run_stage(stage: str, workspace: Path, settings: str) -> subprocess.CompletedProcess:
    """Runs a stage of this checkout to its end, as a user does, with this params.yaml."""
    (workspace / "params.yaml").write_text(settings, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", f"stages.{stage}"]
    return subprocess.run(command, cwd=workspace, env=environment, capture_output=True, text=True, timeout=120)


def assert_one_sentence(done: subprocess.CompletedProcess, *parts: str) -> None:
    """A command has ended on a user's mistake: one line, exit code 1, these words in it.

    Before it the log may name parameters that the test's short params.yaml lacks.
    """
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "params.yaml lacks parameters" not in line]
    assert line.startswith("error: ")
    for part in parts:
        assert part in line


@dataclass
class Line:
    """A line of the log and when it came, in seconds since the process started."""

    seconds: float
    text: str


class Stage:
    """A stage that runs in a repository: in one with a copy of the project that copy, else this checkout's."""

    def __init__(self, repository: Path, *command: str, file_size: int | None = None) -> None:
        """Starts it.

        Args:
            repository: the working directory.
            command: for Python; the train stage where none is given.
            file_size: the most bytes that a file of it may have: a full disk for large files.
        """
        environment = {key: value for key, value in os.environ.items() if not key.startswith("DVC_")}
        environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.lines: list[Line] = []
        self._start = time.perf_counter()
        # A session of its own: by its number the processes are found that outlive their parent.
        self.process = subprocess.Popen(
            [sys.executable, *(command or ("-m", "stages.train"))],
            cwd=repository,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        if file_size is not None:
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (file_size, file_size))
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stderr:
            self.lines.append(Line(time.perf_counter() - self._start, line.rstrip("\n")))

    @property
    def runs(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    @property
    def log(self) -> str:
        """All lines so far."""
        return "\n".join(line.text for line in self.lines)

    def first(self, pattern: str | re.Pattern[str]) -> Line | None:
        """The first line that matches."""
        return next((line for line in self.lines if re.search(pattern, line.text)), None)

    def wait_for(self, what: Callable[[], Any]) -> Any:
        """The first true value of what(), asked again and again; None when the process ends before."""
        while self.runs:
            found = what()
            if found:
                return found
            time.sleep(0.0003)
        return None

    def until(self, pattern: str) -> Line:
        """Waits for a line that matches."""
        line = self.wait_for(lambda: self.first(pattern))
        assert line is not None, f"{pattern!r} never came:\n{self.log}"
        return line

    def kill(self) -> None:
        """SIGKILL to the main process alone."""
        if self.runs:
            self.process.kill()

    def end(self, timeout: float = 300) -> int:
        """Waits for the end of the process and of its log; returns the exit code."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)  # or its log, and with it pytest, would never end
            raise
        self._reader.join(10)  # not longer: an orphan would keep the log open
        return self.process.returncode

    def orphans(self, patience: float = 10) -> list[int]:
        """Processes of this stage that have not died by themselves, after so many seconds."""
        deadline = time.perf_counter() + patience
        while found := [pid for pid in _processes() if _session(pid) == self.process.pid]:
            if time.perf_counter() > deadline:
                return found
            time.sleep(0.02)
        return []


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None
