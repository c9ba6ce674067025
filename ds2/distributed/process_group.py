"""The process group of a training: barrier, all_reduce, all_gather, broadcast."""

import io
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, redirect_stderr
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any

import numpy as np
import paddle
from paddle import distributed
from paddle.autograd import PyLayer
from paddle.base import core

from ds2.distributed.barrier import Barrier

# The key of paddle's store below which the first process says where the others meet it.
_BARRIER = "ds2/barrier"


class LostError(Exception):
    """A peer process died; its own log has the cause."""


class Group:
    """The processes that train one model: here a single one, to which nothing is sent.

    Attributes:
        rank: the number of this process; only rank 0 writes files.
        world_size: the number of processes.
        lost: what an all_reduce has raised, in whose place paddle's backward pass raises an error of its own.
    """

    rank = 0
    world_size = 1
    lost: LostError | None = None

    def barrier(self) -> None:
        """Waits until all processes are here, without a time limit."""

    def shutdown(self) -> None:
        """Announces that this process sends nothing more, so that its end is no failure to the others."""

    def all_reduce(self, values: paddle.Tensor) -> paddle.Tensor:
        """The elementwise sum over all processes, the same bits in each."""
        return values

    def start_all_reduce(self, values: paddle.Tensor) -> Callable[[], paddle.Tensor]:
        """Starts an asynchronous all_reduce; the returned function waits for the sum and returns it.

        All processes start theirs in the same order.
        """
        total = self.all_reduce(values)
        return lambda: total

    def any(self, here: bool) -> bool:
        """Whether `here` is true in any process."""
        return here

    def all_gather(self, value: Any) -> list[Any]:
        """The value of every process, by rank."""
        return [value]

    def all_gather_rows(self, row: paddle.Tensor) -> paddle.Tensor:
        """Stacks the float32 [n] of every process to [world_size, n], differentiably."""
        return row.unsqueeze(0)

    def broadcast(self, value: Any) -> Any:
        """The value of rank 0."""
        return value

    def broadcast_arrays(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The named arrays of rank 0, of any size."""
        return dict(arrays)


class Processes(Group):
    """The group of processes that ds2.distributed.launch has started: NCCL between GPUs, gloo between CPUs."""

    def __init__(self) -> None:
        """Waits for all processes; raises LostError where one does not come."""
        with _lost(), redirect_stderr(io.StringIO()):  # paddle prints a list of flags that no user has set
            distributed.init_parallel_env()
            self._store = core.create_or_get_global_tcp_store()
        self.rank = distributed.get_rank()
        self.world_size = distributed.get_world_size()
        host = os.environ["PADDLE_MASTER"].rpartition(":")[0]
        tell, ask = partial(self._store.set, _BARRIER), partial(self._store.get, _BARRIER)
        with _lost():
            self._barrier = Barrier(self.rank, self.world_size, host, tell, lambda: ask().decode())
            self._sender = _Sender() if paddle.get_device().startswith("cpu") else None

    def barrier(self) -> None:
        """Waits until all are here; before every collective call that a process may reach late.

        Gloo itself gives up after 30 s, which a lock, a large checkpoint or a slow disk can take.
        """
        with _lost():
            self._barrier.wait()

    def shutdown(self) -> None:
        """Announces this process's end; rank 0, which holds the store, ends last."""
        with _lost():
            ended = self._store.add("ds2/ended", 1)
            while self.rank == 0 and ended < self.world_size:
                time.sleep(0.01)
                ended = self._store.add("ds2/ended", 0)

    def all_reduce(self, values: paddle.Tensor) -> paddle.Tensor:
        """The elementwise sum over all processes, the same bits in each."""
        try:
            self._call(distributed.all_reduce, values)
        except LostError as error:
            self.lost = error
            raise
        return values

    def start_all_reduce(self, values: paddle.Tensor) -> Callable[[], paddle.Tensor]:
        """A thread of its own sends to CPUs; a GPU sends by itself."""
        if self._sender is not None:
            sent = self._sender.start(distributed.all_reduce, values)
        else:
            with _lost():
                sent = distributed.all_reduce(values, sync_op=False).wait

        def wait() -> paddle.Tensor:
            with _lost():
                sent()
            return values

        return wait

    def any(self, here: bool) -> bool:
        """Whether `here` is true in any process."""
        return bool(self.all_reduce(paddle.to_tensor([float(here)])) > 0)

    def all_gather(self, value: Any) -> list[Any]:
        """The value of every process, by rank."""
        values: list[Any] = []
        self.barrier()
        self._call(distributed.all_gather_object, values, value)
        return values

    def all_gather_rows(self, row: paddle.Tensor) -> paddle.Tensor:
        """Stacks the rows of all processes."""
        return _Rows.apply(row, self)

    def broadcast(self, value: Any) -> Any:
        """The value of rank 0."""
        values = [value]
        self.barrier()
        self._call(distributed.broadcast_object_list, values, src=0)
        return values[0]

    def broadcast_arrays(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One after the other, so that memory holds none of them twice."""
        kinds = self.broadcast({name: (array.shape, str(array.dtype)) for name, array in arrays.items()})
        received = {}
        for name, (shape, kind) in kinds.items():
            value = paddle.to_tensor(arrays[name] if self.rank == 0 else np.zeros(shape, kind))
            self._call(distributed.broadcast, value, src=0)
            received[name] = value.numpy()
        return received

    def _call(self, collective: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        """Sends and waits, after all that was started before."""
        with _lost():
            if self._sender is not None:
                self._sender.start(collective, *arguments, **options)()
            else:
                collective(*arguments, **options)


class _Sender:
    """A thread that makes all collective calls between CPUs, one after the other, in the order of this program.

    Gloo computes nothing in the background, whatever it is asked, and must not see two messages of one group at once.
    A second group is no way out: in Paddle 2.6.2 a process may find the addresses of the first group in its place,
    and is refused there. A daemon, since Python waits for other threads at its end, and this one may wait for a process
    that waits for this process's end.
    """

    def __init__(self) -> None:
        self._asked: SimpleQueue[tuple[Callable[[], Any], Future[None]]] = SimpleQueue()
        Thread(target=self._run, name="sender", daemon=True).start()

    def start(self, collective: Callable[..., Any], *arguments: Any, **options: Any) -> Callable[[], None]:
        """Calls it when all that was asked before is done; what this returns waits for that, and raises as the call."""
        done: Future[None] = Future()
        self._asked.put((partial(collective, *arguments, **options), done))
        return done.result

    def _run(self) -> None:
        while True:
            call, done = self._asked.get()
            try:
                call()
            except Exception as error:
                done.set_exception(error)
            else:
                done.set_result(None)


class _Rows(PyLayer):
    """all_gather of a row; the gradient of a row is the sum of its gradients in all processes."""

    @staticmethod
    def forward(ctx: Any, row: paddle.Tensor, group: Processes) -> paddle.Tensor:
        """[n] to [world_size, n]."""
        ctx.group = group
        before = paddle.zeros([group.rank, row.shape[0]], row.dtype)
        after = paddle.zeros([group.world_size - group.rank - 1, row.shape[0]], row.dtype)
        return group.all_reduce(paddle.concat([before, row.unsqueeze(0), after]))

    @staticmethod
    def backward(ctx: Any, gradient: paddle.Tensor) -> paddle.Tensor:
        """[world_size, n] to [n]."""
        return ctx.group.all_reduce(gradient.clone())[ctx.group.rank]


def join() -> Group:
    """Joins the group that this process was started in; paddle's device is chosen before. Raises as Processes()."""
    return Processes() if "PADDLE_TRAINER_ID" in os.environ else Group()


@contextmanager
def _lost():
    """Maps the various exceptions that paddle raises for a lost peer to LostError."""
    try:
        yield
    except (RuntimeError, ValueError, OSError) as error:
        raise LostError(str(error).strip().splitlines()[-1]) from error
