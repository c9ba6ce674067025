import shutil

import pytest

from ds2 import layout
from tests.commands.conftest import command, copied, model_folder, root

__all__ = ["command", "copied", "model_folder", "root"]


@pytest.fixture(scope="session")
def made(root, tmp_path_factory):
    """A bundle of the tiny data's model."""
    import numpy as np

    from ds2.export import exporting

    folder = tmp_path_factory.mktemp("made") / layout.EXPORTED
    exporting.write(exporting.prepare(root / "models" / "best_model", folder, np.float32), folder, [], None)
    return folder


@pytest.fixture
def bundle(made, tmp_path):
    """A copy of it to be harmed."""
    return shutil.copytree(made, tmp_path / "given")
