import fcntl
import os
import shutil
import threading

import numpy as np
import paddle
import pytest

from ds2.checkpoint import disk, trained, weights
from ds2.checkpoint.disk import State
from ds2.data.mean_istd import MeanIstd
from ds2.data.vocabulary import Vocabulary
from ds2.errors import UserError
from ds2.model.deepspeech2 import DeepSpeech2
from ds2.pipeline import cache
from ds2.reporting.history import Choice
from ds2.training.store import Store
from tests.pipeline.running import until
from tests.training import tiny

pytestmark = pytest.mark.wheel

SETTINGS = tiny.settings({"rnn_layer_size": 2, "conv_channels": 1})
MELS = SETTINGS.features.num_mel_bins
VOCABULARY = Vocabulary.of(["ab"])
STATISTICS = MeanIstd(np.zeros(MELS), np.ones(MELS), 1, 1, SETTINGS.features)
MARK = "a" * 64
BATCHES = 10  # in an epoch


@pytest.fixture(scope="module")
def network():
    """A model that has been trained a step, so that its optimiser has a state."""
    model = DeepSpeech2(SETTINGS.model, MELS, len(VOCABULARY))
    optimizer = paddle.optimizer.Adam(learning_rate=1e-3, parameters=model.parameters())
    logits, _ = model(paddle.ones([1, 6, MELS]), paddle.to_tensor([6], dtype="int64"))
    logits.sum().backward()
    optimizer.step()
    return model, optimizer


def ranked(last, best):
    """The epochs up to the last: the best, then the latest first."""
    return choices(best, *(epoch for epoch in range(last, 0, -1) if epoch != best))


def choices(*epochs):
    """The epochs' own weights."""
    return [Choice(epoch) for epoch in epochs]


class Training:
    """What a trainer does to its store; an epoch's weights can be told by their bias."""

    def __init__(self, place, network, keep=3, mark=MARK, autosave=None):
        place.mkdir(exist_ok=True)
        self.autosave, self.models, self.mark = autosave or place / "autosave", place / "models", mark
        self.own = self.autosave / mark[:16]
        self.network = network
        self.store = Store(self.autosave, self.models, mark, keep)
        with self.store.locked():
            pass

    def save(self, folder, epoch, batch=0):
        model, optimizer = self.network
        model.output.bias.set_value(paddle.full([len(VOCABULARY)], float(epoch)))
        state = State(epoch, batch, epoch * BATCHES + batch, self.mark, SETTINGS.model_dump(mode="json"), {})
        disk.write(folder, weights.of(model), weights.moments(optimizer, model), VOCABULARY, STATISTICS, state)
        self.store.tidy(folder)

    def stop_within(self, epoch, batch):
        """Saves in the middle of the epoch after `epoch`."""
        self.save(self.store.step_folder(epoch * BATCHES + batch), epoch, batch)

    def epochs(self, first, last, best=None):
        """Saves and publishes epochs; the best is `best`, else the latest."""
        for epoch in range(first, last + 1):
            self.save(self.store.epoch_folder(epoch), epoch)
            self.store.publish(epoch, ranked(epoch, best if best and best <= epoch else epoch))
        return self


@pytest.fixture
def training(tmp_path, network):
    return Training(tmp_path, network)


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def epoch_in(folder):
    """The epoch whose weights a checkpoint really holds, after a check of all its hashes."""
    loaded = trained.load(folder)
    assert float(loaded.model.output.bias[0]) == loaded.state.epoch
    return loaded.state.epoch


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def position(store, num_epoch=100):
    found = store.furthest(num_epoch)
    return None if found is None else found[1].position


def spoil(path):
    """Damages a file in its place: all hard links of it with it."""
    with open(path, "r+b") as file:
        file.write(b"\0\0\0\0")


def spoil_everywhere(training, name):
    """Damages a file in the autosave and in models/."""
    for place in (training.own, training.models):
        spoil(place / name)


@pytest.mark.parametrize("keep", [1, 2, 3, 5])
def test_the_last_epochs_stay_and_the_best(keep, tmp_path, network):
    training = Training(tmp_path, network, keep).epochs(1, 6, best=2)
    kept = [f"epoch_{epoch}" for epoch in range(7 - keep, 7)]
    assert names(training.models) == ["best_model", *kept]
    assert [epoch_in(training.models / name) for name in kept] == list(range(7 - keep, 7))
    assert epoch_in(training.models / "best_model") == 2


