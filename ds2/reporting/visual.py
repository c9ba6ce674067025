"""What VisualDL shows of a training."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from ds2 import params, places
from ds2.data.loader import Batch
from ds2.evaluation.evaluator import Prediction
from ds2.metrics import TOKENS
from ds2.reporting.history import History
from ds2.reporting.reporter import Moment, Reporter

with places.usable_home():
    from visualdl import LogWriter  # makes folders in the home

# Utterances of every epoch: those whose features are shown, and those whose text is, always the same ones.
_PICTURES = 3
_EXAMPLES = 5
# Features are normalised; what lies further from the mean, in deviations, is shown no brighter.
_RANGE = 2.5
# The sections of params.yaml that decide a training, in the order of VisualDL's table.
_SECTIONS = ("train", "model", "features", "augment")


class Visual(Reporter):
    """VisualDL's file of a run, in a folder of its own.

    Scalars and hyperparameters are written anew from the history at every start, so that a continued training shows
    its first part too, and no step twice. Speed, pictures and examples are in no checkpoint: they show what this
    process has done since its start.
    """

    def __init__(self, history: History, folder: Path, settings: params.Params) -> None:
        """Empties the folder and writes the hyperparameters and the history, which may grow."""
        shutil.rmtree(folder, ignore_errors=True)
        self._history = history
        self._writer = LogWriter(str(folder))
        self._steps = self._epochs = self._pictured = 0
        scores = [f"epoch/{metric}" for metric in TOKENS] if settings.train.evaluate_on else []
        self._writer.add_hparams(_hyperparameters(settings), [*scores, "epoch/loss"])
        self._update()

    def batch(self, batch: Batch, epoch: int) -> None:
        """Writes the features of the first batch that comes in an epoch, as the network gets them."""
        if epoch == self._pictured:
            return
        self._pictured = epoch
        for i, (values, frames) in enumerate(zip(batch.features[:_PICTURES], batch.frames, strict=False), start=1):
            self._writer.add_image(f"features/{i}", _picture(values[:frames]), epoch)

    def step(self, now: Moment) -> None:
        """Writes a new row of the history and, at an interval, the speed and the share of time spent waiting."""
        self._update()
        if now.interval is not None:
            for name, value in zip(("utterances_per_second", "waiting_for_data"), now.interval, strict=True):
                self._writer.add_scalar(f"speed/{name}", value, now.step)

    def scored(self, predictions: Sequence[Prediction], epoch: int) -> None:
        """Writes what was recognised of a few utterances, the same ones in every epoch."""
        count = min(_EXAMPLES, len(predictions))
        for i, position in enumerate(np.linspace(0, len(predictions) - 1, count).astype(int), start=1):
            one = predictions[position]
            self._writer.add_text(f"examples/{i}", f"{one.reference}  →  {one.hypothesis}", epoch)

    def epoch(self) -> None:
        """Writes the new row of the history."""
        self._update()

    def close(self) -> None:
        """Flushes the file."""
        self._writer.close()

    def _update(self) -> None:
        """Writes what was added to the history since the last call."""
        new = [("train", "step", row) for row in self._history.steps[self._steps :]]
        new += [("epoch", "epoch", row) for row in self._history.epochs[self._epochs :]]
        for kind, at, row in new:
            for name in [name for name in row if name != at]:
                self._writer.add_scalar(f"{kind}/{name}", row[name], int(row[at]))
        self._steps, self._epochs = len(self._history.steps), len(self._history.epochs)


def _hyperparameters(settings: params.Params) -> dict[str, Any]:
    """Name, with a slash where params.yaml's has a dot, and value of what decides a training."""
    values = params.values(settings)
    return {
        # VisualDL knows numbers and strings, and leaves a table's cell empty where a name has a dot.
        name.replace(".", "/"): json.dumps(value) if isinstance(value, (bool, list)) else value
        for section in _SECTIONS
        for name, value in values.items()
        if name.startswith(f"{section}.")
    }


def _picture(values: np.ndarray) -> np.ndarray:
    """RGB, uint8 [mel bins, frames, 3], of normalised features, float32 [frames, mel bins]; high bins above."""
    shares = np.clip(values.T[::-1] / (2 * _RANGE) + 0.5, 0, 1)
    return matplotlib.colormaps["magma"](shares, bytes=True)[..., :3]
