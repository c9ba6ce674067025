import numpy as np
import paddle
import pytest

from ds2.model.masking import MaskedBatchNorm, time_mask

pytestmark = [pytest.mark.wheel, pytest.mark.usefixtures("by")]


def layer_for(channels, axis, seed=0):
    layer = MaskedBatchNorm(channels, channel_axis=axis)
    random = np.random.default_rng(seed)
    layer.weight.set_value(random.uniform(0.5, 1.5, channels).astype(np.float32))
    layer.bias.set_value(random.normal(0, 1, channels).astype(np.float32))
    return layer


def masked(lengths, longest, channels, seed=1):
    """[B, T, C] with zeros in the padding, its mask [B, T, 1], and the real frames [n, C]."""
    values = np.random.default_rng(seed).normal(3, 2, (len(lengths), longest, channels)).astype(np.float32)
    mask = (np.arange(longest)[None] < np.array(lengths)[:, None]).astype(np.float32)[:, :, None]
    real = np.concatenate([row[:length] for row, length in zip(values, lengths, strict=True)])
    return values * mask, mask, real


def expected(real, layer, epsilon=1e-5):
    wide = real.astype(np.float64)
    normal = (wide - wide.mean(0)) / np.sqrt(wide.var(0) + epsilon)
    return normal * layer.weight.numpy() + layer.bias.numpy()


def test_the_mask_is_one_for_real_frames_and_zero_for_padding():
    mask = time_mask(paddle.to_tensor([3, 1, 4], dtype="int64"), 4)
    assert mask.numpy().tolist() == [[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]]
    assert mask.dtype == paddle.float32


def test_it_normalises_with_the_statistics_of_real_frames():
    lengths = [7, 1, 12, 4]
    x, mask, real = masked(lengths, 15, 5)
    layer = layer_for(5, axis=2)
    y = layer(paddle.to_tensor(x), paddle.to_tensor(mask)).numpy()
    found = np.concatenate([row[:length] for row, length in zip(y, lengths, strict=True)])
    np.testing.assert_allclose(found, expected(real, layer), atol=1e-4)


def test_running_statistics_are_the_mean_of_the_steps_then_a_decaying_one():
    layer = layer_for(5, axis=2)
    mean, var = np.zeros(5), np.ones(5)
    for step in range(1, 131):
        x, mask, real = masked([7, 1, 12, 4], 15, 5, step)
        layer(paddle.to_tensor(x), paddle.to_tensor(mask))
        mean += (real.astype(np.float64).mean(0) - mean) / min(step, 100)
        var += (real.astype(np.float64).var(0) - var) / min(step, 100)
        if step in (1, 99, 130):
            np.testing.assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(layer.running_var.numpy(), var, rtol=1e-4)


def test_over_images_the_statistics_are_taken_over_all_but_the_channels():
    lengths, mels, channels = [4, 9], 3, 6
    values = np.random.default_rng(5).normal(1, 2, (2, channels, mels, 9)).astype(np.float32)
    mask = (np.arange(9)[None] < np.array(lengths)[:, None]).astype(np.float32)[:, None, None, :]
    real = np.concatenate(
        [image[:, :, :length].reshape(channels, -1).T for image, length in zip(values, lengths, strict=True)]
    )
    layer = layer_for(channels, axis=1)
    y = layer(paddle.to_tensor(values * mask), paddle.to_tensor(mask)).numpy()
    found = np.concatenate(
        [image[:, :, :length].reshape(channels, -1).T for image, length in zip(y, lengths, strict=True)]
    )
    np.testing.assert_allclose(found, expected(real, layer), atol=1e-4)
    np.testing.assert_allclose(layer.running_mean.numpy(), real.mean(0), rtol=1e-3, atol=1e-6)


def test_without_padding_it_is_plain_batch_norm():
    x, mask, _ = masked([11, 11, 11], 11, 4)
    ours, plain = layer_for(4, axis=2), paddle.nn.BatchNorm1D(4, data_format="NLC")
    plain.weight.set_value(ours.weight)
    plain.bias.set_value(ours.bias)
    for training in (True, True, False):
        for layer in (ours, plain):
            layer.train() if training else layer.eval()
        x = x * 1.5 + 0.3
        y = ours(paddle.to_tensor(x), paddle.to_tensor(mask)).numpy()
        np.testing.assert_allclose(y, plain(paddle.to_tensor(x)).numpy(), atol=1e-4)
        # How fast the running statistics move differs on purpose; what is made of them must not.
        plain._mean.set_value(ours.running_mean)
        plain._variance.set_value(ours.running_var)


def test_gradients_are_those_of_batch_norm_over_the_real_frames_alone():
    lengths = [7, 1, 12]
    x, mask, real = masked(lengths, 15, 5)
    toward = np.random.default_rng(9).normal(0, 1, real.shape).astype(np.float32)
    spread, start = np.zeros_like(x), 0
    for row, length in zip(spread, lengths, strict=True):
        row[:length] = toward[start : start + length]
        start += length

    def gradients(values, mask, toward):
        layer = layer_for(5, axis=2)
        values = paddle.to_tensor(values, stop_gradient=False)
        (layer(values, paddle.to_tensor(mask)) * paddle.to_tensor(mask) * paddle.to_tensor(toward)).sum().backward()
        return values.grad.numpy(), layer.weight.grad.numpy(), layer.bias.grad.numpy()

    padded = gradients(x, mask, spread)
    plain = gradients(real[None], np.ones((1, len(real), 1), np.float32), toward[None])
    np.testing.assert_allclose(
        np.concatenate([row[:length] for row, length in zip(padded[0], lengths, strict=True)]), plain[0][0], atol=1e-4
    )
    np.testing.assert_allclose(padded[1], plain[1], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(padded[2], plain[2], rtol=1e-4, atol=1e-4)


def test_in_evaluation_mode_nothing_moves_and_the_running_statistics_count():
    layer = layer_for(2, axis=2)
    layer.running_mean.set_value(paddle.to_tensor([1.0, -2.0]))
    layer.running_var.set_value(paddle.to_tensor([4.0, 0.25]))
    layer.eval()
    x, mask, _ = masked([3, 2], 3, 2)
    y = layer(paddle.to_tensor(x), paddle.to_tensor(mask)).numpy()
    normal = (x - [1.0, -2.0]) / np.sqrt(np.array([4.0, 0.25]) + 1e-5)
    np.testing.assert_allclose(y, (normal * layer.weight.numpy() + layer.bias.numpy()) * mask, atol=1e-4)
    assert layer.running_mean.numpy().tolist() == [1.0, -2.0]
    assert layer.running_var.numpy().tolist() == [4.0, 0.25]


def test_running_statistics_are_saved_with_the_weights():
    assert set(MaskedBatchNorm(3, 1).state_dict()) == {"weight", "bias", "running_mean", "running_var", "steps"}


def test_a_single_frame_is_normalised_to_the_bias():
    layer = layer_for(4, axis=2)
    y = layer(paddle.full([1, 1, 4], 7.0), paddle.ones([1, 1, 1])).numpy()
    np.testing.assert_allclose(y[0, 0], layer.bias.numpy(), atol=1e-3)
