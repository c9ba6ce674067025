"""Padding made invisible: masks, and a normalisation that counts real frames only."""

from collections.abc import Callable

import paddle
from paddle import nn

from ds2.model import arrays
from ds2.model.masked_arrays import Normalised, Parts, moments

_LONGEST_MEAN = 100.0  # steps that the running statistics cover
EPSILON = 1e-5  # added to the variance


def time_mask(lengths: paddle.Tensor, longest: int) -> paddle.Tensor:
    """1 for real frames, of which there are int64 [B], 0 for padding: float32 [B, longest]."""
    return (paddle.arange(longest, dtype="int64").unsqueeze(0) < lengths.unsqueeze(1)).astype("float32")


class MaskedBatchNorm(nn.Layer):
    """Batch normalisation (Ioffe and Szegedy 2015) with the statistics of real frames.

    Running statistics are a cumulative mean for the first 100 steps, then an exponential moving average with that
    window. A shorter one would be biased: batches are bucketed by length.
    """

    # Where a batch is spread over several processes, their group's: float32 [n] of this one to [world_size, n],
    # differentiable. None: the batch is all here.
    all_gather_rows: Callable[[paddle.Tensor], paddle.Tensor] | None = None

    def __init__(self, channels: int, channel_axis: int, clip: float | None = None) -> None:
        """Each of the channels is normalised by itself, over all axes of the input but `channel_axis`, from 0.

        With `clip` the clipped ReLU min(max(x, 0), clip) follows: Hannun et al. 2014, "Deep Speech".
        """
        super().__init__()
        self._axis = channel_axis
        self._channels = channels
        self.clip = clip
        self.weight = self.create_parameter([channels], default_initializer=nn.initializer.Constant(1.0))
        self.bias = self.create_parameter([channels], is_bias=True)
        self.register_buffer("running_mean", paddle.zeros([channels]))
        self.register_buffer("running_var", paddle.ones([channels]))
        self.register_buffer("steps", paddle.zeros([1]))

    def forward(self, x: paddle.Tensor, mask: paddle.Tensor) -> paddle.Tensor:
        """Normalises x, [B, C, mel, T] or [B, T, C], float32 or half precision, zero in the padding: float32, too.

        The mask, float32 [B, ...], broadcasts against x, with size 1 everywhere but on the first axis and that of time,
        along which it is 1, then 0.
        """
        if arrays.on_cpu(x):
            return self._on_cpu(x, Parts(mask, self._axis))
        if x.dtype != paddle.float32:
            x = x.astype("float32")  # of a layer in half precision: sums need more than its digits
        shape = [1] * x.ndim
        shape[self._axis] = self._channels
        if self.training:
            mean, var = self._statistics(x, mask, shape)
        else:
            mean, var = self.running_mean, self.running_var
        scale = self.weight * paddle.rsqrt(var + EPSILON)
        offset = self.bias - mean * scale
        x = x * scale.reshape(shape) + offset.reshape(shape)
        return (x if self.clip is None else paddle.clip(x, 0.0, self.clip)) * mask

    def _on_cpu(self, x: paddle.Tensor, parts: Parts) -> paddle.Tensor:
        count, mean, var = None, self.running_mean, self.running_var
        if self.training:
            row = moments(x, self._channels, parts).unsqueeze(0)
            if self.all_gather_rows is not None:
                row = self.all_gather_rows(row[0])
            count, mean, var = self._merged(row)
            self._move_running(mean, var)
        mean, inverse = arrays.as_array(mean), arrays.as_array(paddle.rsqrt(var + EPSILON))
        total = None if count is None else float(arrays.as_array(count))
        return Normalised.apply(x, self.weight, self.bias, mean, inverse, parts, self.clip, total, self.all_gather_rows)

    def _statistics(self, x: paddle.Tensor, mask: paddle.Tensor, shape: list[int]) -> tuple:
        others = [i for i in range(x.ndim) if i != self._axis]
        repeats = x.size // (self._channels * mask.size)  # values that share an entry of the mask
        count = mask.sum() * repeats
        # A process whose share of the batch is empty has no frames.
        mean = x.sum(axis=others) / (count if self.all_gather_rows is None else paddle.clip(count, min=1.0))
        squares = ((x - mean.reshape(shape)) * mask).square().sum(axis=others)
        if self.all_gather_rows is None:
            var = squares / count
        else:
            rows = self.all_gather_rows(paddle.concat([count.reshape([1]), mean, squares]))
            _, mean, var = self._merged(rows)
        self._move_running(mean, var)
        return mean, var

    @paddle.no_grad()
    def _move_running(self, mean: paddle.Tensor, var: paddle.Tensor) -> None:
        # Paddle 2.6's set_value copies by way of the host.
        paddle.assign(paddle.clip(self.steps + 1.0, max=_LONGEST_MEAN), self.steps)
        for running, now in ((self.running_mean, mean), (self.running_var, var)):
            paddle.assign(running + (now - running) / self.steps, running)

    def _merged(self, rows: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
        """Count, mean and variance over all processes, from each one's, with the sum of squares around its own mean.

        Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance", equation 2.1.
        """
        counts, means, squares = paddle.split(rows, [1, self._channels, self._channels], axis=1)
        count = paddle.clip(counts.sum(), min=1.0)
        mean = (means * counts).sum(axis=0) / count
        return count, mean, (squares + (means - mean).square() * counts).sum(axis=0) / count
