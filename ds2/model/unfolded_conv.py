"""A convolution for CPUs: matrix products over the mel taps, then sums of shifted rows over the time taps.

Paddle's CPU convolution first writes out every output's whole window (21 x 11 values a channel) and reads it again.
Here only the 21 mel taps are written out, one product makes the terms of all 11 time taps, and these are added where
they belong: the same numbers (to rounding) in about half the time for 32 channels. A stride over time makes channels
of the frames between two steps. Utterances are worked on side by side, one a thread, without their padding; their
parts of the weights' gradient are added in order, so that the threads' number changes no bit.
"""

from typing import NamedTuple

import numpy as np
import paddle

from ds2.model.arrays import as_array, as_tensor, each

_MEL_STRIDE = 2


def conv2d(x: paddle.Tensor, weight: paddle.Tensor, stride: int, lengths: list[int]) -> paddle.Tensor:
    """A convolution with stride 2 over mel and `stride` over time, padded by half a kernel on every side.

    Of x, [B, in, mel, T], with weight, [out, in, mel taps, time taps], odd numbers of taps: [B, out, (mel + 1) // 2,
    T'] with T' = (T - 1) // stride + 1, zero behind the `lengths` of the utterances, in output steps; x is zero behind
    `stride` times these. All float32.
    """
    return _UnfoldedConv.apply(x, weight, stride, lengths)


