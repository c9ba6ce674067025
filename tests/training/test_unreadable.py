"""Training recordings that vanish: few are left out and counted, more end the training, and none of it is lost."""

import json
import re
import signal
from pathlib import Path

import numpy as np
import pytest
import soundfile
from loguru import logger

from ds2 import layout
from ds2.checkpoint import disk
from ds2.data import manifest as manifests
from ds2.data.loader import Loader
from ds2.data.manifest import Manifest
from ds2.errors import UserError
from ds2.training import session
from tests.training import tiny

pytestmark = pytest.mark.wheel

BATCHES = 4  # in an epoch of the tiny data
UTTERANCES = len(tiny.TEXTS)


@pytest.fixture
def root(workspace):
    """The tiny data in the working directory, to be spoilt."""
    tiny.write_data(workspace)
    return workspace


def settings(fraction, **train):
    """Without scores: the dev set has the same recordings."""
    return tiny.bearing(fraction, tiny.settings(**{"num_epoch": 1, "evaluate_on": None} | train))


def by_length(root):
    """The recordings from the shortest on: the order of the first epoch."""
    manifest = Manifest(root / layout.manifest_path("train"))
    return [Path(manifest[int(i)].audio_filepath) for i in np.argsort(manifest.durations, kind="stable")]


def unmount(root):
    (root / "audio").rename(root / "unmounted")


def mount(root):
    (root / "unmounted").rename(root / "audio")


def states(place):
    """The positions of the states within an epoch that are kept."""
    return [disk.read_state(folder).position for folder in place.glob("autosave/*/step_*")]


def published(place):
    return sorted(path.name for path in place.glob("models/*"))


def assert_same(left, right):
    assert tiny.same_bits(tiny.weights(left.model), tiny.weights(right.model))
    assert left.history == right.history


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_whose_files_are_all_unreadable_does_not_stop_the_training(workers, root, warnings):
    broken = by_length(root)[:4]  # the first batch
    for i, path in enumerate(broken):
        path.unlink()
        if i:
            path.write_bytes(b"this is not audio at all" * 50 * (i - 1))
    trainer = tiny.train(root, root, settings(0.3), workers)
    assert (trainer.epoch, trainer.step) == (1, BATCHES - 1)
    for path in broken:
        assert sum(str(path) in message for message in warnings) == 1
    assert np.isfinite(trainer.history.epochs[0]["loss"])
    assert trainer.history.most_unreadable == 4


def test_the_files_of_a_batch_that_can_be_read_are_learned_from(root):
    for path in by_length(root)[:3]:
        path.unlink()
    trainer = tiny.train(root, root, settings(0.3))
    assert (trainer.epoch, trainer.step) == (1, BATCHES)


def test_unreadable_files_in_the_scored_set_stop_the_training_with_a_sentence(root):
    broken = by_length(root)[0]
    broken.unlink()
    with pytest.raises(UserError, match=re.escape(str(broken))):
        tiny.train(root, root, settings(1.0, evaluate_on="dev"))


@pytest.mark.parametrize(("lost", "told"), [(0, 0), (1, 1)])
def test_the_metrics_count_the_recordings_that_an_epoch_was_without(lost, told, root):
    for path in by_length(root)[:lost]:
        path.unlink()
    session.train(settings(0.1, num_epoch=2))
    assert json.loads((root / layout.TRAIN_NUMBERS).read_text())["unreadable_recordings"] == told


def test_the_metrics_count_the_worst_epoch(root):
    path = by_length(root)[0]
    watcher = tiny.acting_at(BATCHES, path.unlink)
    trainer = tiny.train(root, root, settings(0.1, num_epoch=2), watcher=watcher)
    assert (trainer.history.most_unreadable, trainer.history.unreadable) == (1, 0)
    soundfile.write(path, tiny.speak("aa", 0), tiny.RATE)
    assert tiny.train(root, root, settings(0.1, num_epoch=3)).history.most_unreadable == 1


