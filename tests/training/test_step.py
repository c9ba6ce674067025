import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import paddle
import pytest

from ds2.distributed import process_group
from ds2.errors import UserError
from ds2.model import precision
from ds2.model.ctc import ctc_losses
from ds2.model.deepspeech2 import DeepSpeech2
from ds2.model.masking import MaskedBatchNorm
from ds2.model.network import Network
from ds2.model.precision import LossScaler
from ds2.training.step import Step
from tests.training import tiny

pytestmark = pytest.mark.wheel

REPOSITORY = Path(__file__).parents[2]
MELS, TOKENS = 20, 6
LENGTHS = [60, 45, 30, 52, 38, 71, 44, 66, 33, 57, 40, 62, 49, 36, 54, 42]


def made(model=None, **train):
    """A model, its optimiser and what makes its steps."""
    chosen = tiny.settings({"dropout": 0.0} | (model or {}), **train)
    paddle.seed(1)
    network = DeepSpeech2(chosen.model, MELS, TOKENS)
    network.train()
    optimizer = paddle.optimizer.Adam(parameters=network.parameters())
    return network, optimizer, Step(network, optimizer, chosen, process_group.Group())


def cut(batch, size):
    """Batches of `size` utterances."""
    rows = [slice(start, start + size) for start in range(0, len(batch), size)]
    names = ("features", "frames", "labels", "label_lengths", "positions")
    return [replace(batch, **{name: getattr(batch, name)[row] for name in names}) for row in rows]


def gradients(network):
    return {name: parameter.grad.numpy() for name, parameter in network.named_parameters()}


def without_batch_noise(network):
    """Normalises with the running statistics, which are the same for every batch."""
    for layer in network.sublayers():
        if isinstance(layer, MaskedBatchNorm):
            layer.eval()


def farthest(left, right):
    """The greatest difference, as a share of the greatest value."""
    return max(float(np.abs(left[name] - right[name]).max()) for name in left) / max(
        float(np.abs(value).max()) for value in left.values()
    )


def test_four_batches_of_four_equal_one_of_sixteen_but_for_the_normalisation():
    batch = tiny.random_batch(LENGTHS, MELS, TOKENS)
    found = {}
    for noise in (False, True):
        for size in (4, 16):
            network, _, step = made(grad_clip=1e9)
            if not noise:
                without_batch_noise(network)
            outcome = step.gradients(cut(batch, size), 1)
            assert outcome.utterances == 16
            found[noise, size] = gradients(network) | {"loss": np.array(outcome.loss)}
    assert farthest(found[False, 16], found[False, 4]) < 1e-5
    # Each batch is normalised with its own frames' mean and variance.
    assert farthest(found[True, 16], found[True, 4]) > 1e-3


def test_batches_of_unlike_size_count_by_their_utterances():
    batch = tiny.random_batch(LENGTHS[:6], MELS, TOKENS)
    parts = [*cut(batch, 5)]
    assert [len(part) for part in parts] == [5, 1]
    found = []
    for given_batches in ([batch], parts):
        network, _, step = made(grad_clip=1e9)
        without_batch_noise(network)
        step.gradients(given_batches, 1)
        found.append(gradients(network))
    assert farthest(*found) < 1e-5


def test_the_gradients_are_those_of_the_mean_loss_over_the_utterances():
    batch = tiny.random_batch(LENGTHS[:5], MELS, TOKENS)
    network, _, _ = made()
    without_batch_noise(network)
    logits, steps = network(paddle.to_tensor(batch.features), paddle.to_tensor(batch.frames))
    mean = ctc_losses(logits, steps, batch).mean()
    mean.backward()
    expected = gradients(network)
    norm = math.sqrt(sum(np.square(value, dtype=np.float64).sum() for value in expected.values()))
    for scaler in (None, LossScaler(1024.0)):
        for given_batches in ([batch], [batch, batch, batch], cut(batch, 2)):
            network, _, step = made(grad_clip=1e9)
            step.scaler = scaler
            without_batch_noise(network)
            outcome = step.gradients(given_batches, 1)
            assert farthest(expected, gradients(network)) < 1e-4
            assert outcome.loss == pytest.approx(float(mean), rel=1e-4)
            assert outcome.grad_norm == pytest.approx(norm, rel=1e-3)


