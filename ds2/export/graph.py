"""DeepSpeech2 as an ONNX graph: features in, log-probabilities out, any batch, any length.

    features  float32 [B, T, size]      as `data.features.extract` makes them, not normalised; padding: any numbers
    lengths   int64 [B]                 real frames, at least 1
    log_probabilities  float32 [B, T', tokens]    ln P; rows behind `steps` mean nothing
    steps     int64 [B]                 real output steps

Statistics and floor of the features are inside. In evaluation mode a BatchNorm is a scale and an offset for each
channel: those of the convolutions are folded into their kernels, those before a GRU and before the output layer into
the matrices that follow, as nothing of the padding passes a GRU that knows the lengths.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ds2.data.mean_istd import FLOOR, MeanIstd
from ds2.errors import UserError
from ds2.model.conv import ConvLayer
from ds2.model.deepspeech2 import DeepSpeech2
from ds2.model.masking import EPSILON, MaskedBatchNorm
from ds2.model.network import Network
from ds2.model.rnn import RnnLayer

# Both are read by ONNX Runtime 1.8 (2021) and all later ones.
_OPSET, _IR_VERSION = 13, 7
# Of half precision; a larger weight would become infinite.
_LARGEST = float(np.finfo(np.float16).max)


@dataclass
class _Graph:
    """Nodes and weights so far."""

    weights: type[np.floating]  # as which the large arrays are stored
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Adds a node and returns the name of its output."""
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: Any, dtype: type = np.float32) -> str:
        """Adds a small array, stored as it is computed with."""
        array = np.ascontiguousarray(np.asarray(value, dtype))
        self.initializers.append(numpy_helper.from_array(array.reshape(np.shape(value)), name))
        return name

    def weight(self, name: str, value: np.ndarray) -> str:
        """Adds a large array, computed with as float32.

        Raises:
            UserError: it does not fit in half precision.
        """
        if self.weights is np.float32:
            return self.constant(name, value)
        if np.abs(value).max() > _LARGEST:
            raise UserError(f"{name} has weights beyond {_LARGEST:g}, which half precision cannot hold: drop --fp16")
        self.constant(f"{name}.stored", value, self.weights)
        return self.add("Cast", [f"{name}.stored"], name, to=TensorProto.FLOAT)


def build(network: Network, statistics: MeanIstd, weights: type[np.floating], about: dict[str, str]) -> onnx.ModelProto:
    """Makes the graph of a trained network.

    Args:
        network: a DeepSpeech2.
        statistics: those that its features are normalised with.
        weights: np.float32, or np.float16 for a file of half the size; computed with as float32 in both cases.
        about: the file's metadata.

    Raises:
        UserError: it is another network, or its weights do not fit in half precision.
    """
    if not isinstance(network, DeepSpeech2):
        raise UserError(f"model.type {type(network).__name__} cannot be exported yet: only deepspeech2 can")
    graph = _Graph(weights)
    x = _normalised(graph, statistics)
    x = _convolutions(graph, network.conv.layers, network.conv.stride, x)
    for i, layer in enumerate(network.rnn.layers):
        x = _recurrent(graph, f"rnn.{i}", layer, x)
    tokens = _output(graph, network, x)
    batch, frames, size = "batch", "frames", len(statistics.mean)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "deepspeech2",
            [
                helper.make_tensor_value_info("features", TensorProto.FLOAT, [batch, frames, size]),
                helper.make_tensor_value_info("lengths", TensorProto.INT64, [batch]),
            ],
            [
                helper.make_tensor_value_info("log_probabilities", TensorProto.FLOAT, [batch, "max_steps", tokens]),
                helper.make_tensor_value_info("steps", TensorProto.INT64, [batch]),
            ],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        producer_name="ds2",
    )
    model.ir_version = _IR_VERSION
    helper.set_model_props(model, about)
    onnx.checker.check_model(model)
    return model


def _normalised(graph: _Graph, statistics: MeanIstd) -> str:
    """[B, 1, T, size], zero in the padding: `MeanIstd.normalize`."""
    graph.constant("zero", 0, np.int64)
    graph.constant("one", 1, np.int64)
    x = graph.add("Sub", ["features", graph.constant("mean", statistics.mean)], "centred")
    x = graph.add("Mul", [x, graph.constant("istd", statistics.istd)], "scaled")
    x = graph.add("Max", [x, graph.constant("floor", FLOOR)], "floored")
    _mask(graph, "frames", "features", 1, "lengths")
    x = graph.add("Unsqueeze", [x, graph.constant("channel_axis", [1], np.int64)], "image")
    # Where, not Mul: whatever stands in the padding, infinities too, becomes zero.
    return graph.add("Where", ["frames.real", x, graph.constant("nothing", 0.0)], "normalised")


