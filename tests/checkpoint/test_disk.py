import errno
import json
import os
import shutil

import numpy as np
import paddle
import pytest

from ds2 import files, params
from ds2.checkpoint import disk, trained, weights
from ds2.checkpoint.disk import DamagedError, State
from ds2.data.mean_istd import MeanIstd
from ds2.data.vocabulary import Vocabulary
from ds2.errors import UserError
from ds2.model.deepspeech2 import DeepSpeech2
from ds2.training.step import ctc_losses
from tests.training import tiny

pytestmark = pytest.mark.wheel

FILES = ("model.safetensors", "optimizer.safetensors", "state.json", "vocabulary.txt", "mean_istd.json")
BUFFERS = ("running_mean", "running_var", "steps")
SETTINGS = tiny.settings()
MELS = SETTINGS.features.num_mel_bins
VOCABULARY = Vocabulary.of(["你好 a"])


def statistics():
    random = np.random.default_rng(2)
    return MeanIstd(random.normal(0, 1, MELS), random.uniform(0.5, 2, MELS), 1234, 5, SETTINGS.features)


def fresh():
    """A model and its optimiser."""
    model = DeepSpeech2(SETTINGS.model, MELS, len(VOCABULARY))
    return model, paddle.optimizer.Adam(learning_rate=1e-2, parameters=model.parameters())


def arrays(model, optimizer):
    return weights.of(model), weights.moments(optimizer, model)


def learn(model, optimizer, steps):
    """Trains on batches that the number of the step decides."""
    model.train()
    for step in steps:
        paddle.seed(step)
        batch = tiny.random_batch([40, 25, 61], MELS, len(VOCABULARY), seed=step)
        logits, count = model(paddle.to_tensor(batch.features), paddle.to_tensor(batch.frames))
        ctc_losses(logits, count, batch).mean().backward()
        optimizer.step()
        optimizer.clear_grad()


def state(epoch=1, batch=0):
    history = {"steps": [], "epochs": [], "since_point": {}, "since_epoch": {}}
    return State(epoch, batch, 8 * epoch + batch, "f" * 64, SETTINGS.model_dump(mode="json"), history)


