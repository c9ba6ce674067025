"""A trained model for use on its own."""

from dataclasses import dataclass
from pathlib import Path

from ds2.checkpoint import disk, weights
from ds2.checkpoint.disk import Checkpoint, DamagedError
from ds2.errors import UserError
from ds2.model.network import Network


@dataclass(frozen=True)
class Trained(Checkpoint):
    """A checkpoint ready for use."""

    model: Network  # in evaluation mode


def load(folder: Path) -> Trained:
    """Loads a checkpoint: architecture, weights, vocabulary, statistics, all its own.

    Raises:
        UserError: it does not exist, is damaged or was written by another version.
    """
    if folder.is_file():
        raise UserError(f"{folder} is a file: name the checkpoint's folder, {folder.parent}")
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist: train first (dvc repro train), or name another checkpoint")
    if (folder / "best_model").is_dir():
        raise UserError(f"{folder} is the folder of all checkpoints: name one of them, such as {folder}/best_model")
    try:
        known = disk.read(folder)
    except DamagedError as error:
        raise UserError(f"{folder} is damaged ({error}): use another checkpoint, or dvc checkout models") from None
    model = weights.network(known)
    model.eval()
    return Trained(**vars(known), model=model)
