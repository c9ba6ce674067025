"""A training whose newest state is damaged goes on from the one before, to the same bits."""

import re
import shutil
import subprocess

import pytest

from ds2.checkpoint import disk, trained
from ds2.errors import UserError
from tests.training import tiny

pytestmark = pytest.mark.wheel

CHOSEN = tiny.settings(num_epoch=4, augment=True)
FILES = ("model.safetensors", "optimizer.safetensors", "state.json", "vocabulary.txt", "mean_istd.json")
DAMAGES = {
    "truncated": lambda content: content[: len(content) // 2],
    "zeroed": lambda content: bytes(len(content)),
    "flipped": lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
}


@pytest.fixture(scope="module")
def ended(root, tmp_path_factory):
    """What four undisturbed epochs leave, not to be changed."""
    place = tmp_path_factory.mktemp("ended")
    tiny.train(root, place, CHOSEN)
    return place


@pytest.fixture(scope="module")
def stopped(root, tmp_path_factory):
    """A training stopped in the middle of its second epoch, not to be changed."""
    place = tmp_path_factory.mktemp("stopped")
    chosen = tiny.settings(num_epoch=4, augment=True, save_interval=1)
    with pytest.raises(UserError, match="after 1 epochs and 2 batches"):
        tiny.train(root, place, chosen, watcher=tiny.stopping_at(6))
    return place


def copy(place, target):
    """With its hard links."""
    subprocess.run(["cp", "-a", f"{place}/.", target], check=True)
    return next((target / "autosave").iterdir())


def damage(path, how):
    """In its place: every hard link of it is damaged too."""
    content = DAMAGES[how](path.read_bytes())
    with open(path, "r+b") as file:
        file.write(content)
        file.truncate()


def products(place):
    """All that a training leaves that can be compared."""
    found = {}
    for folder in sorted((place / "models").iterdir()):
        assert disk.read_state(folder)
        found |= {f"{folder.name}/{name}": value for name, value in tiny.weights(trained.load(folder).model).items()}
    found |= tiny.saved(place / "models" / "epoch_4")
    tables = [(place / "curves" / name).read_bytes() for name in ("steps.tsv", "epochs.tsv")]
    return found, tables, disk.read_state(place / "models" / "epoch_4").history


def assert_same(left, right):
    assert tiny.same_bits(left[0], right[0])
    assert left[1:] == right[1:]


def names_it(messages, folder, file):
    return any(str(folder) in message and file in message for message in messages)


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_last_epoch_is_named_and_trained_anew(file, how, root, ended, tmp_path, warnings):
    own = copy(ended, tmp_path)
    for folder in (own, tmp_path / "models"):
        damage(folder / "epoch_4" / file, how)
    tiny.train(root, tmp_path, CHOSEN)
    assert names_it(warnings, own / "epoch_4", file)
    assert names_it(warnings, tmp_path / "models" / "epoch_4", file)
    assert_same(products(tmp_path), products(ended))


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_state_within_an_epoch_is_named_and_costs_its_batches(file, how, root, stopped, ended, tmp_path, log):
    own = copy(stopped, tmp_path)
    assert sorted(path.name for path in own.glob("step_*")) == ["step_5", "step_6"]
    damage(own / "step_6" / file, how)
    tiny.train(root, tmp_path, CHOSEN)
    assert names_it(log, own / "step_6", file)
    assert any(re.search("going on from .*step_5: epoch 1 done, 1 batches", message) for message in log)
    assert_same(products(tmp_path), products(ended))


@pytest.mark.parametrize("which", ["autosave", "models"])
def test_one_place_lost_whole_costs_nothing(which, root, ended, tmp_path):
    copy(ended, tmp_path)
    shutil.rmtree(tmp_path / which)
    trainer = tiny.train(root, tmp_path, CHOSEN)
    assert trainer.epoch == 4
    assert_same(products(tmp_path), products(ended))


def test_when_every_state_is_damaged_the_training_starts_over(root, ended, tmp_path, warnings):
    own = copy(ended, tmp_path)
    for path in tmp_path.rglob("model.safetensors"):
        damage(path, "truncated")
    tiny.train(root, tmp_path, CHOSEN)
    for epoch in (2, 3, 4):
        assert names_it(warnings, own / f"epoch_{epoch}", "model.safetensors")
    assert_same(products(tmp_path), products(ended))


def test_a_file_of_an_older_epoch_that_is_gone_from_both_places_ends_no_training(root, ended, tmp_path, warnings):
    own = copy(ended, tmp_path)
    shutil.rmtree(tmp_path / "models")
    (own / "epoch_3" / "model.safetensors").unlink()
    trainer = tiny.train(root, tmp_path, tiny.settings(num_epoch=5, augment=True))
    assert trainer.epoch == 5
    assert names_it(warnings, own / "epoch_3", "model.safetensors is missing")