def test_before_that_many_epochs_all_stay(training):
    assert names(training.epochs(1, 2).models) == ["best_model", "epoch_1", "epoch_2"]


def test_the_best_is_never_lost(training):
    for epoch in range(1, 9):
        training.epochs(epoch, epoch, best=1)
        assert epoch_in(training.models / "best_model") == 1
    training.epochs(9, 9, best=9)
    assert epoch_in(training.models / "best_model") == 9


def test_epochs_are_ordered_as_numbers(training):
    assert names(training.epochs(8, 11).models) == ["best_model", "epoch_10", "epoch_11", "epoch_9"]
    assert position(training.store) == (11, 0)


def test_only_the_newest_published_epoch_has_its_optimiser(training):
    for epoch in range(1, 6):
        training.epochs(epoch, epoch, best=2)
        assert [path.parent.name for path in training.models.rglob("optimizer.safetensors")] == [f"epoch_{epoch}"]


def test_the_autosave_holds_no_more_than_two_states_with_optimisers_after_an_epoch(training):
    training.epochs(1, 6)
    assert len(list(training.own.rglob("optimizer.safetensors"))) == 2


def test_publishing_again_changes_nothing(training):
    def seen():
        return {
            str(path): (path.stat().st_ino, path.stat().st_mtime_ns)
            for path in training.models.parent.rglob("*")
            if path.is_file()
        }

    training.epochs(1, 5, best=3)
    before, files = contents(training.models), seen()
    training.store.publish(5, ranked(5, 3))
    assert contents(training.models) == before
    assert seen() == files


def test_an_interrupted_publication_is_made_good_by_the_next(training):
    training.epochs(1, 4, best=2)
    whole = contents(training.models)
    shutil.rmtree(training.models / "epoch_4")
    shutil.copytree(training.models / "epoch_3", training.models / ".epoch_4.tmp")
    shutil.copytree(training.models / "epoch_3", training.models / "epoch_1")
    training.store.publish(4, ranked(4, 2))
    assert contents(training.models) == whole


@pytest.mark.parametrize("name", ["model.safetensors", "state.json", "vocabulary.txt"])
@pytest.mark.parametrize("folder", ["best_model", "epoch_3"])
def test_a_published_file_that_is_lost_comes_back(folder, name, training):
    training.epochs(1, 4, best=2)
    whole = contents(training.models)
    (training.models / folder / name).unlink()
    training.store.publish(4, ranked(4, 2))
    assert contents(training.models) == whole


def test_a_published_file_that_is_replaced_by_rubbish_comes_back(training):
    training.epochs(1, 4, best=2)
    whole = contents(training.models)
    rubbish = training.models / "best_model" / "model.safetensors"
    rubbish.unlink()
    rubbish.write_bytes(b"rubbish")
    training.store.publish(4, ranked(4, 2))
    assert contents(training.models) == whole


def test_a_best_model_damaged_in_every_place_is_said_and_the_last_epoch_takes_its_place(training, warnings):
    training.epochs(1, 5, best=1)
    spoil_everywhere(training, "best_model/model.safetensors")
    training.store.furthest(5)  # a run's first look
    training.store.publish(5, ranked(5, 1))
    assert any(str(training.own / "best_model") in message and "model.safetensors" in message for message in warnings)
    assert any("the best model, epoch 1, is not kept any more" in message for message in warnings)
    assert epoch_in(training.models / "best_model") == 5


def test_of_the_epochs_whose_weights_are_kept_the_best_takes_the_place_of_one_that_is_lost(training, warnings):
    training.epochs(1, 6, best=2)  # kept: 2, 4, 5, 6
    for order, epoch in (([3, 5, 2, 1, 6, 4], 5), ([3, 1, 5, 6, 4, 2], 5), ([4, 3, 5, 6, 1, 2], 4), ([4, 6], 4)):
        assert training.store.publish(6, choices(*order)) == Choice(epoch)
        assert epoch_in(training.models / "best_model") == epoch
    assert warnings == ["the best model, epoch 3, is not kept any more: epoch 5 takes its place"]


