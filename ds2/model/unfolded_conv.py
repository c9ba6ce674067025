"""A convolution for CPUs: matrix products over the mel taps, then sums of shifted rows over the time taps.

Paddle's CPU convolution first writes out every output's whole window (21 x 11 values a channel) and reads it again.
Here only the 21 mel taps are written out, one product makes the terms of all 11 time taps, and these are added where
they belong: the same numbers (to rounding) in about half the time for 32 channels. Utterances are worked on side by
side, one a thread; their parts of the weights' gradient are added in order, so that the threads' number changes no bit.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import paddle

from ds2 import cpu

_threads = ThreadPoolExecutor(cpu.threads(), thread_name_prefix="conv")

_MEL_STRIDE = 2


def conv2d(x: paddle.Tensor, weight: paddle.Tensor) -> paddle.Tensor:
    """A convolution with stride 2 over mel and 1 over time, padded by half a kernel on every side.

    Of x, [B, in, mel, T], with weight, [out, in, mel taps, time taps], odd numbers of taps: [B, out, (mel + 1) // 2,
    T], all float32.
    """
    return _UnfoldedConv.apply(x, weight)


class _UnfoldedConv(paddle.autograd.PyLayer):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        taps = weight.shape[2:]
        matrix = _as_matrix(weight.numpy())
        outputs = _threads.map(lambda one: _convolve(matrix, _unfold(one, taps), taps[1]), x.numpy())
        return paddle.to_tensor(np.stack(list(outputs)))

    @staticmethod
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensor()
        out, _, *taps = weight.shape
        matrix = _as_matrix(weight.numpy())
        found = _threads.map(lambda one, of: _gradients(matrix, one, of, taps), x.numpy(), gradient.numpy())
        of_x, of_matrix = zip(*found, strict=True)
        of_weight = sum(of_matrix[1:], of_matrix[0]).reshape(taps[1], out, -1, taps[0]).transpose(1, 2, 3, 0)
        return paddle.to_tensor(np.stack(of_x)), paddle.to_tensor(np.ascontiguousarray(of_weight))


def _as_matrix(weight: np.ndarray) -> np.ndarray:
    """[out, in, mel taps, time taps] to [time taps * out, in * mel taps]."""
    out, _, _, time_taps = weight.shape
    return np.ascontiguousarray(weight.transpose(3, 0, 1, 2)).reshape(time_taps * out, -1)


def _unfold(x: np.ndarray, taps: list[int]) -> np.ndarray:
    """[in, mel, T] to [in, mel taps, mel', T + padding]: the values that each tap sees."""
    channels, mels, steps = x.shape
    (mel_pad, time_pad) = (tap // 2 for tap in taps)
    padded = np.zeros((channels, mels + 2 * mel_pad, steps + 2 * time_pad), np.float32)
    padded[:, mel_pad : mel_pad + mels, time_pad : time_pad + steps] = x
    of_channel, of_mel, of_step = padded.strides
    shape = (channels, taps[0], (mels + 1) // _MEL_STRIDE, padded.shape[2])
    strides = (of_channel, of_mel, _MEL_STRIDE * of_mel, of_step)
    return np.ascontiguousarray(np.lib.stride_tricks.as_strided(padded, shape, strides))


def _convolve(matrix: np.ndarray, unfolded: np.ndarray, time_taps: int) -> np.ndarray:
    mels, width = unfolded.shape[2:]
    terms = (matrix @ unfolded.reshape(-1, mels * width)).reshape(time_taps, -1, mels, width)
    steps = width - time_taps + 1
    total = terms[0, ..., :steps].copy()
    for tap in range(1, time_taps):
        total += terms[tap, ..., tap : tap + steps]
    return total


def _gradients(
    matrix: np.ndarray, x: np.ndarray, gradient: np.ndarray, taps: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Of x and of the matrix, for one utterance; the three steps of `_convolve` backwards."""
    (mel_taps, time_taps), (out, mels, steps) = taps, gradient.shape
    unfolded = _unfold(x, taps)
    terms = np.zeros((time_taps, out, *unfolded.shape[2:]), np.float32)
    for tap in range(time_taps):
        terms[tap, ..., tap : tap + steps] = gradient
    terms = terms.reshape(time_taps * out, -1)
    of_matrix = terms @ unfolded.reshape(-1, terms.shape[1]).T
    of_unfolded = (matrix.T @ terms).reshape(unfolded.shape)
    mel_pad, time_pad = mel_taps // 2, time_taps // 2
    padded = np.zeros((len(x), x.shape[1] + 2 * mel_pad + 1, unfolded.shape[3]), np.float32)
    for tap in range(mel_taps):
        padded[:, tap : tap + _MEL_STRIDE * mels : _MEL_STRIDE] += of_unfolded[:, tap]
    of_x = padded[:, mel_pad : mel_pad + x.shape[1], time_pad : time_pad + steps]
    return of_x, of_matrix
