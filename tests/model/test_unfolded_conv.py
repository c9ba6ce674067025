from concurrent.futures import ThreadPoolExecutor

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from ds2.model import unfolded_conv

pytestmark = pytest.mark.wheel


def tensors(batch, channels, mels, steps, out, taps, seed=0):
    random = np.random.default_rng(seed)
    x = paddle.to_tensor(random.normal(0, 1, (batch, channels, mels, steps)).astype(np.float32))
    weight = paddle.to_tensor(random.normal(0, 0.05, (out, channels, *taps)).astype(np.float32))
    x.stop_gradient = weight.stop_gradient = False
    return x, weight


def with_gradients(convolution, x, weight):
    """The output and the gradients of its product with fixed numbers, for x and the weight."""
    y = convolution(x, weight)
    direction = np.random.default_rng(5).normal(0, 1, y.shape).astype(np.float32)
    return [value.numpy() for value in (y, *paddle.grad([y], [x, weight], [paddle.to_tensor(direction)]))]


@pytest.mark.parametrize(
    ("batch", "channels", "mels", "steps", "out", "taps"),
    [
        (3, 4, 40, 30, 4, (21, 11)),
        (2, 3, 39, 7, 5, (21, 11)),  # an odd number of mels, fewer steps than taps
        (1, 1, 1, 1, 1, (21, 11)),
        (2, 2, 20, 12, 3, (41, 5)),  # more taps than mels
    ],
)
def test_it_equals_the_convolution_of_paddle_with_its_gradients(batch, channels, mels, steps, out, taps):
    x, weight = tensors(batch, channels, mels, steps, out, taps)

    def plain(x, weight):
        return F.conv2d(x, weight, stride=(2, 1), padding=tuple(tap // 2 for tap in taps))

    expected, found = with_gradients(plain, x, weight), with_gradients(unfolded_conv.conv2d, x, weight)
    for left, right in zip(expected, found, strict=True):
        assert left.shape == right.shape
        assert np.abs(left - right).max() <= 1e-5 * max(1.0, np.abs(left).max())


def test_the_number_of_threads_changes_no_bit(monkeypatch):
    x, weight = tensors(5, 3, 20, 25, 4, (21, 11))
    results = []
    for threads in (1, 3):
        with ThreadPoolExecutor(threads) as executor:
            monkeypatch.setattr(unfolded_conv, "_threads", executor)
            results.append(with_gradients(unfolded_conv.conv2d, x, weight))
    for one, several in zip(*results, strict=True):
        assert np.array_equal(one, several)
