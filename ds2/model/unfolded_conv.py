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
    """Taps over mel, and over time in steps; frames between two steps; zeros before the first frame."""

    mel: int
    time: int
    stride: int
    pad: int

    @classmethod
    def of(cls, weight: np.ndarray, stride: int) -> "_Shape":
        return cls(weight.shape[2], -(-weight.shape[3] // stride), stride, weight.shape[3] // 2)


class _UnfoldedConv(paddle.autograd.PyLayer):
    @staticmethod
    def forward(ctx, x, weight, stride, lengths):
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.lengths, ctx.wanted = stride, lengths, not x.stop_gradient
        x, weight = as_array(x), as_array(weight)
        shape, matrix = _Shape.of(weight, stride), _as_matrix(weight, stride)
        out = np.zeros((len(x), len(weight), (x.shape[2] + 1) // _MEL_STRIDE, (x.shape[3] - 1) // stride + 1), "f")

        def one(values: np.ndarray, steps: int, into: np.ndarray) -> None:
            if steps:
                _convolve(matrix, _windows(_padded(values, shape, steps), shape), into[..., :steps])

        each(one, x, lengths, out)
        return as_tensor(out)

    @staticmethod
    def backward(ctx, gradient):
        x, weight = map(as_array, ctx.saved_tensor())
        gradient = as_array(gradient)
        shape, matrix = _Shape.of(weight, ctx.stride), _as_matrix(weight, ctx.stride)
        of_x = np.zeros(x.shape, np.float32) if ctx.wanted else None

        def one(i: int) -> np.ndarray:
            if not (steps := ctx.lengths[i]):
                return np.zeros(matrix.shape, np.float32)
            padded = _padded(x[i], shape, steps)
            of_padded = None if of_x is None else np.zeros_like(padded)
            of_matrix = _gradients(matrix, padded, gradient[i][..., :steps], shape, of_padded)
            if of_x is not None:
                seen = _seen(of_x[i], of_padded, shape)
                of_x[i, ..., : seen.shape[2]] = seen
            return of_matrix

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
    split = matrix.reshape(-1, out, channels, stride, mel_taps).transpose(1, 2, 4, 0, 3)
    return np.ascontiguousarray(split.reshape(out, channels, mel_taps, -1)[..., :taps])


def _padded(x: np.ndarray, shape: _Shape, steps: int) -> np.ndarray:
    """Pads an utterance, [in, mel, T], with the zeros that the taps of its `steps` output steps reach."""
    channels, mels, _ = x.shape
    sizes = channels, mels + 2 * (shape.mel // 2) + 1, (steps + shape.time - 1) * shape.stride
    padded = np.zeros(sizes, np.float32)
    seen = _seen(x, padded, shape)
    seen[...] = x[..., : seen.shape[2]]
    return padded


def _seen(x: np.ndarray, padded: np.ndarray, shape: _Shape) -> np.ndarray:
    """Where an utterance stands among the zeros; what stands behind the last tap is left out."""
    before = shape.mel // 2
    return padded[:, before : before + x.shape[1], shape.pad : shape.pad + x.shape[2]]


def _windows(padded: np.ndarray, shape: _Shape) -> np.ndarray:
    """A view, [in, stride, mel taps, mel', T' + taps - 1]: the values that each tap sees."""
    of_channel, of_mel, of_frame = padded.strides
    mels = (padded.shape[1] - 2 * (shape.mel // 2)) // _MEL_STRIDE
    sizes = (len(padded), shape.stride, shape.mel, mels, padded.shape[2] // shape.stride)
    strides = (of_channel, of_frame, of_mel, _MEL_STRIDE * of_mel, shape.stride * of_frame)
    return np.lib.stride_tricks.as_strided(padded, sizes, strides)


def _unfold(windows: np.ndarray) -> np.ndarray:
    """What the taps see, written out: [in * stride * mel taps, mel' * width]."""
    return np.ascontiguousarray(windows).reshape(-1, windows.shape[3] * windows.shape[4])


def _convolve(matrix: np.ndarray, windows: np.ndarray, out: np.ndarray) -> None:
    steps, width = out.shape[2], windows.shape[4]
    terms = (matrix @ _unfold(windows)).reshape(width - steps + 1, *out.shape[:2], width)
    out[...] = terms[0, ..., :steps]
    for tap in range(1, len(terms)):
        out += terms[tap, ..., tap : tap + steps]


def _gradients(
    matrix: np.ndarray, padded: np.ndarray, gradient: np.ndarray, shape: _Shape, of_padded: np.ndarray | None
) -> np.ndarray:
    """The gradient of the matrix; adds up that of the utterance. The steps of `_convolve` backwards."""
    windows = _windows(padded, shape)
    steps, width = gradient.shape[2], windows.shape[4]
    terms = np.zeros((shape.time, *gradient.shape[:2], width), np.float32)
    for tap in range(shape.time):
        terms[tap, ..., tap : tap + steps] = gradient
    terms = terms.reshape(len(matrix), -1)
    if of_padded is not None:
        of_unfolded = (matrix.T @ terms).reshape(windows.shape)
        into = _windows(of_padded, shape)
        for tap in range(shape.mel):
            into[:, :, tap] += of_unfolded[:, :, tap]
    return terms @ _unfold(windows).T