def test_a_best_epoch_is_not_taken_from_a_damaged_state(training, warnings):
    training.epochs(1, 4, best=4)
    spoil(training.own / "epoch_3" / "model.safetensors")
    training.store.publish(4, choices(3, 2, 4, 1))
    assert epoch_in(training.models / "best_model") == 2
    assert any(str(training.own / "epoch_3") in message for message in warnings)


def test_a_best_model_that_was_lost_does_not_end_the_training(training):
    training.epochs(1, 5, best=1)
    spoil_everywhere(training, "best_model/model.safetensors")
    for _ in range(2):  # the run that sees the damage, and one that is to make more epochs
        assert position(training.store, 8) == (5, 0)
        training.store.refuse_unkept(5, 8, ranked(5, 1))
        training.store.publish(5, ranked(5, 1))
    training.epochs(6, 8, best=7)
    assert epoch_in(training.models / "best_model") == 7


def test_a_second_interruption_while_the_best_epoch_is_trained_anew_ends_nothing(training):
    training.epochs(1, 6, best=6)
    spoil_everywhere(training, "epoch_6/optimizer.safetensors")
    for _ in range(2):
        assert position(training.store, 6) == (5, 0)
        training.store.refuse_unkept(5, 6, ranked(5, 1))  # the first epoch is not kept: the sixth was better
        training.store.publish(5, ranked(5, 1))
    training.epochs(6, 6, best=6)
    assert epoch_in(training.models / "best_model") == 6


@pytest.mark.parametrize("done", [5, 6])
def test_neither_damage_nor_an_equal_choice_lets_another_metric_choose_among_what_is_left(done, training):
    training.epochs(1, 6, best=6)
    by_wer = [Choice(epoch, False, "wer", rate / 10) for rate, epoch in enumerate((1, done))]
    with pytest.raises(
        UserError, match=r"the best model of the first . epochs, epoch 1 \(WER 0.00000\), is not kept any more"
    ):
        training.store.refuse_unkept(done, 6, by_wer)


def test_the_model_that_dvc_checkout_has_brought_back_is_used(training, tmp_path):
    training.epochs(1, 6, best=2)
    shutil.copytree(training.models, tmp_path / "recorded")
    whole = contents(training.models)
    training.store.publish(6, choices(5, 6, 4))  # as with another metrics_type
    shutil.rmtree(training.models)
    shutil.copytree(tmp_path / "recorded", training.models)
    assert position(training.store) == (6, 0)
    training.store.refuse_unkept(6, 6, ranked(6, 2))
    training.store.publish(6, ranked(6, 2))
    assert contents(training.models) == whole
    spoil(training.models / "best_model" / "model.safetensors")
    assert epoch_in(training.own / "best_model") == 2


def test_a_model_of_another_training_in_models_is_not_taken_for_ones_own(training, tmp_path, network):
    training.epochs(1, 6, best=5)
    Training(tmp_path, network, mark="b" * 64).epochs(1, 2, best=1)
    training.store.publish(6, ranked(6, 1))
    assert disk.read_state(training.models / "best_model").fingerprint == MARK


@pytest.mark.parametrize("lost", [True, False])
def test_with_no_epochs_weights_left_the_training_goes_on_within_the_next(lost, training, warnings):
    training.epochs(1, 1)
    training.stop_within(1, 3)
    for name in ("epoch_1", "best_model"):
        spoil_everywhere(training, f"{name}/model.safetensors")
    if lost:
        shutil.rmtree(training.own / "epoch_1")
    assert position(training.store) == (1, 3)
    training.store.publish(1, ranked(1, 1))
    assert not (training.own / "best_model").exists()
    assert any("until the next epoch ends" in message for message in warnings)
    training.epochs(2, 2)
    assert epoch_in(training.models / "best_model") == 2


@pytest.mark.parametrize("left", [".epoch_4.tmp", ".epoch_4.old", ".step_33.tmp", ".best_model.old"])
def test_what_a_kill_has_left_is_gone_after_the_next_start(left, training):
    training.epochs(1, 3)
    for place in (training.own, training.models):
        shutil.copytree(training.own / "epoch_3", place / left)
    with training.store.locked():
        training.epochs(4, 4)
    assert not (training.own / left).exists()
    assert not (training.models / left).exists()


