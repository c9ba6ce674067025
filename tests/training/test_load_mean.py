import shutil

import numpy as np
import pytest

from ds2.errors import UserError
from ds2.training import checkpoint
from tests.training import tiny

pytestmark = pytest.mark.wheel


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    place = tmp_path_factory.mktemp("training")
    tiny.write_data(place)
    tiny.train(place, place, tiny.settings(num_epoch=4, keep_checkpoints=3))
    return place / "models"


def test_the_mean_is_that_of_the_last_epochs_weights_and_statistics(models):
    found = tiny.weights(checkpoint.load_mean(models, 2).model)
    third, fourth = (tiny.weights(checkpoint.load(models / f"epoch_{n}").model) for n in (3, 4))
    assert found.keys() == third.keys()
    for name, value in found.items():
        np.testing.assert_allclose(value, (third[name].astype("float64") + fourth[name]) / 2, atol=1e-6)


def test_a_mean_of_more_epochs_than_are_kept_is_refused_with_both_numbers(models):
    with pytest.raises(UserError, match=r"average_checkpoints is 4, but .* has 3 epochs"):
        checkpoint.load_mean(models, 4)


def test_the_last_epochs_are_those_with_the_greatest_numbers(models, tmp_path):
    for epoch, number in ((3, 9), (4, 10)):
        shutil.copytree(models / f"epoch_{epoch}", tmp_path / f"epoch_{number}")
    assert checkpoint.load_mean(tmp_path, 1).state.epoch == 4


def test_a_mean_over_epochs_of_two_trainings_is_refused(models, tmp_path):
    tiny.write_data(tmp_path)
    tiny.train(tmp_path, tmp_path, tiny.settings(num_epoch=1, seed=4))
    mixed = shutil.copytree(models, tmp_path / "mixed")
    shutil.rmtree(mixed / "epoch_3")
    shutil.copytree(tmp_path / "models" / "epoch_1", mixed / "epoch_3")
    with pytest.raises(UserError, match=r"average_checkpoints: the last 2 epochs in .*mixed are not of one training"):
        checkpoint.load_mean(mixed, 2)