def test_a_batch_of_which_nothing_could_be_read_counts_nothing():
    batch = tiny.random_batch(LENGTHS[:4], MELS, TOKENS)
    nothing = cut(batch, 4)[0]
    nothing = replace(nothing, frames=nothing.frames[:0], positions=nothing.positions[:0])
    found = []
    for given_batches in ([batch], [nothing, batch, nothing]):
        network, _, step = made()
        step.gradients(given_batches, 1)
        found.append(gradients(network) | tiny.weights(network))
    assert tiny.same_bits(*found)


def test_unreadable_recordings_of_all_batches_are_counted_and_too_many_change_nothing():
    batch = tiny.random_batch(LENGTHS[:4], MELS, TOKENS)
    lost = [replace(part, unreadable=part.unreadable + ("a.wav: gone",) * 2) for part in cut(batch, 2)]
    network, optimizer, step = made()
    before = everything(network, optimizer)
    outcome = step(lost, 1, 1e-3, bearable=3)
    assert (outcome.utterances, outcome.unreadable) == (0, 4)
    assert tiny.same_bits(everything(network, optimizer), before)
    outcome = step(lost, 1, 1e-3, bearable=4)
    assert (outcome.utterances, outcome.unreadable) == (4, 4)
    assert not tiny.same_bits(everything(network, optimizer), before)


def everything(network, optimizer):
    values = tiny.weights(network)
    return values | {name: np.asarray(value) for name, value in optimizer.state_dict().items() if "moment" in name}


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_batch_that_is_not_finite_changes_nothing_and_is_named(value):
    network, optimizer, step = made()
    good = tiny.random_batch(LENGTHS[:4], MELS, TOKENS)
    bad = tiny.random_batch(LENGTHS[:4], MELS, TOKENS, seed=1)
    bad.features[2, 5, 3] = value
    assert step([good], 1, 1e-3).finite
    before = everything(network, optimizer)
    outcome = step([bad], 2, 1e-3)
    assert not outcome.finite
    assert outcome.suspects == (2,)
    assert tiny.same_bits(everything(network, optimizer), before)
    assert step([good], 3, 1e-3).finite
    assert all(np.isfinite(array).all() for array in everything(network, optimizer).values())


def test_labels_that_do_not_fit_have_an_infinite_loss():
    batch = tiny.random_batch([30, 30], MELS, TOKENS)
    labels = np.array([[1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1], [1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0]], np.int32)
    batch = replace(batch, labels=labels, label_lengths=np.array([11, 6], np.int64))  # 10 steps; 6 equal ones need 11
    logits = paddle.randn([2, 10, TOKENS])
    steps = paddle.to_tensor([10, 10], dtype="int64")
    assert ctc_losses(logits, steps, batch).tolist() == [math.inf, math.inf]
    fitting = replace(batch, label_lengths=np.array([10, 5], np.int64))
    assert all(0 < loss < 1000 for loss in ctc_losses(logits, steps, fitting).tolist())


def test_a_loss_scale_changes_no_bit_of_the_gradients():
    batch = tiny.random_batch(LENGTHS[:4], MELS, TOKENS)
    found = []
    for value in (1.0, LossScaler.START):
        network, _, step = made()
        step.scaler = LossScaler(value)
        outcome = step.gradients([batch], 1)
        found.append(gradients(network) | {"loss": np.array(outcome.loss), "norm": np.array(outcome.grad_norm)})
    assert tiny.same_bits(*found)


def test_the_loss_scale_halves_on_overflow_and_doubles_after_many_good_steps():
    network, optimizer, step = made()
    batch = tiny.random_batch(LENGTHS[:4], MELS, TOKENS)
    step.scaler = LossScaler(2.0**126)  # float32 overflows as fp16 would
    before = everything(network, optimizer)
    outcome = step([batch], 1, 1e-3)
    assert (outcome.finite, outcome.retryable, step.scaler.value) == (False, True, 2.0**125)
    assert tiny.same_bits(everything(network, optimizer), before)
    step.scaler = LossScaler(4.0, LossScaler.DOUBLED_AFTER - 1)
    assert step([batch], 2, 1e-3).finite
    assert step.scaler == LossScaler(8.0, 0)


def test_at_a_loss_scale_of_one_nothing_is_left_to_mend():
    _, _, step = made()
    step.scaler = LossScaler(1.0)
    bad = tiny.random_batch(LENGTHS[:2], MELS, TOKENS)
    bad.features[:] = np.nan
    outcome = step([bad], 1, 1e-3)
    assert (outcome.finite, outcome.retryable, step.scaler.value) == (False, False, 1.0)


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_16_bits_on_a_cpu_are_refused_with_a_sentence(amp):
    precision.check("off")
    with pytest.raises(UserError, match=rf"train\.amp is {amp}, which needs a GPU: on a CPU set it to off"):
        precision.check(amp)


