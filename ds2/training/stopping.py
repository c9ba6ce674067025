"""Signals that ask a training to stop."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class StopSignals:
    """SIGINT and SIGTERM ask for a stop after the batch; a second one stops at once.

    Attributes:
        asked: the number of the signal that came, if one did.
    """

    def __init__(self) -> None:
        self.asked: int | None = None

    @contextmanager
    def heeded(self, interrupt: bool) -> Iterator[None]:
        """Waits for signals; outside of it they do what they did before.

        Args:
            interrupt: a call of the system that a signal comes into ends there, so that a second signal is heard in
                it; False where that would break paddle's connections.
        """

        def ask(number: int, frame: object) -> None:
            if self.asked is not None:
                raise KeyboardInterrupt
            self.asked = number  # and nothing else: the log's lock may be held by the very line interrupted

        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        for number in before:
            signal.siginterrupt(number, interrupt)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
