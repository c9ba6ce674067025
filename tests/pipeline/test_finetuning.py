"""A model trained further on other data: python -m ds2 recipe finetune --from, then dvc repro."""

import sys

import numpy as np
import pytest
from ruamel.yaml import YAML

from ds2.checkpoint import disk
from ds2.data.vocabulary import Vocabulary
from tests.pipeline.running import epochs_trained

pytestmark = pytest.mark.slow


@pytest.fixture
def other(trained, a_copy):
    """A trained repository whose recordings now have other transcripts: one character gone, one new."""
    repository = a_copy(trained)
    for path in (repository.folder / "dataset/annotation").glob("mine.*.txt"):
        path.write_text(path.read_text(encoding="utf-8").replace("北", "中"), encoding="utf-8")
    return repository


def take(repository, checkpoint):
    """Runs the command, and makes the training short and its steps too small to move the weights."""
    printed = repository.run(sys.executable, "-m", "ds2", "recipe", "finetune", "--from", checkpoint, "--yes")
    repository.change_params(
        train={"num_epoch": 1, "learning_rate": 1e-12, "min_learning_rate": 0.0}, runtime={"num_workers": 0}
    )
    return printed


def settings(repository):
    return YAML(typ="safe").load(repository.folder / "params.yaml")


def test_a_training_begins_with_the_weights_each_row_of_the_output_at_its_token(other):
    before = settings(other)
    other.run("cp", "-rL", "models/best_model", "origin")
    printed = take(other, "models/best_model")
    now = settings(other)
    assert [now[name] for name in ("text", "features", "model")] == [
        before[name] for name in ("text", "features", "model")
    ]
    (copy,) = (other.folder / "pretrained").iterdir()
    assert f"pretrained/{copy.name} is a copy of models/best_model" in printed
    assert now["train"]["pretrained_model"] == f"pretrained/{copy.name}"

    printed = other.run("dvc", "repro")
    assert epochs_trained(printed) == [1]
    assert f"tokens: 5 known to pretrained/{copy.name}, 1 new, 1 of it not needed any more" in printed
    folders = other.folder / "origin", other.folder / "models/epoch_1"
    old, new = (disk.read_arrays(folder / disk.MODEL) for folder in folders)
    tokens = [Vocabulary.read(folder / disk.VOCABULARY).tokens for folder in folders]
    assert set(tokens[1]) - set(tokens[0]) == {"中"}
    learned = [name for name in old if not name.endswith((".running_mean", ".running_var", ".steps"))]
    assert len(learned) > 10
    for name in learned:
        if old[name].shape[-1] == len(tokens[0]) and name.startswith("output."):
            before, after = (dict(zip(t, a[name].T, strict=True)) for t, a in zip(tokens, (old, new), strict=True))
            for token in before.keys() & after.keys():
                assert np.allclose(before[token], after[token], rtol=0, atol=1e-9), (name, token)
        else:
            assert np.allclose(old[name], new[name], rtol=0, atol=1e-9), name


def test_weights_of_another_checkpoint_are_another_training_and_the_same_ones_are_not(other):
    other.run("cp", "-rL", "models/epoch_1", "first")
    take(other, "models/epoch_2")
    other.run("dvc", "repro", "train")
    last = settings(other)["train"]["pretrained_model"]
    take(other, last)
    assert settings(other)["train"]["pretrained_model"] == last
    assert "Running stage" not in other.run("dvc", "repro", "train")
    take(other, "first")
    printed = other.run("dvc", "repro", "train")
    assert "the training starts from the beginning" not in printed
    assert f"known to {settings(other)['train']['pretrained_model']}" in printed
    assert len(list((other.folder / "pretrained").iterdir())) == 2


def test_experiments_in_a_copy_find_it_and_a_clone_has_it_from_dvc(other, tmp_path):
    take(other, "models/best_model")
    other.commit("other transcripts")
    printed = other.run("dvc", "exp", "run", "--temp", "train")
    assert "5 known to" in printed
    other.run("dvc", "add", "pretrained")
    other.run("git", "add", "pretrained.dvc")
    assert other.run("git", "status", "--short", "pretrained.dvc").startswith("A")
    other.commit("the model that it begins with")
    other.run("dvc", "remote", "add", "-d", "--local", "shared", str(tmp_path / "shared"))
    other.run("dvc", "push", "pretrained.dvc")
    clone = other.at(tmp_path / "clone")
    other.run("git", "clone", "-q", str(other.folder), str(clone.folder))
    clone.run("cp", "-r", str(other.folder / "recordings"), "recordings")
    printed = clone.run("dvc", "repro", "train", expect=255)
    assert "git does not bring" in printed
    clone.run("dvc", "remote", "add", "-d", "--local", "shared", str(tmp_path / "shared"))
    clone.run("dvc", "pull", "pretrained.dvc")
    assert "5 known to" in clone.run("dvc", "repro", "train")
