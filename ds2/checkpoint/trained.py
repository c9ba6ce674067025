"""A trained model for use on its own."""

from dataclasses import dataclass
from pathlib import Path

from ds2.checkpoint import disk, weights
from ds2.checkpoint.disk import Checkpoint
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
