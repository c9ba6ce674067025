"""What the project asks of a network, asked of one that is nothing like DeepSpeech2."""

import sys

import numpy as np
import paddle
import pytest

from ds2.distributed.process_group import Group
from ds2.model import build
from ds2.params import networks
from ds2.training.step import Step
from tests.model import second
from tests.training import tiny

pytestmark = [pytest.mark.wheel, pytest.mark.usefixtures("by")]

TOKENS = 6


@pytest.fixture
def chosen(monkeypatch):
    """Parameters that name the second network."""
    monkeypatch.setitem(sys.modules, "ds2.model.tiny", second)
    monkeypatch.setitem(networks.FRAMES_A_STEP, "tiny", 4)
    settings = tiny.settings()
    return settings.model_copy(update={"model": settings.model.model_copy(update={"type": "tiny"})})


def made(chosen):
    paddle.seed(1)
    network = build(chosen, TOKENS)
    network.train()
    return network, Step(network, paddle.optimizer.Adam(parameters=network.parameters()), chosen, Group())


def batch(chosen, seed=0):
    return tiny.random_batch([60, 45, 31], chosen.features.size, TOKENS, seed=seed)


def test_the_parameters_choose_the_network_and_its_stride(chosen):
    network, _ = made(chosen)
    assert isinstance(network, second.Tiny)
    given = batch(chosen)
    logits, steps = network(paddle.to_tensor(given.features), paddle.to_tensor(given.frames))
    assert (logits.shape, steps.tolist()) == ([3, 15, TOKENS], [15, 12, 8])


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_skipped_step_puts_an_ordinary_batch_norm_back_to_the_last_bit(value, chosen):
    network, step = made(chosen)
    assert step([batch(chosen)], 1, 1e-3).finite
    before = tiny.weights(network)
    spoilt = batch(chosen, seed=1)
    spoilt.features[1, 4, 3] = value  # every fourth frame is looked at
    assert not step([batch(chosen, seed=2), spoilt], 2, 1e-3).finite
    assert tiny.same_bits(tiny.weights(network), before)
    # And a good step moves them.
    assert step([batch(chosen, seed=2)], 3, 1e-3).finite
    after = tiny.weights(network)
    assert {name for name in before if "norm._" in name} == {"norm._mean", "norm._variance"}
    assert not any(np.array_equal(before[name], after[name]) for name in before)


def test_what_every_process_moves_by_itself_are_the_statistics_of_ordinary_batch_norms(chosen):
    network, _ = made(chosen)
    assert {id(value) for value in network.unsynchronised()} == {id(network.norm._mean), id(network.norm._variance)}
    assert build(tiny.settings(), TOKENS).unsynchronised() == []