def test_dropout_is_another_in_every_training_step_batch_and_process():
    batch = tiny.random_batch(LENGTHS[:4], MELS, TOKENS)
    nothing = replace(batch, frames=batch.frames[:0], positions=batch.positions[:0])

    def loss(seed=3, number=1, before=(), rank=0):
        _, _, step = made({"dropout": 0.5}, seed=seed)
        step._group.rank = rank
        return step.gradients([*before, batch], number).loss

    assert loss() == loss()
    assert len({loss(), loss(seed=4), loss(number=2), loss(before=[nothing]), loss(rank=1)}) == 5


def test_a_probe_changes_nothing():
    network, optimizer, step = made()
    batch = tiny.random_batch(LENGTHS[:4], MELS, TOKENS)
    step([batch], 1, 1e-3)
    before = everything(network, optimizer)
    step.probe([tiny.random_batch([90, 80], MELS, TOKENS)])
    assert tiny.same_bits(everything(network, optimizer), before)
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in network.parameters())
    step.scaler = LossScaler(2.0**126, 3)  # which overflows
    step.probe([batch])
    assert step.scaler == LossScaler(2.0**126, 3)


class Plain(Network):
    """A network with the normalisation of the framework, whose statistics every process moves by itself."""

    def __init__(self):
        super().__init__()
        self.norm = paddle.nn.BatchNorm1D(MELS, data_format="NLC")
        self.output = paddle.nn.Linear(MELS, TOKENS)

    def forward(self, features, lengths):
        return self.output(self.norm(features)), lengths


class OneOfTwo(process_group.Group):
    """Adds to every message what the other of two processes has sent."""

    world_size = 2

    def __init__(self, other=0.0):
        self.other = other

    def all_reduce(self, values):
        self.sent = values.clone()
        return values + self.other


def plain(batch, group):
    """The running statistics of a new network after a step on a batch, and its outcome."""
    paddle.seed(1)
    network = Plain()
    outcome = Step(network, paddle.optimizer.SGD(parameters=network.parameters()), tiny.settings(), group)(
        [batch], 1, 1e-3
    )
    return [value.numpy() for value in network.running_statistics()], outcome


@pytest.mark.parametrize("counts", [(3, 1), (4, 0)])
def test_statistics_that_processes_move_apart_are_averaged_over_their_utterances(counts):
    batch = tiny.random_batch(LENGTHS[:4], MELS, TOKENS)
    parts = cut(batch, 3) if counts == (3, 1) else [batch, replace(batch, frames=batch.frames[:0])]
    alone = [
        plain(part, process_group.Group())[0] if count else [0, 0] for part, count in zip(parts, counts, strict=True)
    ]
    sent = []
    for part in parts:
        group = OneOfTwo()
        plain(part, group)
        sent.append(group.sent)
    (left, outcome), (right, _) = (
        plain(part, OneOfTwo(other)) for part, other in zip(parts, reversed(sent), strict=True)
    )
    assert outcome.utterances == 4
    for own, other, *each in zip(left, right, *alone, strict=True):
        np.testing.assert_allclose(own, (counts[0] * each[0] + counts[1] * each[1]) / 4, rtol=1e-5)
        assert np.array_equal(own, other)


def test_a_skipped_step_puts_back_the_statistics_that_processes_move_apart():
    bad = tiny.random_batch(LENGTHS[:2], MELS, TOKENS)
    bad.features[0, 0, 0] = np.inf
    found, outcome = plain(bad, OneOfTwo())
    assert not outcome.finite
    assert [value.tolist() for value in found] == [[0.0] * MELS, [1.0] * MELS]


def test_a_deepspeech2_moves_no_statistics_apart():
    assert made()[0].unsynchronised() == []


STARVED = """
import resource
import sys
from tests.training import test_step, tiny
from ds2.errors import UserError

_, _, step = test_step.made({"conv_channels": 64}, max_batch_seconds=float(sys.argv[1]) or None)
step.probe([tiny.random_batch([60], 20, 6)])
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
try:
    step.probe([tiny.random_batch([3000] * 40, 20, 6)])
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize(("seconds", "limit"), [("0", "batch_size (4)"), ("1200", "max_batch_seconds (1200)")])
def test_a_lack_of_memory_says_which_parameter_to_lower(seconds, limit):
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", STARVED, seconds], env=environment, capture_output=True, text=True)
    assert f"not enough memory for a batch of 40 utterances of up to 30.0 s: halve train.{limit}" in done.stdout
