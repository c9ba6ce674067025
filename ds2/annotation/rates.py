"""The sample rates that the parts of the data were recorded at."""

from collections import Counter
from dataclasses import dataclass, field

from ds2 import layout


@dataclass(frozen=True, slots=True)
class Rates:
    """Seconds of audio by part and by sample rate in Hz, beside the rate of the features."""

    wanted: int
    seconds: dict[str, Counter[int]] = field(default_factory=lambda: {part: Counter() for part in layout.SPLITS})

    def add(self, part: str, rate: int, seconds: float) -> None:
        """Counts an utterance."""
        self.seconds[part][rate] += seconds

    def numbers(self) -> dict[str, float]:
        """Hours for results/data.json; none where all audio has one rate, which is high enough."""
        if not self._low() and len(set().union(*self.seconds.values())) < 2:
            return {}
        return {
            f"{part}_hours_at_{rate}_hz": round(seconds / 3600, 4)
            for part, by_rate in self.seconds.items()
            for rate, seconds in sorted(by_rate.items())
        }

    def note(self) -> str | None:
        """The rates of each part, where they differ and none is low."""
        several = len(set().union(*self.seconds.values())) > 1
        return f"sample rates: {self._listed()}" if several and not self._low() else None

    def doubt(self) -> str | None:
        """A warning of recordings with a rate lower than the features'; None where there are none."""
        low = self._low()
        if not low:
            return None
        if all(rate in low for by_rate in self.seconds.values() for rate in by_rate):
            remedy = f"set features.sample_rate to {max(low)}, or get the recordings in a higher rate"
        else:
            remedy = "recordings with them and without sound different, so train on the kind that is to be recognised"
        return (
            f"recordings have lower sample rates than features.sample_rate ({self.wanted} Hz): {self._listed()}; the "
            f"frequencies above half their rate are missing in them: {remedy}"
        )

    def _low(self) -> set[int]:
        return {rate for by_rate in self.seconds.values() for rate in by_rate if rate < self.wanted}

    def _listed(self) -> str:
        return ", ".join(
            f"{part} {' and '.join(f'{seconds / total:.1%} at {rate} Hz' for rate, seconds in sorted(by_rate.items()))}"
            for part, by_rate in self.seconds.items()
            if (total := by_rate.total())
        )
