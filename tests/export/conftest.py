import shutil
import sys
from types import SimpleNamespace

import pytest

from ds2 import __main__ as command_line
from ds2 import layout
from tests.training import tiny


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The tiny data and, in models/, checkpoints of a model that has learned a part of it."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny.write_data(folder)
    tiny.train(folder, folder, tiny.settings(num_epoch=6))
    return folder


@pytest.fixture
def place(workspace, trained):
    """A repository with the tiny data, its checkpoints and params.yaml."""
    shutil.rmtree(workspace / "dataset")
    shutil.copytree(trained / "dataset", workspace / "dataset")
    shutil.copytree(trained / "models", workspace / "models")
    tiny.write_params(workspace)
    return workspace


@pytest.fixture
def run(place, monkeypatch, capsys):
    """run("export", ...) runs a command here; returns code, out, err."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["ds2", *map(str, arguments)])
        code = 0
        try:
            command_line.main()
        except SystemExit as error:
            code = error.code
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err)

    return call


@pytest.fixture
def bundle(place, run):
    """What export makes of the checkpoint."""
    assert run("export").code == 0
    return place / layout.EXPORTED
