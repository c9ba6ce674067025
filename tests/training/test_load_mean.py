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
