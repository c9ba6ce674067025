"""The usual training step: DeepSpeech2 of Paddle's own layers as trainers write it, padding and all."""

import time
from collections.abc import Callable

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from benchmarks.table import RUNS
from ds2 import params
from ds2.data.loader import Batch


class Plain(nn.Layer):
    """The same sizes as ds2's network; every layer sees the padding."""

    def __init__(self, model: params.ModelSettings, mels: int, tokens: int) -> None:
        super().__init__()
        layers, channels = [], 1
        for index in range(model.num_conv_layers):
            kernel, stride = ((41, 11), (2, 3)) if index == 0 else ((21, 11), (2, 1))
            padding = (kernel[0] // 2, kernel[1] // 2)
            layers.append(nn.Conv2D(channels, model.conv_channels, kernel, stride, padding, bias_attr=False))
            layers += [nn.BatchNorm2D(model.conv_channels), nn.Hardtanh(0.0, 20.0)]
            channels, mels = model.conv_channels, (mels + 1) // 2
        self.conv = nn.Sequential(*layers)
        sizes = [mels * channels, *[2 * model.rnn_layer_size] * (model.num_rnn_layers - 1)]
        self.norms = nn.LayerList([nn.BatchNorm1D(size, data_format="NLC") for size in sizes])
        self.grus = nn.LayerList([nn.GRU(size, model.rnn_layer_size, direction="bidirect") for size in sizes])
        self.norm = nn.BatchNorm1D(2 * model.rnn_layer_size, data_format="NLC")
        self.dropout = nn.Dropout(model.dropout)
        self.output = nn.Linear(2 * model.rnn_layer_size, tokens)

    def forward(self, features: paddle.Tensor, lengths: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        """[B, T, mel] and int64 [B] to logits [B, T', tokens] and steps."""
        x = self.conv(features.transpose([0, 2, 1]).unsqueeze(1)).transpose([0, 3, 1, 2]).flatten(2)
        steps = (lengths + 2) // 3
        for norm, gru in zip(self.norms, self.grus, strict=True):
            x, _ = gru(norm(x), sequence_length=steps)
        return self.output(self.dropout(self.norm(x))), steps


class PlainStep:
    """Forward, backward, clipping and Adam."""

    def __init__(self, settings: params.Params, tokens: int) -> None:
        self._model = Plain(settings.model, settings.features.num_mel_bins, tokens)
        self._optimizer = paddle.optimizer.Adam(
            parameters=self._model.parameters(), grad_clip=nn.ClipGradByGlobalNorm(settings.train.grad_clip)
        )

    def __call__(self, batch: Batch) -> float:
        """The mean loss."""
        logits, steps = self._model(paddle.to_tensor(batch.features), paddle.to_tensor(batch.frames))
        labels, lengths = paddle.to_tensor(batch.labels), paddle.to_tensor(batch.label_lengths)
        loss = F.ctc_loss(logits.transpose([1, 0, 2]), labels, steps, lengths, blank=0, reduction="mean")
        loss.backward()
        self._optimizer.step()
        self._optimizer.clear_grad()
        return float(loss)


def usual_rates(settings: params.Params, tokens: int, measured: list[Batch]) -> list[float]:
    """The rates of the usual step."""
    paddle.set_device("cpu")
    return rates(PlainStep(settings, tokens), measured)


def rates(step: Callable[[Batch], object], measured: list[Batch]) -> list[float]:
    """Seconds of audio a second, run after run, after one that does not count."""
    found = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        for batch in measured:
            step(batch)
        found.append(sum(batch.seconds for batch in measured) / (time.perf_counter() - start))
    return found[1:]


def shuffled(count: int, batch_size: int, seed: int) -> list[np.ndarray]:
    """The batches of an epoch as a shuffled sampler makes them: positions of utterances of any length."""
    order = np.random.default_rng(seed).permutation(count)
    return np.split(order, range(batch_size, count, batch_size))
