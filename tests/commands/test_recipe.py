"""python -m ds2 recipe, by hand and by a script: what it writes, and what it does not replace unasked."""

import argparse
import io
import os
import shutil
import subprocess
import sys

import pytest

from ds2 import params
from ds2.checkpoint import disk
from ds2.commands import recipe
from ds2.errors import UserError
from ds2.params import recipes
from tests.documents import ROOT

EDITED = "augment: {volume: {prob: 0.0}}\ntrain: {num_epoch: 5, seed: 7, batch_size: 4}\n"
RUN = """
import argparse
from ds2.commands import recipe
recipe.run(argparse.Namespace(name="aishell", checkpoint=None, yes=False))
"""


@pytest.fixture
def repository(workspace):
    shutil.copytree(ROOT / "recipes", workspace / "recipes")
    return workspace


@pytest.fixture
def params_yaml(repository):
    return repository / "params.yaml"


def run(*arguments: str) -> None:
    parser = argparse.ArgumentParser()
    recipe.add_arguments(parser)
    recipe.run(parser.parse_args(arguments))


def test_without_a_name_every_recipe_is_listed_on_a_line(repository, capsys):
    run()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))
    assert (
        lines[0].split(maxsplit=1)[1]
        == "AISHELL-1: 151 hours of read Mandarin to train on, its own dev and test parts."
    )
    assert not (repository / "params.yaml").exists()


def test_a_recipe_without_a_comment_at_its_top_is_listed_by_its_name(repository, capsys):
    (repository / "recipes/mine.yaml").write_text("train: {num_epoch: 5}\n", encoding="utf-8")
    run()
    assert "mine" in capsys.readouterr().out.splitlines()


def test_the_demo_is_the_repositorys_params_yaml(params_yaml):
    run("demo")
    assert params_yaml.read_bytes() == (ROOT / "params.yaml").read_bytes()


def test_a_recipe_replaces_another_one_unasked(params_yaml):
    run("demo")
    run("aishell")
    assert "\ncorpora: [aishell]  # " in params_yaml.read_text(encoding="utf-8")


def test_what_was_edited_stays_where_nobody_can_be_asked(params_yaml, monkeypatch):
    params_yaml.write_text(EDITED, encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(UserError, match=r"was edited \(train.num_epoch, train.batch_size, train.seed\): .* --yes"):
        run("aishell")
    assert params_yaml.read_text(encoding="utf-8") == EDITED


def test_with_yes_it_is_replaced(params_yaml):
    params_yaml.write_text("no: [yaml", encoding="utf-8")
    run("aishell", "--yes")
    assert "\ncorpora: [aishell]  # " in params_yaml.read_text(encoding="utf-8")


@pytest.mark.parametrize(("answer", "replaced"), [("y\n", True), ("n\n", False), ("\n", False), ("\4", False)])
def test_on_a_terminal_it_asks_and_only_y_replaces(answer, replaced, params_yaml):
    params_yaml.write_text(EDITED, encoding="utf-8")
    terminal, end = os.openpty()
    command = subprocess.Popen(
        [sys.executable, "-c", RUN],
        stdin=end,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    os.write(terminal, answer.encode())
    printed, _ = command.communicate(timeout=60)
    os.close(terminal)
    os.close(end)
    assert command.returncode == 0
    assert "params.yaml was edited (train.num_epoch, train.batch_size, train.seed). Replace it? [y/N]" in printed
    assert (params_yaml.read_text(encoding="utf-8") != EDITED) == replaced


def test_a_write_that_fails_leaves_what_was_there(params_yaml, monkeypatch):
    run("demo")
    before = params_yaml.read_bytes()
    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        run("aishell")
    assert params_yaml.read_bytes() == before


def damaged(origin):
    (origin / "model.safetensors").write_bytes(b"damage")


def pickled(origin):
    (origin / "model.pdparams").touch()


@pytest.fixture
def origin(model_folder, repository):
    """A copy of a trained model, outside models/, whose features and sizes are not the recipe's."""
    return shutil.copytree(model_folder, repository / "given")


def test_from_a_checkpoint_come_what_its_tokens_and_weights_mean_and_nothing_else(origin, params_yaml, capsys):
    run("finetune", "--from", "given")
    (copy,) = (params_yaml.parent / "pretrained").iterdir()
    recipe, now, known = recipes.read("finetune").settings, params.load(), disk.read(origin).params
    taken = {"text": known.text, "features": known.features, "model": known.model}
    assert known.features != recipe.features
    assert known.model != recipe.model
    train = recipe.train.model_copy(update={"pretrained_model": f"pretrained/{copy.name}"})
    assert now == recipe.model_copy(update={**taken, "train": train})
    assert disk.read(copy).params == known
    assert not disk.resumable(copy)
    assert f"pretrained/{copy.name} is a copy of given" in capsys.readouterr().out
    assert "\n# Written by python -m ds2 recipe finetune --from given, " in params_yaml.read_text(encoding="utf-8")


def test_a_copy_can_be_named_itself_and_is_not_copied(origin, params_yaml, capsys):
    run("finetune", "--from", "given")
    (copy,) = (params_yaml.parent / "pretrained").iterdir()
    shutil.rmtree(origin)
    settings, _ = params.load(), capsys.readouterr()
    run("finetune", "--from", f"pretrained/{copy.name}", "--yes")
    assert params.load() == settings
    assert "is a copy of" not in capsys.readouterr().out
    assert disk.read(copy).params.model == settings.model


@pytest.mark.parametrize(
    ("arguments", "spoil", "told"),
    [
        (("finetune", "--from", "nowhere"), None, r"nowhere does not exist"),
        (("finetune", "--from", "given/state.json"), None, r"is a file: name the checkpoint's folder, given"),
        (("finetune", "--from", "models"), None, r"models is the folder of all checkpoints: .* as models/epoch_3"),
        (("finetune", "--from", "recipes"), None, r"recipes is damaged \(state\.json is missing\)"),
        (("finetune", "--from", "given"), damaged, r"given is damaged \(model\.safetensors is not what was written\)"),
        (("finetune", "--from", "given"), pickled, r"given holds its weights as a pickle"),
        (("small", "--from", "given"), None, r"the recipe small trains from the beginning.* such as finetune"),
        (("--from", "given"), None, r"--from needs a recipe"),
    ],
)
def test_what_cannot_be_trained_further_is_one_sentence_and_changes_nothing(
    arguments, spoil, told, origin, model_folder, params_yaml
):
    shutil.copytree(model_folder, params_yaml.parent / "models/epoch_3")
    run("demo")
    before = params_yaml.read_bytes()
    if spoil:
        spoil(origin)
    with pytest.raises(UserError, match=told):
        run(*arguments)
    assert params_yaml.read_bytes() == before
    assert not (params_yaml.parent / "pretrained").exists()


def test_without_room_for_the_copy_params_yaml_stays(origin, params_yaml, monkeypatch):
    run("demo")
    before = params_yaml.read_bytes()
    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(UserError, match=r"pretrained/\w+ cannot be written \(No space left"):
        run("finetune", "--from", "given")
    assert params_yaml.read_bytes() == before
    assert list((params_yaml.parent / "pretrained").iterdir()) == []


def test_paddle_is_not_loaded(origin, repository):
    program = (
        "import sys; sys.argv = ['ds2', 'recipe', 'finetune', '--from', 'given'];"
        "from ds2.__main__ import main; main(); assert 'paddle' not in sys.modules"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, env=environment)
    assert (repository / "pretrained").exists()


def full_disk(_: int) -> None:
    raise OSError(28, "No space left on device")