@pytest.mark.parametrize("train", [{}, {"batch_size": 2, "accumulate_grad": 3}])
def test_recordings_that_are_all_gone_end_the_training_with_a_sentence_and_leave_nothing(train, root):
    unmount(root)
    with pytest.raises(UserError) as error:
        session.train(settings(0.05, **train))
    size = train.get("batch_size", 4) * train.get("accumulate_grad", 1)
    assert re.fullmatch(
        rf"{size} of {UTTERANCES} training recordings could not be read so far, more than "
        rf"manifest\.max_rejected_fraction \(0\.05\) allows; the first is {by_length(root)[0]}: there is no such file: "
        "mount the disk or put the files back and run the same command again, or make the manifest anew with dvc repro "
        "-f manifest",
        str(error.value),
    )
    assert not (root / "models").exists()
    assert not (root / layout.TRAIN_NUMBERS).exists()
    assert not list(root.glob(".ds2/autosave/*/*/state.json"))


def test_a_disk_that_is_lost_within_an_epoch_costs_nothing_once_it_is_back(root, tmp_path):
    chosen = settings(0.3, num_epoch=3, augment=True)
    whole = tiny.train(root, tmp_path / "whole", chosen)
    place = tmp_path / "lost"
    # Four recordings may be lost, a whole batch: the state is from before it all the same.
    with pytest.raises(UserError, match=r"\d of 14 training recordings could not be read so far"):
        tiny.train(root, place, chosen, watcher=tiny.acting_at(BATCHES + 2, lambda: unmount(root)))
    assert states(place) == [(1, 2)]
    assert published(place) == ["best_model", "epoch_1"]
    with pytest.raises(UserError, match="could not be read so far"):  # and again, as long as it is lost
        tiny.train(root, place, chosen)
    assert states(place) == [(1, 2)]
    mount(root)
    again = tiny.train(root, place, chosen)
    assert_same(again, whole)
    assert again.history.most_unreadable == 0


def test_a_step_that_lacks_too_much_is_not_made(root, tmp_path):
    # A recording of each of two batches: the second is one too many.
    first, second = (by_length(root)[place] for place in (0, 4))
    chosen = settings(0.1, num_epoch=2)
    first.unlink()
    whole = tiny.train(root, tmp_path / "whole", chosen)
    away = second.rename(second.with_suffix(".away"))
    for named in (first, second):  # of the second run the first that cannot be read is another
        with pytest.raises(UserError, match=rf"^2 of 14 .*; the first is {named}: there is no such file"):
            tiny.train(root, tmp_path / "lost", chosen)
        assert states(tmp_path / "lost") == [(0, 1)]
    away.rename(second)
    again = tiny.train(root, tmp_path / "lost", chosen)
    assert_same(again, whole)
    assert again.history.most_unreadable == 1


def test_a_share_that_was_lowered_since_does_not_count_backwards(root, tmp_path):
    by_length(root)[0].unlink()
    with pytest.raises(UserError, match="stopped by SIGTERM"):
        tiny.train(root, tmp_path, settings(0.1), watcher=tiny.stopping_at(2))
    assert tiny.train(root, tmp_path, settings(0.0)).history.most_unreadable == 1


def test_what_was_lost_before_a_kill_counts_after_it(root, tmp_path):
    first, later = by_length(root)[0], by_length(root)[-1]
    first.unlink()
    chosen = settings(0.1, num_epoch=2, save_interval=1)
    whole = tiny.train(root, tmp_path / "whole", chosen)
    assert whole.history.most_unreadable == 1
    for place in ("killed", "more lost"):
        with pytest.raises(RuntimeError):
            tiny.train(root, tmp_path / place, chosen, watcher=tiny.dying_at(3))
    assert_same(tiny.train(root, tmp_path / "killed", chosen), whole)
    later.unlink()
    with pytest.raises(UserError, match=rf"^2 of 14 .*; the first is {later}: there is no such file"):
        tiny.train(root, tmp_path / "more lost", chosen)


