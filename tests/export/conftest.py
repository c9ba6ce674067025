import pytest

from ds2 import layout
from tests.commands.conftest import command, copied, model_folder, refused, root

__all__ = ["command", "copied", "model_folder", "refused", "root"]


@pytest.fixture
def exported(copied, command):
    """What export makes of the tiny data's best model, in a repository that has it."""
    assert command("export")[0] == 0
    return copied / layout.EXPORTED
