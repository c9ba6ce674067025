import shutil
import sys

import pytest

from ds2 import __main__ as command_line
from tests.training import tiny
from tests.transcribing.conftest import model_folder, root, spoken, with_pauses

__all__ = ["model_folder", "root", "spoken", "with_pauses"]


@pytest.fixture
def command(monkeypatch, capsys):
    """command(*arguments) runs python -m ds2 in this process: its exit code, and what it printed on both streams."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["ds2", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            command_line.main()
        except SystemExit as ended:
            code = ended.code
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def refused(command):
    """refused(*arguments) is the one sentence that a command ends with on a mistake."""

    def run(*arguments):
        code, out, err = command(*arguments)
        (line,) = err.splitlines()
        assert (code, out, line[:7]) == (1, "", "error: ")
        return line

    return run


@pytest.fixture
def copied(workspace, root):
    """The tiny data and the model that was trained on it where the commands look for them, and their params.yaml."""
    for part in ("dataset", "models"):
        shutil.rmtree(workspace / part, ignore_errors=True)
        shutil.copytree(root / part, workspace / part)
    tiny.write_params(workspace)
    return workspace
