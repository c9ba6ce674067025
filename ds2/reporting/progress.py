"""Progress of a training: a line an interval in the log, on a terminal a bar an epoch in its place."""

import sys
from collections.abc import Sequence
from datetime import timedelta

from loguru import logger
from tqdm import tqdm

from ds2 import log, params
from ds2.evaluation.evaluator import Prediction
from ds2.reporting.history import AVERAGE, History
from ds2.reporting.reporter import Moment, Reporter

tqdm.monitor_interval = 0  # no thread that looks after bars


class Lines(Reporter):
    """The log lines that users know."""

    _level = "INFO"  # of the lines within an epoch

    def __init__(self, history: History, settings: params.Params) -> None:
        self._history, self._train, self._metric = history, settings.train, settings.evaluate.metrics_type

    def step(self, now: Moment) -> None:
        """At every interval: loss, rate and time left; then utterances a second and the share spent waiting."""
        if now.interval is not None:
            speed, waiting = now.interval
            logger.log(
                self._level,
                f"Train epoch: [{now.epoch}/{now.epochs}], batch: [{now.batch}/{now.batches}], loss: {now.loss:.5f}, "
                f"learning_rate: {now.rate:.8f}, eta: {now.eta}, {speed:.1f} utt/s, waiting: {waiting:.1%}",
            )

    def scored(self, predictions: Sequence[Prediction], epoch: int) -> None:
        """An example, another one in every epoch."""
        example = predictions[(epoch * 7919) % len(predictions)]
        logger.info(f"reference: {example.reference} | recognised: {example.hypothesis}")

    def epoch(self) -> None:
        """The epoch's loss and score, and the best score so far."""
        row, best, metric = self._history.epochs[-1], self._history.best(self._metric), self._metric
        line = f"Epoch: [{row['epoch']}/{self._train.num_epoch}], loss: "
        line += f"{row['loss']:.5f}" if "loss" in row else "none, all steps were skipped"
        if metric in row:
            line += f", {self._train.evaluate_on} {metric.upper()}: {row[metric]:.5f}"
            if (average := AVERAGE + metric) in row:
                line += f", of the average: {row[average]:.5f}"
            line += f", best: {best.rate:.5f} ({best})"
        logger.info(line)


class Bar(Lines):
    """A bar on the standard error in place of the lines within an epoch; it goes when the epoch ends."""

    _level = log.FILE_ONLY
    _bar: tqdm | None = None
    _epoch = 0

    def step(self, now: Moment) -> None:
        """Moves the bar and shows loss, rate, last score, speed and time left."""
        super().step(now)
        first = now.epoch != self._epoch
        if first:
            self.close()  # an epoch may end without a last step: its batch could not be used
            self._epoch = now.epoch
            self._bar = tqdm(
                total=now.batches,
                initial=now.batch - 1,
                desc=f"epoch {now.epoch}/{now.epochs}",
                bar_format="{desc} |{bar}| {n_fmt}/{total_fmt}{postfix}",
                file=sys.stderr,
                leave=False,
                dynamic_ncols=True,
                miniters=1,
                delay=1e-9,  # shows nothing before there is something to say
            )
        words = [f"loss {now.loss:.4g}", f"lr {now.rate:.3g}"]
        last = self._history.epochs[-1:]
        words += [f"{self._metric.upper()} {row[self._metric]:.4f}" for row in last if self._metric in row]
        words += [] if now.speed is None else [f"{now.speed:.1f} utt/s"]
        words += [f"{_short(now.eta_epoch)} left", f"{_short(now.eta)} left in all"]
        assert self._bar is not None
        self._bar.set_postfix_str(", ".join(words), refresh=False)
        self._bar.update(now.batch - self._bar.n)
        if first:
            self._bar.refresh()
        if now.batch == now.batches:
            self.close()

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def shown(history: History, settings: params.Params) -> Lines:
    """What fits the standard error."""
    return (Bar if sys.stderr.isatty() else Lines)(history, settings)


def _short(time_left: timedelta) -> str:
    return tqdm.format_interval(time_left.total_seconds())
