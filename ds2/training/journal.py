"""What a training tells while it runs: progress, VisualDL, curve files."""

import datetime
import time
from collections.abc import Sequence
from pathlib import Path

from ds2 import params
from ds2.data.loader import Batch
from ds2.evaluation.evaluator import Prediction
from ds2.training import progress
from ds2.training.history import History
from ds2.training.progress import Moment
from ds2.training.visual import Visual


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
        elapsed = max(time.perf_counter() - self._mark, 1e-9)
        result = self._utterances / elapsed, self._waited / elapsed
        self.resume()
        return result

    def resume(self) -> None:
        """Measures the speed from here on: scoring and saving between two epochs are not slow training."""
        self._mark, self._utterances, self._waited = time.perf_counter(), 0, 0.0

    def eta(self, batches: int | None = None) -> datetime.timedelta:
        """The time that so many batches will take at the mean speed of this run, evaluation included.

        Args:
            batches: None: all that are left.
        """
        mean = (time.perf_counter() - self._start) / max(1, self._done)
        left = self._left - self._done if batches is None else batches
        return datetime.timedelta(seconds=int(mean * max(0, left)))


class NoCurves:
    """For the processes that only help: they show nothing."""

    def update(self) -> None:
        """Nothing to write."""

    def step(self, now: Moment, clock: Clock) -> None:
        """Nothing to tell."""

    def batch(self, batch: Batch, epoch: int) -> None:
        """Nothing to show."""

    def scored(self, predictions: Sequence[Prediction], epoch: int) -> None:
        """Nothing to show."""

    def write_tables(self) -> None:
        """Nothing to write."""

    def close(self) -> None:
        """Nothing to close."""


class Curves(NoCurves):
    """The history as VisualDL shows it and as results/curves holds it, and what is told between its rows."""

    def __init__(self, history: History, visual: Path, tables: Path, settings: params.Params) -> None:
        """Writes what there is.

        Args:
            history: may go on growing.
            visual: VisualDL's folder of this run; written anew.
            tables: the folder of the curve files.
            settings: all parameters.
        """
        self._history = history
        self._tables = tables
        self._interval = settings.runtime.log_interval
        self._progress = progress.shown()
        self._visual = Visual(visual, settings)
        self.update()

    def update(self) -> None:
        """Gives VisualDL what was added to the history since the last call."""
        self._visual.update(self._history)

    def step(self, now: Moment, clock: Clock) -> None:
        """Tells how far the training is and, at every interval and the end of an epoch, how fast."""
        cer = self._history.epochs[-1].get("cer") if self._history.epochs else None
        self._progress.move(now, clock.eta(now.batches - now.batch), clock.eta(), cer)
        if now.batch % self._interval == 0 or now.batch == now.batches:
            speed, waiting = clock.speed()
            self._visual.speed(now.step, speed, waiting)
            self._progress.interval(now, clock.eta(), speed, waiting)

    def batch(self, batch: Batch, epoch: int) -> None:
        """Shows the features that the network learns from, of one batch of every epoch."""
        self._visual.pictures(batch, epoch)

    def scored(self, predictions: Sequence[Prediction], epoch: int) -> None:
        """Shows what was understood of a few utterances after an epoch."""
        self._visual.examples(predictions, epoch)

    def write_tables(self) -> None:
        """Writes results/curves."""
        self._history.write(self._tables)

    def close(self) -> None:
        """Takes the bar away and flushes VisualDL's file."""
        self._progress.close()
        self._visual.close()
