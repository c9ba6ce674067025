"""What a training takes: time and memory."""

import resource
import time
from dataclasses import dataclass, field

import paddle


@dataclass
class Cost:
    """Measured over all runs of a training, and kept in its checkpoints: the same for a run that trains nothing.

    Attributes:
        seconds: spent training, waiting for data included, scoring and saving not.
        utterances: trained on in that time, over all processes.
        peak_memory_mb: the most that a process has used, of the GPU where it trains on one, else of the machine.
    """

    seconds: float = 0.0
    utterances: int = 0
    peak_memory_mb: float = 0.0
    _mark: float = field(default=0.0, repr=False)

    def start(self) -> None:
        """Starts the clock: what has passed since it was last read does not count."""
        self._mark = time.perf_counter()

    def count(self, utterances: int) -> None:
        """Counts a step that ends now."""
        now = time.perf_counter()
        self.seconds += now - self._mark
        self.utterances += utterances
        self._mark = now

    def note_peak(self, megabytes: float) -> None:
        """Keeps the greatest."""
        self.peak_memory_mb = max(self.peak_memory_mb, round(megabytes, 1))

    def as_json(self) -> dict[str, float | int]:
        """Plain values for a checkpoint."""
        return {
            "seconds": round(self.seconds, 3),
            "utterances": self.utterances,
            "peak_memory_mb": self.peak_memory_mb,
        }

    def metrics(self) -> dict[str, float]:
        """Numbers for results/train.json."""
        speed = self.utterances / round(self.seconds, 3) if self.seconds >= 0.001 else 0.0
        return {"utterances_per_second": round(speed, 3), "peak_memory_mb": self.peak_memory_mb}


def peak_memory_mb() -> float:
    """The most memory that this process has used so far, in MiB: of its GPU, on a CPU of the machine."""
    if paddle.get_device().startswith("gpu"):
        return paddle.device.cuda.max_memory_reserved() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