class _Shape(NamedTuple):
    """Taps over mel, and over time in steps; frames between two steps."""

    mel: int
    time: int
    stride: int

    @classmethod
    def of(cls, weight: np.ndarray, stride: int) -> "_Shape":
        return cls(weight.shape[2], -(-weight.shape[3] // stride), stride)


class _UnfoldedConv(paddle.autograd.PyLayer):
    @staticmethod
    def forward(ctx, x, weight, stride, lengths):
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.lengths, ctx.wanted = stride, lengths, not x.stop_gradient
        x, weight = as_array(x), as_array(weight)
        shape, matrix, pad = _Shape.of(weight, stride), _as_matrix(weight, stride), weight.shape[3] // 2
        out = np.zeros((len(x), len(weight), (x.shape[2] + 1) // _MEL_STRIDE, (x.shape[3] - 1) // stride + 1), "f")

        def one(values: np.ndarray, steps: int, into: np.ndarray) -> None:
            if steps:
                _convolve(matrix, _unfold(values, shape, pad, steps), shape.time, into[..., :steps])

        each(one, x, lengths, out)
        return as_tensor(out)

    @staticmethod
    def backward(ctx, gradient):
        x, weight = map(as_array, ctx.saved_tensor())
        shape, matrix, pad = _Shape.of(weight, ctx.stride), _as_matrix(weight, ctx.stride), weight.shape[3] // 2
        of_x = np.zeros(x.shape, np.float32) if ctx.wanted else None

        def one(i: int) -> np.ndarray | float:
            if not (steps := ctx.lengths[i]):
                return 0.0
            unfolded = _unfold(x[i], shape, pad, steps)
            terms = _spread(as_array(gradient)[i][..., :steps], shape.time, unfolded.shape[-1])
            if of_x is not None:
                _fold((matrix.T @ terms).reshape(unfolded.shape), shape, pad, of_x[i])
            return terms @ unfolded.reshape(-1, terms.shape[1]).T

        parts = each(one, range(len(x)))
        of_weight = as_tensor(_as_weight(sum(parts[1:], parts[0]), weight.shape, ctx.stride))
        return (None if of_x is None else as_tensor(of_x)), of_weight


def _as_matrix(weight: np.ndarray, stride: int) -> np.ndarray:
    """[out, in, mel taps, time taps] to [steps * out, in * stride * mel taps], with zeros for taps that are none."""
    out, channels, mel_taps, taps = weight.shape
    steps = -(-taps // stride)
    padded = np.zeros((out, channels, mel_taps, steps * stride), np.float32)
    padded[..., :taps] = weight
    split = padded.reshape(out, channels, mel_taps, steps, stride).transpose(3, 0, 1, 4, 2)
    return np.ascontiguousarray(split).reshape(steps * out, -1)


def _as_weight(matrix: np.ndarray, shape: tuple[int, ...], stride: int) -> np.ndarray:
    """The inverse of `_as_matrix`."""
    out, channels, mel_taps, taps = shape
    split = np.broadcast_to(matrix, (-(-taps // stride) * out, channels * stride * mel_taps))
    split = split.reshape(-1, out, channels, stride, mel_taps).transpose(1, 2, 4, 0, 3)
    return np.ascontiguousarray(split.reshape(out, channels, mel_taps, -1)[..., :taps], np.float32)


def _padded(mels: int, shape: _Shape, steps: int) -> tuple[int, int]:
    """The sizes in mel and time of what all taps of so many steps see."""
    return mels + 2 * (shape.mel // 2) + 1, (steps + shape.time - 1) * shape.stride


def _windows(padded: np.ndarray, shape: _Shape, mels: int) -> np.ndarray:
    """A view of [in, mel + padding, time + padding]: [in, stride, mel taps, mel', T' + padding], as each tap sees."""
    of_channel, of_mel, of_frame = padded.strides
    sizes = (len(padded), shape.stride, shape.mel, mels, padded.shape[2] // shape.stride)
    strides = (of_channel, of_frame, of_mel, _MEL_STRIDE * of_mel, shape.stride * of_frame)
    return np.lib.stride_tricks.as_strided(padded, sizes, strides)


def _unfold(x: np.ndarray, shape: _Shape, pad: int, steps: int) -> np.ndarray:
    """[in, mel, T] to [in, stride, mel taps, mel', T' + padding]: the values that each tap sees."""
    channels, mels, frames = x.shape
    padded = np.zeros((channels, *_padded(mels, shape, steps)), np.float32)
    seen = min(frames, padded.shape[2] - pad)
    padded[:, shape.mel // 2 : shape.mel // 2 + mels, pad : pad + seen] = x[..., :seen]
    return np.ascontiguousarray(_windows(padded, shape, (mels + 1) // _MEL_STRIDE))


def _convolve(matrix: np.ndarray, unfolded: np.ndarray, taps: int, out: np.ndarray) -> None:
    mels, width = unfolded.shape[3:]
    terms = (matrix @ unfolded.reshape(-1, mels * width)).reshape(taps, -1, mels, width)
    steps = width - taps + 1
    out[...] = terms[0, ..., :steps]
    for tap in range(1, taps):
        out += terms[tap, ..., tap : tap + steps]


def _spread(gradient: np.ndarray, taps: int, width: int) -> np.ndarray:
    """The gradient of each tap's terms, [taps * out, mel' * width], of that of their sums, [out, mel', T']."""
    terms = np.zeros((taps, *gradient.shape[:2], width), np.float32)
    for tap in range(taps):
        terms[tap, ..., tap : tap + gradient.shape[2]] = gradient
    return terms.reshape(taps * len(gradient), -1)


def _fold(of_unfolded: np.ndarray, shape: _Shape, pad: int, of_x: np.ndarray) -> None:
    """Adds up the gradients of all that taps have seen of each value."""
    mels = of_x.shape[1]
    width = of_unfolded.shape[-1]
    padded = np.zeros((len(of_x), *_padded(mels, shape, width - shape.time + 1)), np.float32)
    windows = _windows(padded, shape, of_unfolded.shape[3])
    for tap in range(shape.mel):
        windows[:, :, tap] += of_unfolded[:, :, tap]
    seen = min(of_x.shape[2], padded.shape[2] - pad)
    of_x[..., :seen] = padded[:, shape.mel // 2 : shape.mel // 2 + mels, pad : pad + seen]
