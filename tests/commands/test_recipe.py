"""python -m ds2 recipe, by hand and by a script: what it writes, and what it does not replace unasked."""

import argparse
import io
import os
import shutil
import subprocess
import sys

import pytest

from ds2.commands import recipe
from ds2.errors import UserError
from tests.documents import ROOT

EDITED = "augment: {volume: {prob: 0.0}}\ntrain: {num_epoch: 5, seed: 7, batch_size: 4}\n"
RUN = "import argparse; from ds2.commands import recipe; recipe.run(argparse.Namespace(name='aishell', yes=False))"


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


def full_disk(_: int) -> None:
    raise OSError(28, "No space left on device")
