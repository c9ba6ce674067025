"""Trainings on a device that works off a queue, as a GPU does: here a CPU is taken for one."""

from dataclasses import replace

import numpy as np
import pytest

from ds2.checkpoint import disk
from ds2.data.loader import Loader
from ds2.errors import UserError
from ds2.model.precision import LossScaler
from ds2.reporting.reporter import Reporter
from ds2.training import step
from ds2.training.step import Step
from tests.training import test_step, tiny

pytestmark = pytest.mark.wheel

BATCHES = 4  # in an epoch of the tiny data


@pytest.fixture
def queue(monkeypatch):
    """queue(True) takes the device for one with a queue."""
    return lambda queued: monkeypatch.setattr(step, "queued", lambda: queued)


def spoil(monkeypatch, change):
    """Changes the batches that are trained on, from 1: change(number, batch) returns the new one."""
    real = Loader.load

    def load(self, batches, epoch=0):
        for number, batch in enumerate(real(self, batches, epoch), start=1):
            yield change(epoch, number, batch) if epoch else batch

    monkeypatch.setattr(Loader, "load", load)


def trained(root, place, **train):
    """All that a training leaves which is not measured, and its history."""
    chosen = tiny.settings(augment=True, **train)
    chosen = chosen.model_copy(update={"runtime": chosen.runtime.model_copy(update={"probe_longest": False})})
    training = tiny.train(root, place, chosen)
    return tiny.saved(place / "models" / f"epoch_{training.epoch}"), training.history


def assert_same(left, right):
    assert tiny.same_bits(left[0], right[0])
    assert left[1] == right[1]


def infinite(batch):
    batch.features[0, 3, 1] = np.inf
    return batch


def empty(batch):
    return replace(batch, frames=batch.frames[:0], positions=batch.positions[:0])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda epoch, number, batch: batch, id="all good"),
        pytest.param(lambda epoch, number, batch: infinite(batch) if number == 1 else batch, id="first"),
        pytest.param(lambda epoch, number, batch: infinite(batch) if number in (2, 3) else batch, id="two in a row"),
        pytest.param(lambda epoch, number, batch: empty(batch) if number == 2 else batch, id="no utterance"),
    ],
)
@pytest.mark.parametrize("train", [{}, {"save_interval": 1}, {"batch_size": 2, "accumulate_grad": 2}])
def test_a_queue_changes_no_bit(change, train, root, tmp_path, monkeypatch, queue):
    spoil(monkeypatch, change)
    found = []
    for queued in (False, True):
        queue(queued)
        found.append(trained(root, tmp_path / str(queued), num_epoch=3, max_nonfinite=3, **train))
    assert_same(*found)


def test_the_next_step_is_launched_before_the_last_one_is_waited_for(root, tmp_path, monkeypatch, queue):
    launches, seen, real = [], [], Step.launch
    monkeypatch.setattr(Step, "launch", lambda self, *rest: launches.append(None) or real(self, *rest))

    class Watching(Reporter):
        def step(self, now):
            seen.append(len(launches))

    for queued, expected in ((False, [1, 2, 3, 4]), (True, [2, 3, 4, 4])):
        queue(queued)
        del seen[:], launches[:]
        tiny.train(root, tmp_path / str(queued), tiny.settings(num_epoch=1), watcher=Watching())
        assert seen == expected


@pytest.mark.parametrize("at", [1, 6])
def test_a_stop_takes_one_step_more_and_the_training_ends_with_the_same_bits(at, root, tmp_path, queue):
    queue(True)
    chosen = tiny.settings(num_epoch=3, augment=True)
    epochs, batches = divmod(at + 1, BATCHES)
    with pytest.raises(UserError, match=rf"SIGTERM; the state after {epochs} epochs and {batches} batches"):
        tiny.train(root, tmp_path / "stopped", chosen, watcher=tiny.stopping_at(at))
    stopped = tiny.train(root, tmp_path / "stopped", chosen)
    whole = tiny.train(root, tmp_path / "whole", chosen)
    assert tiny.same_bits(tiny.weights(stopped.model), tiny.weights(whole.model))
    assert stopped.history == whole.history


def test_too_many_in_a_row_leave_the_same_state(root, tmp_path, monkeypatch, queue):
    spoil(monkeypatch, lambda epoch, number, batch: infinite(batch) if (epoch, number) >= (2, 2) else batch)
    found = []
    for queued in (False, True):
        queue(queued)
        with pytest.raises(UserError, match="2 steps in a row"):
            trained(root, tmp_path / str(queued), num_epoch=3, max_nonfinite=2)
        own = next((tmp_path / str(queued) / "autosave").iterdir())
        found.append((tiny.saved(own / "step_5"), disk.read_state(own / "step_5").history))
    assert_same(*found)


def test_too_many_unreadable_recordings_leave_the_same_state(root, tmp_path, monkeypatch, queue):
    def change(epoch, number, batch):
        return replace(batch, unreadable=("a.wav: gone",)) if (epoch, number) > (1, 4) else batch

    spoil(monkeypatch, change)
    found = []
    for queued in (False, True):
        queue(queued)
        chosen = tiny.bearing(0.15, tiny.settings(num_epoch=3))  # 2 of 14
        with pytest.raises(UserError, match="3 of 14 training recordings could not be read so far"):
            tiny.train(root, tmp_path / str(queued), chosen)
        own = next((tmp_path / str(queued) / "autosave").iterdir())
        found.append((tiny.saved(own / "step_6"), disk.read_state(own / "step_6").history))
    assert_same(*found)


def test_the_loss_scale_of_a_step_is_the_one_that_the_step_before_leaves(queue):
    scales = []
    for queued in (False, True):
        queue(queued)
        _, _, made = test_step.made()
        made.scaler = LossScaler(4.0, LossScaler.DOUBLED_AFTER - 1)
        batch = tiny.random_batch(test_step.LENGTHS[:4], test_step.MELS, test_step.TOKENS)
        first = made.launch([batch], 1, 1e-3)
        if not queued:
            made.close(first)
        scales.append(made._scale(first if queued else None))
    assert scales == [8.0, 8.0]
