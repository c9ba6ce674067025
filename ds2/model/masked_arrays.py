"""The normalisation of real frames on a CPU: NumPy's passes over one utterance after the other, while a cache holds it.

Paddle's broadcasting operations took half of a training step.
"""

from collections.abc import Callable

import numpy as np
import paddle

from ds2.model.arrays import as_array, as_tensor, each


class Parts:
    """Where the real frames of a batch are: before the utterances' lengths, along the axis of time."""

    def __init__(self, mask: paddle.Tensor, channel_axis: int) -> None:
        """Of a mask as MaskedBatchNorm takes it."""
        shape = mask.shape
        self.time = next((axis for axis in range(1, len(shape)) if shape[axis] > 1), 1 + (channel_axis == 1))
        self.lengths = [int(row.sum()) for row in as_array(mask)]
        others = [axis for axis in range(1, len(shape)) if axis != channel_axis]
        self.axes = tuple(axis - 1 for axis in others)  # of an utterance, without the channels
        self.broadcast = tuple(-1 if axis == channel_axis else 1 for axis in range(1, len(shape)))

    def real(self, values: np.ndarray) -> list[np.ndarray]:
        """Views of the utterances without their padding."""
        before = (slice(None),) * (self.time - 1)
        return [one[(*before, slice(length))] for one, length in zip(values, self.lengths, strict=True)]

    def clear_padding(self, values: np.ndarray) -> None:
        """Makes the padding zero."""
        before = (slice(None),) * (self.time - 1)
        for one, length in zip(values, self.lengths, strict=True):
            one[(*before, slice(length, None))] = 0.0


def moments(x: paddle.Tensor, parts: Parts) -> paddle.Tensor:
    """Of each channel's real values the count, the means and the sums of squares around these: float32 [1 + 2 n].

    Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance", equation 2.1, over the utterances.
    """

    def one(values: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
        count = values.size // max(1, values.shape[parts.broadcast.index(-1)])
        if count == 0:
            return 0, np.zeros(1), np.zeros(1)
        mean = values.sum(axis=parts.axes) / np.float32(count)
        deviations = values - mean.reshape(parts.broadcast)
        return count, mean, np.square(deviations, out=deviations).sum(axis=parts.axes)

    found = each(one, parts.real(as_array(x)))
    total = max(1, sum(count for count, *_ in found))
    mean = sum(np.float64(count) * of for count, of, _ in found) / total
    squares = sum(of.astype(np.float64) + count * np.square(of_mean - mean) for count, of_mean, of in found)
    ones = np.ones(x.shape[parts.broadcast.index(-1) + 1])
    row = np.concatenate([[float(sum(count for count, *_ in found))], mean * ones, squares * ones])
    return as_tensor(row.astype(np.float32))


class Normalised(paddle.autograd.PyLayer):
    """(x - mean) * inverse * weight + bias, clipped, zero in the padding."""

    @staticmethod
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
        scale = (as_array(weight) * inverse).astype(np.float32)
        offset = (as_array(bias) - mean * scale).reshape(parts.broadcast)
        y = np.empty(x.shape, np.float32)

        def one(values: np.ndarray, into: np.ndarray) -> None:
            np.multiply(values, scale.reshape(parts.broadcast), out=into)
            into += offset
            if clip is not None:
                np.clip(into, 0.0, clip, out=into)

        each(one, parts.real(as_array(x)), parts.real(y))
        parts.clear_padding(y)
        result = as_tensor(y)
        ctx.save_for_backward(x, result if clip is not None else x)
        ctx.values = mean, inverse, scale, parts, clip, count, gather
        return result

    @staticmethod
    def backward(ctx, gradient: paddle.Tensor) -> tuple[paddle.Tensor, ...]:
        """Of x, weight and bias."""
        mean, inverse, scale, parts, clip, count, gather = ctx.values
        x, y = map(as_array, ctx.saved_tensor())
        shape = parts.broadcast

        def sums(of_y: np.ndarray, values: np.ndarray, output: np.ndarray) -> tuple[np.ndarray, ...]:
            if clip is not None:
                of_y = of_y * ((output > 0.0) & (output < clip))
            centred = values - mean.reshape(shape)
            return of_y, of_y.sum(axis=parts.axes), (of_y * centred).sum(axis=parts.axes)

        found = each(sums, parts.real(as_array(gradient)), parts.real(x), parts.real(y))
        of_bias, of_deviation = (sum(one[i].astype(np.float64) for one in found) for i in (1, 2))
        of_weight = (of_deviation * inverse).astype(np.float32)
        if count is not None:
            row = np.concatenate([of_bias, of_deviation])
            if gather is not None:
                row = as_array(gather(as_tensor(row.astype(np.float32))).sum(axis=0)).astype(np.float64)
            of_mean, of_var = np.split(row / count, 2)
            of_mean = of_mean.astype(np.float32).reshape(shape)
            of_var = (of_var * np.square(inverse)).astype(np.float32).reshape(shape)
        of_x = np.empty(x.shape, np.float32)

        def one(of_y: np.ndarray, values: np.ndarray, into: np.ndarray) -> None:
            if count is None:
                np.multiply(of_y, scale.reshape(shape), out=into)
                return
            np.subtract(mean.reshape(shape), values, out=into)
            into *= of_var
            into += of_y
            into -= of_mean
            into *= scale.reshape(shape)

        each(one, (of_y for of_y, *_ in found), parts.real(x), parts.real(of_x))
        parts.clear_padding(of_x)
        return as_tensor(of_x), as_tensor(of_weight), as_tensor(of_bias.astype(np.float32))
