"""A trained model for use on its own: a checkpoint, or the mean of several."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ds2.checkpoint import disk, weights
from ds2.checkpoint.disk import Checkpoint
from ds2.errors import UserError
from ds2.model.network import Network


@dataclass(frozen=True)
class Trained(Checkpoint):
    """A checkpoint ready for use."""

    model: Network  # in evaluation mode


def load(folder: Path) -> Trained:
    """Loads a checkpoint: architecture, weights, vocabulary, statistics, all its own.

    Raises:
        UserError: as `disk.read_named`.
    """
    known = disk.read_named(folder)
    model = weights.network(known)
    model.eval()
    return Trained(**vars(known), model=model)


def load_mean(models: Path, count: int) -> Trained:
    """Loads the mean of the weights and running statistics of the last `count` epochs (Izmailov et al. 2018).

    Raises:
        UserError: there are fewer, or one is damaged or of another training.
    """
    folders = disk.numbered(models, disk.EPOCH)
    if len(folders) < count:
        raise UserError(
            f"evaluate.average_checkpoints is {count}, but {models} has {len(folders)} epochs: lower it, or train with "
            "a greater train.keep_checkpoints"
        )
    total: dict[str, np.ndarray] = {}
    fingerprints = set()
    for folder in folders[-count:]:  # one after the other: a full-size model has hundreds of megabytes
        trained = load(folder)
        fingerprints.add(trained.state.fingerprint)
        if len(fingerprints) > 1:
            raise UserError(
                f"evaluate.average_checkpoints: the last {count} epochs in {models} are not of one training"
            )
        for name, value in weights.of(trained.model).items():
            total[name] = total.get(name, 0.0) + value.astype(np.float64)
    weights.put(trained.model, {name: (value / count).astype(np.float32) for name, value in total.items()})
    return trained
