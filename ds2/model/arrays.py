"""Paddle's CPU tensors as NumPy's arrays and back, without copies; threads that work on utterances side by side."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import paddle
from paddle.utils import dlpack

from ds2 import cpu

# Paddle 2.6 neither gives nor takes strides: a transposed tensor would be read as if it were not.
_STRIDES = hasattr(paddle.Tensor, "__dlpack__")
_threads = ThreadPoolExecutor(cpu.threads(), thread_name_prefix="model")


class _Exported:
    """What np.from_dlpack asks of a tensor; Paddle 2.6's have no such methods."""

    def __init__(self, tensor: paddle.Tensor) -> None:
        self._tensor = tensor

    def __dlpack__(self, **_: Any) -> Any:
        return dlpack.to_dlpack(self._tensor)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # the CPU


def on_cpu(tensor: paddle.Tensor) -> bool:
    """Whether the network's own code for CPUs takes a tensor; Paddle's layers take all others."""
    return tensor.place.is_cpu_place()


def as_array(tensor: paddle.Tensor) -> np.ndarray:
    """A tensor's memory, to be read only."""
    tensor = tensor.detach()
    return np.from_dlpack(_Exported(tensor if _STRIDES else tensor.contiguous()))


def as_tensor(array: np.ndarray) -> paddle.Tensor:
    """A tensor in an array's memory."""
    return dlpack.from_dlpack((array if _STRIDES else np.ascontiguousarray(array)).__dlpack__())


def each(function: Callable, *arguments: Iterable) -> list:
    """The results of a function for each of the arguments, in order, computed by as many threads as there may be."""

    def quietly(*given: Any) -> Any:
        with np.errstate(all="ignore"):  # numbers that are not finite are looked for in the loss
            return function(*given)

    return list(_threads.map(quietly, *arguments))
