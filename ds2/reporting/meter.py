"""Time, speed and memory of a training: all that is measured of it is measured here."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

# Steps of which the recent speed is the mean.
_RECENT = 20


class Meter:
    """Totals over all runs of a training, which its checkpoints keep, and the speed of this run.

    Attributes:
        seconds: spent training, waiting for data included, scoring and saving not.
        utterances: trained on in that time, over all processes.
        peak_memory_mb: the most that a process has used, of the GPU where it trains on one, else of the machine.
    """

    def __init__(self, seconds: float = 0.0, utterances: int = 0, peak_memory_mb: float = 0.0) -> None:
        self.seconds, self.utterances, self.peak_memory_mb = seconds, utterances, peak_memory_mb
        self._waited = self._waiting = 0.0  # up to the last step; since then
        self._start = self._mark = time.perf_counter()
        self._steps = 0
        self._interval = self._totals()
        self._recent: deque[tuple[float, int, float]] = deque(maxlen=_RECENT)

    def resume(self) -> None:
        """Restarts the clock: what has passed since the last step does not count."""
        if self._steps == 0:
            self._start = time.perf_counter()
        self._mark, self._waiting = time.perf_counter(), 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts the time inside as spent waiting for data."""
        start = time.perf_counter()
        yield
        self._waiting += time.perf_counter() - start

    def count(self, utterances: int) -> None:
        """Counts a step that ends now."""
        now = time.perf_counter()
        self.seconds += now - self._mark
        self.utterances += utterances
        self._waited += self._waiting
        self._steps += 1
        self._mark, self._waiting = now, 0.0
        self._recent.append(self._totals())

    def interval(self) -> tuple[float, float]:
        """Utterances a second and the share of time spent waiting for data, since this was called last."""
        start, self._interval = self._interval, self._totals()
        return _speed(start, self._interval)

    def recent(self) -> float | None:
        """Utterances a second in the last steps; None in a run's first."""
        return _speed(self._recent[0], self._recent[-1])[0] if len(self._recent) > 1 else None

    def eta(self, batches: int) -> timedelta:
        """The time that a number of batches will take at the mean speed of this run, scoring and saving included."""
        mean = (time.perf_counter() - self._start) / max(1, self._steps)
        return timedelta(seconds=int(mean * batches))

    def note_peak(self, megabytes: float) -> None:
        """Keeps the greatest."""
        self.peak_memory_mb = max(self.peak_memory_mb, round(megabytes, 1))

    def as_json(self) -> dict[str, float | int]:
        """The totals for a checkpoint: the arguments of a new Meter."""
        return {name: round(getattr(self, name), 3) for name in ("seconds", "utterances", "peak_memory_mb")}

    def numbers(self) -> dict[str, float]:
        """Speed and memory for results/training.json, the same in a run that trains nothing."""
        speed = self.utterances / round(self.seconds, 3) if self.seconds >= 0.001 else 0.0
        return {"utterances_per_second": round(speed, 3), "peak_memory_mb": self.peak_memory_mb}

    def _totals(self) -> tuple[float, int, float]:
        return self.seconds, self.utterances, self._waited


def _speed(start: tuple[float, int, float], end: tuple[float, int, float]) -> tuple[float, float]:
    seconds = max(end[0] - start[0], 1e-9)
    return (end[1] - start[1]) / seconds, (end[2] - start[2]) / seconds
