"""What becomes of a training when parameters, commits and files change around it: real dvc, nothing of it is lost."""

import shutil

import pytest

from tests.pipeline.running import epochs_trained, until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def long(prepared, tmp_path_factory):
    """A training of eight epochs, never disturbed: what all others are compared with."""
    repository = prepared.copy(tmp_path_factory.mktemp("long") / "repository")
    repository.change_params(train={"num_epoch": 8})
    repository.run("dvc", "repro", "train")
    repository.commit("eight epochs")
    return repository


@pytest.fixture
def short(trained, a_copy):
    """A training of two epochs, dvc.lock and results committed."""
    return a_copy(trained)


def test_more_epochs_as_an_experiment(short, long):
    printed = short.run("dvc", "exp", "run", "-S", "train.num_epoch=3")
    assert epochs_trained(printed) == [3]
    assert short.curves() == long.curves(3)
    assert short.epochs() == ["epoch_1", "epoch_2", "epoch_3"]


def test_more_epochs_in_a_temporary_copy(short, long):
    printed = short.run("dvc", "exp", "run", "--temp", "-n", "three", "-S", "train.num_epoch=3")
    assert epochs_trained(printed) == [3]
    assert short.curves() == long.curves(2)
    short.run("dvc", "exp", "apply", "three")
    assert short.curves() == long.curves(3)
    assert short.epochs() == ["epoch_1", "epoch_2", "epoch_3"]


def test_two_queued_experiments_of_one_training_at_a_time(short, long):
    short.run("dvc", "exp", "run", "--queue", "-n", "three", "-S", "train.num_epoch=3")
    short.run("dvc", "exp", "run", "--queue", "-n", "four", "-S", "train.num_epoch=4")
    short.start_queue("-j2")
    try:
        until(lambda: short.experiments() >= {"three", "four"}, lambda: short.run("dvc", "queue", "status"))
    finally:
        short.run("dvc", "queue", "stop", "--kill")
    logs = [short.run("dvc", "queue", "logs", name) for name in ("three", "four")]
    # Whichever came first, the other went on from it: no epoch was trained twice.
    assert sorted(epochs_trained(logs[0]) + epochs_trained(logs[1])) == [3, 4]
    for name, epochs in (("three", 3), ("four", 4)):
        short.run("dvc", "exp", "apply", name)
        assert short.curves() == long.curves(epochs)
        assert short.epochs()[-1] == f"epoch_{epochs}"


def test_another_learning_rate_starts_over(short):
    before = short.curves()
    printed = short.run("dvc", "exp", "run", "-S", "train.learning_rate=5e-5", "train")
    assert epochs_trained(printed) == [1, 2]
    assert "train.learning_rate: 5e-05" in printed  # as DVC writes it; YAML 1.1 would make a string of it
    assert [
        line for line in printed.splitlines() if "starts from the beginning" in line and "train.learning_rate" in line
    ]
    assert short.curves() != before


def test_going_back_to_a_former_learning_rate_trains_nothing(short, long):
    short.run("dvc", "exp", "run", "-S", "train.learning_rate=0.001", "train")
    printed = short.run("dvc", "exp", "run", "-S", "train.learning_rate=0.003", "-S", "train.num_epoch=3", "train")
    assert epochs_trained(printed) == [3]
    assert short.curves() == long.curves(3)


def test_fewer_epochs_use_the_one_that_is_kept_and_more_again_go_on(a_copy, long):
    repository = a_copy(long)
    printed = repository.run("dvc", "exp", "run", "-S", "train.num_epoch=6", "train")
    assert epochs_trained(printed) == []
    assert repository.curves() == long.curves(6)
    assert repository.epochs() == ["epoch_6"]
    printed = repository.run("dvc", "exp", "run", "-S", "train.num_epoch=8", "train")
    assert epochs_trained(printed) == []
    assert repository.products() == long.products()


def test_fewer_epochs_than_are_kept_start_over_and_more_again_go_on_from_the_furthest(a_copy, long):
    repository = a_copy(long)
    printed = repository.run("dvc", "exp", "run", "-S", "train.num_epoch=2", "train")
    assert epochs_trained(printed) == [1, 2]
    assert "the epochs up to 2 are trained anew" in printed
    assert repository.curves() == long.curves(2)
    printed = repository.run("dvc", "exp", "run", "-S", "train.num_epoch=8", "train")
    assert epochs_trained(printed) == []
    assert repository.products() == long.products()


def test_a_former_commit_without_dvc_checkout(short, long):
    short.run("dvc", "exp", "run", "-S", "train.num_epoch=3")
    short.commit("three epochs")
    short.run("git", "checkout", "-q", "HEAD~1")
    assert short.epochs() == ["epoch_1", "epoch_2", "epoch_3"]
    printed = short.run("dvc", "repro")
    assert epochs_trained(printed) == []
    assert short.curves() == long.curves(2)
    assert short.epochs() == ["epoch_1", "epoch_2"]
    assert short.run("git", "status", "--porcelain") == ""


@pytest.mark.parametrize("command", [("repro",), ("exp", "run")])
def test_force_trains_nothing_and_gives_the_same(short, command):
    before = short.products()
    printed = short.run("dvc", *command, "-f")
    assert "Running stage 'train'" in printed
    assert epochs_trained(printed) == []
    assert short.products() == before
    assert (
        short.run(
            "git", "status", "--porcelain", "results/predictions.jsonl", "results/errors.txt", "results/report.html"
        )
        == ""
    )


