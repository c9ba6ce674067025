"""Weights and optimiser state, out of paddle and into it, as named arrays."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn

from ds2.checkpoint import disk
from ds2.checkpoint.disk import Checkpoint
from ds2.errors import UserError, harmless
from ds2.model import build
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


def network(known: Checkpoint) -> Network:
    """Makes the network of a checkpoint, with its weights and running statistics.

    Raises:
        UserError: the weights are of another architecture than the parameters, or are no arrays.
    """
    saved = disk.read_arrays(known.folder / disk.MODEL)
    with _at_most(sum(value.size for value in saved.values()), known.folder):
        model = build(known.params, len(known.vocabulary))
    put(model, _fitting(saved, known.folder, model, len(known.vocabulary)))
    return model


@contextmanager
def _at_most(values: int, folder: Path) -> Iterator[None]:
    """Refuses to make parameters of a network larger than its weights, before they take memory."""
    left = 2 * values  # paddle makes those of a GRU twice
    create = nn.Layer.create_parameter

    def counted(layer: nn.Layer, shape: Sequence[int], *options: Any, **more: Any) -> paddle.Tensor:
        nonlocal left
        left -= math.prod(map(int, shape))
        if left < 0:
            raise UserError(f"{folder}: its weights are of a smaller architecture than {disk.STATE} tells")
        return create(layer, shape, *options, **more)

    nn.Layer.create_parameter = counted
    try:
        yield
    finally:
        nn.Layer.create_parameter = create


def restore_model(folder: Path, model: Network, name: str = disk.MODEL) -> None:
    """Puts weights and running statistics, the file `name` of a checkpoint, into a model of the same architecture.

    Raises:
        UserError: they are another model's, or no arrays.
    """
    put(model, _fitting(disk.read_arrays(folder / name), folder, model, _tokens(model)))


def _fitting(saved: dict[str, np.ndarray], folder: Path, model: Network, tokens: int) -> dict[str, np.ndarray]:
    expected = {name: _shape(model, name, value.shape, tokens) for name, value in _tensors(model).items()}
    foreign = sorted(saved.keys() - expected.keys())
    foreign += [name for name, shape in expected.items() if name not in saved or saved[name].shape != shape]
    if foreign:
        raise UserError(f"{folder}: its weights are of another architecture ({harmless(foreign[0])})")
    return saved


def _shape(model: Network, name: str, shape: Sequence[int], tokens: int) -> tuple[int, ...]:
    """The shape of an array in a checkpoint whose vocabulary has `tokens` tokens."""
    return (*shape[:-1], tokens) if name in model.token_arrays else tuple(shape)


def _tokens(model: Network) -> int:
    return _tensors(model)[model.token_arrays[0]].shape[-1]


def restore_optimizer(folder: Path, optimizer: paddle.optimizer.Optimizer, model: Network) -> None:
    """Puts the moments of a checkpoint into the optimiser of a model of the same architecture.

    Raises:
        UserError: they are another model's, or no arrays.
    """
    put_moments(read_moments(folder, model, _tokens(model)), optimizer, model)


def read_moments(folder: Path, model: Network, tokens: int) -> dict[str, np.ndarray]:
    """The optimiser's state in a checkpoint whose vocabulary has `tokens` tokens, keyed as `moments` does.

    Raises:
        UserError: they are those of another architecture than the model's, or no arrays.
    """
    saved = disk.read_arrays(folder / disk.OPTIMIZER)
    shapes = {place: _shape(model, place, value.shape, tokens) for place, value in model.named_parameters()}
    for key, value in saved.items():
        place, _, kind = key.partition("/")
        if place not in shapes or value.shape != ((1,) if "pow" in kind else shapes[place]):
            raise UserError(f"{folder}: its optimiser is that of another architecture ({harmless(key)})")
    return saved


# Paddle keys an optimiser's state by the parameters' automatic names ("linear_0.w_0_moment1_0"), which count all
# layers made in a process: a second model's state would not fit the first's. On disk it is keyed by place.


def moments(optimizer: paddle.optimizer.Optimizer, model: Network) -> dict[str, np.ndarray]:
    """The state of an optimiser, keyed as in a checkpoint; empty in a new training."""
    # What has been restored paddle 2.6 puts in place, and into state_dict, in the next step only.
    values: dict[str, Any] = dict(optimizer._accumulators_holder) | optimizer.state_dict()
    return {
        f"{place}/{key.removeprefix(f'{parameter.name}_')}": np.asarray(value)
        for place, parameter in model.named_parameters()
        for key, value in values.items()
        if key.startswith(f"{parameter.name}_")
    }


def put_moments(arrays: Mapping[str, np.ndarray], optimizer: paddle.optimizer.Optimizer, model: Network) -> None:
    """Puts moments, keyed as in a checkpoint, into the optimiser of a model."""
    automatic = {place: parameter.name for place, parameter in model.named_parameters()}
    moved = {}
    for key, value in arrays.items():
        place, _, kind = key.partition("/")
        moved[f"{automatic[place]}_{kind}"] = value
    optimizer.set_state_dict(moved)
