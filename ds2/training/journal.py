"""What a training tells while it runs: log lines, VisualDL, curve files."""

import datetime
import shutil
import time
from pathlib import Path

from loguru import logger
from visualdl import LogWriter

from ds2.training.history import History


class Clock:
    """Measures a run of this process: speed, waiting, the time that is left."""

    def __init__(self, batches_left: int) -> None:
        self._left = batches_left
        self._start = self._mark = time.perf_counter()
        self._done = 0
        self._utterances = 0
        self._waited = 0.0

    def count(self, utterances: int) -> None:
        """Counts a step."""
        self._done += 1
        self._utterances += utterances

    def wait(self, seconds: float) -> None:
        """Counts time spent waiting for a batch."""
        self._waited += seconds

    def speed(self) -> tuple[float, float]:
        """Utterances a second and the share of time spent waiting for data, since this was asked last."""
        now = time.perf_counter()
        elapsed = max(now - self._mark, 1e-9)
        result = self._utterances / elapsed, self._waited / elapsed
        self._mark, self._utterances, self._waited = now, 0, 0.0
        return result

    def eta(self) -> datetime.timedelta:
        """The time that the batches left will take at the mean speed of this run, evaluation included."""
        mean = (time.perf_counter() - self._start) / max(1, self._done)
        return datetime.timedelta(seconds=int(mean * max(0, self._left - self._done)))


class NoCurves:
    """For the processes that only help: they show nothing."""

    def update(self) -> None:
        """Nothing to write."""

    def write_tables(self) -> None:
        """Nothing to write."""

    def close(self) -> None:
        """Nothing to close."""


class Curves(NoCurves):
    """The history as VisualDL shows it and as results/curves holds it."""

    def __init__(self, history: History, visual: Path, tables: Path) -> None:
        """Writes what there is: a continued training shows its first part too, and no step twice.

        Args:
            history: may go on growing.
            visual: VisualDL's folder of this run; written anew.
            tables: the folder of the curve files.
        """
        self._history = history
        self._tables = tables
        shutil.rmtree(visual, ignore_errors=True)
        self._writer = LogWriter(str(visual))
        self._steps = self._epochs = 0
        self.update()

    def update(self) -> None:
        """Writes what was added to the history since the last call."""
        for row in self._history.steps[self._steps :]:
            for name in ("loss", "learning_rate", "grad_norm"):
                self._writer.add_scalar(f"train/{name}", row[name], int(row["step"]))
        for row in self._history.epochs[self._epochs :]:
            self._writer.add_scalar("epoch/loss", row["loss"], int(row["epoch"]))
            for name in ("cer", "wer"):
                if name in row:
                    self._writer.add_scalar(f"epoch/{name}", row[name], int(row["epoch"]))
        self._steps, self._epochs = len(self._history.steps), len(self._history.epochs)

    def write_tables(self) -> None:
        """Writes results/curves."""
        self._history.write(self._tables)

    def close(self) -> None:
        """Flushes VisualDL's file."""
        self._writer.close()


def log_batch(epoch: tuple[int, int], batch: tuple[int, int], loss: float, rate: float, clock: Clock) -> None:
    """The line that users know, then utterances a second and the share of time spent waiting for data."""
    speed, waiting = clock.speed()
    logger.info(
        f"Train epoch: [{epoch[0]}/{epoch[1]}], batch: [{batch[0]}/{batch[1]}], loss: {loss:.5f}, "
        f"learning_rate: {rate:.8f}, eta: {clock.eta()}, {speed:.1f} utt/s, waiting: {waiting:.1%}"
    )
