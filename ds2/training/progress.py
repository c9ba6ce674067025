"""How far a training is: one bar an epoch on a terminal, log lines elsewhere, never both."""

import sys
import time
from collections import deque
from dataclasses import dataclass
from datetime import timedelta

from loguru import logger
from tqdm import tqdm

tqdm.monitor_interval = 0  # no thread that looks after bars

# The bar's speed is that of so many batches.
_RECENT = 20


@dataclass(frozen=True)
class Moment:
    """Where a training stands after a step; everything counts from 1.

    Attributes:
        epoch: the one that runs, of `epochs`.
        batch: the one just done, of `batches` in the epoch.
        step: of the whole training.
        utterances: in the batch.
        loss: the mean of the batch's utterances.
        rate: the learning rate.
    """

    epoch: int
    epochs: int
    batch: int
    batches: int
    step: int
    utterances: int
    loss: float
    rate: float


class Lines:
    """The log line that users know, at every interval."""

    def move(self, now: Moment, left: timedelta, left_of_all: timedelta, cer: float | None) -> None:
        """Says nothing."""

    def interval(self, now: Moment, left_of_all: timedelta, speed: float, waiting: float) -> None:
        """The line; then utterances a second and the share of time spent waiting for data."""
        logger.info(
            f"Train epoch: [{now.epoch}/{now.epochs}], batch: [{now.batch}/{now.batches}], loss: {now.loss:.5f}, "
            f"learning_rate: {now.rate:.8f}, eta: {left_of_all}, {speed:.1f} utt/s, waiting: {waiting:.1%}"
        )

    def close(self) -> None:
        """Nothing to do."""


class Bar:
    """A bar on the standard error for the epoch that runs; it goes when the epoch ends, whose log line stays."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._epoch = 0
        self._recent: deque[tuple[float, int]] = deque(maxlen=_RECENT)

    def move(self, now: Moment, left: timedelta, left_of_all: timedelta, cer: float | None) -> None:
        """After every step.

        Args:
            now: where the training stands.
            left: until the end of the epoch.
            left_of_all: until the end of the training.
            cer: of the last scored epoch, if there is one.
        """
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
        self._recent.append((time.perf_counter(), now.utterances))
        words = [f"loss {now.loss:.4g}"]
        if cer is not None:
            words.append(f"CER {cer:.4f}")
        if len(self._recent) > 1:
            seconds = self._recent[-1][0] - self._recent[0][0]
            done = sum(utterances for _, utterances in self._recent) - self._recent[0][1]
            words.append(f"{done / max(seconds, 1e-9):.1f} utt/s")
        words += [f"{_short(left)} left", f"{_short(left_of_all)} left in all"]
        assert self._bar is not None
        self._bar.set_postfix_str(", ".join(words), refresh=False)
        self._bar.update(now.batch - self._bar.n)
        if first:
            self._bar.refresh()
        if now.batch == now.batches:
            self.close()

    def interval(self, now: Moment, left_of_all: timedelta, speed: float, waiting: float) -> None:
        """Says nothing: the bar has said it."""

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
            self._recent.clear()


def shown() -> Bar | Lines:
    """What fits the standard error."""
    return Bar() if sys.stderr.isatty() else Lines()


def _short(time_left: timedelta) -> str:
    return tqdm.format_interval(time_left.total_seconds())
