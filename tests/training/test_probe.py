"""What is tried before epoch 1 is at least as large as anything that comes."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2 import params
from ds2.data import frames, manifest
from ds2.data.augment import Augmenter
from ds2.data.batches import shares
from ds2.data.manifest import Manifest, Utterance
from ds2.training.state import TrainingData

EPOCHS = (1, 2, 3, 4)


def training_data(folder, durations, chosen):
    path = Path(folder) / "manifest.train"
    manifest.write(path, [Utterance(f"{i}.wav", duration, "a") for i, duration in enumerate(durations)])
    augmenter = Augmenter(chosen.augment, chosen.features) if chosen.train.augment else None
    return TrainingData(Manifest(path), None, None, None, augmenter)


def largest_of_all(data, chosen, world_size, kept_speed):
    """The most frames, padding included, that a process has in a batch; kept_speed: nothing is played faster."""
    most = 0
    for epoch in EPOCHS:
        plan, _ = data.plan(chosen.train, epoch)
        for batch in plan:
            for rank in range(world_size):
                for share in shares(batch, chosen.train, rank, world_size):
                    speeds = np.ones(len(share))
                    if data.augmenter is not None:
                        speeds = data.augmenter.speeds(chosen.train.seed, epoch, share)
                    heard = data.train.durations[share] / (np.minimum(speeds, 1.0) if kept_speed else speeds)
                    lengths = [frames.frames_of_duration(seconds, chosen.features.sample_rate) for seconds in heard]
                    most = max(most, len(share) * max(lengths, default=0))
    return most


@given(
    durations=st.lists(st.floats(0.5, 20.0), min_size=1, max_size=60),
    seconds=st.none() | st.floats(1.0, 100.0),
    batch_size=st.integers(1, 9),
    accumulate=st.integers(1, 3),
    world_size=st.integers(1, 3),
    seed=st.integers(0, 1000),
    augment=st.booleans(),
    kept_speed=st.booleans(),
)
def test_no_batch_of_any_epoch_is_larger_than_the_one_that_is_tried(
    durations, seconds, batch_size, accumulate, world_size, seed, augment, kept_speed
):
    train = {"batch_size": batch_size, "accumulate_grad": accumulate, "max_batch_seconds": seconds, "seed": seed}
    chosen = params.from_dict({"train": train | {"augment": augment}})
    with tempfile.TemporaryDirectory() as folder:
        data = training_data(folder, durations, chosen)
        largest = largest_of_all(data, chosen, world_size, kept_speed)
        tried = data.largest_batch(chosen, world_size)
    assert tried.features.shape[:2] == (len(tried), tried.frames.max())
    assert len(tried) * tried.frames.max() >= largest


@pytest.mark.parametrize(("seconds", "share"), [(None, 0.999), (50.0, 0.85)])
@pytest.mark.parametrize("world_size", [1, 2])
def test_it_is_hardly_larger_than_the_largest(tmp_path, seconds, share, world_size):
    """So that no training is refused for want of memory that it would not want."""
    durations = np.clip(np.random.default_rng(1).lognormal(1.5, 0.4, 4000), 0.5, 20.0)
    chosen = params.from_dict({"train": {"batch_size": 8, "max_batch_seconds": seconds, "augment": True}})
    data = training_data(tmp_path, durations, chosen)
    tried = data.largest_batch(chosen, world_size)
    assert largest_of_all(data, chosen, world_size, kept_speed=False) >= share * len(tried) * tried.frames.max()


def test_it_has_as_many_labels_as_fit():
    chosen = params.Params()
    with tempfile.TemporaryDirectory() as folder:
        tried = training_data(folder, [3.0, 2.0], chosen).largest_batch(chosen, 1)
    steps = frames.count_steps(int(tried.frames.max()), 3)
    assert tried.labels.shape == (2, steps)
    assert all(frames.steps_needed(label.tolist()) == steps for label in tried.labels)
    assert tried.label_lengths.tolist() == [steps, steps]
