"""Gradients added up over all processes in buckets, while the backward pass still computes others."""

from collections.abc import Callable, Sequence
from functools import partial

import paddle

from ds2.distributed.process_group import Group

_LEAST_BYTES = 1 << 20  # of a bucket: below that what a message costs by itself shows


class Buckets:
    """The gradients of parameters, cut into buckets, the last layers first (Li et al. 2020, "PyTorch Distributed").

    The parameters' order and sizes alone decide the buckets and their order, so that all processes send the same ones.
    What the backward pass computes last goes with what is known after it, in one message.
    """

    def __init__(self, parameters: Sequence[paddle.Tensor], group: Group) -> None:
        self._group, self._buckets = group, _cut([one for one in parameters if not one.stop_gradient])
        self._missing: list[int] = []  # gradients that each bucket waits for
        self._started: list[Callable[[], paddle.Tensor]] = []
        for number, bucket in enumerate(self._buckets if group.world_size > 1 else ()):
            for parameter in bucket:
                parameter._register_backward_hook(partial(self._ready, number))

    def backward(self, loss: paddle.Tensor, last: bool) -> None:
        """Adds to the gradients those of a loss; in the last backward pass before `sums`, sends what is ready.

        Raises LostError when a process is gone.
        """
        self._missing, self._started = [len(bucket) for bucket in self._buckets[:-1]] if last else [], []
        try:
            loss.backward()
        except Exception:
            if self._group.lost is not None:
                raise self._group.lost from None
            raise

    def sums(self, others: Sequence[paddle.Tensor]) -> list[paddle.Tensor]:
        """Makes all gradients their sums over the processes, and returns those of others, float32 of any shapes.

        A gradient that a process does not have counts as zero. Raises LostError when a process is gone.
        """
        self._missing = []
        while len(self._started) < len(self._buckets) - 1:
            self._start()
        last = [*map(_gradient, self._buckets[-1]), *others]
        found = _split(self._group.start_all_reduce(_joined(last))(), last)
        for parameter, total in zip(self._buckets[-1], found, strict=False):
            _set(parameter, total)
        for bucket, wait in zip(self._buckets, self._started, strict=False):
            for parameter, total in zip(bucket, _split(wait(), bucket), strict=True):
                _set(parameter, total)
        self._started = []
        return found[len(self._buckets[-1]) :]

    def _ready(self, number: int) -> None:
        """Runs in the backward pass, after a gradient of a bucket was computed, or added to that of another batch."""
        if number < len(self._missing):
            self._missing[number] -= 1
        while len(self._started) < len(self._missing) and not self._missing[len(self._started)]:
            self._start()

    @paddle.no_grad()
    def _start(self) -> None:
        bucket = self._buckets[len(self._started)]
        self._started.append(self._group.start_all_reduce(_joined([_gradient(one) for one in bucket])))


def _cut(parameters: list[paddle.Tensor]) -> list[list[paddle.Tensor]]:
    """Buckets of at least _LEAST_BYTES of float32 gradients; the last one may be smaller."""
    buckets: list[list[paddle.Tensor]] = [[]]
    for parameter in reversed(parameters):
        if 4 * sum(one.size for one in buckets[-1]) >= _LEAST_BYTES:
            buckets.append([])
        buckets[-1].append(parameter)
    return buckets


def _gradient(parameter: paddle.Tensor) -> paddle.Tensor:
    return paddle.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _set(parameter: paddle.Tensor, total: paddle.Tensor) -> None:
    if parameter.grad is None:
        parameter.grad = paddle.zeros_like(parameter)
    paddle.assign(total, parameter.grad)


def _joined(tensors: list[paddle.Tensor]) -> paddle.Tensor:
    return paddle.concat([one.flatten() for one in tensors])


def _split(flat: paddle.Tensor, like: Sequence[paddle.Tensor]) -> list[paddle.Tensor]:
    parts = paddle.split(flat, [one.size for one in like])
    return [part.reshape(one.shape) for part, one in zip(parts, like, strict=True)]
