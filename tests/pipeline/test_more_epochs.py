import pytest

from tests.pipeline import kills
from tests.pipeline.conftest import Repository

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A repository in which only the training is left to do, not to be changed."""
    repository = Repository(tmp_path_factory.mktemp("prepared"))
    kills.make_training_hard(repository, workers=0)
    repository.run("dvc", "repro", "mean_istd", "vocabulary")
    repository.commit("ready for training")
    return repository


def train(prepared, folder, num_epoch, workers):
    copied = prepared.copy(folder)
    copied.change_params(train={"num_epoch": num_epoch}, runtime={"num_workers": workers})
    copied.run("dvc", "repro", "train")
    copied.commit("first results")
    return copied


@pytest.fixture(scope="module")
def four_at_once(prepared, tmp_path_factory):
    return results(train(prepared, tmp_path_factory.mktemp("at_once") / "repository", 4, workers=0))


def results(repository):
    """What a training of four epochs computes; VisualDL's folders are named after experiments."""
    found = kills.products(repository.folder, 4)
    return {name: value for name, value in found.items() if name.startswith(("epoch_", "best_model", "results"))}


@pytest.mark.parametrize("workers", [0, 2])
def test_two_epochs_and_two_more_equal_four_at_once_to_the_last_bit(workers, prepared, four_at_once, tmp_path):
    continued = train(prepared, tmp_path / "continued", 2, workers)
    printed = continued.run("dvc", "exp", "run", "-S", "train.num_epoch=4", "train")
    assert "augment.noise: 3 files" in printed
    assert "going on from" in printed
    assert "Epoch: [2/4]" not in printed
    assert "Epoch: [4/4]" in printed
    assert kills.first_difference(results(continued), four_at_once) is None
