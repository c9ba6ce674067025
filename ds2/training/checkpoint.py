"""A checkpoint: one folder that holds all that decides the future of a training, and knows when it is damaged."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from ds2 import params
from ds2.data.mean_istd import MeanIstd
from ds2.data.vocabulary import Vocabulary
from ds2.errors import UserError
from ds2.files import sha256, write_json
from ds2.model.deepspeech2 import DeepSpeech2

# The folder of an epoch's checkpoint.
EPOCH = re.compile(r"epoch_(\d+)")
MODEL, OPTIMIZER, STATE = "model.pdparams", "optimizer.pdopt", "state.json"
VOCABULARY, MEAN_ISTD = "vocabulary.txt", "mean_istd.json"
_FORMAT = 1
_UNFINISHED = re.compile(r"\.(epoch_\d+|step_\d+|best_model)\.(tmp|old)")


class DamagedError(Exception):
    """A checkpoint's files are not what was written. The message says which and how."""


@dataclass(frozen=True)
class State:
    """What a checkpoint knows besides weights and optimiser.

    Attributes:
        epoch: completed epochs.
        batch: batches done of the epoch that follows; 0 at its start.
        step: optimiser steps since the beginning; the schedule is a function of it.
        fingerprint: of everything that decides what the training computes.
        params: the parameters that it was trained with.
        history: as History.as_json gives it; holds the best score.
        ingredients: what the fingerprint was made of.
        loss_scale: of fp16, as LossScale; empty without.
        cost: as Cost; measured, so that it differs from run to run and decides nothing.
    """

    epoch: int
    batch: int
    step: int
    fingerprint: str
    params: dict[str, Any]
    history: dict[str, Any]
    ingredients: dict[str, Any] = field(default_factory=dict)
    loss_scale: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)

    @property
    def position(self) -> tuple[int, int]:
        """Orders the states of a training."""
        return self.epoch, self.batch


def write(
    folder: Path,
    model: DeepSpeech2,
    optimizer: paddle.optimizer.Optimizer,
    vocabulary: Vocabulary,
    statistics: MeanIstd,
    state: State,
) -> None:
    """Writes a checkpoint under a temporary name, flushes it to the disk and gives it its name.

    Raises:
        UserError: the disk is full or not writable; what was there before is still there.
    """

    def fill(target: Path) -> None:
        paddle.save(weights(model), str(target / MODEL))
        paddle.save(moments(optimizer, model), str(target / OPTIMIZER))
        vocabulary.write(target / VOCABULARY)
        statistics.write(target / MEAN_ISTD)
        values = {"format": _FORMAT} | vars(state)
        values["files"] = {name: sha256(target / name) for name in (MODEL, OPTIMIZER, VOCABULARY, MEAN_ISTD)}
        write_json(target / STATE, values | {"checksum": _checksum(values)})

    replace_folder(folder, fill)


def link(source: Path, folder: Path, with_optimizer: bool) -> None:
    """Gives an intact checkpoint a second place, without a copy of the data where the file system can.

    Raises:
        UserError: as `write`.
    """

    def fill(target: Path) -> None:
        for file in source.iterdir():
            if file.name == OPTIMIZER and not with_optimizer:
                continue
            try:
                os.link(file, target / file.name)
            except OSError:
                shutil.copy2(file, target / file.name)

    replace_folder(folder, fill)


def replace_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Fills a temporary folder and puts it in the place of `folder`; a failure leaves `folder` as it was."""
    temporary, old = _beside(folder, "tmp"), _beside(folder, "old")
    try:
        for left in (temporary, old):
            shutil.rmtree(left, ignore_errors=True)
        temporary.mkdir(parents=True)
        fill(temporary)
        for file in temporary.iterdir():
            _flush(file)
        _flush(temporary)
        try:
            if folder.exists():
                os.rename(folder, old)
            os.rename(temporary, folder)
        except BaseException:  # a second Ctrl-C too
            if old.exists() and not folder.exists():
                os.rename(old, folder)
            raise
        _flush(folder.parent)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"{folder} cannot be written ({reason}): the state before is kept, and the same command goes on from it "
            "when there is room"
        ) from None
    finally:
        for left in (temporary, old):
            shutil.rmtree(left, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Removes a checkpoint; a kill in the middle leaves no half of it under its name."""
    hidden = _beside(folder, "old")
    shutil.rmtree(hidden, ignore_errors=True)
    os.rename(folder, hidden)
    shutil.rmtree(hidden)


def remove_unfinished(parent: Path) -> None:
    """Removes what a kill within `replace_folder` or `remove_folder` has left in a folder of checkpoints."""
    for folder in parent.iterdir():
        if _UNFINISHED.fullmatch(folder.name):
            shutil.rmtree(folder)