def test_a_state_without_the_counts_has_none(root):
    chosen = settings(0.0)
    values = tiny.train(root, root, chosen).history.as_json()
    before = {name: value for name, value in values.items() if "unreadable" not in name}
    assert before != values
    found = type(tiny.train(root, root, chosen).history).from_json(before)
    assert (found.unreadable, found.most_unreadable) == (0, 0)


def test_recordings_lost_while_steps_were_skipped_count_once(root, tmp_path, monkeypatch):
    by_length(root)[5].unlink()  # of the second batch
    chosen = settings(0.1, num_epoch=1, max_nonfinite=3)
    real = Loader.load

    def load(self, batches, epoch=0):
        for number, batch in enumerate(real(self, batches, epoch)):
            batch.features[...] = np.nan if epoch and number else batch.features
            yield batch

    with monkeypatch.context() as broken, pytest.raises(UserError, match="3 steps in a row"):
        broken.setattr(Loader, "load", load)
        chosen = chosen.model_copy(update={"runtime": chosen.runtime.model_copy(update={"probe_longest": False})})
        tiny.train(root, tmp_path, chosen)
    assert states(tmp_path) == [(0, 1)]
    assert tiny.train(root, tmp_path, chosen).history.most_unreadable == 1


def test_labels_that_do_not_fit_and_noise_that_cannot_be_read_are_not_recordings_that_are_lost(root, warnings):
    path = root / layout.manifest_path("train")
    utterances = list(Manifest(path))
    manifests.write(
        path, [type(one)(one.audio_filepath, one.duration, "好" * 99) for one in utterances[:7]] + utterances[7:]
    )
    (root / layout.NOISE).mkdir()
    (root / layout.NOISE / "broken.wav").write_bytes(b"no audio")
    trainer = tiny.train(root, root, settings(0.0, augment=True))
    assert any("broken.wav is not used" in message for message in warnings)
    assert sum("99 labels do not fit" in message for message in warnings) == 7
    assert (trainer.epoch, trainer.history.most_unreadable) == (1, 0)


def test_a_first_epoch_without_a_step_is_an_error_and_publishes_nothing(root):
    path = root / layout.manifest_path("train")
    manifests.write(path, [type(one)(one.audio_filepath, one.duration, "好" * 99) for one in Manifest(path)])
    with pytest.raises(
        UserError, match=r"^epoch 1 has no step: none of its 14 utterances can be used, as the log says"
    ):
        session.train(settings(0.05, save_interval=1))
    assert not (root / "models").exists()
    assert not list(root.glob(".ds2/autosave/*/*/state.json"))


def test_a_later_epoch_without_a_step_leaves_those_before_it(root, tmp_path):
    watcher = tiny.acting_at(BATCHES, lambda: unmount(root))
    with pytest.raises(UserError, match=r"^epoch 2 has no step"):
        tiny.train(root, tmp_path, settings(1.0, num_epoch=3, save_interval=1), watcher=watcher)
    assert states(tmp_path) == []
    assert published(tmp_path) == ["best_model", "epoch_1"]


def test_an_epoch_that_was_stopped_after_its_only_steps_ends(root, tmp_path):
    chosen = settings(1.0)

    def stop():
        unmount(root)
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(UserError, match="after 0 epochs and 2 batches"):
        tiny.train(root, tmp_path, chosen, watcher=tiny.acting_at(2, stop))
    trainer = tiny.train(root, tmp_path, chosen)
    assert (trainer.epoch, trainer.step, trainer.history.most_unreadable) == (1, 2, 6)


def test_before_the_first_step_of_an_epoch_no_state_within_it_is_saved(root, tmp_path):
    lost = by_length(root)[:4]
    for path in lost:
        path.unlink()

    def stop(message):
        if str(lost[0]) in message:
            signal.raise_signal(signal.SIGTERM)

    sink = logger.add(stop, level="WARNING", catch=False)
    try:
        with pytest.raises(UserError, match="SIGTERM; the state after 0 epochs and 2 batches"):
            tiny.train(root, tmp_path, settings(0.3, save_interval=1))
    finally:
        logger.remove(sink)
    assert states(tmp_path) == [(0, 2)]
