import shutil

import numpy as np
import pytest

from ds2.checkpoint import trained
from ds2.errors import UserError
from tests.training import tiny

pytestmark = pytest.mark.wheel


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    place = tmp_path_factory.mktemp("training")
    tiny.write_data(place)
    tiny.train(place, place, tiny.settings(num_epoch=4, keep_checkpoints=3))
    return place / "models"


def test_the_mean_is_that_of_the_last_epochs_weights_and_statistics(models):
    found = tiny.weights(trained.load_mean(models, 2).model)
    third, fourth = (tiny.weights(trained.load(models / f"epoch_{n}").model) for n in (3, 4))
    assert found.keys() == third.keys()
    for name, value in found.items():
        np.testing.assert_allclose(value, (third[name].astype("float64") + fourth[name]) / 2, atol=1e-6)


def test_a_mean_of_more_epochs_than_are_kept_is_refused_with_both_numbers(models):
    with pytest.raises(UserError, match=r"average_checkpoints is 4, but .* has 3 epochs"):
        trained.load_mean(models, 4)


def test_what_else_lies_beside_the_epochs_is_none_of_them(models, tmp_path):
    place = shutil.copytree(models, tmp_path / "models")
    for name in ("epoch_4_backup", "epoch_3.old", "epoch_last", ".epoch_9.tmp"):
        shutil.copytree(models / "epoch_2", place / name)
    mean, expected = (tiny.weights(trained.load_mean(folder, 2).model) for folder in (place, models))
    assert tiny.same_bits(mean, expected)


def test_epochs_of_another_training_are_not_mixed_in(models, tmp_path):
    place = tmp_path / "models"
    tiny.write_data(tmp_path)
    tiny.train(tmp_path, tmp_path, tiny.settings(num_epoch=3, seed=8))
    shutil.copytree(models / "epoch_4", place / "epoch_4")
    with pytest.raises(UserError, match=r"average_checkpoints: the last 2 epochs in .* are not of one training"):
        trained.load_mean(place, 2)


def test_without_models_there_are_no_epochs(tmp_path):
    with pytest.raises(UserError, match="has 0 epochs"):
        trained.load_mean(tmp_path / "models", 2)


def test_the_last_epochs_are_those_with_the_greatest_numbers(models, tmp_path):
    for epoch, number in ((3, 9), (4, 10)):
        shutil.copytree(models / f"epoch_{epoch}", tmp_path / f"epoch_{number}")
    assert trained.load_mean(tmp_path, 1).state.epoch == 4