def test_a_state_is_removed_at_once_or_not_at_all(training, monkeypatch):
    training.epochs(1, 3)
    unlink, removed = os.unlink, []

    def die(path, *rest, **options):
        removed.append(path)
        if len(removed) > 3:
            raise KeyboardInterrupt
        unlink(path, *rest, **options)

    monkeypatch.setattr(os, "unlink", die)
    with pytest.raises(KeyboardInterrupt):
        disk.remove_folder(training.own / "epoch_3")
    monkeypatch.undo()
    for folder in [*training.own.iterdir(), *training.models.iterdir()]:
        if folder.is_dir() and not folder.name.startswith("."):
            disk.read_state(folder)


def test_epochs_adopted_from_models_after_a_kill_do_not_stay_for_ever(training):
    training.epochs(1, 3)
    training.save(training.store.epoch_folder(4), 4)  # and killed before it was published
    shutil.rmtree(training.own / "epoch_1")
    assert position(training.store) == (4, 0)
    training.store.publish(4, ranked(4, 4))
    assert names(training.own) == ["best_model", "epoch_2", "epoch_3", "epoch_4"]


def test_other_files_in_models_are_left_alone(training):
    training.epochs(1, 1)
    (training.models / ".gitignore").write_text("/epoch_1")
    (training.models / "mine").mkdir()
    (training.models / ".mine").mkdir()
    (training.models / "mine" / "notes.txt").write_text("mine")
    training.epochs(2, 5)
    assert (training.models / ".gitignore").read_text() == "/epoch_1"
    assert (training.models / "mine" / "notes.txt").read_text() == "mine"
    assert (training.models / ".mine").is_dir()


def test_without_any_state_there_is_nothing_to_go_on_from(training):
    assert training.store.furthest(100) is None


def test_deleted_models_come_back_from_the_autosave(training):
    training.epochs(1, 5, best=2)
    whole = contents(training.models)
    shutil.rmtree(training.models)
    assert position(training.store) == (5, 0)
    training.store.publish(5, ranked(5, 2))
    assert contents(training.models) == whole


def test_models_that_were_rolled_back_come_forward_again(training, tmp_path):
    training.epochs(1, 2, best=2)
    shutil.copytree(training.models, tmp_path / "recorded")
    training.epochs(3, 5, best=2)
    whole = contents(training.models)
    shutil.rmtree(training.models)
    shutil.copytree(tmp_path / "recorded", training.models)
    assert position(training.store) == (5, 0)
    training.store.publish(5, ranked(5, 2))
    assert contents(training.models) == whole


def test_a_deleted_autosave_is_adopted_from_models(training, tmp_path, network):
    training.epochs(1, 5, best=2)
    whole = contents(training.models)
    shutil.rmtree(training.autosave)
    again = Training(tmp_path, network)
    assert position(again.store) == (5, 0)
    again.store.publish(5, ranked(5, 2))
    assert contents(again.models) == whole
    again.epochs(6, 8, best=2)
    assert epoch_in(again.models / "best_model") == 2
    assert names(again.models) == ["best_model", "epoch_6", "epoch_7", "epoch_8"]


def test_models_that_are_ahead_of_the_autosave_are_used(training, tmp_path, network):
    training.epochs(1, 2)
    shutil.copytree(training.autosave, tmp_path / "before")
    training.epochs(3, 4)
    shutil.rmtree(training.autosave)
    shutil.copytree(tmp_path / "before", training.autosave)
    again = Training(tmp_path, network)
    assert position(again.store) == (4, 0)


def test_a_state_in_the_middle_of_an_epoch_is_further_than_the_epoch_before(training):
    training.epochs(1, 2)
    training.stop_within(2, 3)
    training.stop_within(2, 7)
    assert position(training.store) == (2, 7)
    training.epochs(3, 3)
    assert position(training.store) == (3, 0)
    assert not [name for name in names(training.own) if name.startswith("step_")]