def _mask(graph: _Graph, name: str, of: str, axis: int, lengths: str) -> None:
    """NAME.real, bool [B, 1, n, 1]: the positions of an axis of an array that come before the lengths."""
    shape = graph.add("Shape", [of], f"{name}.shape")
    count = graph.add("Gather", [shape, graph.constant(f"{name}.axis", axis, np.int64)], f"{name}.count")
    positions = graph.add("Range", ["zero", count, "one"], f"{name}.positions")
    column = graph.add("Unsqueeze", [lengths, graph.constant(f"{name}.last_axis", [1], np.int64)], f"{name}.lengths")
    before = graph.add("Less", [positions, column], f"{name}.before")
    graph.add("Unsqueeze", [before, graph.constant(f"{name}.axes", [1, 3], np.int64)], f"{name}.real")


def _convolutions(graph: _Graph, layers: Iterable[ConvLayer], stride: int, x: str) -> str:
    """[B, 1, T, size] to [T', B, values], zero in the padding; adds `steps`. Time comes before frequency here."""
    rounded = graph.add("Add", ["lengths", graph.constant("stride_less_one", stride - 1, np.int64)], "lengths_rounded")
    graph.add("Div", [rounded, graph.constant("stride", stride, np.int64)], "steps")
    for i, layer in enumerate(layers):
        name = f"conv.{i}"
        scale, offset = _scale_and_offset(layer.norm)
        kernel = layer.conv.weight.numpy() * scale[:, None, None, None]
        inputs = [
            x,
            graph.weight(f"{name}.kernel", kernel.transpose(0, 1, 3, 2)),
            graph.constant(f"{name}.bias", offset),
        ]
        mels, times = kernel.shape[2:]
        x = graph.add(
            "Conv",
            inputs,
            name,
            kernel_shape=[times, mels],
            pads=[times // 2, mels // 2] * 2,
            strides=[stride if i == 0 else 1, 2],
        )
        x = graph.add("Clip", [x, "nothing", graph.constant(f"{name}.most", layer.norm.clip)], f"{name}.clipped")
        if i == 0:
            _mask(graph, "steps", x, 2, "steps")
        x = graph.add("Where", ["steps.real", x, "nothing"], f"{name}.masked")
    x = graph.add("Transpose", [x], "conv.rows", perm=[2, 0, 1, 3])
    x = graph.add("Reshape", [x, graph.constant("flat", [0, 0, -1], np.int64)], "conv.flat")
    graph.add("Cast", ["steps"], "steps.int32", to=TensorProto.INT32)
    return x


def _recurrent(graph: _Graph, name: str, layer: RnnLayer, x: str) -> str:
    """[T', B, in] to [T', B, 2 * size], zero in the padding."""
    scale, offset = _scale_and_offset(layer.norm)
    of_input, of_state, biases = [], [], []
    for end in ("", "_reverse"):
        of_x, of_h, bias_x, bias_h = (
            getattr(layer.gru, part + end).numpy().astype(np.float64)
            for part in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        )
        of_input.append(_reordered(of_x * scale))
        of_state.append(_reordered(of_h))
        biases.append(np.concatenate([_reordered(bias_x + of_x @ offset), _reordered(bias_h)]))
    size = of_state[0].shape[1]
    inputs = [
        x,
        graph.weight(f"{name}.of_input", np.array(of_input)),
        graph.weight(f"{name}.of_state", np.array(of_state)),
        graph.constant(f"{name}.bias", np.array(biases)),
        "steps.int32",
    ]
    # The reset gate behind the product, as Paddle and cuDNN have it.
    x = graph.add("GRU", inputs, name, direction="bidirectional", hidden_size=size, linear_before_reset=1)
    x = graph.add("Transpose", [x], f"{name}.rows", perm=[0, 2, 1, 3])
    return graph.add("Reshape", [x, "flat"], f"{name}.flat")


def _reordered(gates: np.ndarray) -> np.ndarray:
    """Paddle's order r, z, n along the first axis to ONNX's: z, r, h."""
    reset, update, new = np.split(gates, 3)
    return np.concatenate([update, reset, new])


def _output(graph: _Graph, network: DeepSpeech2, x: str) -> int:
    """Adds log_probabilities; returns how many tokens there are."""
    scale, offset = _scale_and_offset(network.norm)
    matrix = network.output.weight.numpy().astype(np.float64)
    bias = network.output.bias.numpy() + offset @ matrix
    x = graph.add("Transpose", [x], "utterances", perm=[1, 0, 2])
    x = graph.add("MatMul", [x, graph.weight("output.weight", scale[:, None] * matrix)], "products")
    x = graph.add("Add", [x, graph.constant("output.bias", bias)], "logits")
    graph.add("LogSoftmax", [x], "log_probabilities", axis=-1)
    return len(bias)


def _scale_and_offset(norm: MaskedBatchNorm) -> tuple[np.ndarray, np.ndarray]:
    """What a normalisation multiplies with and adds in evaluation mode, float64 [channels] each."""
    weight, bias, mean, var = (
        value.numpy().astype(np.float64) for value in (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    )
    scale = weight / np.sqrt(var + EPSILON)
    return scale, bias - mean * scale
