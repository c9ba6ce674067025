"""Several processes that train one model: what they tell each other."""

import io
import os
import time
from collections.abc import Mapping
from contextlib import contextmanager, redirect_stderr
from typing import Any, Protocol

import numpy as np
import paddle
from paddle import distributed
from paddle.autograd import PyLayer
from paddle.base import core

from ds2.model.deepspeech2 import DeepSpeech2
from ds2.model.masking import MaskedBatchNorm


class LostError(Exception):
    """Another process of the training is gone: it says why, this one has nothing to add."""


class Group(Protocol):
    """The processes of a training.

    Attributes:
        rank: this one's number; 0 alone writes.
        size: how many there are.
    """

    rank: int
    size: int

    def attach(self, model: DeepSpeech2) -> None:
        """Makes the model's normalisation count the frames of all processes."""

    def meet(self) -> None:
        """Waits until all processes are here, however long that takes."""

    def leave(self) -> None:
        """Nothing more will be sent, by any process: each can end without the others losing it."""

    def total(self, values: paddle.Tensor) -> paddle.Tensor:
        """The sum over all processes, elementwise; every process gets the same bits."""

    def any(self, here: bool) -> bool:
        """Whether it is so in some process; all learn the same."""

    def gather(self, value: Any) -> list[Any]:
        """What every process gave, by rank."""

    def first(self, value: Any) -> Any:
        """What rank 0 gave."""

    def first_arrays(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The same for named arrays of any size."""


class Alone:
    """The group of a training with one process: nothing is sent."""

    rank = 0
    size = 1

    def attach(self, model: DeepSpeech2) -> None:
        """Nothing to do."""

    def meet(self) -> None:
        """Nothing to wait for."""

    def leave(self) -> None:
        """Nobody will miss this one."""

    def total(self, values: paddle.Tensor) -> paddle.Tensor:
        """The values themselves."""
        return values

    def any(self, here: bool) -> bool:
        """Whether it is so here."""
        return here

    def gather(self, value: Any) -> list[Any]:
        """The value alone."""
        return [value]

    def first(self, value: Any) -> Any:
        """The value itself."""
        return value

    def first_arrays(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The arrays themselves."""
        return dict(arrays)


class Processes:
    """The group of a training that ds2.training.launch has started: NCCL between GPUs, gloo between CPUs."""

    def __init__(self) -> None:
        """Waits for all of them.

        Raises:
            LostError: one of them did not come.
        """
        with _lost(), redirect_stderr(io.StringIO()):  # a list of flags that no user has set
            distributed.init_parallel_env()
            self._store = core.create_or_get_global_tcp_store()
        self.rank = distributed.get_rank()
        self.size = distributed.get_world_size()
        self._meetings = 0

    def attach(self, model: DeepSpeech2) -> None:
        """Makes the model's normalisation count the frames of all processes."""
        for layer in model.sublayers():
            if isinstance(layer, MaskedBatchNorm):
                layer.gather = self._gather_rows

    def meet(self) -> None:
        """Waits until all processes are here, however long that takes.

        Gloo gives up after 30 s, which a lock, a large checkpoint or a slow disk can take: what may come late is met
        here before it is waited for there.
        """
        self._meetings += 1
        pause = 0.0
        with _lost():
            arrived = self._store.add("ds2/arrived", 1)
            while arrived < self._meetings * self.size:
                time.sleep(pause)
                pause = min(0.02, pause + 0.0005)
                arrived = self._store.add("ds2/arrived", 0)

    def leave(self) -> None:
        """Nothing more will be sent, by any process: each can end without the others losing it.

        The first, which the others have met at, goes last.
        """
        with _lost():
            left = self._store.add("ds2/left", 1)
            while self.rank == 0 and left < self.size:
                time.sleep(0.01)
                left = self._store.add("ds2/left", 0)

    def total(self, values: paddle.Tensor) -> paddle.Tensor:
        """The sum over all processes, elementwise; every process gets the same bits."""
        with _lost():
            distributed.all_reduce(values)
        return values

    def any(self, here: bool) -> bool:
        """Whether it is so in some process; all learn the same."""
        return bool(self.total(paddle.to_tensor([float(here)])) > 0)

    def gather(self, value: Any) -> list[Any]:
        """What every process gave, by rank."""
        values: list[Any] = []
        self.meet()
        with _lost():
            distributed.all_gather_object(values, value)
        return values

    def first(self, value: Any) -> Any:
        """What rank 0 gave."""
        values = [value]
        self.meet()
        with _lost():
            distributed.broadcast_object_list(values, src=0)
        return values[0]

    def first_arrays(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The same for named arrays of any size: one after the other, so that they need no memory twice."""
        kinds = self.first({name: (array.shape, str(array.dtype)) for name, array in arrays.items()})
        received = {}
        for name, (shape, kind) in kinds.items():
            value = paddle.to_tensor(arrays[name] if self.rank == 0 else np.zeros(shape, kind))
            with _lost():
                distributed.broadcast(value, src=0)
            received[name] = value.numpy()
        return received

    def _gather_rows(self, row: paddle.Tensor) -> paddle.Tensor:
        return _Rows.apply(row, self)


class _Rows(PyLayer):
    """A row of every process; the gradient of a row is the sum of what all processes make of it."""

    @staticmethod
    def forward(ctx: Any, row: paddle.Tensor, group: Processes) -> paddle.Tensor:
        """[n] to [processes, n]."""
        ctx.group = group
        before = paddle.zeros([group.rank, row.shape[0]], row.dtype)
        after = paddle.zeros([group.size - group.rank - 1, row.shape[0]], row.dtype)
        return group.total(paddle.concat([before, row.unsqueeze(0), after]))

    @staticmethod
    def backward(ctx: Any, gradient: paddle.Tensor) -> paddle.Tensor:
        """[processes, n] to [n]."""
        return ctx.group.total(gradient.clone())[ctx.group.rank]


def group() -> Group:
    """The group that this process was started in; paddle's device is chosen before.

    Raises:
        LostError: another process of it did not come.
    """
    return Processes() if "PADDLE_TRAINER_ID" in os.environ else Alone()


@contextmanager
def _lost():
    """What paddle says of a broken connection differs by version and backend; that it broke is all there is to it."""
    try:
        yield
    except (RuntimeError, ValueError, OSError) as error:
        raise LostError(str(error).strip().splitlines()[-1]) from error
