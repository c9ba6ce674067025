"""How far a run over many recordings is, and how fast."""

import time
from datetime import timedelta
from types import TracebackType

from tqdm import tqdm

from ds2.data.parts import count
from ds2.transcribing.transcript import Transcript


class Progress:
    """Counts recordings and their audio, and shows both in a bar. A context manager."""

    def __init__(self, total: int | None, shown: bool) -> None:
        """
        Args:
            total: recordings, where it is known.
            shown: whether there is a bar, on the standard error.
        """
        self._bar = tqdm(total=total, unit=" files", disable=not shown, leave=False)
        self._begin = time.monotonic()
        self._files, self._failed, self._seconds = 0, 0, 0.0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.close()

    def skip(self) -> None:
        """Counts a recording that needs no work."""
        self._bar.update()

    def add(self, found: Transcript) -> None:
        """Counts one that is done."""
        self._files += 1
        self._failed += found.error is not None
        self._seconds += found.duration
        self._bar.set_postfix_str(self._speed(), refresh=False)
        self._bar.update()

    def _speed(self) -> str:
        told = f"{timedelta(seconds=round(self._seconds))} of audio"
        factor = (time.monotonic() - self._begin) / self._seconds if self._seconds else 0.0
        return f"{told}, real-time factor {factor:.3f}" if self._seconds else told

    def sentence(self) -> str:
        """What was done."""
        failed = f", {self._failed} of them failed" if self._failed else ""
        return f"{count(self._files, 'recording')}{failed}, {self._speed()}"
