import pytest

from tests.training import tiny


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The tiny data, not to be changed."""
    folder = tmp_path_factory.mktemp("data")
    tiny.write_data(folder)
    return folder