def test_states_in_the_middle_of_an_epoch_are_not_published_and_not_piled_up(training):
    training.epochs(1, 1)
    before = contents(training.models)
    for batch in range(1, 8):
        training.stop_within(1, batch)
    assert contents(training.models) == before
    assert names(training.own) == ["best_model", "epoch_1", "step_16", "step_17"]


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json", "vocabulary.txt"])
def test_a_damaged_epoch_falls_back_on_the_one_before(name, training):
    training.epochs(1, 4)
    spoil_everywhere(training, f"epoch_4/{name}")
    assert position(training.store) == (3, 0)


def test_a_damaged_state_in_the_middle_of_an_epoch_falls_back_on_the_one_before(training):
    training.epochs(1, 1)
    training.stop_within(1, 3)
    training.stop_within(1, 6)
    spoil(training.own / "step_16" / "model.safetensors")
    assert position(training.store) == (1, 3)
    spoil(training.own / "step_13" / "optimizer.safetensors")
    assert position(training.store) == (1, 0)


def test_at_a_start_every_state_is_read_once_and_a_damaged_one_named_once(training, warnings, monkeypatch):
    training.epochs(1, 4, best=2)
    training.stop_within(4, 3)
    spoil_everywhere(training, "epoch_4/model.safetensors")
    read, real = [], disk.read_state

    def reading(folder):
        read.append(folder)
        return real(folder)

    monkeypatch.setattr(disk, "read_state", reading)
    assert position(training.store) == (4, 3)
    own = [training.own / name for name in ("best_model", "epoch_2", "epoch_3", "epoch_4", "step_43")]
    assert sorted(read) == sorted([*own, training.models / "epoch_4"])
    assert [message.split(" is ")[0] for message in warnings] == [
        str(place / "epoch_4") for place in (training.own, training.models)
    ]


def test_an_epoch_without_its_optimiser_is_not_gone_on_with_but_can_be_the_last(training, tmp_path, network):
    training.epochs(1, 4)
    shutil.rmtree(training.autosave)
    spoil(training.models / "epoch_4" / "model.safetensors")
    again = Training(tmp_path, network)
    assert position(again.store) is None
    assert position(again.store, 3) == (3, 0)


def test_training_goes_on_over_a_damaged_epoch_and_publishes_it_anew(training):
    training.epochs(1, 4, best=2)
    spoil_everywhere(training, "epoch_4/model.safetensors")
    assert position(training.store) == (3, 0)
    training.epochs(4, 5, best=2)
    assert [epoch_in(training.models / name) for name in names(training.models)] == [2, 3, 4, 5]


def test_an_epoch_that_is_damaged_in_the_autosave_only_is_taken_from_models(training):
    training.epochs(1, 4)
    spoil(training.own / "epoch_4" / "model.safetensors")
    assert position(training.store) == (4, 0)


def test_what_happens_to_published_files_happens_to_none_of_the_autosave(training, tmp_path, network):
    training.epochs(1, 4, best=2)
    before = contents(training.autosave)
    for path in training.models.rglob("*.*"):  # as DVC's cache may, whose files those of models/ are with hard links
        path.chmod(0o600)
        spoil(path)
    assert contents(training.autosave) == before
    taken = Training(tmp_path / "another machine", network)
    taken.epochs(1, 4)
    shutil.rmtree(taken.autosave)
    assert position(Training(tmp_path / "another machine", network).store) == (4, 0)
    before = contents(taken.autosave)
    for path in taken.models.rglob("*.*"):
        spoil(path)
    assert contents(taken.autosave) == before


def test_other_trainings_states_are_not_used(training, tmp_path, network):
    training.epochs(1, 3)
    training.stop_within(3, 2)
    other = Training(tmp_path, network, mark="b" * 64)
    assert other.store.furthest(100) is None


def test_models_then_become_the_image_of_the_new_training(training, tmp_path, network):
    training.epochs(1, 5, best=1)
    Training(tmp_path, network, mark="b" * 64).epochs(1, 2)
    assert names(training.models) == ["best_model", "epoch_1", "epoch_2"]
    for name in names(training.models):
        assert trained.load(training.models / name).state.fingerprint == "b" * 64


def test_an_earlier_training_is_taken_up_again_where_it_was(training, tmp_path, network):
    training.epochs(1, 5, best=1)
    whole = contents(training.models)
    Training(tmp_path, network, mark="b" * 64).epochs(1, 2)
    assert position(training.store) == (5, 0)
    training.store.publish(5, ranked(5, 1))
    assert contents(training.models) == whole


