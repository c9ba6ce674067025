"""The rows of the curves: they grow with the training and are kept in its checkpoints."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ds2.files import replacing
from ds2.metrics import TOKENS

# The name of an average's score in a row begins so.
AVERAGE = "average_"
# Points of the step curves in an epoch, at most: enough to see, few enough to keep for hundreds of epochs.
_POINTS = 50


@dataclass
class Mean:
    """A running mean over the steps since the last point."""

    loss: float = 0.0
    grad_norm: float = 0.0
    steps: int = 0

    def add(self, loss: float, grad_norm: float) -> None:
        """Counts a step."""
        self.loss += loss
        self.grad_norm += grad_norm
        self.steps += 1


@dataclass(frozen=True)
class Choice:
    """Weights that a training may end with.

    Attributes:
        epoch: the last one that they were trained in.
        averaged: whether they are an average up to that epoch, not the epoch's own weights.
        metric: that they were scored by; None where no set is scored.
        rate: the score.
    """

    epoch: int
    averaged: bool = False
    metric: str | None = None
    rate: float | None = None

    def __str__(self) -> str:
        return f"average of the weights up to epoch {self.epoch}" if self.averaged else f"epoch {self.epoch}"


@dataclass
class History:
    """Rows of the curves.

    Attributes:
        steps: rows of step, loss (mean since the last row), learning_rate, grad_norm (mean).
        epochs: rows of epoch, loss (mean of the epoch; none where all steps were skipped) and, where a set is scored,
            every metric, also with the prefix AVERAGE where the weights are averaged.
        since_point: steps that are in no row yet.
        since_epoch: steps of the epoch that has not ended.
        nonfinite: steps that were skipped because their loss or gradients were not finite.
        nonfinite_in_a_row: the last of them, with no good step since.
        unreadable: recordings of the epoch that has not ended that could not be read.
        most_unreadable: the most of an epoch that has.
    """

    steps: list[dict[str, float]] = field(default_factory=list)
    epochs: list[dict[str, float]] = field(default_factory=list)
    since_point: Mean = field(default_factory=Mean)
    since_epoch: Mean = field(default_factory=Mean)
    nonfinite: int = 0
    nonfinite_in_a_row: int = 0
    unreadable: int = 0
    most_unreadable: int = 0

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "History":
        """From what `as_json` gave."""
        means = {name: Mean(**values[name]) for name in ("since_point", "since_epoch")}
        return cls(**values | means)

    def as_json(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return asdict(self)

    def add_step(self, step: int, batch: int, batches: int, loss: float, rate: float, grad_norm: float) -> None:
        """Counts a step (batch from 1, of batches in the epoch), which may end with a new row."""
        self.nonfinite_in_a_row = 0
        self.since_epoch.add(loss, grad_norm)
        self.since_point.add(loss, grad_norm)
        spacing = -(-batches // _POINTS)
        if batch % spacing and batch != batches:
            return
        mean, self.since_point = self.since_point, Mean()
        means = {"loss": mean.loss / mean.steps, "learning_rate": rate, "grad_norm": mean.grad_norm / mean.steps}
        self.steps.append({"step": step} | means)

    def add_nonfinite(self) -> None:
        """Counts a step that was skipped: it is in no curve."""
        self.nonfinite += 1
        self.nonfinite_in_a_row += 1

    def add_epoch(self, epoch: int, scores: dict[str, float]) -> None:
        """Ends an epoch, with the error rates of the scored set if there is one, by the names of a row."""
        mean, self.since_epoch = self.since_epoch, Mean()
        self.most_unreadable, self.unreadable = max(self.most_unreadable, self.unreadable), 0
        loss = {"loss": mean.loss / mean.steps} if mean.steps else {}
        self.epochs.append({"epoch": epoch} | loss | scores)

    def ranked(self, metric: str) -> list[Choice]:
        """All weights, the best first: lowest rate, then the earlier ones; without rates the last epoch first."""
        scored = [
            Choice(int(row["epoch"]), bool(prefix), metric, row[prefix + metric])
            for row in self.epochs
            for prefix in (AVERAGE, "")
            if prefix + metric in row
        ]
        return sorted(scored, key=lambda one: one.rate) or [Choice(int(row["epoch"])) for row in self.epochs[::-1]]

    def best(self, metric: str) -> Choice | None:
        """The first of the ranked weights; None before any."""
        return next(iter(self.ranked(metric)), None)

    def write(self, folder: Path) -> None:
        """Writes the curves whole: steps.tsv and epochs.tsv, a header line, then a row a point."""
        _write_table(folder / "steps.tsv", ("step", "loss", "learning_rate", "grad_norm"), self.steps)
        names = [prefix + metric for prefix in ("", AVERAGE) for metric in TOKENS]
        scores = [name for name in names if any(name in row for row in self.epochs)]
        _write_table(folder / "epochs.tsv", ("epoch", "loss", *scores), self.epochs)


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[dict[str, float]]) -> None:
    with replacing(path) as file:
        file.write("\t".join(columns) + "\n")
        for row in rows:
            file.write("\t".join(f"{row[column]:.8g}" if column in row else "" for column in columns) + "\n")
