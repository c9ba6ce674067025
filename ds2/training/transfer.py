"""A checkpoint of another training, put into a new one: train.resume_model and train.pretrained_model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from loguru import logger

from ds2 import layout, params
from ds2.checkpoint import disk, weights
from ds2.checkpoint.disk import Checkpoint, DamagedError
from ds2.errors import UserError, harmless
from ds2.model.network import Network
from ds2.training.fingerprint import PRETRAINED
from ds2.training.state import Training

_Found = TypeVar("_Found")
# How to get the checkpoint that a parameter names.
_HOW_TO_COPY = {
    "train.resume_model": "copy the folder of a training's newest epoch there, since only that has its optimiser",
    "train.pretrained_model": f"python -m ds2 recipe finetune --from CHECKPOINT copies one to {layout.PRETRAINED}/",
}


def resume(training: Training, name: str) -> None:
    """Continues a checkpoint of the same features and architecture, on whatever data there is now.

    Tokens that both vocabularies have keep their row of the output layer and its moments; new ones start afresh. The
    history stays behind: its scores are those of another dev set, and the best is chosen from this training's epochs.

    Raises:
        UserError: it is no intact checkpoint, or does not fit; the parameters that do not fit are named.
    """
    known = _read(name, "train.resume_model", disk.read)
    folder, epoch = known.folder, known.state.epoch
    _check_sizes(known, training, "train.resume_model")
    if not disk.resumable(folder):
        raise UserError(
            f"train.resume_model: {folder} has no {disk.OPTIMIZER} (only the newest checkpoint keeps it): "
            "name the newest, or use it as train.pretrained_model"
        )
    if epoch >= training.settings.train.num_epoch:
        raise UserError(
            f"train.num_epoch is {training.settings.train.num_epoch}, but the checkpoint has {epoch} epochs: raise it"
        )
    places = _places(known, training)
    taken = _put(known, training.model, places)
    moments = weights.read_moments(folder, training.model, len(known.vocabulary))
    for key in [key for key in moments if key.split("/")[0] in training.model.token_arrays and "pow" not in key]:
        moments[key] = _rearranged(moments[key], np.zeros_like(taken[key.split("/")[0]]), places)
    weights.put_moments(moments, training.optimizer, training.model)
    if training.average is not None:
        name = disk.AVERAGE if disk.has_average(folder) else disk.MODEL
        _put(known, training.average.network, places, name)
    training.data.statistics = known.statistics
    training.epoch, training.step = epoch, known.state.step
    logger.info(f"going on from {folder}, epoch {epoch}, with its statistics, on the data of today")


def take_weights(training: Training, name: str) -> None:
    """Starts a training with the weights of a checkpoint of the same features and architecture.

    Tokens that both vocabularies have keep their row of the output layer; new ones start afresh.

    Raises:
        UserError: as `resume`.
    """
    known = _read(name, "train.pretrained_model", disk.read)
    _check_sizes(known, training, "train.pretrained_model")
    taken = _put(known, training.model, _places(known, training))
    logger.info(f"{len(taken)} arrays of weights come from {known.folder}")


def pretrained_content(name: str | None, autosave: Path) -> str | None:
    """What the checkpoint of train.pretrained_model holds, as a hash; None where it names none.

    Where the folder is gone the hash is that of a training here which began with it, and can go on without it.

    Raises:
        UserError: it is no checkpoint, or lies in models/, where the training will put its own.
    """
    if name is None:
        return None
    folder = _folder(name)
    if layout.MODELS.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise UserError(
            f"train.pretrained_model: {name} lies in {layout.MODELS}, which the training will replace: copy it "
            f"(mkdir -p {layout.PRETRAINED} && cp -rL {name} {layout.PRETRAINED}) and name the copy"
        )
    if not folder.is_dir():
        for place in (layout.MODELS, *autosave.glob("*")):
            for state in filter(None, map(disk.glance, place.glob("*"))):
                if state.param("pretrained_model") == name and (content := state.ingredients["files"].get(PRETRAINED)):
                    return content
    return _read(name, "train.pretrained_model", disk.content)


def _read(name: str, parameter: str, reader: Callable[[Path], _Found]) -> _Found:
    """What a reader finds in the checkpoint that a parameter names."""
    folder = _folder(name)
    if not folder.is_dir():
        raise UserError(
            f"{parameter}: there is no folder {name}; it should be a checkpoint's, which git does not bring: "
            f"{_HOW_TO_COPY[parameter]}"
        )
    try:
        return reader(folder)
    except DamagedError as error:
        raise UserError(f"{parameter}: {name} is not an intact checkpoint: {error}") from None


def _folder(name: str) -> Path:
    """Where a checkpoint lies: dvc exp run --temp works in a copy without the untracked files."""
    return Path(name) if Path(name).is_dir() else layout.repository_root() / name


def _check_sizes(known: Checkpoint, training: Training, parameter: str) -> None:
    """Raises UserError where parameters of features and architecture differ; warns where those of transcripts do."""
    there, here = params.values(known.params), params.values(training.settings)

    def different(*sections: str) -> str:
        return ", ".join(
            f"{name}: {json.dumps(there[name])} (not {json.dumps(here[name])})"
            for name in there
            if name.startswith(sections) and name != "model.dropout" and there[name] != here[name]
        )

    if told := different("features.", "model."):
        raise UserError(f"{parameter}: {known.folder} was trained with {told}: set these values")
    if told := different("text."):
        logger.warning(
            f"{parameter}: {known.folder} was trained with {told}: its transcripts were normalised by other rules, so "
            "check that its tokens still suit yours"
        )


def _put(known: Checkpoint, model: Network, places: np.ndarray, name: str = disk.MODEL) -> dict[str, np.ndarray]:
    """Puts weights of a checkpoint into a model, the rows of the output layer by token, and returns them."""
    fresh, saved = weights.of(model), disk.read_arrays(known.folder / name)
    for name in model.token_arrays & saved.keys():
        if saved[name].shape == (*fresh[name].shape[:-1], len(known.vocabulary)):
            saved[name] = _rearranged(saved[name], fresh[name], places)
    shapes, expected = ({name: value.shape for name, value in arrays.items()} for arrays in (saved, fresh))
    if other := sorted(name for name in shapes.keys() | expected.keys() if shapes.get(name) != expected.get(name)):
        raise UserError(f"{known.folder}: its weights are of another architecture ({harmless(other[0])})")
    weights.put(model, saved)
    return saved


def _places(known: Checkpoint, training: Training) -> np.ndarray:
    """For every token of a training its id in a checkpoint, or -1."""
    ids = {token: i for i, token in enumerate(known.vocabulary.tokens)}
    places = np.array([ids.get(token, -1) for token in training.data.vocabulary.tokens])
    shared = int((places >= 0).sum())
    logger.info(
        f"tokens: {shared} known to {known.folder}, {len(places) - shared} new, {len(ids) - shared} of it not needed "
        "any more"
    )
    return places


def _rearranged(old: np.ndarray, fresh: np.ndarray, places: np.ndarray) -> np.ndarray:
    known = places >= 0
    moved = fresh.copy()
    moved[..., known] = old[..., places[known]]
    return moved
