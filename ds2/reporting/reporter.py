"""What a training reports while it runs: the one interface between its loop and all that shows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from ds2.data.loader import Batch
from ds2.evaluation.evaluator import Prediction
from ds2.reporting.history import History


@dataclass(frozen=True)
class Moment:
    """Where a training stands after a step; everything counts from 1.

    Attributes:
        epoch: the one that runs, of `epochs`.
        batch: the one just done, of `batches` in the epoch.
        step: of the whole training.
        loss: the mean of the batch's utterances.
        rate: the learning rate.
        eta_epoch: the time left until the end of the epoch.
        eta: the time left until the end of the training.
        speed: utterances a second in the last steps; None in a run's first.
        interval: at every runtime.log_interval-th batch and an epoch's last: utterances a second and the share of
            time spent waiting for data, since the interval before; else None.
    """

    epoch: int
    epochs: int
    batch: int
    batches: int
    step: int
    loss: float
    rate: float
    eta_epoch: timedelta
    eta: timedelta
    speed: float | None = None
    interval: tuple[float, float] | None = None


class Reporter:
    """Passes every event of a training on to its parts; without parts it is silent. A part overrides what it shows."""

    _parts: tuple["Reporter", ...] = ()

    def __init__(self, *parts: "Reporter") -> None:
        self._parts = parts

    def batch(self, batch: Batch, epoch: int) -> None:
        """A batch, which is not empty, is about to be trained on."""
        for part in self._parts:
            part.batch(batch, epoch)

    def step(self, now: Moment) -> None:
        """A step has changed the weights, and the history counts it."""
        for part in self._parts:
            part.step(now)

    def scored(self, predictions: Sequence[Prediction], epoch: int) -> None:
        """The scored set was recognised after an epoch."""
        for part in self._parts:
            part.scored(predictions, epoch)

    def epoch(self) -> None:
        """An epoch has ended: it is the history's last row, and saved."""
        for part in self._parts:
            part.epoch()

    def close(self) -> None:
        """The run ends, well or not."""
        for part in self._parts:
            part.close()


class Tables(Reporter):
    """The curve files, written whole after every epoch."""

    def __init__(self, history: History, folder: Path) -> None:
        self._history, self._folder = history, folder

    def epoch(self) -> None:
        """Writes them."""
        self._history.write(self._folder)