def numbered(parent: Path, name: re.Pattern[str]) -> list[Path]:
    """What lies in a folder under names that match, of which the first group is a number, by that number."""
    found = [(int(match[1]), path) for path in parent.glob("*") if (match := name.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def read_state(folder: Path) -> State:
    """Reads the state after comparing all files with their hashes (the optimiser may have been taken away).

    Raises:
        DamagedError: a file is missing or not what was written.
        UserError: it is the checkpoint of a newer version.
    """
    state, files = _read_json(folder)
    for name, expected in files.items():
        path = folder / name
        if not path.exists():
            if name == OPTIMIZER:
                continue
            raise DamagedError(f"{name} is missing")
        if sha256(path) != expected:
            raise DamagedError(f"{name} is not what was written")
    return state


def glance(folder: Path) -> State | None:
    """The state alone, without a look at the other files; None where there is no intact one."""
    try:
        return _read_json(folder)[0]
    except DamagedError:
        return None


def _read_json(folder: Path) -> tuple[State, dict[str, str]]:
    """The state, and the hashes of the other files by name."""
    try:
        values = json.loads((folder / STATE).read_bytes())
        checksum = values.pop("checksum")
        if checksum != _checksum(values):
            raise DamagedError(f"{STATE} is not what was written")
    except FileNotFoundError:
        raise DamagedError(f"{STATE} is missing") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DamagedError(f"{STATE} is not what was written") from None
    if values.pop("format") != _FORMAT:
        raise UserError(f"{folder}: written by another version of ds2")
    files = values.pop("files")
    return State(**values), files


def resumable(folder: Path) -> bool:
    """Whether the optimiser's state is still there."""
    return (folder / OPTIMIZER).exists()


@dataclass(frozen=True)
class Trained:
    """A checkpoint ready for use on its own."""

    model: DeepSpeech2
    vocabulary: Vocabulary
    statistics: MeanIstd
    params: params.Params
    state: State


def load(folder: Path) -> Trained:
    """Loads a checkpoint for recognition: architecture, weights, vocabulary, statistics, all its own.

    Raises:
        UserError: it does not exist or is damaged.
    """
    if folder.is_file():
        raise UserError(f"{folder} is a file: name the checkpoint's folder, {folder.parent}")
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist: train first (dvc repro train), or name another checkpoint")
    if (folder / "best_model").is_dir():
        raise UserError(f"{folder} is the folder of all checkpoints: name one of them, such as {folder}/best_model")
    try:
        state = read_state(folder)
    except DamagedError as error:
        raise UserError(f"{folder} is damaged ({error}): use another checkpoint, or dvc checkout models") from None
    settings = params.from_dict(state.params)
    vocabulary, statistics = Vocabulary.read(folder / VOCABULARY), MeanIstd.read(folder / MEAN_ISTD)
    model = DeepSpeech2(settings.model, settings.features.num_mel_bins, len(vocabulary))
    restore_model(folder, model)
    model.eval()
    return Trained(model, vocabulary, statistics, settings, state)


def load_mean(models: Path, count: int) -> Trained:
    """Loads the mean of the weights and running statistics of the last epochs (Izmailov et al. 2018).

    Args:
        models: the folder of the checkpoints epoch_N.
        count: of epochs.

    Raises:
        UserError: there are fewer, or one is damaged or of another training.
    """
    folders = numbered(models, EPOCH)
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
        for name, value in weights(trained.model).items():
            total[name] = total.get(name, 0.0) + value.numpy().astype(np.float64)
    set_weights(trained.model, {name: (value / count).astype(np.float32) for name, value in total.items()})
    return trained


def weights(model: DeepSpeech2) -> dict[str, paddle.Tensor]:
    """Weights and running statistics, each once: paddle's state_dict names those of a GRU twice."""
    once: dict[int, str] = {}
    values = model.state_dict()
    for name, value in values.items():
        once.setdefault(id(value), name)
    return {name: values[name] for name in once.values()}


def set_weights(model: DeepSpeech2, values: Mapping[str, Any]) -> None:
    """Puts arrays, named as `weights` does, into a model of the same architecture."""
    for name, tensor in weights(model).items():
        tensor.set_value(values[name])


def restore_model(folder: Path, model: DeepSpeech2) -> None:
    """Puts the weights and running statistics of a checkpoint into a model of the same architecture."""
    saved, names = paddle.load(str(folder / MODEL)), model.state_dict().keys()
    foreign = sorted(saved.keys() - names)
    foreign += [name for name, value in weights(model).items() if name not in saved or saved[name].shape != value.shape]
    if foreign:
        raise UserError(f"{folder}: its weights are of another architecture ({foreign[0]})")
    set_weights(model, saved)


def restore_optimizer(folder: Path, optimizer: paddle.optimizer.Optimizer, model: DeepSpeech2) -> None:
    """Puts the moments of a checkpoint into the optimiser of a model of the same architecture."""
    set_optimizer(paddle.load(str(folder / OPTIMIZER)), optimizer, model)


def moments(optimizer: paddle.optimizer.Optimizer, model: DeepSpeech2) -> dict[str, Any]:
    """The state of an optimiser, keyed as in a checkpoint; empty in a new training."""
    # What has been restored paddle 2.6 puts in place, and into state_dict, in the next step only.
    return _by_layer(dict(optimizer._accumulators_holder) | optimizer.state_dict(), model)


def set_optimizer(values: dict[str, Any], optimizer: paddle.optimizer.Optimizer, model: DeepSpeech2) -> None:
    """Puts moments, keyed as in a checkpoint, into the optimiser of a model."""
    optimizer.set_state_dict(_by_parameter(values, model))


# Paddle keys an optimiser's state by the parameters' automatic names ("linear_0.w_0_moment1_0"), which count all
# layers made in a process: a second model's state would not fit the first's. On disk it is keyed by place.


def _by_layer(values: dict[str, Any], model: DeepSpeech2) -> dict[str, Any]:
    moved = {}
    for place, parameter in model.named_parameters():
        prefix = f"{parameter.name}_"
        for key in [key for key in values if key.startswith(prefix)]:
            moved[f"{place}/{key.removeprefix(prefix)}"] = values[key]
    return moved


def _by_parameter(values: dict[str, Any], model: DeepSpeech2) -> dict[str, Any]:
    automatic = {place: parameter.name for place, parameter in model.named_parameters()}
    moved = {}
    for key, value in values.items():
        place, kind = key.split("/")
        moved[f"{automatic[place]}_{kind}"] = value
    return moved


def _beside(folder: Path, ending: str) -> Path:
    return folder.with_name(f".{folder.name}.{ending}")


def _checksum(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
