from tests.training.conftest import root as root