def outputs(model):
    model.eval()
    batch = tiny.random_batch([33, 60], MELS, len(VOCABULARY), seed=99)
    with paddle.no_grad():
        return model(paddle.to_tensor(batch.features), paddle.to_tensor(batch.frames))[0].numpy()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A checkpoint and the model that is in it."""
    paddle.seed(1)
    model, optimizer = fresh()
    learn(model, optimizer, range(3))
    folder = tmp_path_factory.mktemp("written") / "epoch_1"
    disk.write(folder, *arrays(model, optimizer), VOCABULARY, statistics(), state())
    return folder, model


@pytest.fixture
def copied(written, tmp_path):
    """A copy of that checkpoint, to be spoilt."""
    return shutil.copytree(written[0], tmp_path / "epoch_1")


def damage(path, how):
    content = path.read_bytes()
    middle = len(content) // 2
    spoilt = {
        "truncated": content[:-2],  # the last byte of state.json is a newline that says nothing
        "emptied": b"",
        "zeroed": bytes(len(content)),
        "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "lengthened": content + b"\0",
    }[how]
    path.write_bytes(spoilt)


def test_a_loaded_checkpoint_gives_the_same_outputs_to_the_last_bit(written):
    folder, model = written
    loaded = trained.load(folder)
    assert np.array_equal(outputs(loaded.model), outputs(model))
    assert tiny.same_bits(tiny.weights(loaded.model), tiny.weights(model))


def test_a_state_that_is_written_before_any_step_holds_the_optimiser_that_was_restored(written, tmp_path):
    model, optimizer = fresh()
    weights.restore_model(written[0], model)
    weights.restore_optimizer(written[0], optimizer, model)
    disk.write(tmp_path / "again", *arrays(model, optimizer), VOCABULARY, statistics(), state())
    assert tiny.same_bits(tiny.saved(tmp_path / "again"), tiny.saved(written[0]))


def test_a_loaded_checkpoint_brings_its_vocabulary_statistics_and_parameters(written):
    loaded = trained.load(written[0])
    assert loaded.vocabulary == VOCABULARY
    assert np.array_equal(loaded.statistics.mean, statistics().mean)
    assert np.array_equal(loaded.statistics.istd, statistics().istd)
    assert loaded.statistics.features == SETTINGS.features
    assert loaded.params == SETTINGS
    assert loaded.state == state()
    assert not loaded.model.training


def test_a_checkpoint_consists_of_the_files_that_the_design_names(written):
    assert {path.name for path in written[0].iterdir()} == set(FILES)
    assert [path.name for path in written[0].parent.iterdir()] == ["epoch_1"]


def test_everybody_may_read_it_who_may_read_a_new_file_here(written, tmp_path):
    (tmp_path / "new").touch()
    assert {path.stat().st_mode for path in written[0].iterdir()} == {(tmp_path / "new").stat().st_mode}


def test_arrays_that_are_not_contiguous_are_written_as_they_are(tmp_path):
    values = {"a": np.arange(6, dtype=np.float32).reshape(2, 3).T, "b": np.float32([1, 2, 3, 4])[::2]}
    disk.write(tmp_path / "epoch_1", values, {}, VOCABULARY, statistics(), state())
    assert tiny.same_bits(disk.read_arrays(tmp_path / "epoch_1" / "model.safetensors"), values)


@pytest.mark.parametrize("others", [0, 1, 3])
def test_training_on_after_restoring_equals_undisturbed_training_to_the_last_bit(others, tmp_path):
    paddle.seed(1)
    model, optimizer = fresh()
    learn(model, optimizer, range(3))
    disk.write(tmp_path / "epoch_1", *arrays(model, optimizer), VOCABULARY, statistics(), state())
    learn(model, optimizer, range(3, 6))

    for _ in range(others):  # paddle numbers the layers of a process: theirs are now called otherwise
        learn(*fresh(), range(2))
    again, its_optimizer = fresh()
    weights.restore_model(tmp_path / "epoch_1", again)
    weights.restore_optimizer(tmp_path / "epoch_1", its_optimizer, again)
    learn(again, its_optimizer, range(3, 6))
    assert tiny.same_bits(tiny.weights(again), tiny.weights(model))

    for name, one, other in (("a", model, optimizer), ("b", again, its_optimizer)):
        disk.write(tmp_path / name, *arrays(one, other), VOCABULARY, statistics(), state())
    assert tiny.same_bits(tiny.saved(tmp_path / "a"), tiny.saved(tmp_path / "b"))


def test_without_the_optimisers_state_training_on_is_another_training(tmp_path):
    # Else the test above would prove nothing.
    paddle.seed(1)
    model, optimizer = fresh()
    learn(model, optimizer, range(3))
    disk.write(tmp_path / "epoch_1", *arrays(model, optimizer), VOCABULARY, statistics(), state())
    learn(model, optimizer, range(3, 6))
    again, its_optimizer = fresh()
    weights.restore_model(tmp_path / "epoch_1", again)
    learn(again, its_optimizer, range(3, 6))
    assert not tiny.same_bits(tiny.weights(again), tiny.weights(model))


def test_the_optimisers_file_holds_two_moments_of_every_weight(written):
    folder, model = written
    values = disk.read_arrays(folder / "optimizer.safetensors")
    for name, parameter in model.named_parameters():
        moments = [key for key in values if key.startswith(f"{name}/") and "moment" in key]
        assert len(moments) >= 2
        assert all(list(values[key].shape) == parameter.shape for key in moments)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["truncated", "emptied", "zeroed", "flipped", "lengthened"])
def test_damage_to_any_file_is_noticed(name, how, copied):
    disk.read_state(copied)
    damage(copied / name, how)
    with pytest.raises(DamagedError, match=name):
        disk.read_state(copied)


def test_a_flipped_bit_anywhere_in_the_state_is_noticed(copied):
    path = copied / "state.json"
    content = path.read_bytes()
    for place in range(0, len(content), 11):
        path.write_bytes(content[:place] + bytes([content[place] ^ 2]) + content[place + 1 :])
        with pytest.raises(DamagedError):
            disk.read_state(copied)


@pytest.mark.parametrize("content", [b"[]", b"null", b"1", b'"text"', b"{}", b'{"checksum": null}', b"\xff\xfe"])
def test_a_state_that_is_another_file_altogether_is_noticed(content, copied):
    (copied / "state.json").write_bytes(content)
    with pytest.raises(DamagedError, match=r"state\.json"):
        disk.read_state(copied)


@pytest.mark.parametrize("name", [name for name in FILES if name != "optimizer.safetensors"])
def test_a_missing_file_is_noticed(name, copied):
    (copied / name).unlink()
    with pytest.raises(DamagedError, match=f"{name} is missing"):
        disk.read_state(copied)


def test_recognition_does_not_need_the_optimiser(copied, written):
    assert disk.resumable(copied)
    (copied / "optimizer.safetensors").unlink()
    assert not disk.resumable(copied)
    assert np.array_equal(outputs(trained.load(copied).model), outputs(written[1]))


def test_loading_a_missing_checkpoint_is_one_sentence_that_names_it(tmp_path):
    with pytest.raises(UserError) as error:
        trained.load(tmp_path / "epoch_7")
    assert str(tmp_path / "epoch_7") in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", FILES)
def test_loading_a_damaged_checkpoint_is_one_sentence_that_names_folder_and_file(name, copied):
    damage(copied / name, "flipped")
    with pytest.raises(UserError) as error:
        trained.load(copied)
    assert str(copied) in str(error.value)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_a_checkpoint_of_a_newer_format_is_refused_by_one_sentence(copied):
    path = copied / "state.json"
    values = json.loads(path.read_text())
    values["format"] += 1
    del values["checksum"]
    path.write_text(json.dumps(values | {"checksum": disk._checksum(values)}))
    with pytest.raises(UserError, match="version"):
        trained.load(copied)


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors"])
@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EACCES])
def test_a_write_that_fails_leaves_the_old_checkpoint_and_nothing_else(file, reason, copied, monkeypatch):
    before, save = contents(copied), disk.save_file

    def fail(values, path):
        if path.name == file:
            path.write_bytes(b"half of it")
            raise OSError(reason, "No space left on device")
        save(values, path)

    monkeypatch.setattr(disk, "save_file", fail)
    with pytest.raises(UserError, match="No space left on device") as error:
        disk.write(copied, *arrays(*fresh()), VOCABULARY, statistics(), state(epoch=2))
    assert str(copied) in str(error.value)
    assert contents(copied) == before
    assert [path.name for path in copied.parent.iterdir()] == ["epoch_1"]


@pytest.mark.parametrize(
    ("error", "told"), [(OSError(errno.EIO, "Input/output error"), UserError), (KeyboardInterrupt(), KeyboardInterrupt)]
)
def test_a_failure_between_the_two_renames_puts_the_old_checkpoint_back(error, told, copied, monkeypatch):
    before, rename = contents(copied), os.rename

    def fail(source, target):
        if str(source).endswith(".tmp"):
            raise error
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(told):
        disk.write(copied, *arrays(*fresh()), VOCABULARY, statistics(), state(epoch=2))
    assert contents(copied) == before
    assert [path.name for path in copied.parent.iterdir()] == ["epoch_1"]


def test_the_old_checkpoint_stands_until_the_new_one_is_complete(copied, monkeypatch):
    seen, flush = [], files._flush

    def watch(path):
        seen.append(disk.read_state(copied).epoch)
        flush(path)

    monkeypatch.setattr(files, "_flush", watch)
    disk.write(copied, *arrays(*fresh()), VOCABULARY, statistics(), state(epoch=2))
    assert seen[:-1] == [1] * (len(FILES) + 1)  # five files and their folder reach the disk before the name changes
    assert seen[-1] == 2


def test_what_a_killed_write_has_left_does_not_disturb_the_next_one(copied):
    for name in (".epoch_1.tmp", ".epoch_1.old"):
        shutil.copytree(copied, copied.with_name(name))
        (copied.with_name(name) / "rubbish").write_text("rubbish")
    disk.write(copied, *arrays(*fresh()), VOCABULARY, statistics(), state(epoch=2))
    assert disk.read_state(copied).epoch == 2
    assert {path.name for path in copied.iterdir()} == set(FILES)
    assert [path.name for path in copied.parent.iterdir()] == ["epoch_1"]


@pytest.mark.parametrize("with_optimizer", [True, False])
def test_a_second_place_holds_the_same_files(with_optimizer, copied):
    other = copied.parent / "models" / "epoch_1"
    disk.duplicate(copied, other, with_optimizer)
    kept = {
        name: value for name, value in contents(copied).items() if with_optimizer or name != "optimizer.safetensors"
    }
    assert contents(other) == kept
    assert disk.resumable(other) == with_optimizer
    disk.read_state(other)


def test_a_second_place_outlives_the_first(copied, written):
    other = copied.parent / "best_model"
    disk.duplicate(copied, other, to_resume=False)
    disk.write(copied, *arrays(*fresh()), VOCABULARY, statistics(), state(epoch=2))
    shutil.rmtree(copied)
    assert np.array_equal(outputs(trained.load(other).model), outputs(written[1]))


@pytest.mark.filterwarnings("ignore:Skip loading")
@pytest.mark.parametrize("change", [{"num_rnn_layers": 2}, {"rnn_layer_size": 25}, {"conv_channels": 5}])
def test_weights_of_another_architecture_are_refused_by_one_sentence(change, copied):
    other = params.from_dict({"model": tiny.MODEL | change}).model
    with pytest.raises(UserError, match="architecture") as error:
        weights.restore_model(copied, DeepSpeech2(other, MELS, len(VOCABULARY)))
    assert str(copied) in str(error.value)


def test_states_are_ordered_by_epoch_then_batch():
    ordered = [(1, 0), (1, 7), (2, 0), (10, 1)]
    assert [state(*place).position for place in ordered] == sorted(state(*place).position for place in ordered)
    assert state(9, 1).position < state(10, 0).position


def test_every_array_is_written_once(tmp_path):
    model, optimizer = fresh()
    disk.write(tmp_path / "epoch_1", *arrays(model, optimizer), VOCABULARY, statistics(), state())
    saved = disk.read_arrays(tmp_path / "epoch_1" / "model.safetensors")
    buffers = sum(int(np.prod(value.shape)) for name, value in saved.items() if name.split(".")[-1] in BUFFERS)
    total = sum(int(np.prod(value.shape)) for value in saved.values())
    assert total - buffers == sum(int(parameter.size) for parameter in model.parameters())
