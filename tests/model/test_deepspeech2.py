import numpy as np
import paddle
import pytest

from ds2 import params
from ds2.model.deepspeech2 import DeepSpeech2
from ds2.training.step import ctc_losses
from tests.training import tiny

pytestmark = [pytest.mark.wheel, pytest.mark.usefixtures("by")]

TOKENS = 9
MELS = 80


def make(**changes):
    paddle.seed(7)
    values = {"num_conv_layers": 2, "conv_channels": 4, "num_rnn_layers": 2, "rnn_layer_size": 16, "dropout": 0.0}
    return DeepSpeech2(params.from_dict({"model": values | changes}).model, MELS, TOKENS)


def run(model, batch):
    logits, steps = model(paddle.to_tensor(batch.features), paddle.to_tensor(batch.frames))
    return logits, steps


def step(model, batch):
    """The loss, and the gradients by name."""
    loss = ctc_losses(*run(model, batch), batch).mean()
    loss.backward()
    found = {name: parameter.grad.numpy() for name, parameter in model.named_parameters()}
    model.clear_gradients()
    return float(loss), found


def trained(**changes):
    """A model with running statistics that are not trivial, in evaluation mode."""
    model = make(**changes)
    optimizer = paddle.optimizer.Adam(learning_rate=1e-3, parameters=model.parameters())
    for seed in range(4):
        batch = tiny.random_batch([90, 40, 63, 12], MELS, TOKENS, seed=seed)
        ctc_losses(*run(model, batch), batch).mean().backward()
        optimizer.step()
        optimizer.clear_grad()
    model.eval()
    assert not np.allclose(model.norm.running_var.numpy(), 1.0, atol=0.05)
    return model


