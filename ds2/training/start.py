"""Where a training starts: at its own furthest state, at another training's checkpoint, or at the beginning."""

from pathlib import Path
from typing import Any

import numpy as np
from loguru import logger

from ds2 import layout, params
from ds2.checkpoint import disk, weights
from ds2.checkpoint.disk import Checkpoint, DamagedError
from ds2.errors import UserError
from ds2.training.fingerprint import differences
from ds2.training.state import Training
from ds2.training.store import Store


def begin(training: Training, store: Store) -> None:
    """Takes a new training to its furthest state; where there is none, or resume_model is null, to its start.

    Raises:
        UserError: the checkpoint to start from does not exist, is damaged or does not fit.
    """
    train = training.settings.train
    if train.resume_model is None:
        store.clear()  # models/ stays, and is not looked at, until the first epoch is published
    elif found := store.furthest(train.num_epoch):
        training.restore(*found)
        folder, state = found
        logger.info(f"going on from {folder}: epoch {state.epoch} done, {state.batch} batches of the next")
        return
    if train.resume_model not in ("auto", None):
        _resume(training, train.resume_model)
    elif train.pretrained_model is not None:
        _take_weights(training, train.pretrained_model)
    else:
        logger.info(f"the training starts from the beginning{_reason(training, store)}")


def _reason(training: Training, store: Store) -> str:
    """Why the model that is there, if one is, is not continued."""
    if (other := store.another()) is None:
        return ""
    folder, state = other
    different = differences(state.ingredients, training.ingredients) if state.ingredients else []
    return f", since {folder} is of another training: {'; '.join(different)}" if different else ""


def _resume(training: Training, name: str) -> None:
    """Puts a checkpoint of the same features and architecture into a training on other data: train.resume_model.

    Tokens that both vocabularies have keep their row of the output layer and its moments; new ones start afresh. The
    history stays behind: its scores are those of another dev set, and the best is chosen from this training's epochs.
    """
    known = _read(name, "train.resume_model")
    folder, epoch = known.folder, known.state.epoch
    if different := _different(known, training.settings):
        parameter, here, value = different[0]
        raise UserError(f"{parameter} is {here}, but {folder} was trained with {value}")
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
    fitting, left = _put_fitting(known, training, places)
    if left:
        raise UserError(f"{folder}: its weights are of another architecture ({disk.harmless(left[0])})")
    moments = weights.read_moments(folder, training.model, len(known.vocabulary))
    for key in [key for key in moments if key.split("/")[0] in training.model.token_arrays and "pow" not in key]:
        moments[key] = _rearranged(moments[key], np.zeros_like(fitting[key.split("/")[0]]), places)
    weights.put_moments(moments, training.optimizer, training.model)
    training.data.statistics = known.statistics
    training.epoch, training.step = epoch, known.state.step
    logger.info(f"going on from {folder}, epoch {epoch}, with its statistics, on the data of today")


def _take_weights(training: Training, name: str) -> None:
    """Puts those weights of a checkpoint into a training that fit by name and shape, or by token: pretrained_model.

    What does not fit is logged, with the parameters that would make it fit.
    """
    known, own = _read(name, "train.pretrained_model"), weights.of(training.model)
    fitting, _ = _put_fitting(known, training, _places(known, training))
    logger.info(f"{len(fitting)} of {len(own)} arrays of weights come from {known.folder}")
    if left := [f"{name} {list(value.shape)}" for name, value in own.items() if name not in fitting]:
        remedy = ", ".join(f"{name}: {value}" for name, _, value in _different(known, training.settings))
        logger.warning(f"these do not fit and start afresh (they were trained with {remedy}): {', '.join(left)}")


def _read(name: str, parameter: str) -> Checkpoint:
    """The checkpoint that a parameter names."""
    folder = Path(name)
    if not folder.is_dir():
        folder = layout.repository_root() / name  # dvc exp run --temp works in a copy without the untracked files
    if not folder.is_dir():
        raise UserError(f"{parameter}: there is no folder {name}; it should be a checkpoint's, as models/epoch_100")
    try:
        return disk.read(folder)
    except DamagedError as error:
        raise UserError(f"{parameter}: {name} is not an intact checkpoint: {error}") from None


def _different(known: Checkpoint, settings: params.Params) -> list[tuple[str, Any, Any]]:
    """The parameters of features and architecture that differ: name, value here, value of the checkpoint."""
    return [
        (f"{section}.{name}", getattr(getattr(settings, section), name), value)
        for section in ("features", "model")
        for name, value in getattr(known.params, section)
        if name != "dropout" and getattr(getattr(settings, section), name) != value
    ]


def _put_fitting(known: Checkpoint, training: Training, places: np.ndarray) -> tuple[dict[str, np.ndarray], list[str]]:
    """Puts those weights of a checkpoint into the model that fit by name and shape, or by token.

    Returns:
        these weights; the names of all others, here or there.
    """
    model = training.model
    fresh, saved, fitting = weights.of(model), disk.read_arrays(known.folder / disk.MODEL), {}
    for name in fresh.keys() & saved.keys():
        found = saved[name]
        if name in model.token_arrays and found.shape == (*fresh[name].shape[:-1], len(known.vocabulary)):
            found = _rearranged(found, fresh[name], places)
        if found.shape == fresh[name].shape:
            fitting[name] = found
    weights.put(model, fresh | fitting)
    return fitting, sorted((fresh.keys() | saved.keys()) - fitting.keys())


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
