"""A trained model is not replaced by mistake: real dvc, a training with noises."""

import shutil

import pytest

from tests.pipeline.kills import record_noise_and_echoes
from tests.pipeline.running import epochs_trained

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def noisy(prepared, tmp_path_factory):
    """A training of one epoch with noises, recorded, committed and pushed."""
    folder = tmp_path_factory.mktemp("noisy")
    repository = prepared.copy(folder / "repository")
    record_noise_and_echoes(repository.folder)
    repository.change_params(train={"augment": True, "num_epoch": 1})
    repository.run("dvc", "add", "dataset/noise", "dataset/reverb")
    repository.run("dvc", "remote", "add", "-d", "store", str(folder / "remote"))
    repository.run("dvc", "repro", "train")
    repository.commit("with noises")
    repository.run("dvc", "push", "-q")
    return repository


def experiment(repository, *settings, expect=0):
    """Trains as an experiment; returns what was printed."""
    options = [part for setting in settings for part in ("-S", f"train.{setting}")]
    return repository.run("dvc", "exp", "run", *options, "-s", "train", expect=expect)


def test_a_clone_without_the_noises_does_not_train_without_them_and_goes_on_when_dvc_has_brought_them(noisy, tmp_path):
    noisy.run("git", "clone", "-q", ".", str(tmp_path / "clone"))
    clone = noisy.at(tmp_path / "clone")
    clone.run("dvc", "pull", "-q", "--with-deps", "train")
    before = clone.products()
    printed = experiment(clone, "num_epoch=2", expect=255)
    assert "error: dataset/noise has 0 audio files, but models/epoch_1 was trained with 3 of them" in printed
    clone.run("git", "checkout", "-q", "results")  # DVC removes a stage's small results before it runs
    assert clone.products() == before
    clone.run("dvc", "pull", "-q", "dataset/noise.dvc", "dataset/reverb.dvc")
    assert epochs_trained(experiment(clone, "num_epoch=2")) == [2]


def test_a_training_that_resumed_a_checkpoint_is_not_replaced_when_none_is_named_any_more(noisy, a_copy):
    repository = a_copy(noisy)
    assert epochs_trained(experiment(repository, "resume_model=models/epoch_1", "num_epoch=2")) == [2]
    before = repository.products()
    repository.run("git", "checkout", "-q", "params.yaml")
    printed = experiment(repository, "num_epoch=3", expect=255)
    assert "models/epoch_2 is of a training that began with train.resume_model: models/epoch_1" in printed
    repository.run("git", "checkout", "-q", "results")
    assert {name for name in before if name.startswith("models")} <= repository.products().keys()
    assert epochs_trained(experiment(repository, "resume_model=models/epoch_1", "num_epoch=3")) == [3]
    printed = experiment(repository, "resume_model=auto", "num_epoch=1", "start_over=afresh")
    assert epochs_trained(printed) == [1]


def test_states_that_are_nowhere_else_are_not_removed(noisy, a_copy):
    repository = a_copy(noisy)
    shutil.rmtree(repository.folder / ".ds2")
    assert epochs_trained(experiment(repository, "seed=7")) == [1]  # DVC's cache has the former
    shutil.rmtree(repository.folder / ".ds2")
    shutil.rmtree(repository.folder / ".dvc/cache")
    repository.change_params(train={"seed": 8})
    printed = repository.run("dvc", "repro", "-s", "train", expect=255)
    assert "error: models/epoch_1, models/best_model would be removed, and neither DVC's cache nor " in printed


def test_a_model_that_only_dvc_has_is_pointed_to(noisy, a_copy):
    repository = a_copy(noisy)
    for name in ("models", ".ds2"):
        shutil.rmtree(repository.folder / name)
    assert "models/ is gone: dvc checkout models restores it" in repository.run("dvc", "repro", "-s", "train")


def test_resume_model_null_names_what_took_its_place(noisy, a_copy):
    printed = experiment(a_copy(noisy), "resume_model=null", expect=255)
    assert "error: train.resume_model: null does not start over any more: write auto, and" in printed