@pytest.mark.parametrize("num_epoch", [4, 3, 2])
def test_a_lowered_number_of_epochs_takes_that_epoch_if_it_is_kept(num_epoch, training):
    training.epochs(1, 4)
    training.stop_within(4, 5)
    assert f"epoch_{num_epoch}" in names(training.models)
    assert position(training.store, num_epoch) == (num_epoch, 0)


def test_after_a_lowered_number_of_epochs_models_show_no_later_ones(training):
    training.epochs(1, 4, best=1)
    training.store.publish(3, ranked(3, 1))
    assert names(training.models) == ["best_model", "epoch_2", "epoch_3"]
    assert epoch_in(training.models / "best_model") == 1


def test_after_the_number_is_raised_again_the_later_ones_are_back(training):
    training.epochs(1, 4, best=1)
    whole = contents(training.models)
    training.store.publish(3, ranked(3, 1))
    assert position(training.store, 4) == (4, 0)
    training.store.publish(4, ranked(4, 1))
    assert contents(training.models) == whole


def test_the_best_of_a_longer_training_is_back_when_the_number_is_raised_again(training):
    training.epochs(1, 8, best=4)
    whole = contents(training.models)
    training.epochs(1, 2)
    training.store.publish(8, ranked(8, 4))
    assert contents(training.models) == whole


def test_the_best_of_each_longer_training_is_back_after_the_number_was_lowered_twice(training):
    training.epochs(1, 8, best=4)
    longest = contents(training.models)
    training.epochs(1, 3, best=2)
    training.epochs(1, 1)
    training.epochs(1, 3, best=2)
    assert epoch_in(training.models / "best_model") == 2
    training.store.publish(8, ranked(8, 4))
    assert contents(training.models) == longest
    assert not [name for name in names(training.own) if name.startswith("later")]


def test_a_damaged_best_of_a_longer_training_is_not_published(training, warnings):
    training.epochs(1, 8, best=4)
    training.epochs(1, 2)
    spoil(training.own / "later_4" / "model.safetensors")
    assert position(training.store, 8) == (8, 0)
    training.store.publish(8, ranked(8, 4))
    assert any(str(training.own / "later_4") in message for message in warnings)
    assert epoch_in(training.models / "best_model") == 8


@pytest.mark.parametrize("keep", [1, 3])
def test_a_training_that_starts_over_does_not_lose_its_first_epochs_to_old_later_ones(keep, tmp_path, network):
    training = Training(tmp_path, network, keep).epochs(1, 6)
    training.epochs(1, 2)  # as where num_epoch was lowered
    assert epoch_in(training.models / "epoch_2") == 2
    assert epoch_in(training.models / "best_model") == 2


def test_a_training_that_starts_over_keeps_its_new_states_within_an_epoch(training):
    training.epochs(1, 4)
    training.stop_within(4, 5)
    training.stop_within(4, 6)
    training.stop_within(0, 5)
    assert (training.own / "step_5").is_dir()


@pytest.fixture
def cached(monkeypatch):
    """DVC's cache has everything."""
    monkeypatch.setattr(cache, "holds", lambda files: True)


def old_trainings(place, network, marks):
    """Trainings of two epochs, the oldest first."""
    for age, mark in enumerate(marks):
        training = Training(place, network, mark=mark * 64)
        training.epochs(1, 2, best=1)
        training.stop_within(2, 5)
        os.utime(training.own, (1_000_000 + age, 1_000_000 + age))


def test_old_trainings_autosaves_that_dvc_has_are_bounded_and_the_latest_stay(tmp_path, network, cached):
    old_trainings(tmp_path, network, "abcdef")
    latest = Training(tmp_path, network, mark="9" * 64)
    assert len(names(latest.autosave)) == 3
    assert {"9" * 16, "f" * 16} <= set(names(latest.autosave))
    assert "a" * 16 not in names(latest.autosave)