def test_deleted_models_come_back_and_a_new_word_starts_over(short, long):
    before = short.products()
    shutil.rmtree(short.folder / "models")
    assert epochs_trained(short.run("dvc", "repro", "train")) == []
    assert short.products() == before
    printed = short.run("dvc", "exp", "run", "-S", "train.start_over=again", "train")
    assert epochs_trained(printed) == [1, 2]
    assert short.curves() == long.curves(2)
    # As -S stays in params.yaml, README says to put it back.
    short.run("git", "checkout", "-q", "params.yaml")
    printed = short.run("dvc", "exp", "run", "-S", "train.num_epoch=3", "train")
    assert epochs_trained(printed) == [3]
    assert short.curves() == long.curves(3)


def test_a_clone_goes_on_from_what_dvc_pull_brings(short, long, a_copy, tmp_path):
    short.run("dvc", "remote", "add", "-d", "store", str(tmp_path / "remote"))
    short.commit("a remote")
    short.run("dvc", "push", "-q")
    short.run("git", "clone", "-q", ".", str(tmp_path / "clone"))
    clone = short.at(tmp_path / "clone")
    clone.run("dvc", "pull", "-q")
    printed = clone.run("dvc", "exp", "run", "-S", "train.num_epoch=3")
    assert epochs_trained(printed) == [3]
    assert clone.curves() == long.curves(3)


def test_a_clone_without_dvc_pull_starts_from_the_beginning(short, long, tmp_path):
    short.run("dvc", "remote", "add", "-d", "store", str(tmp_path / "remote"))
    short.commit("a remote")
    short.run("dvc", "push", "-q")
    short.run("git", "clone", "-q", ".", str(tmp_path / "clone"))
    clone = short.at(tmp_path / "clone")
    printed = clone.run("dvc", "exp", "run", "--pull", "-S", "train.num_epoch=3")
    assert "the training starts from the beginning" in printed
    assert epochs_trained(printed) == [1, 2, 3]
    assert clone.curves() == long.curves(3)


def test_half_a_models_folder_is_made_whole(short):
    before = short.products()
    (short.folder / "models/epoch_2/model.safetensors").unlink()
    shutil.rmtree(short.folder / "models/best_model")
    assert epochs_trained(short.run("dvc", "repro", "train")) == []
    assert short.products() == before


def test_a_damaged_file_is_made_good_from_the_autosave(short):
    before = short.products()
    short.damage("models/epoch_2/model.safetensors")
    assert epochs_trained(short.run("dvc", "repro", "train")) == []
    assert short.products() == before


def test_a_damaged_file_without_an_autosave_is_recognised(short):
    shutil.rmtree(short.folder / ".ds2")
    before = short.products()
    short.damage("models/epoch_2/model.safetensors")
    printed = short.run("dvc", "repro", "train")
    assert "models/epoch_2 is damaged and not used" in printed
    assert epochs_trained(printed) == [1, 2]  # only the newest epoch's optimiser is published
    assert short.products() == before


def test_mistakes_after_dash_s(short):
    assert "Could not override" in short.run("dvc", "exp", "run", "-S", "train.num_epochs=3", expect=255)
    printed = short.run("dvc", "exp", "run", "-S", "+train.num_epochs=3", expect=255)
    assert "error: train.num_epochs: there is no such parameter" in printed
    short.run("git", "checkout", "-q", "params.yaml")
    printed = short.run("dvc", "exp", "run", "-S", "train.num_epoch=abc", expect=255)
    assert "error: train.num_epoch: 'abc' is not an integer" in printed
    assert "Traceback" not in printed
    # DVC deletes a stage's unpersisted outputs before it runs: git has them.
    short.run("git", "checkout", "-q", ".")
    assert "Running stage" not in short.run("dvc", "repro")


@pytest.fixture(params=["symlink", "hardlink"])
def linked(request, short, tmp_path):
    """The same with DVC's cache elsewhere: every file of models/ is a link into it. Nothing is autosaved."""
    shutil.move(short.folder / ".dvc/cache", tmp_path / "shared")
    short.run("dvc", "config", "cache.type", request.param)
    short.run("dvc", "cache", "dir", str(tmp_path / "shared"))
    short.run("dvc", "checkout", "--relink")
    shutil.rmtree(short.folder / ".ds2")
    return short


def test_a_model_of_links_into_a_shared_cache_goes_on_whatever_becomes_of_the_cache(linked, long, tmp_path):
    published = [linked.folder / "models/epoch_2" / name for name in ("model.safetensors", "state.json")]
    assert all(path.is_symlink() or path.stat().st_nlink > 1 for path in published)
    linked.run("cp", "-rL", "models/best_model", "pretrained")
    linked.change_params(train={"num_epoch": 4})
    assert epochs_trained(linked.run("dvc", "repro", "train")) == [3, 4]
    # The cache loses what this workspace does not use, and the rest of the models is damaged.
    before = len(list(tmp_path.glob("shared/files/md5/*/*")))
    linked.run("dvc", "gc", "-w", "--force")
    assert len(list(tmp_path.glob("shared/files/md5/*/*"))) < before
    for path in (linked.folder / "models").rglob("*.*"):
        path.chmod(0o600)
        path.write_bytes(b"damage")
    linked.change_params(train={"num_epoch": 5})
    assert epochs_trained(linked.run("dvc", "repro", "train")) == [5]
    assert linked.curves() == long.curves(5)
    printed = linked.run(
        "dvc", "exp", "run", "-S", "train.pretrained_model=pretrained", "-S", "train.num_epoch=1", "train"
    )
    assert "tokens: 6 known to pretrained, 0 new" in printed
    assert epochs_trained(printed) == [1]
