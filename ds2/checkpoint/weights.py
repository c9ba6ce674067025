"""Weights and optimiser state, out of paddle and into it, as named arrays."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from ds2.checkpoint import disk
from ds2.errors import UserError
from ds2.model.network import Network


def of(model: Network) -> dict[str, np.ndarray]:
    """Weights and running statistics by name, each once: paddle's state_dict names those of a GRU twice."""
    return {name: value.numpy() for name, value in _tensors(model).items()}


def put(model: Network, arrays: Mapping[str, np.ndarray]) -> None:
    """Puts arrays, named as `of` does, into a model of the same architecture."""
    for name, tensor in _tensors(model).items():
        tensor.set_value(arrays[name])


def _tensors(model: Network) -> dict[str, paddle.Tensor]:
    once: dict[int, str] = {}
    values = model.state_dict()
    for name, value in values.items():
        once.setdefault(id(value), name)
    return {name: values[name] for name in once.values()}


def restore_model(folder: Path, model: Network) -> None:
    """Puts the weights and running statistics of a checkpoint into a model of the same architecture.

    Raises:
        DamagedError: the file holds no arrays.
        UserError: the arrays are another model's.
    """
    saved, own = disk.read_arrays(folder / disk.MODEL), of(model)
    foreign = sorted(saved.keys() - own.keys())
    foreign += [name for name, value in own.items() if name not in saved or not _alike(saved[name], value)]
    if foreign:
        raise UserError(f"{folder}: its weights are of another architecture ({foreign[0]})")
    put(model, saved)


def _alike(left: np.ndarray, right: np.ndarray) -> bool:
    return left.shape == right.shape and left.dtype == right.dtype


def restore_optimizer(folder: Path, optimizer: paddle.optimizer.Optimizer, model: Network) -> None:
    """Puts the moments of a checkpoint into the optimiser of a model of the same architecture."""
    put_moments(disk.read_arrays(folder / disk.OPTIMIZER), optimizer, model)


# Paddle keys an optimiser's state by the parameters' automatic names ("linear_0.w_0_moment1_0"), which count all
# layers made in a process: a second model's state would not fit the first's. On disk it is keyed by place.


def moments(optimizer: paddle.optimizer.Optimizer, model: Network) -> dict[str, np.ndarray]:
    """The state of an optimiser, keyed as in a checkpoint; empty in a new training."""
    # What has been restored paddle 2.6 puts in place, and into state_dict, in the next step only.
    values: dict[str, Any] = dict(optimizer._accumulators_holder) | optimizer.state_dict()
    moved = {}
    for place, parameter in model.named_parameters():
        prefix = f"{parameter.name}_"
        for key in [key for key in values if key.startswith(prefix)]:
            moved[f"{place}/{key.removeprefix(prefix)}"] = np.asarray(values[key])
    return moved


def put_moments(arrays: Mapping[str, np.ndarray], optimizer: paddle.optimizer.Optimizer, model: Network) -> None:
    """Puts moments, keyed as in a checkpoint, into the optimiser of a model."""
    automatic = {place: parameter.name for place, parameter in model.named_parameters()}
    moved = {}
    for key, value in arrays.items():
        place, kind = key.split("/")
        moved[f"{automatic[place]}_{kind}"] = value
    optimizer.set_state_dict(moved)