def test_of_an_old_training_that_is_nowhere_else_the_furthest_state_and_the_best_stay(tmp_path, network):
    old_trainings(tmp_path, network, "abc")
    latest = Training(tmp_path, network, mark="9" * 64)
    assert names(latest.autosave / ("a" * 16)) == ["best_model", "step_25"]
    assert names(latest.autosave / ("c" * 16)) == ["best_model", "epoch_1", "epoch_2", "step_25"]
    again = Training(tmp_path, network, mark="a" * 64)
    assert position(again.store) == (2, 5)
    assert epoch_in(again.own / "best_model") == 1


def test_the_log_says_how_large_the_autosave_is(tmp_path, network, log):
    old_trainings(tmp_path, network, "ab")
    with open(tmp_path / "autosave" / ("a" * 16) / "rest", "wb") as file:
        file.truncate(3_000_000_000)
    Training(tmp_path, network, mark="9" * 64)
    assert any("has 3.0 GB: states of this and 2 other trainings; removing it" in line for line in log)


def test_states_in_models_that_are_nowhere_else_are_not_removed(tmp_path, network):
    one, other = Training(tmp_path, network).epochs(1, 2), Training(tmp_path, network, mark="b" * 64)
    other.store.refuse_losses()  # the autosave has them
    shutil.rmtree(one.own)
    with pytest.raises(UserError, match=r"models/epoch_1, .*models/epoch_2, .*models/best_model would be removed"):
        other.store.refuse_losses()
    one.store.refuse_losses()  # its own


def test_states_in_models_that_dvc_has_may_go(tmp_path, network, cached):
    one, other = Training(tmp_path, network).epochs(1, 2), Training(tmp_path, network, mark="b" * 64)
    shutil.rmtree(one.own)
    other.store.refuse_losses()


def test_a_training_that_is_taken_up_again_is_among_the_latest(tmp_path, network, cached):
    for age, character in enumerate("abc"):
        training = Training(tmp_path, network, mark=character * 64).epochs(1, 1)
        os.utime(training.own, (1_000_000 + age, 1_000_000 + age))
    again = Training(tmp_path, network, mark="a" * 64)
    Training(tmp_path, network, mark="d" * 64)
    assert names(again.autosave) == ["a" * 16, "c" * 16, "d" * 16]


def test_the_autosave_of_a_running_training_is_never_removed(tmp_path, network, cached):
    running = Training(tmp_path, network, mark="0" * 64)
    running.epochs(1, 1)
    with running.store.locked():
        os.utime(running.own, (1_000_000, 1_000_000))
        for character in "abcdef":
            Training(tmp_path / "b", network, mark=character * 64, autosave=running.autosave)
        assert position(running.store) == (1, 0)


def test_a_second_run_of_the_same_training_waits_for_the_first(tmp_path, network, log):
    first, second = Training(tmp_path, network), Training(tmp_path, network)
    order = []

    def run():
        with second.store.locked():
            order.append("second begins")

    thread = threading.Thread(target=run)
    with first.store.locked():
        thread.start()
        until(lambda: any("waiting" in message for message in log))
        order.append("first ends")
    thread.join(30)
    assert order == ["first ends", "second begins"]


def test_a_run_that_waited_for_one_that_forgot_its_training_works_in_a_folder_that_is_there(tmp_path, network, log):
    training = Training(tmp_path, network)

    def run():
        with training.store.locked():
            training.epochs(1, 1)

    thread = threading.Thread(target=run)
    with open(training.own / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread.start()
        until(lambda: any("waiting" in message for message in log))
        shutil.rmtree(training.own)
    thread.join(30)
    assert not thread.is_alive()
    assert position(training.store) == (1, 0)
    assert (training.own / "lock").exists()


def test_trainings_that_publish_to_other_folders_do_not_wait_for_each_other(tmp_path, network):
    one, other = Training(tmp_path / "a", network), Training(tmp_path / "b", network, mark="b" * 64)
    with one.store.locked(), other.store.locked():
        other.epochs(1, 1)
    assert position(other.store) == (1, 0)


def test_of_two_trainings_that_publish_to_one_folder_the_second_is_refused(tmp_path, network):
    one, other = Training(tmp_path, network), Training(tmp_path, network, mark="b" * 64)
    with one.store.locked():
        with pytest.raises(UserError, match=r"another training runs in .* and writes to models/"), other.store.locked():
            pass
        one.epochs(1, 1)
    with other.store.locked():
        pass
