"""Signals that ask a training to stop."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_NUMBERS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """SIGINT and SIGTERM ask for a stop after the batch; a second one stops at once.

    Attributes:
        asked: the number of the signal that came, if one did.
    """

    def __init__(self) -> None:
        self.asked: int | None = None

    @contextmanager
    def handled(self, interrupt: bool) -> Iterator[None]:
        """Waits for signals; outside of it they do what they did before.

        Args:
            interrupt: whether a signal ends the system call that it interrupts, so that a second signal is handled
                at once; False where that would break paddle's connections.
        """

        def ask(number: int, frame: object) -> None:
            if self.asked is not None:
                raise KeyboardInterrupt
            self.asked = number  # and nothing else: the log's lock may be held by the very line interrupted

        with handled(ask):
            for number in _NUMBERS:
                signal.siginterrupt(number, interrupt)
            yield


@contextmanager
def handled(handler: Callable[[int, Any], object]) -> Iterator[None]:
    """Calls `handler` for SIGINT and SIGTERM; outside of it they do what they did before."""
    before = {number: signal.signal(number, handler) for number in _NUMBERS}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
