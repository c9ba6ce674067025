"""The normalisation of real frames on a CPU: an utterance after the other, while a cache holds it.

Paddle's broadcasting operations took half of a training step.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import paddle

from ds2.model import masked_kernels
from ds2.model.arrays import as_array, as_tensor, each


def real_lengths(mask: paddle.Tensor) -> list[int]:
    """How many frames of each utterance a mask, as MaskedBatchNorm takes it, calls real."""
    return [int(row.sum()) for row in as_array(mask)]


class Parts:
    """Where the real frames of a batch, [B, C, mel, T] or [B, T, C], are: before the utterances' lengths."""

    def __init__(self, mask: paddle.Tensor, channel_axis: int) -> None:
        """Of a mask as MaskedBatchNorm takes it."""
        self.lengths, self.longest = real_lengths(mask), mask.size // mask.shape[0]
        self._first = channel_axis == 1

    def kernel(self, name: str) -> Callable:
        """That of masked_kernels for the order of the axes."""
        return getattr(masked_kernels, f"{name}_{'first' if self._first else 'last'}")

    def clear_padding(self, values: np.ndarray) -> None:
        """Makes the padding zero."""
        for one, length in zip(values, self.lengths, strict=True):
            (one[..., length:] if self._first else one[length:]).fill(0.0)


def _contiguous(x: paddle.Tensor) -> np.ndarray:
    found = np.ascontiguousarray(as_array(x))
    found.flags.writeable = False  # always: the kernels would be compiled for both
    return found


@np.errstate(all="ignore")
def moments(x: paddle.Tensor, channels: int, parts: Parts) -> paddle.Tensor:
    """Of each channel's real values the count, the means and the sums of squares around these: float32 [1 + 2 n].

    Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance", equation 2.1, over the utterances.
    """
    kernel = parts.kernel("moments")

    def one(length: int, values: np.ndarray) -> np.ndarray:
        found = np.zeros((2, channels), np.float32)
        if length:
            kernel(length, values, *found)
        return found

    means, squares = np.moveaxis(np.array(each(one, parts.lengths, _contiguous(x)), np.float64), 1, 0)
    counts = np.array(parts.lengths, np.float64) * (x.size // (channels * x.shape[0] * parts.longest))
    count = max(1.0, counts.sum())
    mean = counts @ means / count
    total = squares.sum(axis=0) + counts @ np.square(means - mean)
    return as_tensor(np.concatenate([[counts.sum()], mean, total]).astype(np.float32))


class Normalised(paddle.autograd.PyLayer):
    """(x - mean) * inverse * weight + bias, clipped, zero in the padding."""

    @staticmethod
    @np.errstate(all="ignore")
    def forward(
        ctx,
        x: paddle.Tensor,
        weight: paddle.Tensor,
        bias: paddle.Tensor,
        mean: np.ndarray,
        inverse: np.ndarray,
        parts: Parts,
        clip: float | None,
        count: float | None,
        gather: Callable[[paddle.Tensor], paddle.Tensor] | None,
    ) -> paddle.Tensor:
        """Takes the statistics and, where these are of x, how many values they are of in all processes.

        `gather` is the group's all_gather_rows.
        """
        scale = as_array(weight) * inverse
        offset = as_array(bias) - mean * scale
        limits = tuple(map(np.float32, (-math.inf, math.inf) if clip is None else (0.0, clip)))
        y, kernel = np.empty(x.shape, np.float32), parts.kernel("apply")

        def one(length: int, values: np.ndarray, into: np.ndarray) -> None:
            kernel(length, values, scale, offset, *limits, into)

        each(one, parts.lengths, _contiguous(x), y)
        parts.clear_padding(y)
        result = as_tensor(y)
        ctx.save_for_backward(x, result)
        ctx.values = mean, inverse, scale, parts, limits, count, gather
        return result

    @staticmethod
    @np.errstate(all="ignore")
    def backward(ctx, gradient: paddle.Tensor) -> tuple[paddle.Tensor, ...]:
        """Of x, weight and bias."""
        mean, inverse, scale, parts, limits, count, gather = ctx.values
        arrays = [parts.lengths, *map(_contiguous, (gradient, *ctx.saved_tensor()))]
        of_x = np.empty(arrays[1].shape, np.float32)
        sums, back = parts.kernel("sums"), parts.kernel("back")

        def summed(*of: Any) -> np.ndarray:
            found = np.zeros((2, len(mean)), np.float32)
            sums(*of, mean, *limits, *found)
            return found

        of_bias, deviation = np.sum(each(summed, *arrays), axis=0, dtype=np.float64)
        of_mean = of_var = np.zeros_like(mean)
        if count is not None:
            row = np.concatenate([of_bias, deviation]).astype(np.float32)
            if gather is not None:
                row = as_array(gather(as_tensor(row)).sum(axis=0))
            of_mean, of_var = np.split(row / np.float32(count), 2)
            of_var = of_var * np.square(inverse)

        def one(*of: Any) -> None:
            back(*of[:-1], mean, scale, of_mean, of_var, *limits, of[-1])

        each(one, *arrays, of_x)
        parts.clear_padding(of_x)
        return as_tensor(of_x), *(as_tensor(of.astype(np.float32)) for of in (deviation * inverse, of_bias))
