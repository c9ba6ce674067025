from concurrent.futures import ThreadPoolExecutor

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from ds2.model import arrays, unfolded_conv

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
    ("batch", "channels", "mels", "frames", "out", "taps"),
    [
        (3, 4, 40, 30, 4, (21, 11)),
        (2, 3, 39, 7, 5, (21, 11)),  # an odd number of mels, fewer frames than taps
        (1, 1, 1, 1, 1, (21, 11)),
        (2, 2, 20, 12, 3, (41, 5)),  # more taps than mels
    ],
)
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_it_equals_the_convolution_of_paddle_with_its_gradients(batch, channels, mels, frames, out, taps, stride):
    x, weight = tensors(batch, channels, mels, frames, out, taps)
    steps = -(-frames // stride)

    def plain(x, weight):
        return F.conv2d(x, weight, stride=(2, stride), padding=tuple(tap // 2 for tap in taps))

    def unfolded(x, weight):
        return unfolded_conv.conv2d(x, weight, stride, [steps] * batch)

    expected, found = with_gradients(plain, x, weight), with_gradients(unfolded, x, weight)
    for left, right in zip(expected, found, strict=True):
        assert left.shape == right.shape
        assert np.abs(left - right).max() <= 1e-5 * max(1.0, np.abs(left).max())


def test_padding_is_zero_whatever_its_gradient():
    x, weight = tensors(3, 2, 20, 24, 3, (21, 11))
    lengths = [8, 3, 0]  # of 8 steps
    of_lengths = np.arange(24) < 3 * np.array(lengths)[:, None]
    masked = paddle.to_tensor(x.numpy() * of_lengths[:, None, None], stop_gradient=False)
    mask = paddle.to_tensor((np.arange(8) < np.array(lengths)[:, None]).astype(np.float32)).unsqueeze([1, 2])

    def plain(x, weight):
        return F.conv2d(x, weight, stride=(2, 3), padding=(10, 5)) * mask

    expected = with_gradients(plain, masked, weight)
    found = with_gradients(lambda x, weight: unfolded_conv.conv2d(x, weight, 3, lengths), masked, weight)
    for of_x in (expected[1], found[1]):
        of_x *= of_lengths[:, None, None]  # the zeros behind the end are seen too
    for left, right in zip(expected, found, strict=True):
        np.testing.assert_allclose(right, left, atol=1e-5)


def test_the_number_of_threads_changes_no_bit(monkeypatch):
    x, weight = tensors(5, 3, 20, 25, 4, (21, 11))
    results = []
    for threads in (1, 3):
        with ThreadPoolExecutor(threads) as executor:
            monkeypatch.setattr(arrays, "_threads", executor)
            results.append(with_gradients(lambda x, w: unfolded_conv.conv2d(x, w, 3, [9, 9, 2, 0, 5]), x, weight))
    for one, several in zip(*results, strict=True):
        assert np.array_equal(one, several)