def buffers(model):
    return {name: value.numpy() for name, value in model.named_buffers()}


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_an_utterance_has_the_same_output_alone_and_in_any_batch(layers):
    model = trained(num_conv_layers=layers)
    lengths = np.random.default_rng(layers).integers(1, 160, 20).tolist()
    together = tiny.random_batch(lengths, MELS, TOKENS, extra=23)
    logits, steps = (value.numpy() for value in run(model, together))
    for i, length in enumerate(lengths):
        frames = paddle.to_tensor([length], dtype="int64")
        alone, count = model(paddle.to_tensor(together.features[i : i + 1, :length]), frames)
        assert int(count[0]) == steps[i] == -(-length // 3)
        np.testing.assert_allclose(logits[i, : steps[i]], alone.numpy()[0], atol=1e-4)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_padding_does_not_move_the_running_statistics(layers):
    found = []
    for extra in (0, 1, 90):
        model = make(num_conv_layers=layers)
        run(model, tiny.random_batch([50, 33, 71], MELS, TOKENS, extra=extra))
        found.append(buffers(model))
    assert any("running_var" in name for name in found[0])
    for other in found[1:]:
        for name, value in found[0].items():
            np.testing.assert_allclose(other[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


def test_padding_does_not_change_loss_and_gradients():
    lengths = [50, 33, 71]
    loss, gradients = step(make(), tiny.random_batch(lengths, MELS, TOKENS))
    assert all(np.abs(gradient).max() > 0 for name, gradient in gradients.items() if "weight" in name)
    for extra in (1, 90):
        other_loss, others = step(make(), tiny.random_batch(lengths, MELS, TOKENS, extra=extra))
        assert other_loss == pytest.approx(loss, rel=1e-5)
        for name, gradient in gradients.items():
            scale = max(1e-3, np.abs(gradient).max())
            # A value at the edge of a clipped ReLU may fall on its other side by rounding.
            np.testing.assert_allclose(others[name] / scale, gradient / scale, atol=5e-3, err_msg=name)


def test_the_loss_of_a_batch_is_the_mean_of_its_utterances_losses():
    model = trained()
    batch = tiny.random_batch([50, 33, 71], MELS, TOKENS)
    whole = float(ctc_losses(*run(model, batch), batch).mean())
    single = []
    for i, length in enumerate(batch.frames):
        count = batch.label_lengths[i]
        alone = type(batch)(
            batch.features[i : i + 1, :length],
            batch.frames[i : i + 1],
            batch.labels[i : i + 1, :count],
            batch.label_lengths[i : i + 1],
            batch.positions[i : i + 1],
            1.0,
        )
        single.append(float(ctc_losses(*run(model, alone), alone).mean()))
    assert whole == pytest.approx(np.mean(single), rel=1e-4)


def test_padding_is_zero_after_every_layer():
    model = trained(num_conv_layers=3)
    lengths, steps = [50, 4, 71], [17, 2, 24]
    seen = []
    for layer in model.conv.layers:
        layer.register_forward_post_hook(lambda _, x, y: seen.append(y.numpy().transpose([0, 3, 1, 2])))
    for layer in model.rnn.layers:
        layer.register_forward_post_hook(lambda _, x, y: seen.append(y.numpy()))
    run(model, tiny.random_batch(lengths, MELS, TOKENS, extra=40))
    assert len(seen) == 5
    for output in seen:
        for row, count in zip(output, steps, strict=True):
            assert np.abs(row[:count]).max() > 0
            assert np.all(row[count:] == 0)


@pytest.mark.parametrize(("layers", "mels"), [(1, [40]), (2, [40, 20]), (3, [40, 20, 10])])
def test_the_first_convolution_strides_two_and_three_the_others_two_and_one(layers, mels):
    model = make(num_conv_layers=layers, conv_channels=5)
    shapes = []
    for layer in model.conv.layers:
        layer.register_forward_post_hook(lambda _, x, y: shapes.append(y.shape))
    logits, _ = run(model, tiny.random_batch([50, 31], MELS, TOKENS))
    assert shapes == [[2, 5, mel, 17] for mel in mels]
    assert logits.shape == [2, 17, TOKENS]
    assert model.conv.size == 5 * mels[-1]


def test_kernels_are_41_by_11_then_21_by_11():
    kernels = [layer.conv.weight.shape for layer in make(num_conv_layers=3, conv_channels=5).conv.layers]
    assert kernels == [[5, 1, 41, 11], [5, 5, 21, 11], [5, 5, 21, 11]]


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 6, 7, 99, 100, 101])
def test_an_output_step_stands_for_three_frames_rounded_up(frames):
    model = make()
    model.eval()
    logits, steps = run(model, tiny.random_batch([frames], MELS, TOKENS))
    assert logits.shape[1] == int(steps[0]) == -(-frames // 3)


def test_the_layers_are_as_many_and_as_large_as_the_parameters_say():
    model = make(num_rnn_layers=3, rnn_layer_size=12)
    assert [layer.gru.weight_ih_l0.shape for layer in model.rnn.layers] == [[36, 80], [36, 24], [36, 24]]
    assert [layer.norm.weight.shape for layer in model.rnn.layers] == [[80], [24], [24]]
    assert model.output.weight.shape == [24, TOKENS]


def test_activations_of_the_convolutions_lie_between_0_and_20():
    model = make()
    model.conv.layers[0].norm.weight.set_value(paddle.full([4], 50.0))
    seen = []
    model.conv.layers[0].register_forward_post_hook(lambda _, x, y: seen.append(y.numpy()))
    run(model, tiny.random_batch([50], MELS, TOKENS))
    assert seen[0].min() == 0.0
    assert seen[0].max() == 20.0


def test_the_output_has_no_softmax():
    model = trained()
    batch = tiny.random_batch([50, 33], MELS, TOKENS)
    before = run(model, batch)[0].numpy()
    for parameter in model.output.parameters():
        parameter.set_value(parameter * 3.0)
    np.testing.assert_allclose(run(model, batch)[0].numpy(), 3.0 * before, rtol=1e-4, atol=1e-5)
    assert before.min() < 0
    assert not np.allclose(np.log(np.exp(before).sum(2)), 0, atol=0.1)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_utterances_of_one_frame_can_be_learned_from(layers):
    model = make(num_conv_layers=layers)
    loss, gradients = step(model, tiny.random_batch([1, 1, 1], MELS, TOKENS))
    assert np.isfinite(loss)
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())
    assert all(np.isfinite(value).all() for value in buffers(model).values())


def test_dropout_works_in_training_and_not_in_evaluation():
    model = make(dropout=0.5)
    batch = tiny.random_batch([50, 33], MELS, TOKENS)
    first, second = run(model, batch)[0].numpy(), run(model, batch)[0].numpy()
    assert not np.array_equal(first, second)
    model.eval()
    first, second = run(model, batch)[0].numpy(), run(model, batch)[0].numpy()
    assert np.array_equal(first, second)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.7])
def test_as_many_of_the_last_layers_inputs_are_dropped_as_the_parameter_says(share):
    model, seen = make(dropout=share), []
    model.output.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].numpy()))
    run(model, tiny.random_batch([300, 290], MELS, TOKENS))
    assert (seen[0][:, :90] == 0).mean() == pytest.approx(share, abs=0.03)


def test_the_seed_decides_the_weights():
    assert tiny.same_bits(tiny.weights(make()), tiny.weights(make()))
