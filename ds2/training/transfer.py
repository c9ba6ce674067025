"""Starting from another training's checkpoint: going on with it on other data, or taking its weights only."""

from pathlib import Path
from typing import Any

import numpy as np
import paddle
from loguru import logger

from ds2 import layout, params
from ds2.checkpoint import disk, weights
from ds2.checkpoint.disk import Checkpoint, DamagedError
from ds2.data.vocabulary import Vocabulary
from ds2.errors import UserError
from ds2.model.network import Network


def read(name: str, parameter: str) -> Checkpoint:
    """Reads all but the arrays of a checkpoint to start from.

    Args:
        name: its folder.
        parameter: that names it, for the sentence when it is of no use.

    Raises:
        UserError: it does not exist or is damaged.
    """
    folder = Path(name)
    if not folder.is_dir():
        folder = layout.repository_root() / name  # dvc exp run --temp works in a copy without the untracked files
    if not folder.is_dir():
        raise UserError(f"{parameter}: there is no folder {name}; it should be a checkpoint's, as models/epoch_100")
    try:
        return disk.read(folder)
    except DamagedError as error:
        raise UserError(f"{parameter}: {name} is not an intact checkpoint: {error}") from None


def check_same_architecture(source: Checkpoint, settings: params.Params) -> None:
    """A continued training has the checkpoint's architecture and features.

    Raises:
        UserError: with the first parameter that differs, and both values.
    """
    if differences := _differences(source, settings):
        name, here, value = differences[0]
        raise UserError(f"{name} is {here}, but {source.folder} was trained with {value}")


def _differences(source: Checkpoint, settings: params.Params) -> list[tuple[str, Any, Any]]:
    """The parameters of features and architecture that differ: name, value here, value of the checkpoint."""
    return [
        (f"{section}.{name}", getattr(getattr(settings, section), name), value)
        for section in ("features", "model")
        for name, value in getattr(source.params, section)
        if name != "dropout" and getattr(getattr(settings, section), name) != value
    ]


def restore_mapped(
    source: Checkpoint, model: Network, optimizer: paddle.optimizer.Optimizer, vocabulary: Vocabulary
) -> None:
    """Puts weights and moments of a checkpoint of the same architecture into a model with another vocabulary.

    Tokens that both have keep their row of the output layer and its moments; new ones start afresh.

    Raises:
        UserError: the checkpoint has no optimiser any more.
    """
    if not disk.resumable(source.folder):
        raise UserError(
            f"train.resume_model: {source.folder} has no {disk.OPTIMIZER} (only the newest checkpoint keeps it): "
            "name the newest, or use it as train.pretrained_model"
        )
    places = _places(source.vocabulary, vocabulary)
    fresh = weights.of(model)
    saved = weights.read_model(source.folder, model, len(source.vocabulary))
    for name in model.token_arrays:
        saved[name] = _rearranged(saved[name], fresh[name], places)
    weights.put(model, saved)
    moments = weights.read_moments(source.folder, model, len(source.vocabulary))
    for key in [key for key in moments if key.split("/")[0] in model.token_arrays and "pow" not in key]:
        moments[key] = _rearranged(moments[key], np.zeros_like(fresh[key.split("/")[0]]), places)
    weights.put_moments(moments, optimizer, model)
    _log_tokens(source, places)


def take_weights(source: Checkpoint, model: Network, settings: params.Params, vocabulary: Vocabulary) -> None:
    """Puts those weights of a checkpoint into a model that fit by name and shape, or by token.

    What does not fit is logged, with the parameters that would make it fit.
    """
    places = _places(source.vocabulary, vocabulary)
    fresh = weights.of(model)
    saved = disk.read_arrays(source.folder / disk.MODEL)
    taken, left = {}, []
    for name, value in fresh.items():
        found = saved.get(name)
        if (
            found is not None
            and name in model.token_arrays
            and found.shape == (*value.shape[:-1], len(source.vocabulary))
        ):
            found = _rearranged(found, value, places)
        if found is not None and found.shape == value.shape:
            taken[name] = found
        else:
            left.append(f"{name} {list(value.shape)}")
    weights.put(model, fresh | taken)
    logger.info(f"{len(taken)} of {len(fresh)} arrays of weights come from {source.folder}")
    if left:
        remedy = ", ".join(f"{name}: {value}" for name, _, value in _differences(source, settings))
        logger.warning(f"these do not fit and start afresh (they were trained with {remedy}): {', '.join(left)}")
    _log_tokens(source, places)


def _places(old: Vocabulary, new: Vocabulary) -> np.ndarray:
    """For every new token its old id, or -1."""
    ids = {token: i for i, token in enumerate(old.tokens)}
    return np.array([ids.get(token, -1) for token in new.tokens])


def _rearranged(old: np.ndarray, fresh: np.ndarray, places: np.ndarray) -> np.ndarray:
    known = places >= 0
    moved = fresh.copy()
    moved[..., known] = old[..., places[known]]
    return moved


def _log_tokens(source: Checkpoint, places: np.ndarray) -> None:
    known = int((places >= 0).sum())
    logger.info(
        f"tokens: {known} known to {source.folder}, {len(places) - known} new, "
        f"{len(source.vocabulary) - known} of it not needed any more"
    )
