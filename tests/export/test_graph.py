import numpy as np
import onnx
import paddle
import pytest

from ds2 import params
from ds2.data.loader import unlabelled
from ds2.data.mean_istd import MeanIstd
from ds2.data.vocabulary import Vocabulary
from ds2.errors import UserError
from ds2.export import graph
from ds2.model import build
from ds2.model.masking import MaskedBatchNorm
from ds2.recognition import onnx_file, onnx_model
from ds2.recognition.acoustic import DivergedError
from ds2.recognition.paddle_model import PaddleModel
from tests.model import second

pytestmark = pytest.mark.wheel

LENGTHS = (1, 50, 2, 17, 3, 4)


def made(convolutions=2, recurrent=2, size=16, mels=13):
    """A model with random weights and running statistics, in evaluation mode."""
    paddle.seed(7)
    random = np.random.default_rng(7)
    model = {
        "num_conv_layers": convolutions,
        "conv_channels": 3,
        "num_rnn_layers": recurrent,
        "rnn_layer_size": size,
    }
    settings = params.from_dict({"features": {"num_mel_bins": mels}, "model": model})
    network = build(settings, 9)
    network.eval()
    for layer in network.sublayers():
        if isinstance(layer, MaskedBatchNorm):
            for value, low, high in (
                (layer.weight, 0.5, 1.5),
                (layer.bias, -0.5, 0.5),
                (layer.running_mean, -0.5, 0.5),
                (layer.running_var, 0.3, 2.0),
            ):
                value.set_value(random.uniform(low, high, value.shape).astype(np.float32))
    statistics = MeanIstd(random.normal(12, 2, mels), random.uniform(0.2, 0.5, mels), 1000, 10, settings.features)
    return PaddleModel(network, Vocabulary(["<blank>", "<unk>", *"abcdefg"]), statistics, settings, "cpu")


def file(model, weights=np.float32):
    return graph.build(model.network, model.statistics, weights, {"commit": "abc"}).SerializeToString()


def spoken(model, lengths=LENGTHS, seed=1):
    """Features as of recordings, some far below the floor."""
    random = np.random.default_rng(seed)
    values = [random.normal(size=(n, model.features.size)) * 2 / model.statistics.istd for n in lengths]
    return [(one + model.statistics.mean).astype(np.float32) for one in values]


def expected(model, values):
    return model.log_probabilities(unlabelled([model.statistics.normalize(one) for one in values]))


def found(session, values):
    batch = unlabelled(values)
    return onnx_model.run(session, batch.features, batch.frames)


def largest(left, right):
    assert [one.shape for one in left] == [one.shape for one in right]
    return max(np.abs(a - b).max() for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("architecture", [(1, 1, 8, 13), (2, 2, 16, 80), (3, 3, 5, 20)])
def test_the_graph_computes_what_paddle_computes_in_padded_batches(architecture):
    model = made(*architecture)
    session = onnx_model.session(file(model))
    values = spoken(model)
    assert largest(found(session, values), expected(model, values)) < 1e-4
    for one in values:  # the same alone
        assert largest(found(session, [one]), expected(model, [one])) < 1e-4


@pytest.mark.parametrize("garbage", [np.inf, -np.inf, np.nan, 3e38])
def test_whatever_stands_in_the_padding_changes_nothing(garbage):
    model = made()
    session = onnx_model.session(file(model))
    values = spoken(model)
    batch = unlabelled(values)
    for row, length in zip(batch.features, batch.frames, strict=True):
        row[length:] = garbage
    longer = np.concatenate([batch.features, np.full_like(batch.features, garbage)], axis=1)
    assert largest(onnx_model.run(session, longer, batch.frames), expected(model, values)) < 1e-4


def test_half_precision_halves_the_file_and_changes_little():
    model = made(size=64)
    whole, half = file(model), file(model, np.float16)
    assert len(half) < 0.6 * len(whole)
    values = spoken(model)
    difference = largest(found(onnx_model.session(half), values), expected(model, values))
    assert 1e-6 < difference < 0.05


def test_weights_that_half_precision_cannot_hold_are_refused():
    model = made()
    model.network.output.weight.set_value(np.full(model.network.output.weight.shape, 1e5, np.float32))
    with pytest.raises(UserError, match=r"output.weight has weights beyond 65504.*drop --fp16"):
        file(model, np.float16)
    file(model)


def test_another_network_is_refused_by_name():
    settings = params.from_dict({})
    with pytest.raises(UserError, match="Tiny cannot be exported yet: only deepspeech2 can"):
        graph.build(second.build(settings.model, 80, 5), made().statistics, np.float32, {})


def test_old_runtimes_read_it_and_the_reader_knows_all_that_is_in_it():
    model = made()
    data = file(model)
    read = onnx.load_from_string(data)
    assert (read.ir_version, [(one.domain, one.version) for one in read.opset_import]) == (7, [("", 13)])
    assert {one.key: one.value for one in read.metadata_props} == {"commit": "abc"}
    assert [one.name for one in read.graph.input] == ["features", "lengths"]
    assert [one.name for one in read.graph.output] == ["log_probabilities", "steps"]
    values = sum(int(np.prod(one.dims)) for one in read.graph.initializer)
    assert onnx_file.check(data) == values


def test_an_output_that_is_no_number_is_told_as_that():
    model = made()
    model.network.output.bias.set_value(np.full(9, np.inf, np.float32))
    with pytest.raises(DivergedError, match="not a number"):
        found(onnx_model.session(file(model)), spoken(model))
